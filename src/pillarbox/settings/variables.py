"""``%{user}``-style variables in settings.

The syntax is Dovecot 2.4's: ``%{name}``, ``%{provider:name}``, then filters with arguments,
``%{user | domain | lower | default('none')}``; ``%%{`` stands for ``%{``.  A template is parsed
once and kept (`parse` is cached), so expanding costs a few dictionary look-ups.

What is not known is an error that names the nearest name, because a silently empty variable in a
path would mix up the mail of two people.  Providers that are always there: ``env:NAME``,
``system:hostname``, ``system:cpu_count``, ``process:pid``, ``process:uid``, ``process:gid``.
Others are given by the caller as keys such as ``userdb:home``; the key ``forward_*`` says that
variables of that beginning are whatever came along, and not set if they did not.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn

from pillarbox.settings.filters import (
    FILTERS,
    STARTS,
    TAKES_NONE,
    Argument,
    FilterError,
    Value,
    as_text,
)

Values = Mapping[str, object]


class VariableError(ValueError):
    """A template is wrong, or names a variable that does not exist; the text is for people."""


@dataclass(frozen=True, slots=True)
class Name:
    """An argument that is a variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """One filter with its arguments."""

    name: str
    positional: tuple[str | int | Name, ...] = ()
    named: tuple[tuple[str, str | int | Name], ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between ``%{`` and ``}``: a variable (or none, for a function) and filters."""

    source: str
    variable: str | None
    steps: tuple[Step, ...] = field(default=())

    def evaluate(self, values: Values) -> str:
        """Its text for these values.  Raises VariableError."""
        return as_text(self._evaluate(values))

    def _evaluate(self, values: Values) -> Value:
        value: Value = None
        steps = self.steps
        if self.variable is not None:
            optional = bool(steps) and steps[0].name == "default" and ":" in self.variable
            value = _lookup(self.variable, values, optional, self.source)
        elif steps[0].name == "if":
            value, steps = self._function_if(values)
        for step in steps:
            if value is None and step.name not in TAKES_NONE:
                continue
            value = self._apply(step, value, values)
        return value

    def _function_if(self, values: Values) -> tuple[Value, tuple[Step, ...]]:
        """`if(left, op, right, yes, no)` is `left | if(op, right, yes, no)`."""
        first = self.steps[0]
        if len(first.positional) != 5:
            self._wrong("if as a function takes five arguments")
        left = _argument(first.positional[0], values, self.source)
        rest = Step("if", first.positional[1:], first.named)
        return None if left is None else str(left), (rest, *self.steps[1:])

    def _apply(self, step: Step, value: Value, values: Values) -> Value:
        positional = [_argument(a, values, self.source) for a in step.positional]
        named = {k: _argument(a, values, self.source) for k, a in step.named}
        try:
            return FILTERS[step.name](value, *positional, **named)
        except FilterError as error:
            self._wrong(str(error))
        except TypeError:
            self._wrong(f"{step.name} does not take these arguments")

    def _wrong(self, why: str) -> NoReturn:
        raise VariableError(f"%{{{self.source}}}: {why}")


Template = tuple[str | Expression, ...]


def expand(template: str, values: Values) -> str:
    """``template`` with every ``%{...}`` replaced; a value of None counts as not set.

    Raises VariableError for wrong syntax, an unknown filter or an unknown variable.
    """
    if "%" not in template:
        return template
    return "".join(
        part if isinstance(part, str) else part.evaluate(values) for part in parse(template)
    )


def variables_of(template: str) -> frozenset[str]:
    """The names of all variables that a template uses.  Raises VariableError."""
    names: set[str] = set()
    for part in parse(template):
        if isinstance(part, Expression):
            if part.variable is not None:
                names.add(part.variable)
            for step in part.steps:
                arguments = (*step.positional, *(a for _, a in step.named))
                names.update(a.name for a in arguments if isinstance(a, Name))
    return frozenset(names)


@lru_cache(maxsize=1024)
def parse(template: str) -> Template:
    """Literal texts and expressions in their order.  Raises VariableError."""
    parts: list[str | Expression] = []
    literal: list[str] = []
    at = 0
    while (found := template.find("%", at)) >= 0:
        literal.append(template[at:found])
        if template.startswith("%%{", found):
            literal.append("%{")
            at = found + 3
        elif template.startswith("%{", found):
            if text := "".join(literal):
                parts.append(text)
            literal.clear()
            expression, at = _Parser(template, found + 2).expression()
            parts.append(expression)
        else:
            literal.append("%")
            at = found + 1
    literal.append(template[at:])
    if text := "".join(literal):
        parts.append(text)
    return tuple(parts)


def _host() -> str:
    return socket.gethostname().partition(".")[0]


_PROVIDERS: Final[Mapping[str, Mapping[str, Callable[[], object]]]] = {
    "system": {"hostname": _host, "cpu_count": os.cpu_count, "os": lambda: os.uname().sysname},
    "process": {"pid": os.getpid, "uid": os.geteuid, "gid": os.getegid},
}


def _lookup(name: str, values: Values, optional: bool, source: str) -> Value:
    if name in values:
        value = values[name]
        return value if value is None or isinstance(value, str | bytes) else str(value)
    provider, colon, key = name.partition(":")
    if colon and provider == "env":
        if key in os.environ or optional:
            return os.environ.get(key)
        raise VariableError(f"%{{{source}}}: the environment has no {key}")
    known = _PROVIDERS.get(provider, {})
    if colon and key in known:
        return str(known[key]())
    if optional or f"{name.partition('_')[0]}_*" in values:
        return None
    raise VariableError(f"%{{{source}}}: there is no variable {name}{_nearest(name, values)}")


def _nearest(name: str, values: Values) -> str:
    if name in ("username", "domain") and "user" in values:
        return f" (write %{{user | {name}}})"
    built_in = [f"{p}:{k}" for p, keys in _PROVIDERS.items() for k in keys]
    found = difflib.get_close_matches(name, [*values, *built_in], 1)
    if found:
        return f" (did you mean {found[0]}?)"
    return f"; known here: {', '.join(sorted(values)) or 'none'}"


def _argument(argument: str | int | Name, values: Values, source: str) -> Argument:
    if not isinstance(argument, Name):
        return argument
    value = _lookup(argument.name, values, False, source)
    return None if value is None else as_text(value)


_SPACE: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*(?::[A-Za-z0-9_.\-/]+)?")
_NUMBER: Final = re.compile(r"-?[0-9]+")
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


class _Parser:
    """Reads one expression from behind its ``%{``."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.start = at
        self.at = at

    def expression(self) -> tuple[Expression, int]:
        first = self._step()
        variable: str | None = None
        steps: list[Step] = []
        if first.positional or first.named or self.text[self.at - 1] == ")":
            if first.name not in STARTS:
                self._wrong(f"{first.name} needs a variable before it, and a |")
            steps.append(first)
        else:
            variable = first.name
        while self._take("|"):
            step = self._step()
            if step.name not in FILTERS:
                near = difflib.get_close_matches(step.name, FILTERS, 1)
                self._wrong(
                    f"there is no filter {step.name}" + (f" (did you mean {near[0]}?)" * bool(near))
                )
            steps.append(step)
        if not self._take("}"):
            self._wrong("a | or the closing brace is missing")
        return Expression(self.text[self.start : self.at - 1].strip(), variable, tuple(steps)), (
            self.at
        )

    def _step(self) -> Step:
        name = self._match(_NAME)
        if name is None:
            self._wrong("a name is missing")
        before = self.at
        if not self._take("("):
            self.at = before
            return Step(name)
        positional: list[str | int | Name] = []
        named: list[tuple[str, str | int | Name]] = []
        while not self._take(")"):
            if (positional or named) and not self._take(","):
                self._wrong("a comma or the closing parenthesis is missing")
            value = self._value()
            if isinstance(value, Name) and self._take("="):
                named.append((value.name, self._value()))
            else:
                positional.append(value)
        return Step(name, tuple(positional), tuple(named))

    def _value(self) -> str | int | Name:
        self._match(_SPACE)
        if quoted := _QUOTED.match(self.text, self.at):
            self.at = quoted.end()
            inner = quoted[1] if quoted[1] is not None else quoted[2]
            return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner, flags=re.DOTALL)
        number = self._match(_NUMBER)
        if number is not None:
            return int(number)
        name = self._match(_NAME)
        if name is None:
            self._wrong("an argument is missing")
        return Name(name)

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        if pattern is not _SPACE:
            self._match(_SPACE)
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def _take(self, sign: str) -> bool:
        self._match(_SPACE)
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def _wrong(self, why: str) -> NoReturn:
        raise VariableError(f"{self.text!r}, column {self.at + 1}: {why}")
