"""Which command is allowed when (RFC 3501 section 3, as one table).

The worker's sessions begin authenticated; the login service's begin not authenticated.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """The states of a session."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY: Final = frozenset(["CAPABILITY", "NOOP", "LOGOUT", "ID"])
_AUTHENTICATED: Final = _ANY | frozenset(
    [
        "SELECT",
        "EXAMINE",
        "CREATE",
        "DELETE",
        "RENAME",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "LIST",
        "LSUB",
        "STATUS",
        "APPEND",
        "NAMESPACE",
        "ENABLE",
        "IDLE",
        "COMPRESS",
        "GETMETADATA",
        "SETMETADATA",
    ]
)
_MESSAGES: Final = ["EXPUNGE", "SEARCH", "FETCH", "STORE", "COPY", "MOVE", "FILTER"]
_SELECTED: Final = _AUTHENTICATED.union(
    ["CHECK", "CLOSE", "UNSELECT"], _MESSAGES, (f"UID {name}" for name in _MESSAGES)
)

ALLOWED: Final[dict[State, frozenset[str]]] = {
    State.NOT_AUTHENTICATED: _ANY | frozenset(("STARTTLS", "LOGIN", "AUTHENTICATE")),
    State.AUTHENTICATED: _AUTHENTICATED,
    State.SELECTED: _SELECTED,
    State.LOGOUT: frozenset(),
}
