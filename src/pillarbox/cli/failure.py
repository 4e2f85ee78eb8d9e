"""How a command says that it could not do what it was told.

`CommandFailed` carries one sentence for a person and an exit status that scripts and mail servers
know (sysexits.h); `main` prints it as ``pillarbox: sentence`` on standard error.  Nothing else ends
a command with a traceback.
"""

from __future__ import annotations

from typing import Final

FAILURE: Final = 1
USAGE: Final = 64
DATA: Final = 65
NO_INPUT: Final = 66
NO_USER: Final = 67
NOT_RUNNING: Final = 69
BUG: Final = 70
CANNOT_CREATE: Final = 73
TEMPORARY: Final = 75
NO_PERMISSION: Final = 77
CONFIG: Final = 78
INTERRUPTED: Final = 130


class CommandFailed(Exception):
    """The command ends here: a sentence, and an exit status."""

    def __init__(self, text: str, status: int = FAILURE) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
