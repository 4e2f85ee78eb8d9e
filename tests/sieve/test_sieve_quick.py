"""Tests made into functions say what tests say: every run is compared with a traced one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.questions import Now
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Script, compile

RULES = Path(__file__).parents[2] / "bench" / "rules.sieve"
NOW = datetime(2026, 6, 1, 12, 0).astimezone()

MAILS = [
    b"From: Ann <ann@shop.example>\r\nTo: users@example.net, b@example.com\r\n"
    b"Subject: Your invoice no. 12\r\nSubject: second\r\nX-Spam-Score: 7 points\r\n\r\nText\r\n",
    b"From: boss@example.com\r\nTo: Bob <bob@example.com>\r\nCc: team@example.com\r\n"
    b"Subject: =?utf-8?q?Meeting_=C3=A4?=\r\nList-Id: Devel <devel.lists.example.org>\r\n\r\n",
    b"Subject: [ticket] order 7\r\nFrom: noreply@x.example\r\nPrecedence: bulk\r\n\r\n",
    b"\r\nno header\r\n",
    b"From: broken <\r\nTo: group: a@b.example;\r\nSubject:\r\n folded\r\n\r\n",
]

NAMES = ["Subject", "from", "TO", "Cc", "X-Spam-Score", "List-Id", "X-None"]
KEYS = ["", "invoice", "Meeting ä", "devel", "ann@shop.example", "shop.example", "7", "bob"]
GLOBS = ["*", "?*", "*invoice*", "*<*.lists.*>*", "[ticket] ?????*", "*@*.example"]


def run(script: Script, mail: bytes, *, trace: bool, limits: Limits | None = None) -> Result:
    """Run to the end; all questions have their default answers."""
    envelope = Envelope("ann@shop.example", "bob+work@example.com")
    steps = Run(script, mail, envelope, Environment(), limits, trace=trace).execute()
    answer: Any = None
    try:
        while True:
            question = steps.send(answer)
            answer = NOW if isinstance(question, Now) else question.default
    except StopIteration as end:
        result: Result = end.value
        return result


def same(text: str, mail: bytes, limits: Limits | None = None) -> Result:
    """The result of a run, which is that of a traced one."""
    script, diagnostics = compile(text, "test")
    assert script is not None, diagnostics
    quick = run(script, mail, trace=False, limits=limits)
    again = run(script, mail, trace=False, limits=limits)
    traced = run(script, mail, trace=True, limits=limits)
    assert traced.trace
    for one in (quick, again):
        assert one.actions == traced.actions
        assert (one.steps, one.flags, one.limited) == (traced.steps, traced.flags, traced.limited)
        assert (one.implicit_keep, one.log) == (traced.implicit_keep, traced.log)
        assert (one.error is None) == (traced.error is None)
    return quick


def quoted(strings: list[str]) -> str:
    return "[" + ", ".join('"' + s.replace("\\", "\\\\") + '"' for s in strings) + "]"


@st.composite
def leaves(draw: st.DrawFn) -> str:
    names = quoted(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)))
    kind = draw(st.sampled_from([":is", ":contains", ":matches", ":regex", ':value "gt"']))
    keys = draw(st.lists(st.sampled_from(GLOBS if kind == ":matches" else KEYS), min_size=1))
    if kind == ":regex":
        keys = [f"(x?){key}" for key in keys]
    comparator = draw(st.sampled_from(["", ':comparator "i;octet" ']))
    index = draw(st.sampled_from(["", "", ":index 1 "]))
    addressed = quoted(draw(st.lists(st.sampled_from(["from", "To", "cc"]), min_size=1)))
    part = draw(st.sampled_from(["", ":localpart ", ":domain ", ":all ", ":detail "]))
    compared = f"{comparator}{kind} "
    return draw(
        st.sampled_from(
            [
                f"header {index}{compared}{names} {quoted(keys)}",
                f"address {index}{part}{compared}{addressed} {quoted(keys)}",
                f'string {compared}"${{1}}" {quoted(keys)}',
                f'header {compared}{names} "${{0}}x"',
                f'envelope {part}{compared}"to" {quoted(keys)}',
                f"exists {names}",
                "true",
                "size :over 100",
                f"currentdate {compared}" + '"hour" ["12", "7"]',
            ]
        )
    )


TESTS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not {one}"),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: f"allof({', '.join(many)})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: f"anyof({', '.join(many)})"),
    ),
    max_leaves=6,
)
REQUIRE = (
    'require ["variables", "envelope", "regex", "relational", "imap4flags", "date", "index",'
    ' "subaddress"];\n'
)


@given(st.lists(TESTS, min_size=1, max_size=4), st.sampled_from(MAILS))
def test_any_tests_give_the_same(tests: list[str], mail: bytes) -> None:
    commands = [f'if {test} {{ addflag "f{n} ${{1}}"; }}\n' for n, test in enumerate(tests)]
    first, *others = commands
    chain = [first, *(f"els{other}" for other in others)]
    same(REQUIRE + "".join(commands), mail)
    same(REQUIRE + "".join(chain) + 'else { addflag "none"; }', mail)


@pytest.mark.parametrize("number", range(len(MAILS)))
def test_a_realistic_script_gives_the_same(number: int) -> None:
    result = same(RULES.read_text(), MAILS[number])
    assert result.error is None


def test_limits_end_it_at_the_same_step() -> None:
    text = REQUIRE + "".join(f'if header :is "subject" "{n}" {{ stop; }}\n' for n in range(600))
    script, _ = compile(text, "test")
    assert script is not None
    limits = Limits(steps=700)
    quick = run(script, MAILS[0], trace=False, limits=limits)
    traced = run(script, MAILS[0], trace=True, limits=limits)
    assert quick.limited
    assert traced.limited
    assert quick.error is not None
    assert "limit of steps" in str(quick.error)


def test_what_goes_wrong_is_told_at_its_line() -> None:
    text = (
        REQUIRE
        + 'if anyof(header :is "subject" "x",\n   header :regex "subject" "${0}(") { stop; }'
    )
    script, _ = compile(text, "test")
    assert script is not None
    quick = run(script, MAILS[0], trace=False)
    traced = run(script, MAILS[0], trace=True)
    assert quick.error == traced.error
    assert quick.error is not None
    assert quick.error.line == 3
