"""What a running script asks its caller.

The interpreter is a generator: it yields one of these and is sent the answer.  Every question has
a ``default``: the answer of a caller that knows nothing, which is also what tests use.  An
extension may declare questions of its own in its own file; whoever drives the interpreter
decides by type.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar


class Question:
    """The base of all questions."""

    __slots__ = ()
    default: ClassVar[Any] = None


@dataclass(frozen=True, slots=True)
class Now(Question):
    """The time; an aware ``datetime`` in the local zone, the same for the whole run."""

    default: ClassVar[Any] = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EnvironmentItem(Question):
    """An environment item (RFC 5183) that the environment does not hold; str or None."""

    name: str


@dataclass(frozen=True, slots=True)
class IncludeScript(Question):
    """A script for include (RFC 6609); a `Script`, None if there is none, or a str saying why
    it cannot be used.  ``location`` is "personal" or "global"."""

    location: str
    name: str


@dataclass(frozen=True, slots=True)
class MailboxExists(Question):
    """Whether mail can be put into the mailbox of that name (RFC 5490); bool."""

    mailbox: str
    default: ClassVar[Any] = False


@dataclass(frozen=True, slots=True)
class MailboxIdExists(Question):
    """Whether a mailbox has this id (RFC 9042); bool."""

    mailbox_id: str
    default: ClassVar[Any] = False


@dataclass(frozen=True, slots=True)
class SpecialUseExists(Question):
    """Whether the named mailbox, or with None any, has all of these uses (RFC 8579); bool."""

    mailbox: str | None
    uses: tuple[str, ...]
    default: ClassVar[Any] = False


@dataclass(frozen=True, slots=True)
class Metadata(Question):
    """The annotation of a mailbox, or with None of the server (RFC 5490); str or None."""

    mailbox: str | None
    annotation: str


@dataclass(frozen=True, slots=True)
class DuplicateCheck(Question):
    """Whether this id was seen under this handle (RFC 7352); bool.

    The caller must not remember the id now but when the run has ended well, from
    ``Result.duplicates``.
    """

    handle: str
    unique_id: str
    default: ClassVar[Any] = False
