"""Scripts for messages that are in mailboxes already: by an IMAP event, or by the FILTER command.

The scripts are made ready once, then run for one message after the other.  What is done with the
message itself is done through the session's view of its mailbox, so that the session hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pillarbox.delivery.actions import FileInto
from pillarbox.delivery.outcome import Kind
from pillarbox.delivery.sieve.actions.in_place import InPlace
from pillarbox.delivery.sieve.actions.store import split_flags
from pillarbox.delivery.sieve.answers import Answers
from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.delivering import Around, user_address
from pillarbox.delivery.sieve.execution import Ready, run_all
from pillarbox.delivery.sieve.filter import Filter, marks_of
from pillarbox.delivery.sieve_storage.errors import ScriptRefused
from pillarbox.delivery.sieve_storage.storage import ScriptStorage
from pillarbox.drivers.storage.api import StorageError
from pillarbox.events.event import Scope
from pillarbox.mail.headers import first_value, split_header
from pillarbox.mailstore import flags as bits
from pillarbox.mailstore.errors import MailError
from pillarbox.mailstore.index.ranges import find
from pillarbox.mailstore.user import MailUser
from pillarbox.mailstore.view import View
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.sieve.environment import Envelope
from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.multiscript import combine
from pillarbox.sieve.result import Result

_HEAD: Final = 64 * 1024
_MOST_ID: Final = 200


@dataclass(frozen=True, slots=True)
class Filtered:
    """What came of one message; both lists are for the user who wrote the script."""

    errors: list[str]
    warnings: list[str]


class _Teller:
    """Log lines of one message; failures are remembered for the client."""

    def __init__(self, log: Log, scope: Scope, uid: int, message_id: str | None) -> None:
        self._log = log
        self._scope = scope
        self._head = f"uid={uid}, msgid={message_id or 'unspecified'}"
        self.failures: list[str] = []

    def write(self, text: str, mailbox: str = "", *, failed: bool = False) -> None:
        """One line."""
        if failed:
            self.failures.append(text.removeprefix("sieve: "))
        write = self._log.error if failed else self._log.info
        write(self._scope, f"{self._head}: {text}")


class StoredFilter:
    """Runs scripts for messages of one user's mailboxes."""

    def __init__(self, sieve: Filter, log: Log, user: MailUser, settings: Settings) -> None:
        self._sieve = sieve
        self._log = log
        self._user = user
        self._around = Around(settings)

    async def apply(
        self,
        view: View,
        uid: int,
        scripts: Sequence[Ready],
        scope: Scope,
        items: Mapping[str, str],
    ) -> Filtered | None:
        """Run the scripts for one message; None if it is gone.  Raises MailError.

        ``items`` are those of the environment that say why.
        """
        where, present = find(view.uids, np.array([uid], np.uint32))
        if not present[0]:
            return None
        position = int(where[0])
        data = bytes(await view.read(scope, position, "sieve"))
        record = view.records[position]
        names = bits.flag_names(
            int(record["flags"]), int(record["keywords"]), view.mailbox.keywords
        )
        flags = tuple(name.decode("ascii", "replace") for name in names)
        teller = _Teller(self._log, scope, uid, _message_id(data))
        case = self._case(view, data, flags, teller, scope, items)
        answers = await self._sieve.answers(case)
        try:
            return await self._filtered(view, position, case, scripts, answers, teller)
        finally:
            await answers.duplicates.withdraw()

    async def _filtered(
        self,
        view: View,
        position: int,
        case: Case,
        scripts: Sequence[Ready],
        answers: Answers,
        teller: _Teller,
    ) -> Filtered:
        try:
            results = await run_all(case, scripts, answers)
        except ScriptRefused as error:
            return Filtered([error.text], [])
        errors = [str(result.error) for result in results if result.error is not None]
        told = [one for result in results for one in result.log if one.severity == "warning"]
        if not errors:
            errors = await self._carry_out(view, position, case, results)
            if not errors:
                await answers.duplicates.remember(marks_of(results))
            errors += teller.failures
        return Filtered(errors, [str(one) for one in told])

    def _case(
        self,
        view: View,
        data: bytes,
        flags: tuple[str, ...],
        teller: _Teller,
        scope: Scope,
        items: Mapping[str, str],
    ) -> Case:
        user, around = self._user, self._around
        name = view.mailbox.name
        address = user_address(user, around.settings, None)
        given = {"location": "MS", "phase": "post", **items}
        environment = around.environment(user.name, address, name, given)
        return Case(
            user=user,
            settings=around.settings,
            scope=scope,
            log=self._log,
            teller=teller,
            data=data,
            own=0,
            message_id=_message_id(data),
            envelope=_envelope(data, address),
            environment=replace(environment, flags=flags),
            address=address,
            hostname=around.hostname,
            keep=FileInto(name),
            refusable=False,
        )

    async def _carry_out(
        self, view: View, position: int, case: Case, results: Sequence[Result]
    ) -> list[str]:
        """Do what was decided; what went wrong without anybody having said so."""
        steps, _ = combine(results)
        work = InPlace(case, self._sieve.tools(case))
        try:
            outcome = await work.all(steps)
            where = np.array([position])
            if work.flags is not None:
                system, keywords = split_flags(work.flags)
                await view.store(case.scope, where, "replace", system, keywords)
            if outcome.kind is not Kind.TEMPORARY and not work.kept:
                await view.store(case.scope, where, "add", bits.DELETED, ())
        except (MailError, StorageError, OSError) as error:
            text = error.text if isinstance(error, MailError) else type(error).__name__
            case.log.error(case.scope, f"sieve: the message stays as it is: {error}")
            return [f"the message stays as it is: {text}"]
        return []


async def ready(storage: ScriptStorage, scope: Scope, name: str) -> Ready | Sequence[Diagnostic]:
    """A stored script, made ready, or what is wrong with it.  Raises ScriptRefused."""
    opened = await storage.open(scope, name)
    error: str | None = "The script has errors."
    try:
        compiled = await storage.compiled(opened)
        if compiled.script is None:
            return compiled.diagnostics
        error = None
        return Ready(compiled.script, compiled.binary_path, name, opened.location)
    finally:
        opened.close(error)


def _message_id(data: bytes) -> str | None:
    head = data[:_HEAD]
    value = first_value(head, split_header(head), b"MESSAGE-ID")
    return None if value is None else value.decode("utf-8", "replace")[:_MOST_ID]


def _envelope(data: bytes, address: str) -> Envelope:
    """What delivery left of the envelope in the header."""
    head = data[:_HEAD]
    block = split_header(head)
    sender = first_value(head, block, b"RETURN-PATH")
    recipient = first_value(head, block, b"DELIVERED-TO")
    return Envelope(
        None if sender is None else sender.decode("utf-8", "replace").strip("<> \t"),
        address if recipient is None else recipient.decode("utf-8", "replace").strip("<> \t"),
    )
