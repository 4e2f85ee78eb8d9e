"""Running one script without keeping others waiting.

Most scripts take less than a millisecond and are run at once.  What needs more than `QUICK` of CPU
time, or a large message, is run again from the start in one of a few threads of their own, with
the CPU time that the settings allow.  A run changes nothing, so it can be begun anew; what it asked
before is answered as before, so no program is run twice.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.questions import Question
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Script

QUICK: Final = 0.02
SMALL: Final = 512 * 1024
THREADS: Final = 2
_QUICK_REGEX: Final = 400_000  # steps

Answer = Callable[[Question], Awaitable[Any]]


class Budget:
    """CPU time of this thread; call it to ask whether there is some left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self.cancelled = False

    def __call__(self) -> bool:
        """Whether to go on; the time begins with the first call."""
        if not self._seconds:
            return not self.cancelled
        now = time.thread_time()
        if self._until is None:
            self._until = now + self._seconds
        return now < self._until and not self.cancelled


class Replay:
    """Answers, and gives the same ones in the same order when it is begun anew."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._given: list[tuple[Question, Any]] = []
        self._next = 0

    def rewind(self) -> None:
        """A new run begins."""
        self._next = 0

    async def __call__(self, question: Question) -> Any:
        """The answer."""
        number, self._next = self._next, self._next + 1
        if number < len(self._given):
            asked, answer = self._given[number]
            if asked == question:
                return answer
            del self._given[number:]
        answer = await self._answer(question)
        self._given.append((question, answer))
        return answer


async def run_script(
    script: Script,
    data: bytes,
    envelope: Envelope,
    environment: Environment,
    answer: Answer,
    cpu_time: float,
) -> Result:
    """Run a script for a message.  Raises what ``answer`` does."""
    replay = Replay(answer)
    if len(data) <= SMALL:
        run = Run(script, data, envelope, environment, _quick(script.limits), budget=Budget(QUICK))
        result = await _drive(run, replay)
        if not result.limited:
            return result
        replay.rewind()
    budget = Budget(cpu_time)
    run = Run(script, data, envelope, environment, budget=budget)
    loop = asyncio.get_running_loop()
    work = functools.partial(_drive_in_thread, run, replay, loop)
    try:
        return await loop.run_in_executor(_threads(), work)
    finally:
        budget.cancelled = True


@functools.lru_cache(maxsize=16)
def _quick(limits: Limits) -> Limits:
    return replace(limits, regex_effort=min(limits.regex_effort, _QUICK_REGEX))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="sieve")


async def _drive(run: Run, answer: Answer) -> Result:
    steps = run.execute()
    try:
        question = next(steps)
        while True:
            question = steps.send(await answer(question))
    except StopIteration as end:
        result: Result = end.value
        return result


def _drive_in_thread(run: Run, answer: Answer, loop: asyncio.AbstractEventLoop) -> Result:
    async def one(question: Question) -> Any:
        return await answer(question)

    steps = run.execute()
    try:
        question = next(steps)
        while True:
            asked = asyncio.run_coroutine_threadsafe(one(question), loop)
            question = steps.send(asked.result())
    except StopIteration as end:
        result: Result = end.value
        return result
