"""Runs one test file: compiles it, runs it as a script, and reports how its tests went.

A test file is an ordinary script that may use the testsuite extension; what that extension's
commands do is in `sieve.extensions.testsuite`, the world they act on is a `Bench`.  Nothing is
read here: the caller gives the source, a function that loads the scripts named in it, and one
that answers what the bench cannot (the time, above all).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pillarbox.sieve.driver import Answer, default_answer, drive
from pillarbox.sieve.environment import Envelope
from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.limits import DEFAULT
from pillarbox.sieve.registry import extensions
from pillarbox.sieve.script import compile
from pillarbox.sieve.testsuite.bench import (
    DEFAULT_MESSAGE,
    Bench,
    Outcome,
    ProgramRunner,
    ScriptLoader,
    no_programs,
)
from pillarbox.sieve.testsuite.configuration import environment_of

_ENVELOPE: Final = Envelope("sender@example.com", "recipient@example.com")


@dataclass(slots=True)
class Report:
    """How a file went: its tests, what is wrong with the file itself, and what it printed."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    error: Diagnostic | None = None
    output: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Tests that failed, and one for a file that could not be run to its end."""
        broken = self.error is not None or any(d.severity == "error" for d in self.diagnostics)
        return sum(not outcome.passed for outcome in self.outcomes) + broken


def run_testsuite(
    name: str,
    source: bytes,
    load: ScriptLoader,
    answer: Answer = default_answer,
    programs: ProgramRunner = no_programs,
) -> Report:
    """Run a test file.  ``load`` is given "test", "personal" or "global", and a name."""
    limits = replace(
        DEFAULT, steps=0, actions=0, redirects=None, variables=10_000, script_size=16 * 1024 * 1024
    )
    report = Report(name)
    script, report.diagnostics = compile(source, name, frozenset(extensions()), limits, load)
    if script is None:
        return report
    run = Run(script, DEFAULT_MESSAGE, _ENVELOPE)
    run.environment = environment_of({}, run.environment)
    bench = run.state(Bench)
    bench.load = load
    bench.fallback = answer
    bench.run_program = programs
    result = drive(run.execute(), bench.answer)
    report.outcomes = bench.outcomes
    report.error = result.error
    report.output = bench.output
    return report
