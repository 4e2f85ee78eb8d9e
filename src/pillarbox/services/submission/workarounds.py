"""Mistakes of clients that are understood where the settings say so."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from pillarbox.wire.smtp.command import CommandLine

_BARE: Final = re.compile(rb"((?:FROM|TO):[ \t]*)([^<>\s]+)(?=[ \t]|\Z)", re.IGNORECASE)


def lenient(line: CommandLine, workarounds: Collection[str]) -> CommandLine:
    """The command as the client must have meant it."""
    if "mailbox-for-path" in workarounds and line.name in ("MAIL", "RCPT"):
        return line._replace(args=_BARE.sub(rb"\1<\2>", line.args, count=1))
    return line
