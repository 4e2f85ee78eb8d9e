"""System flags as bits, and keywords as names.

RFC 9051 §2.3.2 (RFC 3501 §2.3.2): a message has the five system flags below, which the index
keeps as one byte, and any number of keywords, which each mailbox numbers for itself.  ``\\Recent``
is no flag of a message but of a session (see `mailstore.view`) and therefore has no bit.
"""

from __future__ import annotations

from typing import Final

SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16
ALL: Final = 31

# In the order in which servers use to name them.
FLAG_NAMES: Final[dict[int, bytes]] = {
    ANSWERED: b"\\Answered",
    FLAGGED: b"\\Flagged",
    DELETED: b"\\Deleted",
    SEEN: b"\\Seen",
    DRAFT: b"\\Draft",
}
FLAG_BITS: Final[dict[bytes, int]] = {name.lower(): bit for bit, name in FLAG_NAMES.items()}

# The names of every combination, indexed by the byte itself: FLAG_LISTS[3] == (\Answered, \Seen).
FLAG_LISTS: Final[tuple[tuple[bytes, ...], ...]] = tuple(
    tuple(name for bit, name in FLAG_NAMES.items() if value & bit) for value in range(ALL + 1)
)

MAX_KEYWORDS: Final = 64


def flag_names(flags: int, keywords: int = 0, table: list[bytes] | None = None) -> list[bytes]:
    r"""The names of a message's flags and keywords: [b"\\Seen", b"$Forwarded"].

    ``keywords`` is the record's bit set, ``table`` the mailbox's keyword names by bit number.
    """
    names = list(FLAG_LISTS[flags & ALL])
    if keywords and table:
        names.extend(name for bit, name in enumerate(table) if keywords >> bit & 1)
    return names
