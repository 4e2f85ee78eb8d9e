"""Drives a run with answers from a function: for tests, tools and callers that need not wait.

Whoever has to wait for answers writes the same loop with ``await`` in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.message import Message
from pillarbox.sieve.questions import Question
from pillarbox.sieve.registry import Asking
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Script

T = TypeVar("T")
Answer = Callable[[Question], Any]


def default_answer(question: Question) -> Any:
    """What is answered by a caller who knows nothing."""
    return question.default


def drive(asking: Asking[T], answer: Answer = default_answer) -> T:
    """Run a generator of questions to its end."""
    try:
        question = next(asking)
        while True:
            question = asking.send(answer(question))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def run_script(
    script: Script,
    message: Message | bytes,
    envelope: Envelope | None = None,
    environment: Environment | None = None,
    limits: Limits | None = None,
    *,
    answer: Answer = default_answer,
    trace: bool = False,
    budget: Callable[[], bool] | None = None,
) -> Result:
    """Run a script for a message with answers that are at hand."""
    run = Run(script, message, envelope, environment, limits, trace=trace, budget=budget)
    return drive(run.execute(), answer)
