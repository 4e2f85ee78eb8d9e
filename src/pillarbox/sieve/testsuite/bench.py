"""The world that scripts under test live in: mailboxes, an outbox, settings, compiled scripts.

Nothing here leaves memory.  A `Bench` belongs to one test file: it answers the questions of the
scripts, carries their results out into its own mailboxes and outbox, and remembers what the tests
of the file may ask for: messages of the last compilation or run, actions, sent and stored mail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pillarbox.sieve.driver import Answer, default_answer
from pillarbox.sieve.extensions.extlists import ListContains, ListExists
from pillarbox.sieve.extensions.programs import ProgramOutcome, RunProgram
from pillarbox.sieve.multiscript import Step, combine
from pillarbox.sieve.questions import (
    DuplicateCheck,
    MailboxExists,
    MailboxIdExists,
    Metadata,
    Question,
    SpecialUseExists,
)
from pillarbox.sieve.result import DuplicateMark, Result
from pillarbox.sieve.script import Script

DEFAULT_MESSAGE: Final = (
    b"From: sender@example.com\r\nTo: recipient@example.com\r\nSubject: Nothing\r\n\r\nNo text.\r\n"
)

# (location "test", "personal" or "global", name) to the source of a script, or None
ScriptLoader = Callable[[str, str], bytes | None]


# The settings, and what is to be run; a kind of "pipe" is a pipe action being carried out.
ProgramRunner = Callable[[Mapping[str, str], RunProgram], ProgramOutcome]


def no_programs(settings: Mapping[str, str], question: RunProgram) -> ProgramOutcome:
    """A runner for whom every program fails."""
    return ProgramOutcome(False)


def no_scripts(location: str, name: str) -> bytes | None:
    """A loader that knows none."""
    return None


def lowered(uses: Iterable[str]) -> set[str]:
    """Special uses, which have no case, in the only form used here."""
    return {use.lower() for use in uses}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message in the outbox; ``sender`` is "" for the null reverse path."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in a mailbox."""

    data: bytes
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """A script in its compiled form, and what that was made of."""

    name: str
    source: bytes
    octets: bytes


@dataclass(slots=True)
class Outcome:
    """One test of a file and how it went; ``reason`` is empty if it passed."""

    name: str
    line: int
    passed: bool = True
    reason: str = ""
    failed_line: int = 0
    output: list[str] = field(default_factory=list)


class Bench:
    """What one test file works with."""

    def __init__(self) -> None:
        self.load: ScriptLoader = no_scripts
        self.run_program: ProgramRunner = no_programs
        self.fallback: Answer = default_answer
        self.settings: dict[str, str] = {}
        self.outcomes: list[Outcome] = []
        self.active: Outcome | None = None
        self.output: list[str] = []

        self.script: Script | None = None
        self.binaries: dict[str, Binary] = {}
        self.messages: list[str] = []  # errors of the last compilation or run
        self.results: list[Result] = []  # of scripts that were run
        self.done: set[int] = set()  # actions that were carried out, by identity
        self.outbox: list[Sent] = []
        self.mailboxes: dict[str, list[Stored]] = {"INBOX": []}
        self.special_uses: dict[str, set[str]] = {}
        self.metadata: dict[tuple[str | None, str], str] = {}
        self.seen: set[tuple[str, str]] = set()  # ids of duplicate
        self.answered: set[tuple[str, str]] = set()  # vacation's memory

    def say(self, text: str) -> None:
        """Something for the person who runs the tests."""
        output = self.output if self.active is None else self.active.output
        output.extend(text.splitlines())

    def answer(self, question: Question) -> Any:
        """The answer to a script's question."""
        match question:
            case MailboxExists(name):
                return self.mailbox_name(name) in self.mailboxes
            case MailboxIdExists(mailbox_id):
                return any(mailbox_id == self.mailbox_id(name) for name in self.mailboxes)
            case SpecialUseExists(None, uses):
                return any(lowered(uses) <= found for found in self.special_uses.values())
            case SpecialUseExists(str() as name, uses):
                return lowered(uses) <= self.special_uses.get(self.mailbox_name(name), set())
            case Metadata(mailbox, annotation):
                where = None if mailbox is None else self.mailbox_name(mailbox)
                return self.metadata.get((where, annotation.lower()))
            case DuplicateCheck(handle, unique_id):
                return (handle, unique_id) in self.seen
            case RunProgram():
                return self.run_program(self.settings, question)
            case ListExists(name):
                return f"sieve_extlists_list/{name}" in self.settings
            case ListContains(name, value):
                return value.lower() in map(str.lower, self.list_members(name))
        return self.fallback(question)

    def mailbox_name(self, name: str) -> str:
        """A mailbox's name in the only form used here."""
        return "INBOX" if name.upper() == "INBOX" else name

    def mailbox_id(self, name: str) -> str:
        """The id of a mailbox, made from its name."""
        return "M" + name.encode().hex()

    def list_members(self, name: str) -> tuple[str, ...]:
        """The members of an external list: words of the setting sieve_extlists_list/NAME."""
        return tuple(self.settings.get(f"sieve_extlists_list/{name}", "").split())

    def remember(self, marks: list[DuplicateMark]) -> None:
        """Remember ids, as a delivery that went well does."""
        self.seen.update((mark.handle, mark.unique_id) for mark in marks)

    def forget_results(self) -> None:
        """As if nothing had been run: no actions, no mail sent."""
        self.results = []
        self.done = set()
        self.outbox = []

    def steps(self, own: Result) -> list[Step]:
        """What is to be done: by the scripts that were run, and by the test file itself, whose
        result is ``own``."""
        results = list(self.results)
        if own.actions or not results:
            results.insert(0, own)
        return combine(results)[0]
