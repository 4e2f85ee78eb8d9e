"""Running the scripts of a sequence for one message, and what comes of it.

The rules between scripts are those of `pillarbox.sieve.multiscript`.  A script that cannot be
compiled ends the sequence with an implicit keep, as one that fails does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from pillarbox.delivery.sieve.answers import Answers
from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.running import run_script
from pillarbox.delivery.sieve.sequence import Opened
from pillarbox.delivery.sieve_storage.compiling import Compiled
from pillarbox.events.catalogue.sieve import (
    sieve_runtime_script_finished,
    sieve_runtime_script_started,
)
from pillarbox.events.event import Scope
from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.message import Message, Snapshot
from pillarbox.sieve.multiscript import goes_on
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Script

MOST_TOLD: Final = 20


class Ready(NamedTuple):
    """A compiled script; ``location`` is None for one that is not stored."""

    script: Script
    binary_path: str | None
    name: str
    location: str | None


async def run_sequence(
    case: Case, scripts: AsyncIterator[Opened], answers: Answers
) -> list[Result]:
    """The results of the scripts that ran; none if there are no scripts.

    Raises ScriptRefused for scripts that cannot be read now, and errors of the mail store.
    """
    results: list[Result] = []
    data = case.data
    async for opened in scripts:
        result = await run_one(case, opened, data, answers)
        results.append(result)
        if not goes_on(result):
            break
        data = result.message(result.final_version)
    return results


async def run_one(case: Case, opened: Opened, data: bytes, answers: Answers) -> Result:
    """Run one script and close it."""
    script = opened.script
    error: str | None = "The script was not run."
    try:
        compiled = await opened.storage.compiled(script)
        if compiled.script is None:
            error = "The script has errors."
            return _broken(case, script.name, compiled, data)
        error = None
        fields = (script.name, script.location)
        ready = Ready(compiled.script, compiled.binary_path, *fields)
        return await run_ready(case, ready, data, answers)
    finally:
        script.close(error)


async def run_ready(case: Case, ready: Ready, data: bytes, answers: Answers) -> Result:
    """Run a compiled script, with its events."""
    scope = case.scope
    if (
        sieve_runtime_script_started.emit is not None
        or sieve_runtime_script_finished.emit is not None
    ):
        scope = Scope(case.scope, script_name=ready.name, script_location=ready.location)
    if sieve_runtime_script_started.emit is not None:
        sieve_runtime_script_started.emit(
            scope, binary_path=ready.binary_path, message_id=case.message_id
        )
    result = await run_script(
        ready.script,
        data,
        case.envelope,
        case.environment,
        answers,
        case.settings.sieve_max_cpu_time,
    )
    if sieve_runtime_script_finished.emit is not None:
        sieve_runtime_script_finished.emit(
            scope,
            binary_path=ready.binary_path,
            error=None if result.error is None else str(result.error),
            message_id=case.message_id,
        )
    _tell(case, [*result.log, *([] if result.error is None else [result.error])])
    return result


async def run_all(case: Case, scripts: Sequence[Ready], answers: Answers) -> list[Result]:
    """The results of scripts that are compiled already, as `run_sequence`."""
    results: list[Result] = []
    data = case.data
    for ready in scripts:
        result = await run_ready(case, ready, data, answers)
        results.append(result)
        if not goes_on(result):
            break
        data = result.message(result.final_version)
    return results


def _broken(case: Case, name: str, compiled: Compiled, data: bytes) -> Result:
    """What comes of a script that cannot be run: the message is kept."""
    errors = [one for one in compiled.diagnostics if one.severity == "error"]
    _tell(case, errors)
    result = Result(name)
    result.error = errors[0] if errors else Diagnostic("error", name, 0, 0, "it cannot be run")
    result.versions[0] = _snapshot(data)
    return result


def _snapshot(data: bytes) -> Snapshot:
    return Message(data).snapshot()


def _tell(case: Case, diagnostics: list[Diagnostic]) -> None:
    for one in diagnostics[:MOST_TOLD]:
        write = case.log.info if one.severity == "info" else case.log.warning
        write(case.scope, f"sieve: {one}")
