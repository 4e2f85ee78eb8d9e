"""Which command may be used when (RFC 1939 section 3).

UPDATE is entered by QUIT alone and allows nothing: the connection ends with it.  UTF8 is for
AUTHORIZATION only, LANG for both states (RFC 6856 sections 2 and 3).
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """The states of a session."""

    AUTHORIZATION = "before login"
    TRANSACTION = "after login"
    UPDATE = "while the session ends"


ALLOWED: Final[dict[State, frozenset[str]]] = {
    State.AUTHORIZATION: frozenset(
        {"APOP", "AUTH", "CAPA", "LANG", "PASS", "QUIT", "STLS", "USER", "UTF8", "XCLIENT"}
    ),
    State.TRANSACTION: frozenset(
        {
            "CAPA",
            "DELE",
            "LANG",
            "LAST",
            "LIST",
            "NOOP",
            "QUIT",
            "RETR",
            "RSET",
            "STAT",
            "TOP",
            "UIDL",
        }
    ),
    State.UPDATE: frozenset(),
}
