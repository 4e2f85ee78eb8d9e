"""include (RFC 6609): include, return, global, and the namespace ``global`` of variables.

Included scripts are compiled with the script that names them as far as they can be loaded then; the
caller is asked for the others when they are run.  Each runs in a frame of its own: variables are
its own but for those declared ``global``.  ``:once`` skips a script that this run included before.
``import`` and ``export`` are what global was called before the RFC.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.errors import SieveLimitError, SieveRunError
from pillarbox.sieve.extensions.variables import count_variable, split_name
from pillarbox.sieve.interpreter import GlobalVariables
from pillarbox.sieve.questions import IncludeScript
from pillarbox.sieve.registry import (
    STRING,
    STRINGS,
    Asking,
    CommandSpec,
    Extension,
    Flow,
    Namespace,
    Positional,
    TagSpec,
)
from pillarbox.sieve.script import Script

if TYPE_CHECKING:
    from pillarbox.sieve.ast import Position
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator


_NOT_IN_NAMES: Final = re.compile(r"[/\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Included:
    """What this run has included."""

    def __init__(self) -> None:
        self.done: set[tuple[str, str]] = set()
        self.active: list[tuple[str, str]] = []
        self.count = 0


def is_script_name(name: str) -> bool:
    """Whether a script may have this name (RFC 5804 section 1.6, and no slash)."""
    return 0 < len(name) <= 128 and not _NOT_IN_NAMES.search(name)


def _key(node: Node) -> tuple[str, str]:
    place = "global" if "global" in node.tags else "personal"
    return place, node.text("script").constant or ""


def _check_include(v: Validator, node: Node) -> None:
    key = _key(node)
    if not is_script_name(key[1]):
        v.error(node.text("script").position, f"invalid script name '{key[1][:80]}' for include")
        return
    includes = v.data.setdefault("includes", {})
    includes.setdefault(key, node.position)
    if "optional" not in node.tags:
        v.data.setdefault("needed includes", set()).add(key)


def _include(run: Run, node: Node) -> Asking[Flow | None]:
    key = _key(node)
    state = run.state(_Included)
    if "once" in node.tags and key in state.done:
        return None
    script = run.frame.script.included.get(key)
    if script is None:
        answer: Script | str | None = yield IncludeScript(*key)
        if isinstance(answer, str):
            raise SieveRunError(f"failed to include {key[0]} script '{key[1]}': {answer}")
        script = answer
    if script is None:
        if "optional" in node.tags:
            return None
        raise SieveRunError(f"included {key[0]} script '{key[1]}' does not exist", node.position)
    if key in state.active:
        raise SieveRunError(f"circular include of {key[0]} script '{key[1]}'", node.position)
    if len(state.active) >= run.limits.include_depth:
        raise SieveLimitError(f"scripts are included deeper than {run.limits.include_depth}")
    state.count += 1
    if state.count > run.limits.includes:
        raise SieveLimitError(f"more than {run.limits.includes} scripts included")
    state.done.add(key)
    state.active.append(key)
    flow = yield from run.call(script)
    state.active.pop()
    return flow


def _return(run: Run, node: Node) -> Flow:
    return Flow.RETURN


def _check_global(v: Validator, node: Node) -> None:
    if not v.enabled("variables"):
        v.error(node.position, f'the {node.name} command needs require "variables"')
    for name in node.texts("names"):
        split = split_name(name.constant or "")
        if split is None or split[0] is not None or len(split[1]) > v.limits.variable_name:
            v.error(name.position, f"invalid variable name '{(name.constant or '')[:64]}'")
        else:
            _declare(v, split[1], name.position)


def _declare(v: Validator, name: str, position: Position) -> None:
    declared: set[str] = v.data.setdefault("global variables", set())
    if name not in declared and name in v.data.get("variables set", ()):
        v.error(position, f"the variable '{name}' was set before it is declared global")
    declared.add(name)
    count_variable(v, name)


def _global(run: Run, node: Node) -> None:
    declared = run.state(GlobalVariables).of(run.frame.script)
    declared.update((name.constant or "").lower() for name in node.texts("names"))


def _read(run: Run, name: str) -> str | None:
    return run.state(GlobalVariables).values.get(name)


def _write(run: Run, name: str, value: str) -> None:
    values = run.state(GlobalVariables).values
    if name not in values and len(values) >= run.limits.variables:
        raise SieveLimitError(f"more than {run.limits.variables} global variables")
    values[name] = value


EXTENSION = Extension(
    "include",
    commands=(
        CommandSpec(
            "include",
            _include,
            (Positional("script", STRING, constant=True),),
            tags=(
                TagSpec("personal", group="location"),
                TagSpec("global", group="location"),
                TagSpec("once"),
                TagSpec("optional"),
            ),
            validate=_check_include,
        ),
        CommandSpec("return", _return),
        *(
            CommandSpec(
                name,
                _global,
                (Positional("names", STRINGS, constant=True),),
                validate=_check_global,
            )
            for name in ("global", "import", "export")
        ),
    ),
    namespaces=(Namespace("global", _read, _write),),
)
