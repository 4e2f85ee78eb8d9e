"""spamtest, spamtestplus and virustest (RFC 5235): what a scanner said in a header field.

Where a scanner writes its verdict is told by settings, here for spamtest; virustest has the same:
- `sieve_spamtest_status_header` = ``Field`` or ``Field: regex`` with one group, the status;
- `sieve_spamtest_status_type` = ``score`` (a number), ``strlen`` (as many characters as points) or
  ``text`` (words, each with a value by `sieve_spamtest_text_value1` …);
- `sieve_spamtest_max_value`, or `sieve_spamtest_max_header` with the maximum in a field.
Without them, or without the field, the value is 0: not tested.  Regexes are POSIX extended ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.sieve import ere, ere_machine
from pillarbox.sieve.registry import KEYS, Added, Extension, TagSpec, TestSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node

_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,12}(?:\.[0-9]{0,12})?)")


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str  # of the test, as in the settings
    highest: int  # value of the test


_SPAM: Final = _Kind("spamtest", 10)
_VIRUS: Final = _Kind("virustest", 5)


def _setting(run: Run, kind: _Kind, *names: str) -> str:
    for name in names:
        found = run.environment.settings.get(f"sieve_{kind.name}_{name}", "")
        if found:
            return found
    return ""


def _found(run: Run, source: str) -> str | None:
    """The text in a field that ``Field: regex`` finds; None if there is none."""
    name, _, pattern = source.partition(":")
    fields = run.message.fields(name.strip())
    if not fields:
        return None
    text = fields[0].text
    if not pattern.strip():
        return text.strip()
    try:
        expression = ere.compile_expression(pattern.strip(), False, False, 4_000)
        spans = ere_machine.search(expression, text, run.limits.regex_effort)
    except (ere.RegexError, ere_machine.Exhausted) as error:
        run.warn(f"the regular expression for '{name}' cannot be used: {error}")
        return None
    if spans is None:
        return None
    start, end = spans[min(1, len(spans) - 1)]
    return text[start:end].strip() if start >= 0 else ""


def _number(text: str | None) -> float | None:
    match = _NUMBER.match(text or "")
    return None if match is None else float(match[1])


def _text_value(run: Run, kind: _Kind, status: str) -> int | None:
    for value in range(kind.highest, -1, -1):
        words = _setting(run, kind, f"text_value{value}", f"text_value/{value}")
        if status.lower() in words.lower().split():
            return value
    return None


def _ratio(run: Run, kind: _Kind) -> float | None:
    """How much spam it is, from 0 to 1; None if it was not tested."""
    header = _setting(run, kind, "status_header")
    status = _found(run, header) if header else None
    if status is None:
        return None
    form = _setting(run, kind, "status_type") or "score"
    if form == "text":
        value = _text_value(run, kind, status)
        return None if not value else (value - 1) / (kind.highest - 1)
    score = float(len(status)) if form == "strlen" else _number(status)
    in_header = _setting(run, kind, "max_header", "score_max_header")
    most = _number(
        _found(run, in_header)
        if in_header
        else _setting(run, kind, "max_value", "score_max_value", "strlen_max_value")
    )
    if score is None or most is None or most <= 0:
        return None
    return min(max(score / most, 0.0), 1.0)


def _value(run: Run, node: Node, kind: _Kind) -> list[str]:
    ratio = _ratio(run, kind)
    if ratio is None:
        return ["0"]
    if "percent" in node.tags:
        return [str(int(ratio * 100 + 0.5))]
    return [str(1 + int(ratio * (kind.highest - 1) + 1e-9))]


def _spam(run: Run, node: Node) -> list[str]:
    return _value(run, node, _SPAM)


def _virus(run: Run, node: Node) -> list[str]:
    return _value(run, node, _VIRUS)


_SPAMTEST = TestSpec("spamtest", values=_spam, arguments=(KEYS,), keys="keys")

EXTENSIONS = (
    Extension("spamtest", tests=(_SPAMTEST,)),
    Extension(
        "spamtestplus",
        tests=(_SPAMTEST,),
        added=(Added(("spamtest",), (TagSpec("percent"),)),),
    ),
    Extension(
        "virustest",
        tests=(TestSpec("virustest", values=_virus, arguments=(KEYS,), keys="keys"),),
    ),
)
