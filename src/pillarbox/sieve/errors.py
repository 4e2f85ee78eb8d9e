"""What can be wrong with a script: diagnostics of compiling it, and the error that ends a run.

Compiling never raises: it gathers `Diagnostic` values, several per run, each a human sentence
with file, line and column.  A run that fails raises `SieveRunError` inside the interpreter,
which ends as a result with an implicit keep and the error as a diagnostic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pillarbox.sieve.ast import NOWHERE, Position

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One remark about a script; line and column count from 1, 0 where there is none."""

    severity: Severity
    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}: line {self.line}" if self.line else self.file
        return f"{where}: {self.severity}: {self.message}"


class SieveRunError(Exception):
    """A script cannot go on: ``message`` for its owner, ``position`` if the raiser knows it."""

    def __init__(self, message: str, position: Position = NOWHERE) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class SieveLimitError(SieveRunError):
    """A script was stopped because it used more than its limits allow."""


class Diagnostics:
    """Collects the diagnostics of one file; silent after ``most`` errors."""

    def __init__(self, file: str, most: int = 50) -> None:
        self.file = file
        self.most = most
        self.items: list[Diagnostic] = []
        self.errors = 0

    def error(self, position: Position, message: str) -> None:
        """Note an error."""
        self.errors += 1
        if self.errors <= self.most:
            self._add("error", position, message)

    def warning(self, position: Position, message: str) -> None:
        """Note a warning."""
        if len(self.items) < 2 * self.most:
            self._add("warning", position, message)

    def _add(self, severity: Severity, position: Position, message: str) -> None:
        self.items.append(Diagnostic(severity, self.file, *position, message))
