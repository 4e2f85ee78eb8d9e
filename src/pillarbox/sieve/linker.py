"""Checked scripts without what can be found out again: the form that is kept, and nodes from it.

An `Item` has the name and place of a command or test, its arguments in the order in which they are
declared, its tags, and what is nested in it; an ``if`` has one nested item for each branch.
`items_of` makes items of nodes.  `Linker` makes nodes of items, by the same tables and with the
same checks of values as the compiler, for whoever wrote the items need not have been the compiler:
nothing is read from text, but nothing is believed.  There are never more nodes and strings than
the source has characters, whatever the items say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from pillarbox.sieve.arguments import complete, find_tag
from pillarbox.sieve.ast import Position
from pillarbox.sieve.lexer import MAX_NUMBER
from pillarbox.sieve.nodes import Branch, Node, TagUse, Text, Texts, VariableRef
from pillarbox.sieve.registry import CommandSpec, Kind, TestSpec
from pillarbox.sieve.strings import split_references
from pillarbox.sieve.validator import Validator

# A string with variables is a tuple of its parts: text, or namespace ("" for none) and name.  A
# list of strings may look the same; what is wanted tells them apart.
_Part = str | tuple[str, str]
_String = str | tuple[_Part, ...]
_Parts = tuple[str | tuple[_Part, ...], ...]
_Value = Annotated[int, Meta(ge=0, le=MAX_NUMBER)] | str | _Parts | None

_BY_VALIDATOR: Final = frozenset({"require", "elsif", "else"})


class Use(Struct, array_like=True, frozen=True, gc=False):
    """A tag with its value, if it has one."""

    name: str
    value: _Value
    position: Position


class Item(Struct, array_like=True, frozen=True, gc=False):
    """A command, a test, or a branch of an if."""

    name: str
    position: Position
    arguments: tuple[_Value, ...] = ()
    tags: tuple[Use, ...] = ()
    tests: tuple[Item, ...] = ()
    block: tuple[Item, ...] = ()


class Unsound(Exception):
    """No compiler wrote this, or not for these rules."""


def items_of(nodes: Sequence[Node]) -> tuple[Item, ...]:
    """Nodes as items."""
    return tuple(map(_item, nodes))


def _item(node: Node) -> Item:
    if node.name == "if":
        branches = tuple(
            Item("", position, tests=() if test is None else (_item(test),), block=items_of(block))
            for test, block, position in node.data
        )
        return Item(node.name, node.position, block=branches)
    names = [one.name for one in node.spec.arguments if one.name in node.arguments]
    return Item(
        node.name,
        node.position,
        tuple(_value(node.arguments[name]) for name in names),
        tuple(Use(use.spec.name, _value(use.value), use.position) for use in node.tags.values()),
        items_of(node.tests),
        items_of(node.block),
    )


def _value(value: Any) -> _Value:
    if isinstance(value, Text):
        return _string(value)
    if isinstance(value, tuple):
        return tuple(map(_string, value))
    number: int | None = value
    return number


def _string(text: Text) -> _String:
    if text.constant is not None:
        return text.constant
    return tuple(
        part if isinstance(part, str) else (part.namespace or "", part.name) for part in text.parts
    )


class Linker:
    """Makes nodes of items; ``most`` is how many nodes and strings there may be.

    All methods raise Unsound.  What is wrong with values is told to the validator, as always.
    """

    def __init__(self, v: Validator, most: int) -> None:
        self._v = v
        self._left = most
        self._lists = v.limits.string_list
        self._variables = v.enabled("variables")

    def block(self, items: Sequence[Item], depth: int = 0) -> list[Node]:
        """The commands of a block."""
        if depth > self._v.limits.block_nesting:
            raise Unsound
        return [self._command(item, depth) for item in items]

    def _command(self, item: Item, depth: int) -> Node:
        v = self._v
        spec = v.scope.commands.get(item.name)
        if spec is None or item.name in _BY_VALIDATOR:
            raise Unsound
        v.position = item.position
        if item.name == "if":
            self._left -= 1
            node = Node("if", item.position, spec, asks=True)
            node.data = [self._branch(branch, depth) for branch in item.block]
            return node
        node = self._bind(item, spec)
        if len(item.tests) != spec.test or (item.block and not spec.block):
            raise Unsound
        if item.tests:
            node.tests = [self._test(item.tests[0], 0)]
        if spec.block:
            v.enclosing.append(node)
            node.block = self.block(item.block, depth + 1)
            v.enclosing.pop()
        node.asks = spec.asks or any(use.spec.asks for use in node.tags.values())
        if spec.validate is not None:
            spec.validate(v, node)
        return node

    def _branch(self, item: Item, depth: int) -> Branch:
        self._left -= 1
        if len(item.tests) > 1 or self._left < 0:
            raise Unsound
        test = self._test(item.tests[0], 0) if item.tests else None
        return Branch(test, self.block(item.block, depth + 1), item.position)

    def _test(self, item: Item, depth: int) -> Node:
        v = self._v
        spec = v.scope.tests.get(item.name)
        if spec is None or depth > v.limits.test_nesting:
            raise Unsound
        node = self._bind(item, spec)
        if (
            len(item.tests) != spec.tests and (spec.tests is not None or not item.tests)
        ) or item.block:
            raise Unsound
        node.asks = spec.asks
        if item.tests:
            node.tests = [self._test(child, depth + 1) for child in item.tests]
            node.asks = spec.asks or any(child.asks for child in node.tests)
        if node.matching is not None:
            node.asks = node.asks or node.matching.type.asks
        if spec.validate is not None:
            spec.validate(v, node)
        return node

    def _bind(self, item: Item, spec: CommandSpec | TestSpec) -> Node:
        position = item.position
        wanted = spec.arguments
        given = item.arguments
        if len(given) != len(wanted):
            wanted = tuple(one for one in wanted if not one.optional)
            if len(given) != len(wanted):
                raise Unsound
        arguments = {
            one.name: self._read(value, one.kind, one.constant, position)
            for one, value in zip(wanted, given)
        }
        node = Node(spec.name, position, spec, arguments, {})
        if item.tags:
            self._tags(node, item.tags, spec)
        self._left -= 1
        if self._left < 0:
            raise Unsound
        if item.tags or spec.compares:
            complete(self._v, node, spec)
            if self._v.diagnostics.errors:
                raise Unsound
        return node

    def _tags(self, node: Node, uses: Sequence[Use], spec: CommandSpec | TestSpec) -> None:
        for use in uses:
            tag = find_tag(self._v, spec, use.name)
            if tag is None or tag.name in node.tags:
                raise Unsound
            if tag.group is not None and node.group(tag.group) is not None:
                raise Unsound
            value: Any = use.value
            if tag.kind is not None:
                value = self._read(value, tag.kind, tag.constant, use.position)
            elif value is not None:
                raise Unsound
            node.tags[tag.name] = TagUse(tag, value, use.position)
        for one in node.tags.values():
            if one.spec.needs is not None and one.spec.needs not in node.tags:
                raise Unsound

    def _read(self, value: _Value, kind: Kind, constant: bool, position: Position) -> Any:
        """An argument as its kind wants it."""
        if kind is Kind.STRINGS:
            if not isinstance(value, tuple) or not 0 < len(value) <= self._lists:
                raise Unsound
            self._left -= len(value)
            texts = [
                Text(one, (), position) if isinstance(one, str) else self._text(one, position)
                for one in value
            ]
            made = Texts(texts)
            if constant and made.constants is None:
                raise Unsound
            return made
        if kind is Kind.STRING:
            self._left -= 1
            if isinstance(value, str):
                return Text(value, (), position)
            if isinstance(value, tuple) and not constant:
                return self._text(value, position)
        elif isinstance(value, int):
            return value
        raise Unsound

    def _text(self, given: _Parts, position: Position) -> Text:
        """A string with variables."""
        if not self._variables:
            raise Unsound
        parts: list[str | VariableRef] = []
        self._left -= len(given)
        for part in given:
            if isinstance(part, str):
                parts.append(part)
                continue
            if len(part) != 2 or not isinstance(part[0], str) or not isinstance(part[1], str):
                raise Unsound
            reference = VariableRef(part[0] or None, part[1])
            if not _is_reference(reference):
                raise Unsound
            self._v.reference(reference, position)
            parts.append(reference)
        return Text(None, tuple(parts), position)


@lru_cache(maxsize=512)
def _is_reference(reference: VariableRef) -> bool:
    namespace = "" if reference.namespace is None else f"{reference.namespace}."
    return split_references(f"${{{namespace}{reference.name}}}") == (reference,)
