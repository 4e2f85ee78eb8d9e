"""What the server can do: the answer to CAPABILITY, and the greeting (RFC 5804 section 1.7)."""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.wire.managesieve.response import lines, string


def capabilities(
    *,
    implementation: str,
    sieve: str,
    notify: str,
    max_redirects: int | None,
    mechanisms: Iterable[str],
    starttls: bool = False,
    owner: str | None = None,
    unauthenticate: bool = False,
    xclient: Iterable[str] = (),
) -> bytes:
    """The capability lines.

    ``sieve`` and ``notify`` are lists parted by spaces; ``max_redirects`` None: any number.
    SASL may be empty only where STARTTLS is offered, or after login.
    """
    found: list[tuple[str, str | None]] = [
        ("IMPLEMENTATION", implementation),
        ("SASL", " ".join(mechanisms)),
        ("SIEVE", sieve),
        ("NOTIFY", notify or None),
        ("MAXREDIRECTS", None if max_redirects is None else str(max_redirects)),
        ("LANGUAGE", "en"),
        ("OWNER", owner),
        ("VERSION", "1.0"),
        ("XCLIENT", " ".join(xclient) or None),
    ]
    rows = [string(name) + b" " + string(value) for name, value in found if value is not None]
    if starttls:
        rows.append(string("STARTTLS"))
    if unauthenticate:
        rows.append(string("UNAUTHENTICATE"))
    return lines(rows)
