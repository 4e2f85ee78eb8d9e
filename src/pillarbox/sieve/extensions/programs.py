"""vnd.dovecot.pipe, vnd.dovecot.filter and vnd.dovecot.execute: programs of the administrator.

Scripts name programs; only the caller knows what they are, and runs them from one folder, with a
time limit and without a shell.  ``pipe`` is an action like redirect.  ``filter`` and ``execute``,
both command and test, need the program's output in the middle of the script: they ask by
`RunProgram`.  A filter whose program succeeds makes its output the message for what comes later.
The three are optional: they are allowed only where the caller names them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.extensions.variables import assign, check_variable, split_name
from pillarbox.sieve.questions import Question
from pillarbox.sieve.registry import (
    STRING,
    STRINGS,
    Asking,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)
from pillarbox.sieve.result import Action

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator

_PROGRAM: Final = re.compile(r"[^\x00-\x1f\x7f/.][^\x00-\x1f\x7f/]{0,127}\Z")
_MOST_ARGUMENTS: Final = 16
_LONGEST_ARGUMENT: Final = 1024


@dataclass(frozen=True, slots=True)
class ProgramOutcome:
    """How a program ended, and what it wrote."""

    success: bool
    output: bytes = b""


@dataclass(frozen=True, slots=True)
class RunProgram(Question):
    """Run a program with this input (None: none); a `ProgramOutcome`.  ``kind`` is "filter" or
    "execute"."""

    kind: str
    program: str
    arguments: tuple[str, ...]
    input: bytes | None
    default: ClassVar[Any] = ProgramOutcome(False)


@dataclass(slots=True, kw_only=True)
class Pipe(Action):
    """Give the message to a program.  With ``attempt`` a failure is no error of the delivery."""

    name: ClassVar[str] = "pipe"
    delivers: ClassVar[bool] = True
    program: str
    arguments: tuple[str, ...] = ()
    attempt: bool = False

    def same(self, other: Action) -> bool:
        return isinstance(other, Pipe) and (
            (other.program, other.arguments) == (self.program, self.arguments)
        )

    def describe(self) -> str:
        return " ".join(["pipe to", self.program, *self.arguments])


def _called(run: Run, node: Node) -> tuple[str, tuple[str, ...]]:
    program = run.text(node.text("program"))
    arguments = run.texts(node.texts("arguments")) if "arguments" in node.arguments else []
    problem = _problem(program, arguments)
    if problem is not None:
        raise SieveRunError(f"{node.name}: {problem}", node.position)
    return program, tuple(arguments)


def _problem(program: str, arguments: list[str]) -> str | None:
    if _PROGRAM.match(program) is None:
        return f"invalid program name '{program[:80]}'"
    if len(arguments) > _MOST_ARGUMENTS:
        return f"more than {_MOST_ARGUMENTS} arguments"
    for argument in arguments:
        if len(argument) > _LONGEST_ARGUMENT or any(c in argument for c in "\0\r\n"):
            return f"invalid argument '{argument[:80]}'"
    return None


def _check(v: Validator, node: Node) -> None:
    program = node.text("program").constant
    given = node.texts("arguments") if "arguments" in node.arguments else ()
    constants = [text.constant for text in given if text.constant is not None]
    problem = _problem(program if program is not None else "variable", constants)
    if problem is None and len(given) > _MOST_ARGUMENTS:
        problem = f"more than {_MOST_ARGUMENTS} arguments"
    if problem is not None:
        v.error(node.position, f"{node.name}: {problem}")


def _pipe(run: Run, node: Node) -> None:
    program, arguments = _called(run, node)
    run.add(Pipe(program=program, arguments=arguments, attempt="try" in node.tags), node)


def _filter(run: Run, node: Node) -> Asking[bool]:
    program, arguments = _called(run, node)
    data = run.message.snapshot().render()
    outcome: ProgramOutcome = yield RunProgram("filter", program, arguments, data)
    if not outcome.success:
        run.warn(f"filter: the program '{program}' failed; the message stays as it is", node)
    elif outcome.output:
        run.message.replace(outcome.output)
    return outcome.success


def _execute(run: Run, node: Node) -> Asking[bool]:
    program, arguments = _called(run, node)
    data: bytes | None = None
    if "pipe" in node.tags:
        data = run.message.snapshot().render()
    elif "input" in node.tags:
        data = run.text(node.tags["input"].text()).encode("utf-8", "surrogateescape")
    outcome: ProgramOutcome = yield RunProgram("execute", program, arguments, data)
    use = node.tags.get("output")
    split = split_name(use.text().constant or "") if use is not None else None
    if split is not None and outcome.success:
        assign(run, *split, outcome.output.decode("utf-8", "replace"))
    return outcome.success


def _filter_command(run: Run, node: Node) -> Asking[None]:
    yield from _filter(run, node)


def _execute_command(run: Run, node: Node) -> Asking[None]:
    yield from _execute(run, node)


def _check_output(v: Validator, node: Node, use: TagUse) -> None:
    if not v.enabled("variables"):
        v.error(use.position, "the tag ':output' needs require \"variables\"")
        return
    problem = check_variable(v, use.text().constant or "")
    if problem is not None:
        v.error(use.position, problem)


_ARGUMENTS = (Positional("program", STRING), Positional("arguments", STRINGS, optional=True))
_EXECUTE_TAGS = (
    TagSpec("input", STRING, group="input"),
    TagSpec("pipe", group="input"),
    TagSpec("output", STRING, constant=True, validate=_check_output),
)

EXTENSIONS = (
    Extension(
        "vnd.dovecot.pipe",
        commands=(CommandSpec("pipe", _pipe, _ARGUMENTS, tags=(TagSpec("try"),), validate=_check),),
        optional=True,
    ),
    Extension(
        "vnd.dovecot.filter",
        commands=(CommandSpec("filter", _filter_command, _ARGUMENTS, validate=_check),),
        tests=(TestSpec("filter", _filter, arguments=_ARGUMENTS, validate=_check),),
        optional=True,
    ),
    Extension(
        "vnd.dovecot.execute",
        commands=(
            CommandSpec(
                "execute", _execute_command, _ARGUMENTS, tags=_EXECUTE_TAGS, validate=_check
            ),
        ),
        tests=(
            TestSpec(
                "execute", _execute, arguments=_ARGUMENTS, tags=_EXECUTE_TAGS, validate=_check
            ),
        ),
        optional=True,
    ),
)
