"""extlists (RFC 6134): lists that live outside of scripts.

The match type ``:list`` asks the caller whether a value is in one of the lists named by the keys;
``${0}`` is then the value.  valid_ext_list asks whether lists exist.  ``redirect :list`` leaves the
name of the list in the action, with ``options["list"]``: who carries it out knows the members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pillarbox.sieve.questions import Question
from pillarbox.sieve.registry import (
    STRINGS,
    Added,
    Asking,
    Extension,
    MatchType,
    Positional,
    TagSpec,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator


@dataclass(frozen=True, slots=True)
class ListExists(Question):
    """Whether there is a list of that name; bool."""

    list_name: str
    default: ClassVar[Any] = False


@dataclass(frozen=True, slots=True)
class ListContains(Question):
    """Whether the value is in the list of that name; bool, False if there is no such list."""

    list_name: str
    value: str
    default: ClassVar[Any] = False


def _in_list(run: Run, node: Node, values: Sequence[str], keys: Sequence[str]) -> Asking[bool]:
    for value in values:
        for key in keys:
            run.spend(8)
            if (yield ListContains(key, value)):
                if run.wants_matches:
                    run.set_matches([value])
                return True
    return False


def _check_match(v: Validator, node: Node) -> None:
    if "comparator" in node.tags:
        v.warning(node.position, "the match type ':list' does not look at the comparator")


def _valid(run: Run, node: Node) -> Asking[bool]:
    for name in run.texts(node.texts("lists")):
        if not (yield ListExists(name)):
            return False
    return True


def _to_list(run: Run, node: Node, use: TagUse, action: Action) -> None:
    action.options["list"] = True


EXTENSION = Extension(
    "extlists",
    tests=(TestSpec("valid_ext_list", _valid, arguments=(Positional("lists", STRINGS),)),),
    match_types=(MatchType("list", whole=_in_list, validate=_check_match),),
    added=(Added(("redirect",), (TagSpec("list", apply=_to_list),)),),
)
