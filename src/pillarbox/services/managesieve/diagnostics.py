"""What the compiler said of a script, as the text of a reply (RFC 5804 section 2.6)."""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.sieve.errors import Diagnostic


def told(diagnostics: Sequence[Diagnostic], most: int) -> str:
    """One line for each error and warning, errors first; ``most`` of them, 0: all."""
    ordered = sorted(diagnostics, key=lambda one: one.severity != "error")
    shown = ordered[:most] if most else ordered
    lines = [_line(one) for one in shown]
    if len(shown) < len(ordered):
        lines.append(f"... and {len(ordered) - len(shown)} more.")
    return "\r\n".join(lines)


def _line(one: Diagnostic) -> str:
    where = [one.file] if one.file else []
    if one.line:
        where.append(f"line {one.line}")
    return ": ".join([*where, one.severity, one.message])
