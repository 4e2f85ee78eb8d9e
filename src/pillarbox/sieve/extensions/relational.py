"""relational (RFC 5231): ``:value "gt"`` and ``:count "gt"``.

:count compares how many values there are, by i;ascii-numeric unless the script names another
comparator.  In the string test empty strings do not count (RFC 5229 section 5).  Tests on items
that may be unknown are false for those, whatever is compared (RFC 5183 section 4).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pillarbox.sieve.comparators import ASCII_NUMERIC
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.nodes import Matching
from pillarbox.sieve.registry import STRING, Extension, MatchType

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator

_RELATIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
_FALSE_WITHOUT: Final = frozenset(
    {"environment", "metadata", "notify_method_capability", "servermetadata"}
)


def _check(v: Validator, node: Node) -> None:
    assert node.matching is not None
    parameter = node.matching.parameter
    if parameter is not None and (parameter.constant or "").lower() not in _RELATIONS:
        v.error(
            parameter.position,
            f"the :{node.matching.type.name} match type needs one of "
            f"{', '.join(_RELATIONS)} as relation",
        )


def _relation(matching: Matching) -> Callable[[Any, Any], bool]:
    if matching.parameter is None or matching.parameter.constant is None:
        raise SieveRunError("the relation is no constant")
    return _RELATIONS[matching.parameter.constant.lower()]


def _prepare(matching: Matching, key: str) -> Any:
    return matching.comparator.fold(key)


def _value(run: Run, matching: Matching, value: str, keys: Sequence[Any]) -> int:
    relation = _relation(matching)
    folded = matching.comparator.fold(value)
    for index, key in enumerate(keys):
        if relation(folded, key):
            return index
    return -1


def _count(run: Run, node: Node, values: Sequence[str], keys: Sequence[str]) -> bool:
    matching = node.matching
    assert matching is not None
    comparator = matching.comparator if "comparator" in node.tags else ASCII_NUMERIC
    relation = _relation(matching)
    if not values and node.name in _FALSE_WITHOUT:
        return False
    counted = [value for value in values if value] if node.name == "string" else values
    count = comparator.fold(str(len(counted)))
    return any(relation(count, comparator.fold(key)) for key in keys)


EXTENSION = Extension(
    "relational",
    match_types=(
        MatchType("value", _prepare, _value, kind=STRING, validate=_check),
        MatchType("count", whole=_count, kind=STRING, validate=_check),
    ),
)
