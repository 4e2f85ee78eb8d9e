"""Programs for scripts under test: those of the folders that a test file's settings name.

``test_config_set "sieve_execute_bin_dir" "bin"`` means the folder ``bin`` beside the test file; so
for pipe and filter, and for ``…_socket_dir`` and ``…_exec_timeout``.  They run as they do at a
delivery.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pillarbox.delivery.sieve.programs import ProgramError, Programs
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.units import parse_time
from pillarbox.sieve.extensions.programs import ProgramOutcome, RunProgram
from pillarbox.sieve.testsuite.bench import ProgramRunner

_TIMEOUT: Final = 10.0


def programs_beside(path: Path) -> ProgramRunner:
    """A runner for the programs of a test file."""

    def folder(settings: Mapping[str, str], name: str) -> str:
        given = settings.get(name, "")
        return str((path.parent / given).absolute()) if given else ""

    def run(settings: Mapping[str, str], question: RunProgram) -> ProgramOutcome:
        prefix = f"sieve_{question.kind}_"
        try:
            timeout = parse_time(settings[prefix + "exec_timeout"])
        except (KeyError, ValueError):
            timeout = _TIMEOUT
        eol = settings.get(prefix + "input_eol")
        programs = Programs(
            folder(settings, prefix + "bin_dir"),
            folder(settings, prefix + "socket_dir"),
            timeout,
            "lf" if eol == "lf" else "crlf",
        )
        try:
            ended = asyncio.run(
                programs.run(
                    question.program, question.arguments, question.input, {}, Scope(), Log()
                )
            )
        except ProgramError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return ProgramOutcome(False)
        if ended.errors:
            print(f"{path}: {question.program}: {ended.errors}", file=sys.stderr)
        return ProgramOutcome(ended.status == 0, ended.output)

    return run
