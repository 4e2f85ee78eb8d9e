"""Arguments bound to what a command or test declares (RFC 5228 section 2.6).

`bind` makes a `Node` from a command or test of the tree: tags by name with their values, then
positional arguments by name.  `complete` adds what follows from them, whether they come from the
tree or from a compiled form: comparator and match type for tests that compare, filters, address
part.  Every error names the command and the argument.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pillarbox.sieve.ast import Argument, Command, Number, Position, String, StringList, Tag, Test
from pillarbox.sieve.comparators import ASCII_CASEMAP
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.match import IS
from pillarbox.sieve.nodes import Matching, Node, TagUse, Text, Texts
from pillarbox.sieve.registry import CommandSpec, Comparator, Kind, Positional, TagSpec, TestSpec

if TYPE_CHECKING:
    from pillarbox.sieve.validator import Validator

MATCH_TYPE = "match type"
ADDRESS_PART = "address part"
COMPARATOR = "comparator"

_COMPARATOR_TAG = TagSpec("comparator", Kind.STRING, COMPARATOR, constant=True)


def bind(v: Validator, item: Command | Test, spec: CommandSpec | TestSpec) -> Node:
    """The node for a command or test; its tests and block are still to be added."""
    node = Node(spec.name, item.position, spec)
    binder = _Binder(v, node, spec)
    positional = binder.tags(item.arguments)
    binder.positional(positional)
    complete(v, node, spec)
    return node


def complete(v: Validator, node: Node, spec: CommandSpec | TestSpec) -> None:
    """Work out what follows from the arguments of a node and check its tags."""
    if spec.compares:
        _add_matching(v, node, spec)
    if not node.tags:
        return
    node.filters = sorted(
        (use for use in node.tags.values() if use.spec.fields is not None),
        key=lambda use: use.spec.order,
    )
    part = node.group(ADDRESS_PART)
    if part is not None:
        node.part = v.scope.address_parts[part.spec.name]
    for use in node.tags.values():
        if use.spec.validate is not None:
            use.spec.validate(v, node, use)


def find_tag(v: Validator, spec: CommandSpec | TestSpec, name: str) -> TagSpec | None:
    """The tag of that name, among them match types and address parts."""
    tag = v.scope.tags_of(spec).get(name)
    if tag is not None:
        return tag
    if spec.compares:
        if name == "comparator":
            return _COMPARATOR_TAG
        match_type = v.scope.match_types.get(name)
        if match_type is not None:
            return _group_tag(name, MATCH_TYPE, match_type.kind)
    if isinstance(spec, TestSpec) and spec.parts and name in v.scope.address_parts:
        return _group_tag(name, ADDRESS_PART, None)
    return None


@lru_cache(maxsize=64)
def _group_tag(name: str, group: str, kind: Kind | None) -> TagSpec:
    return TagSpec(name, kind, group)


def _who(spec: CommandSpec | TestSpec) -> str:
    return f"the {spec.name} {'test' if isinstance(spec, TestSpec) else 'command'}"


def _add_matching(v: Validator, node: Node, spec: CommandSpec | TestSpec) -> None:
    comparator = _comparator(v, node, spec)
    use = node.group(MATCH_TYPE)
    kind = IS if use is None else v.scope.match_types[use.spec.name]
    if kind.substring and not comparator.substring:
        v.error(
            node.position if use is None else use.position,
            f"{_who(spec)}: the comparator '{comparator.name}' cannot be used with the match "
            f"type ':{kind.name}'",
        )
        return
    node.matching = matching = Matching(kind, comparator)
    if use is not None and use.value is not None:
        matching.parameter = use.text()
    if kind.validate is not None:
        kind.validate(v, node)
    keys = node.arguments.get(spec.keys)
    if kind.prepare is not None and keys and all(key.constant is not None for key in keys):
        try:
            matching.prepared = [kind.prepare(matching, key.constant) for key in keys]
        except SieveRunError as error:
            v.error(keys[0].position, f"{_who(spec)}: {error.message}")


def _comparator(v: Validator, node: Node, spec: CommandSpec | TestSpec) -> Comparator:
    use = node.tags.get("comparator")
    if use is None:
        return ASCII_CASEMAP
    name = use.text().constant or ""
    found = v.scope.comparators.get(name)
    if found is None:
        hint = ""
        if v.scope.supports(f"comparator-{name}"):
            hint = f' (it needs require "comparator-{name}")'
        v.error(use.position, f"unknown comparator '{name[:80]}' for {_who(spec)}{hint}")
        return ASCII_CASEMAP
    return found


def _kind_of(argument: Argument | None) -> str:
    match argument:
        case None:
            return "nothing"
        case Number():
            return "a number"
        case String():
            return "a string"
        case StringList():
            return "a string list"
        case Tag(name):
            return f"tag ':{name}'"


class _Binder:
    def __init__(self, v: Validator, node: Node, spec: CommandSpec | TestSpec) -> None:
        self.v = v
        self.node = node
        self.spec = spec
        self.who = _who(spec)

    def tags(self, arguments: list[Argument]) -> list[Argument]:
        """Take the tags with their values; what is left."""
        rest: list[Argument] = []
        waiting = iter(arguments)
        for argument in waiting:
            if not isinstance(argument, Tag):
                rest.append(argument)
                continue
            tag = find_tag(self.v, self.spec, argument.name)
            if tag is None:
                self.unknown(argument)
                continue
            if rest:
                self.v.error(
                    argument.position,
                    f"{self.who} has the tagged argument ':{tag.name}' behind its positional "
                    "arguments",
                )
            value: Any = None
            if tag.kind is not None:
                given = next(waiting, None)
                value = self.value(given, tag.kind, argument.position, f":{tag.name}", tag.constant)
                if value is None:
                    continue
            self.use(tag, value, argument.position)
        for use in self.node.tags.values():
            needs = use.spec.needs
            if needs is not None and needs not in self.node.tags:
                self.v.error(
                    use.position,
                    f"{self.who} has the tag ':{use.spec.name}' without the tag ':{needs}'",
                )
        return rest

    def use(self, tag: TagSpec, value: Any, position: Position) -> None:
        if tag.name in self.node.tags:
            self.v.error(
                position, f"encountered duplicate tagged argument ':{tag.name}' for {self.who}"
            )
            return
        if tag.group is not None:
            other = self.node.group(tag.group)
            if other is not None:
                self.v.error(
                    position,
                    f"{self.who} has the {tag.group} ':{tag.name}' besides "
                    f"':{other.spec.name}'; only one is allowed",
                )
                return
        self.node.tags[tag.name] = TagUse(tag, value, position)

    def unknown(self, tag: Tag) -> None:
        capability = self.v.scope.bringing("tag", tag.name, self.spec.name)
        hint = f' (it needs require "{capability}")' if capability else ""
        self.v.error(tag.position, f"unknown tagged argument ':{tag.name}' for {self.who}{hint}")

    def value(
        self, argument: Argument | None, kind: Kind, position: Position, what: str, constant: bool
    ) -> Any:
        """An argument as its kind wants it, or None after an error."""
        value: Any = None
        match argument:
            case Number(number) if kind is Kind.NUMBER:
                return number
            case String() if kind is Kind.STRING:
                value = self.v.text(argument)
            case String() if kind is Kind.STRINGS:
                value = Texts((self.v.text(argument),))
            case StringList(items) if kind is Kind.STRINGS:
                value = Texts(self.v.text(item) for item in items)
            case _:
                where = position if argument is None else argument.position
                self.v.error(
                    where,
                    f"{self.who} expects {kind.value} as {what}, but {_kind_of(argument)} was "
                    "found",
                )
                return None
        texts = value if isinstance(value, tuple) else (value,)
        if constant and any(text.constant is None for text in texts):
            self.v.error(texts[0].position, f"{self.who} allows no variables in {what}")
        return value

    def positional(self, given: list[Argument]) -> None:
        wanted: tuple[Positional, ...] = self.spec.arguments
        if len(given) < len(wanted):
            wanted = tuple(item for item in wanted if not item.optional)
        if len(given) != len(wanted):
            most = len(self.spec.arguments)
            least = sum(not item.optional for item in self.spec.arguments)
            expected = str(most) if most == least else f"{least} to {most}"
            self.v.error(
                self.node.position,
                f"{self.who} expects {expected} positional arguments, but {len(given)} were found",
            )
        for number, (argument, item) in enumerate(zip(given, wanted), 1):
            what = f"argument {number} ({item.name})"
            value = self.value(argument, item.kind, argument.position, what, item.constant)
            if value is not None:
                self.node.arguments[item.name] = value
        for item in wanted:  # what is missing after errors, so that nobody stumbles on it
            if item.name not in self.node.arguments:
                self.node.arguments[item.name] = _nothing(item.kind, self.node.position)


def _nothing(kind: Kind, position: Position) -> Any:
    if kind is Kind.NUMBER:
        return 0
    text = Text("", (), position)
    return text if kind is Kind.STRING else Texts((text,))
