"""Search keys as a tree (RFC 3501 6.4.4, RFC 5032 WITHIN, RFC 5182, RFC 7162 3.1.5).

The syntax's many spellings become few kinds of node: SEEN and UNSEEN are both `Flag`, FROM is
`Header("From", ...)`, BEFORE/ON/SINCE are `InternalDate`, SENTBEFORE/... `SentDate`.  Strings are
already decoded from the command's CHARSET to str.  Dates are calendar dates: RFC 3501 wants time
and zone disregarded.  `NEW` is ``And((Recent(), Flag(SEEN, False)))``.

`SavedResult` is ``$``; a session replaces it by `Uid` before it searches (`replace_saved`).
`has_modseq` tells whether a MODSEQ key occurs anywhere, which changes the reply.
The parser is in `search_syntax`.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

from pillarbox.wire.imap.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    """Messages that match all keys; never empty."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Messages that match at least one of the two."""

    first: Key
    second: Key


@dataclass(frozen=True, slots=True)
class Not:
    """Messages that do not match."""

    key: Key


@dataclass(frozen=True, slots=True)
class Sequence:
    """Messages by sequence number; 0 is ``*``."""

    numbers: SequenceSet


@dataclass(frozen=True, slots=True)
class Uid:
    """Messages by UID; 0 is ``*``."""

    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class SavedResult:
    """The messages of the saved result, ``$`` (RFC 5182)."""


@dataclass(frozen=True, slots=True)
class Flag:
    r"""Messages that have (or, ``present`` False, have not) a system flag.

    ``name`` is one of ``\Seen \Answered \Flagged \Deleted \Draft``, spelled so.
    """

    name: str
    present: bool


@dataclass(frozen=True, slots=True)
class Keyword:
    """Messages that have (or have not) a keyword; keywords compare case-insensitively."""

    name: bytes
    present: bool


@dataclass(frozen=True, slots=True)
class Recent:
    r"""Messages that are ``\Recent`` in this session (present) or are not (OLD)."""

    present: bool


@dataclass(frozen=True, slots=True)
class InternalDate:
    """BEFORE, ON, SINCE: the date of arrival."""

    op: Literal["before", "on", "since"]
    date: datetime.date


@dataclass(frozen=True, slots=True)
class SentDate:
    """SENTBEFORE, SENTON, SENTSINCE: the Date header's date, as written there."""

    op: Literal["before", "on", "since"]
    date: datetime.date


@dataclass(frozen=True, slots=True)
class Within:
    """YOUNGER, OLDER: the arrival is within (or before) the last ``seconds``."""

    op: Literal["younger", "older"]
    seconds: int


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER, SMALLER: strictly, in octets."""

    op: Literal["larger", "smaller"]
    octets: int


@dataclass(frozen=True, slots=True)
class Header:
    """Messages with this header field whose text holds ``value``; any text when it is empty.

    ``name`` as the client wrote it (FROM, TO, CC, BCC, SUBJECT come as From, To, ...).
    """

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Body:
    """The text of the body holds ``value``."""

    value: str


@dataclass(frozen=True, slots=True)
class Text:
    """The header or the body holds ``value``."""

    value: str


@dataclass(frozen=True, slots=True)
class ModSeq:
    """Messages whose mod-sequence is at least ``value`` (RFC 7162).

    ``entry`` and ``kind`` narrow it to one flag; no server keeps them apart here, so they are
    informative only, as the RFC allows.
    """

    value: int
    entry: bytes | None = None
    kind: str | None = None


Key = (
    All
    | And
    | Or
    | Not
    | Sequence
    | Uid
    | SavedResult
    | Flag
    | Keyword
    | Recent
    | InternalDate
    | SentDate
    | Within
    | Size
    | Header
    | Body
    | Text
    | ModSeq
)


def replace_saved(key: Key, uids: SequenceSet) -> Key:
    """The same tree with `SavedResult` replaced by the UIDs; no UIDs match nothing."""
    match key:
        case SavedResult():
            return Uid(uids) if uids else Not(All())
        case And(keys):
            return And(tuple(replace_saved(k, uids) for k in keys))
        case Or(first, second):
            return Or(replace_saved(first, uids), replace_saved(second, uids))
        case Not(inner):
            return Not(replace_saved(inner, uids))
        case _:
            return key


def has_modseq(key: Key) -> bool:
    """Whether a MODSEQ key occurs in the tree."""
    match key:
        case ModSeq():
            return True
        case And(keys):
            return any(has_modseq(k) for k in keys)
        case Or(first, second):
            return has_modseq(first) or has_modseq(second)
        case Not(inner):
            return has_modseq(inner)
        case _:
            return False
