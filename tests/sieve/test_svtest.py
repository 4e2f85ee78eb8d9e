"""Our own tests of the language, written in the language: every .svtest file below svtest/.

Time stands still in them: it is 2026-03-14 15:09:26 at +0100.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pillarbox.cli.sieve import scripts_beside
from pillarbox.cli.sieve_programs import programs_beside
from pillarbox.sieve.questions import Now, Question
from pillarbox.sieve.testsuite.runner import run_testsuite

FOLDER = Path(__file__).parent / "svtest"
FILES = sorted(FOLDER.rglob("*.svtest"))
NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=timezone(timedelta(hours=1)))


def answer(question: Question) -> Any:
    return NOW if isinstance(question, Now) else question.default


def test_there_are_files() -> None:
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_file(path: Path) -> None:
    report = run_testsuite(
        path.name, path.read_bytes(), scripts_beside(path), answer, programs_beside(path)
    )
    wrong = [str(d) for d in report.diagnostics if d.severity == "error"]
    wrong += [
        f"{path.name}:{o.failed_line}: {o.name}: {o.reason}"
        for o in report.outcomes
        if not o.passed
    ]
    if report.error is not None:
        wrong.append(str(report.error))
    assert wrong == []
    assert report.outcomes
