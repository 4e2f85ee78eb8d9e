"""Running the scripts of a sequence for one message, and what comes of it.

The rules between scripts are those of `pillarbox.sieve.multiscript`.  A script that cannot be
compiled ends the sequence with an implicit keep, as one that fails does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

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

MOST_TOLD: Final = 20


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
    error: str | None = "interrupted"
    try:
        compiled = await opened.storage.compiled(script)
        if compiled.script is None:
            result = _broken(case, script.name, compiled, data)
            error = "The script has errors."
            return result
        scope = Scope(script.scope)
        if sieve_runtime_script_started.emit is not None:
            sieve_runtime_script_started.emit(
                scope, binary_path=compiled.binary_path, message_id=case.message_id
            )
        result = await run_script(
            compiled.script,
            data,
            case.envelope,
            case.environment,
            answers,
            case.settings.sieve_max_cpu_time,
        )
        failure = None if result.error is None else str(result.error)
        if sieve_runtime_script_finished.emit is not None:
            sieve_runtime_script_finished.emit(
                scope,
                binary_path=compiled.binary_path,
                error=failure,
                message_id=case.message_id,
            )
        _tell(case, [*result.log, *([] if result.error is None else [result.error])])
        error = None
        return result
    finally:
        script.close(error)


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
