"""What came out of a run: actions in their order, and whether the message is kept implicitly.

An `Action` says what is to be done, from which line of which script it comes, and with which
version of the message; nothing here does anything.  Class variables tell how kinds of actions
live together: ``delivers`` (puts the message somewhere), ``responds`` (answers its sender).
Extensions declare actions of their own in their own files; ``name`` is what events and
`test_result_action` call it.  Whatever tags of other extensions add is in ``options``.

A result always ends in something: with ``implicit_keep`` the caller stores the message in the
default mailbox, as after every error (RFC 5228 section 2.10.6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.message import Snapshot


@dataclass(slots=True, kw_only=True)
class Action:
    """The base of all actions.  ``script`` and ``line`` say where it stands."""

    name: ClassVar[str] = ""
    delivers: ClassVar[bool] = False
    responds: ClassVar[bool] = False

    script: str = ""
    line: int = 0
    column: int = 0
    version: int = 0  # of the message: see Result.message
    copy: bool = False  # :copy (RFC 3894): implicit keep stays
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """``script: line n``, as events want it."""
        return f"{self.script}: line {self.line}" if self.line else self.script

    @property
    def cancels_keep(self) -> bool:
        """Whether it ends the implicit keep."""
        return self.delivers and not self.copy

    def same(self, other: Action) -> bool:
        """Whether ``other``, earlier in the same run, already did this."""
        return False

    def conflict(self, other: Action) -> str | None:
        """Why this cannot go with an earlier action, or None.  Asked of both."""
        return None

    def describe(self) -> str:
        """One line for people."""
        return self.name


@dataclass(slots=True, kw_only=True)
class Keep(Action):
    """Store in the default mailbox.  ``flags`` is None where none were set."""

    name: ClassVar[str] = "keep"
    delivers: ClassVar[bool] = True
    implicit: bool = False
    flags: tuple[str, ...] | None = None

    def same(self, other: Action) -> bool:
        return isinstance(other, Keep)

    def describe(self) -> str:
        return "keep" + _flags(self.flags)


@dataclass(slots=True, kw_only=True)
class FileInto(Action):
    """Store in a mailbox.  ``mailbox_id`` and ``special_use`` come first if they exist."""

    name: ClassVar[str] = "fileinto"
    delivers: ClassVar[bool] = True
    mailbox: str
    create: bool = False
    flags: tuple[str, ...] | None = None
    special_use: str | None = None
    mailbox_id: str | None = None

    def same(self, other: Action) -> bool:
        return isinstance(other, FileInto) and (
            (other.mailbox, other.special_use, other.mailbox_id)
            == (self.mailbox, self.special_use, self.mailbox_id)
        )

    def describe(self) -> str:
        return f'fileinto "{self.mailbox}"' + _flags(self.flags)


@dataclass(slots=True, kw_only=True)
class Redirect(Action):
    """Send to another address."""

    name: ClassVar[str] = "redirect"
    delivers: ClassVar[bool] = True
    address: str

    def same(self, other: Action) -> bool:
        return isinstance(other, Redirect) and _route(other.address) == _route(self.address)

    def describe(self) -> str:
        return f"redirect to <{self.address}>"


@dataclass(slots=True, kw_only=True)
class Discard(Action):
    """Do nothing with the message."""

    name: ClassVar[str] = "discard"

    @property
    def cancels_keep(self) -> bool:
        return True

    def same(self, other: Action) -> bool:
        return isinstance(other, Discard)


@dataclass(slots=True, kw_only=True)
class Reject(Action):
    """Refuse the message with a reason (RFC 5429); ``ereject`` by the protocol if possible."""

    name: ClassVar[str] = "reject"
    responds: ClassVar[bool] = True
    reason: str
    ereject: bool = False

    @property
    def cancels_keep(self) -> bool:
        return True

    def conflict(self, other: Action) -> str | None:
        if isinstance(other, Reject):
            return "the message is rejected more than once"
        if other.delivers:
            return f"reject and {other.name} exclude each other"
        if other.responds:
            return f"reject and {other.name} would both answer the sender"
        return None

    def describe(self) -> str:
        return ("ereject: " if self.ereject else "reject: ") + self.reason


def _route(address: str) -> tuple[str, str]:
    """What tells an address from others: case makes none of the domain (RFC 5321 section 2.4)."""
    local, _, domain = address.rpartition("@")
    return local, domain.lower()


def _flags(flags: tuple[str, ...] | None) -> str:
    return f" with flags ({' '.join(flags)})" if flags else ""


@dataclass(frozen=True, slots=True)
class DuplicateMark:
    """An id to be remembered for so many seconds once the run has ended well (RFC 7352)."""

    handle: str
    unique_id: str
    seconds: int
    last: bool


@dataclass(frozen=True, slots=True)
class TraceItem:
    """One step of a traced run: a command, or a test with what it compared and what came out."""

    script: str
    line: int
    column: int
    depth: int
    what: str
    outcome: bool | None = None
    values: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    detail: str = ""

    def __str__(self) -> str:
        text = "  " * self.depth + f"{self.line:4}: {self.what}"
        if self.keys:
            text += f" keys={list(self.keys)} values={list(self.values)}"
        if self.detail:
            text += f" {self.detail}"
        return text if self.outcome is None else f"{text} → {str(self.outcome).lower()}"


@dataclass(slots=True)
class Result:
    """The outcome of one run.

    ``actions`` does not hold the implicit keep; ``final_actions()`` does.  ``error`` is why the run
    ended early, ``limited`` whether a limit was the reason.  ``steps`` is what the run cost.
    ``flags`` are those of the internal flag variable at the end, which an implicit keep gets.
    """

    script: str
    actions: list[Action] = field(default_factory=list)
    implicit_keep: bool = True
    error: Diagnostic | None = None
    log: list[Diagnostic] = field(default_factory=list)  # debug_log, and warnings of the run
    trace: list[TraceItem] = field(default_factory=list)
    versions: dict[int, Snapshot] = field(default_factory=dict)
    final_version: int = 0
    flags: tuple[str, ...] | None = None
    duplicates: list[DuplicateMark] = field(default_factory=list)
    steps: int = 0
    limited: bool = False

    @property
    def keeps(self) -> bool:
        """Whether a keep, explicit or implicit, is in effect."""
        return self.implicit_keep or any(isinstance(action, Keep) for action in self.actions)

    def message(self, version: int) -> bytes:
        """The octets of the message as an action of that version saw it."""
        return self.versions[version].render()

    def final_actions(self) -> list[Action]:
        """The actions, with the implicit keep as a `Keep` if it is in effect."""
        if not self.implicit_keep or any(isinstance(action, Keep) for action in self.actions):
            return list(self.actions)
        keep = Keep(script=self.script, version=self.final_version, implicit=True, flags=self.flags)
        return [*self.actions, keep]
