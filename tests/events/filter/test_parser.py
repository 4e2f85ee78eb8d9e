"""Parsing: the grammar, the exact errors, and round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.parser import MAX_DEPTH, parse
from pillarbox.events.filter.pattern import Pattern
from pillarbox.events.filter.tree import And, Compare, Not, Operator, Or, Tree


def c(key: str, value: str, operator: Operator = "=") -> Compare:
    return Compare(key, operator, Pattern.literal(value))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a=b", c("a", "b")),
        ("a = b", c("a", "b")),
        ('a="b c"', c("a", "b c")),
        (r"a=b\*", c("a", "b*")),
        (r'a="\"\\"', c("a", '"\\')),
        ('a=""', c("a", "")),
        ("a>1", c("a", "1", ">")),
        ("a>=1", c("a", "1", ">=")),
        ("a <= 1MB", c("a", "1MB", "<=")),
        ("a=b AND c=d", And((c("a", "b"), c("c", "d")))),
        ("a=b and c=d or e=f", Or((And((c("a", "b"), c("c", "d"))), c("e", "f")))),
        ("a=b OR c=d AND e=f", Or((c("a", "b"), And((c("c", "d"), c("e", "f")))))),
        ("(a=b OR c=d) AND e=f", And((Or((c("a", "b"), c("c", "d"))), c("e", "f")))),
        ("a=b AND (c=d AND e=f)", And((c("a", "b"), c("c", "d"), c("e", "f")))),
        ("NOT a=b", Not(c("a", "b"))),
        ("not not a=b", Not(Not(c("a", "b")))),
        ("NOT (a=b)", Not(c("a", "b"))),
        ("user=and AND b=or", And((c("user", "and"), c("b", "or")))),
        ("mail:x.y-z=1", c("mail:x.y-z", "1")),
        ("source_location=a/b.py:12", c("source_location", "a/b.py:12")),
        (
            "a=b*c?",
            Compare("a", "=", Pattern(((False, "b"), (True, "*"), (False, "c"), (True, "?")))),
        ),
    ],
)
def test_parse(text: str, tree: Tree) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected a field name, NOT or an opening parenthesis, found the end"),
        ("user", "column 5: expected one of = > < >= <=, found the end"),
        ("user=", "column 6: expected a value, found the end"),
        ("user==x", "column 6: expected a value, found '='"),
        ("user=x y=z", "column 8: expected AND, OR or the end, found 'y'"),
        (
            "user=x AND",
            "column 11: expected a field name, NOT or an opening parenthesis, found the end",
        ),
        (
            "AND user=x",
            "column 1: expected a field name, NOT or an opening parenthesis, found 'AND'",
        ),
        ("(user=x", "column 8: expected AND, OR or a closing parenthesis, found the end"),
        ("user=x)", "column 7: expected no closing parenthesis, found ')'"),
        ('user="x', "column 8: expected a closing quote, found the end"),
        ("user=x\\", "column 8: expected a character after \\, found the end"),
        ("event > x", "column 7: expected = (of event nothing else can be asked), found '>'"),
        ("us*r=x", "column 1: expected a field name, NOT or an opening parenthesis, found 'us*r'"),
        (
            r"\NOT=x",
            "column 1: expected a field name of letters, digits, _ - . and :, found '\\\\NOT'",
        ),
        ("1x=x", "column 1: expected a field name of letters, digits, _ - . and :, found '1x'"),
        (
            '"user"=x',
            "column 1: expected a field name, NOT or an opening parenthesis, found '\"user\"'",
        ),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(FilterError) as error:
        parse(text)
    assert str(error.value) == message
    assert error.value.pointer().splitlines()[1].index("^") == error.value.column - 1


def test_too_deep() -> None:
    parse("(" * MAX_DEPTH + "a=b" + ")" * MAX_DEPTH)
    parse("NOT " * MAX_DEPTH + "a=b")
    for text in ("(" * 5000 + "a=b" + ")" * 5000, "NOT " * 5000 + "a=b"):
        with pytest.raises(FilterError, match="at most"):
            parse(text)


def test_too_long() -> None:
    with pytest.raises(FilterError, match="65536 characters"):
        parse("a=" + "b" * 70000)


pieces = st.lists(
    st.one_of(
        st.tuples(st.just(True), st.sampled_from("*?")),
        st.tuples(st.just(False), st.text(min_size=1, max_size=5)),
    ),
    max_size=4,
)


def merged(found: list[tuple[bool, str]]) -> Pattern:
    parts: list[tuple[bool, str]] = []
    for wild, text in found:
        if parts and not wild and not parts[-1][0]:
            parts[-1] = (False, parts[-1][1] + text)
        else:
            parts.append((wild, text))
    return Pattern(tuple(parts))


keys = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda k: k not in ("and", "or", "not", "event", "category", "source_location")
)
compares = st.builds(
    Compare, keys, st.sampled_from(["=", "<", ">", "<=", ">="]), pieces.map(merged)
)
trees: st.SearchStrategy[Tree] = st.recursive(
    compares,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner.filter(lambda t: not isinstance(t, And)), min_size=2, max_size=3).map(
            lambda parts: And(tuple(parts))
        ),
        st.lists(inner.filter(lambda t: not isinstance(t, Or)), min_size=2, max_size=3).map(
            lambda parts: Or(tuple(parts))
        ),
    ),
    max_leaves=8,
)


@given(trees)
def test_round_trip(tree: Tree) -> None:
    assert parse(str(tree)) == tree


@given(st.text(alphabet='ab=<>() "\\*?ANDORNT', max_size=40))
def test_any_text_parses_or_is_a_filter_error(text: str) -> None:
    try:
        tree = parse(text)
    except FilterError as error:
        column = error.column
    else:
        column = 1
        assert parse(str(tree)) == tree
    assert 1 <= column <= len(text) + 1
