"""Fields that go along from server to server: text, base64, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.proxy import forward

names = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
values = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
fields = st.dictionaries(names, values, max_size=8)


@given(fields)
def test_what_is_written_is_read(given_: dict[str, str]) -> None:
    text = forward.write(given_)
    assert "\n" not in text
    assert "\r" not in text
    assert forward.read(text) == given_
    assert forward.read_base64(forward.write_base64(given_)) == given_
    assert forward.read_either(forward.write_base64(given_)) == given_


@given(st.dictionaries(names, values.filter(bool), max_size=8))
def test_text_is_not_taken_for_base64(given_: dict[str, str]) -> None:
    assert forward.read_either(forward.write(given_)) == given_


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("color=blue\tx=a+b=c", {"color": "blue", "x": "a+b=c"}),
        ("color\t=x\ta b=c\tn=", {"n": ""}),
        ("Y29sb3I9Ymx1ZQ==", {"color": "blue"}),
        ("abc=", {"abc": ""}),
    ],
)
def test_reading_either(text: str, expected: dict[str, str]) -> None:
    assert forward.read_either(text) == expected


def test_bounds() -> None:
    many = {f"n{number}": "x" for number in range(100)}
    assert list(forward.bounded(many)) == list(many)[: forward.MAX_FIELDS]
    assert forward.bounded({"a": "x", "b": "y" * forward.MAX_LENGTH, "c": "z"}) == {"a": "x"}
    assert forward.bounded({"a": "ü"}, 4) == {}
    assert forward.bounded({"a": "ü"}, 5) == {"a": "ü"}
    assert forward.read(forward.write(many)) == forward.bounded(many)


@pytest.mark.parametrize("text", ["Y29sb3I9Ymx1ZQ", "!", "/w==", "é"])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(ValueError):
        forward.read_base64(text)


def test_the_fields_of_a_passdb() -> None:
    assert forward.of_passdb({"forward_a": "1", "proxy": "", "xforward_b": "2"}) == {"a": "1"}
