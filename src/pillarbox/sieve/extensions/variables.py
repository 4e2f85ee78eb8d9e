"""variables (RFC 5229): set, its modifiers, and the string test.

References in strings are found when a script is compiled (see `strings`); here is what sets them.
Modifiers are tags with ``modify``, applied from the largest ``order`` (RFC 5229: precedence)
to the smallest, and two of one precedence exclude each other.  Names are case-insensitive.
A value that is too long is cut, never an error.  Only ASCII letters have an upper and a lower case
here (RFC 5229 section 4.1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.comparators import ascii_lower, ascii_upper
from pillarbox.sieve.registry import (
    KEYS,
    STRING,
    STRINGS,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator

_NAME: Final = re.compile(r"(?:([a-z_][a-z0-9_]*)\.)?([a-z_][a-z0-9_]*)\Z", re.IGNORECASE)
_WILDCARD: Final = re.compile(r"[*?\\]")


def modifier(name: str, order: int) -> TagSpec:
    """A modifier of set with one of the functions below."""
    return TagSpec(name, group=f"modifier of precedence {order}", order=order, modify=_MODIFY[name])


_MODIFY: Final = {
    "lower": ascii_lower,
    "upper": ascii_upper,
    "lowerfirst": lambda text: ascii_lower(text[:1]) + text[1:],
    "upperfirst": lambda text: ascii_upper(text[:1]) + text[1:],
    "quotewildcard": lambda text: _WILDCARD.sub(r"\\\g<0>", text),
    "length": lambda text: str(len(text)),
}


def split_name(name: str) -> tuple[str | None, str] | None:
    """Namespace and name of a variable that may be set, lower-cased, or None."""
    match = _NAME.match(name)
    if match is None:
        return None
    return match[1].lower() if match[1] else None, match[2].lower()


def count_variable(v: Validator, name: str) -> None:
    """Count a variable of the script; tell an error if there are too many."""
    names: set[str] = v.data.setdefault("variable names", set())
    names.add(name)
    if len(names) == v.limits.variables + 1:
        v.error(
            v.position,
            f"the script has more variables than the limit of {v.limits.variables}",
        )


def check_variable(v: Validator, name: str) -> str | None:
    """Why a script may not set this variable, or None."""
    split = split_name(name)
    if split is None:
        return f"invalid variable name '{name[:64]}'"
    namespace, simple = split
    if len(simple) > v.limits.variable_name:
        return f"the variable name '{name[:64]}…' is too long"
    if namespace is not None:
        known = v.scope.namespaces.get(namespace)
        if known is None:
            return f"unknown variable namespace '{namespace}'"
        if known.write is None:
            return f"variables of the namespace '{namespace}' cannot be set"
        return None
    count_variable(v, simple)
    return None


def _check_set(v: Validator, node: Node) -> None:
    name = node.text("name")
    problem = check_variable(v, name.constant or "")
    if problem is not None:
        v.error(name.position, problem)
    uses = [use.spec for use in node.tags.values() if use.spec.modify is not None]
    uses.sort(key=lambda spec: -spec.order)
    split = split_name(name.constant or "")
    if split is not None and split[0] is None:
        v.data.setdefault("variables set", set()).add(split[1])
    node.data = (split, [spec.modify for spec in uses])


def assign(run: Run, namespace: str | None, name: str, value: str) -> None:
    """Give a variable a value, cut to what is allowed."""
    value = value[: run.limits.variable_length]
    if namespace is None:
        run.variables(name)[name] = value
        return
    write = run.frame.script.namespaces[namespace].write
    if write is not None:
        write(run, name, value)


def _set(run: Run, node: Node) -> None:
    value = run.text(node.text("value"))
    (namespace, name), modifiers = node.data
    for modify in modifiers:
        value = modify(value)
    assign(run, namespace, name, value)


def _strings(run: Run, node: Node) -> list[str]:
    return run.texts(node.texts("source"))


EXTENSION = Extension(
    "variables",
    commands=(
        CommandSpec(
            "set",
            _set,
            (Positional("name", STRING, constant=True), Positional("value", STRING)),
            tags=(
                modifier("lower", 40),
                modifier("upper", 40),
                modifier("lowerfirst", 30),
                modifier("upperfirst", 30),
                modifier("quotewildcard", 20),
                modifier("length", 10),
            ),
            validate=_check_set,
        ),
    ),
    tests=(
        TestSpec(
            "string",
            values=_strings,
            arguments=(Positional("source", STRINGS), KEYS),
            keys="keys",
        ),
    ),
)
