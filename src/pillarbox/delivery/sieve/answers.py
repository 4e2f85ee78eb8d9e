"""What a running script asks, answered from the user's mailboxes, dicts and settings.

Memory that cannot be read now is no memory: the message is then new, the list empty and the
annotation not there, and the log says so.  A mailbox list that cannot be read is a temporary
failure of the delivery.
"""

from __future__ import annotations

from typing import Any

from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.duplicates import Duplicates
from pillarbox.delivery.sieve.lists import Lists
from pillarbox.delivery.sieve.memory import Memory
from pillarbox.delivery.sieve.programs import Ended, Kind, ProgramError, Programs
from pillarbox.delivery.sieve_storage.errors import NonExistent, ScriptRefused
from pillarbox.delivery.sieve_storage.places import Places
from pillarbox.drivers.dict.api import DictError
from pillarbox.mailstore.errors import Temporary
from pillarbox.mailstore.list import MailboxEntry
from pillarbox.mailstore.user import MailUser
from pillarbox.sieve.extensions.extlists import ListContains, ListExists
from pillarbox.sieve.extensions.programs import ProgramOutcome, RunProgram
from pillarbox.sieve.questions import (
    DuplicateCheck,
    IncludeScript,
    MailboxExists,
    MailboxIdExists,
    Metadata,
    Now,
    Question,
    SpecialUseExists,
)
from pillarbox.sieve.script import Script


class Answers:
    """Answers the questions of all scripts that run for one message.

    What it answers to duplicate tests must be remembered or withdrawn at the end.
    """

    def __init__(self, case: Case, places: Places, memory: Memory, lists: Lists) -> None:
        self.duplicates = Duplicates(case, memory)
        self._case = case
        self._places = places
        self._lists = lists

    async def __call__(self, question: Question) -> Any:
        """The answer."""
        match question:
            case Now():
                return self._case.now
            case DuplicateCheck(handle, unique_id):
                return await self.duplicates.seen(handle, unique_id)
            case MailboxExists(name):
                return self._case.user.mailboxes.get(name) is not None
            case MailboxIdExists(mailbox_id):
                return by_id(self._case.user, mailbox_id) is not None
            case SpecialUseExists(name, uses):
                return self._has_uses(name, uses)
            case Metadata(mailbox, annotation):
                return await self._annotation(mailbox, annotation)
            case IncludeScript(location, name):
                return await self._included(location, name)
            case ListExists(name):
                return self._lists.exists(name)
            case ListContains(name, value):
                return await self._in_list(name, value)
            case RunProgram(kind, program, arguments, data):
                return await self._program(
                    "filter" if kind == "filter" else "execute", program, arguments, data
                )
        return question.default

    def _has_uses(self, name: str | None, uses: tuple[str, ...]) -> bool:
        mailboxes = self._case.user.mailboxes
        if name is None:
            entries = mailboxes.entries()
        else:
            entry = mailboxes.get(name)
            entries = [] if entry is None else [entry]
        wanted = {use.lower() for use in uses}
        return any(
            wanted <= {use.lower() for use in mailboxes.special_use(entry)} for entry in entries
        )

    async def _annotation(self, mailbox: str | None, annotation: str) -> str | None:
        user = self._case.user
        entry = None if mailbox is None else user.mailboxes.get(mailbox)
        if mailbox is not None and entry is None:
            return None
        try:
            value = await user.annotations.within(self._case.scope).get(entry, annotation)
        except Temporary:
            return None
        return None if value is None else value.decode("utf-8", "replace")

    async def _included(self, location: str, name: str) -> Script | str | None:
        kind = "personal" if location == "personal" else "global"
        for storage in self._places.of("personal" if kind == "personal" else "global"):
            try:
                opened = await storage.open(self._case.scope, name)
            except NonExistent:
                continue
            except ScriptRefused as error:
                return error.text
            compiled = await storage.compiled(opened)
            opened.close(None if compiled.script else "The script has errors.")
            return compiled.script or "it has errors"
        return None

    async def _in_list(self, name: str, value: str) -> bool:
        try:
            return await self._lists.contains(name, value)
        except DictError as error:
            self._case.log.error(self._case.scope, f"sieve: list {name}: {error}")
            return False

    async def _program(
        self, kind: Kind, program: str, arguments: tuple[str, ...], data: bytes | None
    ) -> ProgramOutcome:
        try:
            ended = await run_program(self._case, kind, program, arguments, data)
        except ProgramError as error:
            self._case.log.error(self._case.scope, f"sieve: {kind}: {error}")
            return ProgramOutcome(False)
        return ProgramOutcome(ended.status == 0, ended.output)


async def run_program(
    case: Case, kind: Kind, program: str, arguments: tuple[str, ...], data: bytes | None
) -> Ended:
    """Run a program for a message; its complaints go to the log.  Raises ProgramError."""
    envelope = case.envelope
    environment = {
        "USER": case.user.name,
        "HOME": str(case.user.fields.get("home") or case.user.mail_path),
        "HOST": case.hostname,
        "SENDER": envelope.sender or "",
        "RECIPIENT": envelope.recipient or "",
        "ORIG_RECIPIENT": envelope.original_recipient or envelope.recipient or "",
    }
    ended = await Programs.of(kind, case.settings).run(
        program, arguments, data, environment, case.scope, case.log
    )
    if ended.status or ended.errors:
        text = f"sieve: {kind}: {program} ended with status {ended.status}"
        case.log.warning(case.scope, f"{text}: {ended.errors}" if ended.errors else text)
    return ended


def by_id(user: MailUser, mailbox_id: str) -> MailboxEntry | None:
    """The mailbox with this id, which is its GUID (RFC 9042)."""
    return next((e for e in user.mailboxes.entries() if e.guid.hex() == mailbox_id.lower()), None)


def by_use(user: MailUser, use: str) -> MailboxEntry | None:
    """The first mailbox with this special use."""
    mailboxes = user.mailboxes
    for entry in mailboxes.entries():
        if use.lower() in (one.lower() for one in mailboxes.special_use(entry)):
            return entry
    return None
