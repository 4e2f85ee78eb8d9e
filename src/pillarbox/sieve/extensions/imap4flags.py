"""imap4flags (RFC 5232): setflag, addflag, removeflag, hasflag and ``:flags``.

The internal variable is one for the whole run, included scripts too.  Once a script has set it, it
goes with every keep and fileinto that follows without ``:flags``, and with the implicit keep.
Flags are compared without case and kept in the order and case they came in; what no flag can be
is left out with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.extensions.variables import check_variable, split_name
from pillarbox.sieve.registry import (
    KEYS,
    STRING,
    STRINGS,
    Added,
    Asking,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)
from pillarbox.sieve.result import FileInto, Keep

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse, Text
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator

_SYSTEM: Final = {
    name.lower(): name for name in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
}
_KEYWORD: Final = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+\Z")


class InternalFlags:
    """The internal variable of one run; it begins as the flags of the message."""

    def __init__(self) -> None:
        self.flags: list[str] = []
        self.begun = False
        self.touched = False


def _internal(run: Run) -> InternalFlags:
    state = run.state(InternalFlags)
    if not state.begun:
        state.begun = True
        state.flags = list(run.environment.flags)
    return state


def is_flag(flag: str) -> bool:
    """Whether a script may set this flag: a settable system flag, or a keyword."""
    return flag.lower() in _SYSTEM or _KEYWORD.match(flag) is not None


def parse_flags(run: Run | None, strings: Iterable[str]) -> list[str]:
    """The flags in strings that hold any number of them, each once."""
    found: dict[str, str] = {}
    for string in strings:
        for word in string.split():
            if is_flag(word):
                found.setdefault(word.lower(), _SYSTEM.get(word.lower(), word))
            elif run is not None:
                run.warn(f"IMAP flag '{word[:64]}' is invalid and ignored")
    return list(found.values())


def _change(run: Run, node: Node, name: str) -> None:
    flags = parse_flags(run, run.texts(node.texts("flags")))
    if "variable" in node.arguments:
        variable = (node.text("variable").constant or "").lower()
        before = parse_flags(None, [run.variables(variable).get(variable, "")])
        after = _CHANGES[name](before, flags)
        run.variables(variable)[variable] = " ".join(after)[: run.limits.variable_length]
        return
    state = _internal(run)
    if not state.touched:
        state.touched = True
        run.on_add(_with_internal)
        run.at_end(_finally)
    state.flags = _CHANGES[name](state.flags, flags)


def _added(before: list[str], flags: list[str]) -> list[str]:
    known = {flag.lower() for flag in before}
    return before + [flag for flag in flags if flag.lower() not in known]


def _removed(before: list[str], flags: list[str]) -> list[str]:
    gone = {flag.lower() for flag in flags}
    return [flag for flag in before if flag.lower() not in gone]


_CHANGES: Final = {
    "setflag": lambda before, flags: flags,
    "addflag": _added,
    "removeflag": _removed,
}


def _with_internal(run: Run, action: Action) -> None:
    if isinstance(action, (Keep, FileInto)) and action.flags is None:
        action.flags = tuple(_internal(run).flags)


def _finally(run: Run) -> None:
    run.result.flags = tuple(_internal(run).flags)


def _set(run: Run, node: Node) -> None:
    _change(run, node, "setflag")


def _add(run: Run, node: Node) -> None:
    _change(run, node, "addflag")


def _remove(run: Run, node: Node) -> None:
    _change(run, node, "removeflag")


def _check_variables(v: Validator, names: Iterable[Text]) -> None:
    for name in names:
        if not v.enabled("variables"):
            v.error(
                name.position,
                'a variable cannot hold flags without require "variables"',
            )
            return
        split = split_name(name.constant or "")
        problem = check_variable(v, name.constant or "")
        if problem is None and split is not None and split[0] is not None:
            problem = "flags are not kept in variables of a namespace"
        if problem is not None:
            v.error(name.position, problem)


def _check_change(v: Validator, node: Node) -> None:
    if "variable" in node.arguments:
        _check_variables(v, [node.text("variable")])
    check_flags(v, node.texts("flags"))


def check_flags(v: Validator, flags: Iterable[Text]) -> None:
    """Remark on constants that are no flags."""
    for text in flags:
        for word in (text.constant or "").split():
            if not is_flag(word):
                v.warning(text.position, f"IMAP flag '{word[:64]}' is invalid and ignored")


def _check_has(v: Validator, node: Node) -> None:
    if "variables" in node.arguments:
        _check_variables(v, node.texts("variables"))


def _has(run: Run, node: Node) -> Asking[bool]:
    if "variables" in node.arguments:
        names = [(name.constant or "").lower() for name in node.texts("variables")]
        values = parse_flags(None, [run.variables(name).get(name, "") for name in names])
    else:
        values = _internal(run).flags
    keys = run.texts(node.texts("keys"))
    assert node.matching is not None
    if node.matching.type.name in ("is", "contains"):  # of a list of flags (RFC 5232 section 2)
        keys = [word for key in keys for word in key.split()]
    return (yield from run.matching(node, values, keys))


def _flags_tag(run: Run, node: Node, use: TagUse, action: Action) -> None:
    if isinstance(action, (Keep, FileInto)):
        action.flags = tuple(parse_flags(run, run.texts(use.value)))


def _check_flags_tag(v: Validator, node: Node, use: TagUse) -> None:
    check_flags(v, use.value)


_CHANGE_ARGUMENTS = (
    Positional("variable", STRING, optional=True, constant=True),
    Positional("flags", STRINGS),
)

FLAGS = TagSpec("flags", STRINGS, apply=_flags_tag, validate=_check_flags_tag)

EXTENSION = Extension(
    "imap4flags",
    commands=(
        CommandSpec("setflag", _set, _CHANGE_ARGUMENTS, validate=_check_change),
        CommandSpec("addflag", _add, _CHANGE_ARGUMENTS, validate=_check_change),
        CommandSpec("removeflag", _remove, _CHANGE_ARGUMENTS, validate=_check_change),
    ),
    tests=(
        TestSpec(
            "hasflag",
            _has,
            arguments=(Positional("variables", STRINGS, optional=True, constant=True), KEYS),
            matches=True,
            validate=_check_has,
        ),
    ),
    added=(Added(("keep", "fileinto"), (FLAGS,)),),
)
