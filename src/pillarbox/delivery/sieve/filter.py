"""Sieve for deliveries: from a message to what its user's scripts make of it.

One `Filter` per process.  It holds what outlives a message: the places of recent users' scripts,
the open dicts, the way out for mail.  A user without scripts costs a look for the link to the
active one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from pillarbox.delivery.outcome import Kind, Outcome, temporary
from pillarbox.delivery.sieve.actions.carrying import Carrying
from pillarbox.delivery.sieve.actions.doing import Sender, Tools
from pillarbox.delivery.sieve.answers import Answers
from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.execution import run_one, run_sequence
from pillarbox.delivery.sieve.lists import Lists
from pillarbox.delivery.sieve.memory import Memory
from pillarbox.delivery.sieve.sequence import Scripts, at_delivery, find_own, of_type
from pillarbox.delivery.sieve_storage.errors import ScriptRefused
from pillarbox.delivery.sieve_storage.places import Places
from pillarbox.events.event import Scope
from pillarbox.mailstore.dicts import Dicts
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.sieve.multiscript import Step, combine
from pillarbox.sieve.result import Discard, DuplicateMark, Result

KNOWN_USERS: Final = 1024


class Filter:
    """See the module; ``sender`` sends the mail that scripts write or send on."""

    def __init__(self, log: Log, sender: Sender) -> None:
        self._log = log
        self._sender = sender
        self._places: OrderedDict[str, tuple[Mapping[str, str], Settings, Places]] = OrderedDict()
        self._dicts = Dicts()
        self._busy: set[str] = set()

    async def scripts(self, user: MailUser, settings: Settings, scope: Scope) -> Scripts | None:
        """What has to run for mail to this user; None: nothing.  Raises ScriptRefused."""
        places = await self.places(user, settings)
        own = await find_own(places, scope)
        if own is None and not places.of("before") and not places.of("after"):
            return None
        return Scripts(places, own)

    async def deliver(self, case: Case, scripts: Scripts) -> Outcome | None:
        """Run the scripts and do what they say; None if there were none after all.

        Raises MailError, StorageError, OSError of storing the message.
        """
        tools = self.tools(case)
        answers = Answers(case, scripts.places, tools.memory, tools.lists)
        results: list[Result] = []
        try:
            outcome = await self._deliver(case, scripts, tools, answers, results)
            if outcome is not None and outcome.kind is not Kind.TEMPORARY:
                await answers.duplicates.remember(marks_of(results))
        finally:
            await answers.duplicates.withdraw()
        return outcome

    async def _deliver(
        self, case: Case, scripts: Scripts, tools: Tools, answers: Answers, results: list[Result]
    ) -> Outcome | None:
        """Run the scripts, whose results are added to ``results``, and do what they say."""
        try:
            results += await run_sequence(case, at_delivery(*scripts, case.scope), answers)
            if not results:
                return None
            steps = await self._steps(case, scripts.places, answers, results)
        except ScriptRefused as error:
            return temporary(error.text)
        return await Carrying(case, tools).all(steps)

    def tools(self, case: Case) -> Tools:
        """What actions work with."""
        user, settings = case.user, case.settings
        memory = Memory(self._dicts, settings, user, self._busy, case.scope)
        return Tools(self._sender, memory, Lists(self._dicts, settings, user, case.scope))

    async def answers(self, case: Case) -> Answers:
        """The answers to what scripts ask."""
        tools = self.tools(case)
        places = await self.places(case.user, case.settings)
        return Answers(case, places, tools.memory, tools.lists)

    async def places(self, user: MailUser, settings: Settings) -> Places:
        """Where the user's scripts are."""
        known = self._places.get(user.name)
        if known is not None:
            if known[0] == user.fields and known[1] is settings:
                self._places.move_to_end(user.name)
                return known[2]
            await self._places.pop(user.name)[2].close()
        scope = Scope(None, ("sieve",), user=user.name)
        places = Places(user.name, user.fields, settings, self._log, scope)
        self._places[user.name] = (user.fields, settings, places)
        if len(self._places) > KNOWN_USERS:
            await self._places.popitem(last=False)[1][2].close()
        return places

    async def close(self) -> None:
        """Let go of everything."""
        while self._places:
            await self._places.popitem()[1][2].close()
        await self._dicts.close()

    async def _steps(
        self, case: Case, places: Places, answers: Answers, results: list[Result]
    ) -> list[Step]:
        """What is to be done; for a message that would be discarded, what `discard` scripts say."""
        steps, _ = combine(results)
        if all(isinstance(step.action, Discard) for step in steps):
            async for opened in of_type(places, "discard", case.scope):
                result = await run_one(case, opened, case.data, answers)
                results.append(result)
                steps += [Step(action, result) for action in result.actions]
        return steps


def marks_of(results: Sequence[Result]) -> list[DuplicateMark]:
    """What the duplicate tests of these runs want to be remembered."""
    return [mark for result in results for mark in result.duplicates]
