"""Which command may be used when (RFC 5804 section 2); XCLIENT is for trusted proxies."""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """The states of a connection."""

    NON_AUTHENTICATED = "before login"
    AUTHENTICATED = "after login"


_ANY: Final = frozenset({"CAPABILITY", "LOGOUT", "NOOP"})

ALLOWED: Final[dict[State, frozenset[str]]] = {
    State.NON_AUTHENTICATED: _ANY | {"AUTHENTICATE", "STARTTLS", "XCLIENT"},
    State.AUTHENTICATED: _ANY
    | {
        "CHECKSCRIPT",
        "DELETESCRIPT",
        "GETSCRIPT",
        "HAVESPACE",
        "LISTSCRIPTS",
        "PUTSCRIPT",
        "RENAMESCRIPT",
        "SETACTIVE",
        "UNAUTHENTICATE",
    },
}
