"""ENABLE (RFC 5161): capabilities that change what the server sends unasked.

Unknown names are not errors; the reply lists what was newly enabled.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.imap.lexer import Lexer


@dataclass(slots=True)
class Enable:
    """Capability names in upper case, at least one."""

    capabilities: tuple[str, ...]


def parse_enable(lexer: Lexer) -> Enable:
    """``1*(SP capability)``."""
    names: list[str] = []
    while not names or lexer.peek() == 32:
        lexer.space()
        names.append(lexer.word().decode("ascii"))
    lexer.finish()
    return Enable(tuple(names))
