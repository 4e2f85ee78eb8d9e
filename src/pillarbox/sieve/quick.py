"""Tests as plain functions of the run: what makes scripts fast.

`test` makes one, once, of a test that asks nothing: names are looked up, keys folded and kinds told
apart beforehand, and a header field is folded once for all tests that look at it.  `branches` does
the same for a whole chain of if, elsif and else.

Outcome, steps, variables set by matching, and errors are those of `Run.test_now`, which stays what
a test means, and runs where a trace is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pillarbox.sieve.core.tests import (
    address_all,
    address_values,
    exists,
    header_values,
    whole_address,
)
from pillarbox.sieve.match import CONTAINS, IS
from pillarbox.sieve.registry import Comparator, MatchType, TestSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.message import HeaderField
    from pillarbox.sieve.nodes import Matching, Node

Test = Callable[["Run"], bool]
Choice = Callable[["Run"], "Sequence[Node] | None"]

_NOTHING: Final[Sequence[HeaderField]] = ()


def test(node: Node) -> Test:
    """The function of a test that asks nothing."""
    made: Test | None = node.quick
    if made is None:
        made = node.quick = _make(node)
    return made


def branches(node: Node) -> Choice | None:
    """What chooses the block of an ``if``; None if one of its tests asks."""
    if node.quick is None:
        asks = any(branch.test is not None and branch.test.asks for branch in node.data)
        node.quick = (None,) if asks else (_choice(node),)
    made: Choice | None = node.quick[0]
    return made


def _choice(node: Node) -> Choice:
    tests: list[tuple[Test | None, Sequence[Node]]] = [
        (None if b.test is None else test(b.test), b.block) for b in node.data
    ]

    def choose(run: Run) -> Sequence[Node] | None:
        for one, block in tests:
            if one is None or one(run):
                return block
        return None

    return choose


def _make(node: Node) -> Test:
    if node.name in ("allof", "anyof", "not"):
        return _combined(node)
    spec, matching = node.spec, node.matching
    assert isinstance(spec, TestSpec)
    names = _constant_names(node)
    if spec.evaluate is exists and names is not None:
        return _exists(node, names)
    if spec.values is None or matching is None or matching.prepared is None:
        return lambda run: run.test_now(node)
    found = _finder(spec, matching)
    if names is None or spec.values not in (header_values, address_values):
        return _of_values(node, spec.values, found)
    if spec.values is address_values:
        return _of_addresses(node, names, found)
    if matching.type in (IS, CONTAINS):
        return _of_fields(node, names, matching)
    return _of_texts(node, names, found)


def _constant_names(node: Node) -> list[str] | None:
    """The field names that a test looks at, if all fields of these names are to be seen."""
    texts = node.arguments.get("names")
    if node.filters or not isinstance(texts, tuple):
        return None
    names = [text.constant.upper() for text in texts if text.constant is not None]
    return names if len(names) == len(texts) else None


def _combined(node: Node) -> Test:
    tests = [test(one) for one in node.tests]
    if node.name == "not":

        def negated(run: Run) -> bool:
            run.spend(1)
            return not tests[0](run)

        return negated
    settles = node.name == "anyof"  # the outcome of one test that is enough

    def combined(run: Run) -> bool:
        run.spend(1)
        for one in tests:
            if one(run) is settles:
                return settles
        return not settles

    return combined


def _exists(node: Node, names: Sequence[str]) -> Test:
    def exist(run: Run) -> bool:
        run.node = node
        run.spend(1)
        by_name = run.message.by_name
        return all(name in by_name for name in names)

    return exist


def _finder(spec: TestSpec, matching: Matching) -> Callable[[Run, str], bool]:
    """A function that tells whether a value matches one of the keys, which are constant."""
    kind: MatchType = matching.type
    prepared, fold = matching.prepared or (), matching.comparator.fold
    if kind is IS:
        return lambda run, value: fold(value) in prepared
    if kind is CONTAINS:
        return lambda run, value: _any_in(prepared, fold(value))
    search = kind.search
    assert search is not None
    if spec.captures:
        return lambda run, value: search(run, matching, value, prepared) >= 0

    def without_captures(run: Run, value: str) -> bool:
        before = run.frame.matches
        outcome = search(run, matching, value, prepared) >= 0
        run.frame.matches = before
        return outcome

    return without_captures


def _any_in(keys: Sequence[str], text: str) -> bool:
    for key in keys:  # noqa: SIM110
        if key in text:
            return True
    return False


def _weight(node: Node) -> int:
    """Steps for each value that is looked at."""
    assert node.matching is not None
    return 1 + (len(node.matching.prepared or ()) >> 3)


def _of_values(
    node: Node, values: Callable[[Run, Node], Any], found: Callable[[Run, str], bool]
) -> Test:
    weight = _weight(node)

    def some(run: Run) -> bool:
        run.node = node
        run.spend(1)
        for value in values(run, node):
            run.spend(weight)
            if found(run, value):
                return True
        return False

    return some


def _of_addresses(node: Node, names: Sequence[str], found: Callable[[Run, str], bool]) -> Test:
    weight = _weight(node)
    part = address_all if node.part is None else node.part.part
    whole = whole_address(node)

    def some(run: Run) -> bool:
        run.node = node
        run.spend(1)
        by_name = run.message.by_name
        for name in names:
            for field in by_name.get(name, _NOTHING):
                for local, domain in field.addresses:
                    value = part(run, local, domain)
                    if value is not None:
                        run.spend(weight)
                        if found(run, value):
                            return True
                if whole and not field.addresses and field.unreadable:
                    run.spend(weight)
                    if found(run, field.unreadable):
                        return True
        return False

    return some


def _of_texts(node: Node, names: Sequence[str], found: Callable[[Run, str], bool]) -> Test:
    weight = _weight(node)

    def some(run: Run) -> bool:
        run.node = node
        run.spend(1)
        by_name = run.message.by_name
        for name in names:
            for field in by_name.get(name, _NOTHING):
                run.spend(weight)
                if found(run, field.text):
                    return True
        return False

    return some


def _of_fields(node: Node, names: Sequence[str], matching: Matching) -> Test:
    """:is and :contains, which want nothing but folded texts."""
    weight = _weight(node)
    comparator: Comparator = matching.comparator
    fold, keys, whole = comparator.fold, matching.prepared or (), matching.type is IS

    def some(run: Run) -> bool:
        run.node = node
        steps = 1
        by_name = run.message.by_name
        for name in names:
            for field in by_name.get(name, _NOTHING):
                steps += weight
                text = field.folded(fold)
                if text in keys if whole else _any_in(keys, text):
                    run.spend(steps)
                    return True
        run.spend(steps)
        return False

    return some
