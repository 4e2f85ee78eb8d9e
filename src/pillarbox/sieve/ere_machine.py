"""Regular expressions without going back: all ways through a program at once (Thompson, Pike).

Each instruction is tried at most once per character of the text, so the work is bounded by the
product of their numbers; it is counted, and `Exhausted` ends what costs too much.  Threads are
ordered by preference: the leftmost match, and the first alternative of several, as ``re`` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pillarbox.sieve.ere import (
    Alternatives,
    Anchor,
    Boundary,
    Char,
    Concat,
    Expression,
    Group,
    Repeat,
    Tree,
)


class Exhausted(Exception):
    """The allowed effort is spent."""


class Instruction(NamedTuple):
    """``char`` (test), ``look`` (test of a place), ``split`` (first, second), ``jump``, ``save``
    (slot), ``begin``, ``end``."""

    kind: str
    test: Callable[..., object] | None = None
    first: int = 0
    second: int = 0


class _Builder:
    def __init__(self, flags: int) -> None:
        self.code: list[Instruction] = []
        self.flags = flags
        self.tests: dict[str, Callable[..., object]] = {}

    def build(self, tree: Tree) -> None:
        code = self.code
        match tree:
            case Char(source):
                if source not in self.tests:
                    self.tests[source] = re.compile(source, self.flags).match
                code.append(Instruction("char", self.tests[source]))
            case Boundary(source):
                code.append(Instruction("look", re.compile(source, self.flags).match))
            case Anchor(end):
                code.append(Instruction("end" if end else "begin"))
            case Group(number, body):
                code.append(Instruction("save", None, 2 * number))
                self.build(body)
                code.append(Instruction("save", None, 2 * number + 1))
            case Concat(items):
                for item in items:
                    self.build(item)
            case Alternatives(items):
                self.alternatives(items)
            case Repeat(body, least, most):
                self.repeat(body, least, most)

    def alternatives(self, items: Sequence[Tree]) -> None:
        code = self.code
        jumps: list[int] = []
        for item in items[:-1]:
            split = len(code)
            code.append(Instruction("split"))
            self.build(item)
            jumps.append(len(code))
            code.append(Instruction("jump"))
            code[split] = Instruction("split", None, split + 1, len(code))
        self.build(items[-1])
        for jump in jumps:
            code[jump] = Instruction("jump", None, len(code))

    def repeat(self, body: Tree, least: int, most: int | None) -> None:
        code = self.code
        for _ in range(least):
            self.build(body)
        if most is None:
            split = len(code)
            code.append(Instruction("split"))
            self.build(body)
            code.append(Instruction("jump", None, split))
            code[split] = Instruction("split", None, split + 1, len(code))
            return
        splits: list[int] = []
        for _ in range(most - least):
            splits.append(len(code))
            code.append(Instruction("split"))
            self.build(body)
        for split in splits:
            code[split] = Instruction("split", None, split + 1, len(code))


def program(expression: Expression) -> list[Instruction]:
    """The program of an expression, built once."""
    known = expression.programs.get("code")
    if known is None:
        builder = _Builder(expression.pattern.flags & (re.DOTALL | re.IGNORECASE | re.ASCII))
        builder.build(expression.tree)
        builder.code.append(Instruction("match"))
        known = expression.programs["code"] = builder.code
    assert isinstance(known, list)
    return known


_Slots = tuple[int, ...]


class _Machine:
    def __init__(self, expression: Expression, text: str, effort: int) -> None:
        self.code = program(expression)
        self.text = text
        self.effort = effort
        self.first = expression.first
        self.empty: _Slots = (-1,) * (2 * expression.groups + 2)

    def follow(
        self, threads: list[tuple[int, _Slots]], seen: set[int], start: int, slots: _Slots, at: int
    ) -> None:
        """Add the threads that start leads to without reading, most preferred first."""
        stack = [(start, slots)]
        while stack:
            pc, slots = stack.pop()
            if pc in seen:
                continue
            seen.add(pc)
            self.effort -= 1
            kind, test, first, second = self.code[pc]
            if kind == "jump":
                stack.append((first, slots))
            elif kind == "split":
                stack.append((second, slots))
                stack.append((first, slots))
            elif kind == "save":
                stack.append((pc + 1, (*slots[:first], at, *slots[first + 1 :])))
            elif kind == "look":
                if test is not None and test(self.text, at):
                    stack.append((pc + 1, slots))
            elif kind == "begin":
                if at == 0:
                    stack.append((pc + 1, slots))
            elif kind == "end":
                if at == len(self.text):
                    stack.append((pc + 1, slots))
            else:
                threads.append((pc, slots))
        if self.effort < 0:
            raise Exhausted

    def search(self) -> _Slots | None:
        found: _Slots | None = None
        threads: list[tuple[int, _Slots]] = []
        seen: set[int] = set()
        at = -1
        while at < len(self.text):
            at += 1
            if not threads and self.first is not None:
                begin = self.first.search(self.text, at)
                if begin is None:
                    return None
                at = begin.start()
            if found is None:
                start = (at, *self.empty[1:])
                self.follow(threads, seen, 0, start, at)
            character = self.text[at] if at < len(self.text) else ""
            following: list[tuple[int, _Slots]] = []
            seen = set()
            for pc, slots in threads:
                instruction = self.code[pc]
                if instruction.kind == "match":
                    found = (slots[0], at, *slots[2:])
                    break
                assert instruction.test is not None
                self.effort -= 1
                if character and instruction.test(character):
                    self.follow(following, seen, pc + 1, slots, at + 1)
            threads = following
            if not threads and found is not None:
                break
        return found


def search(expression: Expression, text: str, effort: int) -> list[tuple[int, int]] | None:
    """The spans of the leftmost match and its groups, or None; Exhausted if it costs too much."""
    slots = _Machine(expression, text, effort).search()
    if slots is None:
        return None
    return list(zip(slots[::2], slots[1::2]))
