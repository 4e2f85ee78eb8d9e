"""regex (draft-ietf-sieve-regex): the ``:regex`` match type and the modifier ``:quoteregex``.

Expressions are POSIX extended ones; constant ones are checked when a script is compiled.  Whatever
the expression and the text, one match ends within the effort that the limits allow: see `ere`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pillarbox.sieve import ere, ere_machine
from pillarbox.sieve.errors import SieveLimitError, SieveRunError
from pillarbox.sieve.limits import DEFAULT
from pillarbox.sieve.match import captured
from pillarbox.sieve.nodes import Matching
from pillarbox.sieve.registry import Added, Extension, MatchType, TagSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run

_SPECIAL: Final = re.compile(r"[\\^$.*+?()\[\]{}|]")


def _prepare(matching: Matching, key: str) -> ere.Expression:
    name = matching.comparator.name
    try:
        return ere.compile_expression(
            key, name != "i;octet", name == "i;ascii-casemap", DEFAULT.regex_states
        )
    except ere.RegexError as error:
        raise SieveRunError(f"invalid regular expression '{key[:80]}': {error}") from None


def _search(run: Run, matching: Matching, value: str, keys: Sequence[Any]) -> int:
    effort = run.limits.regex_effort
    run.look_at_budget()
    for index, expression in enumerate(keys):
        if expression.safe_for(len(value), effort):
            run.spend(len(value) >> 6)
            match = expression.pattern.search(value)
            spans = None if match is None else ere.spans(match)
        else:
            run.spend(1 + len(value) * expression.size // 64)
            try:
                spans = ere_machine.search(expression, value, effort)
            except ere_machine.Exhausted:
                raise SieveLimitError("a regular expression costs too much") from None
        if spans is not None:
            if run.wants_matches:
                run.set_matches(captured(value, None, spans))
            return index
    return -1


def _quoteregex(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


EXTENSION = Extension(
    "regex",
    match_types=(MatchType("regex", _prepare, _search, substring=True),),
    added=(
        Added(
            ("set",),
            (
                TagSpec(
                    "quoteregex", group="modifier of precedence 20", order=20, modify=_quoteregex
                ),
            ),
        ),
    ),
)
