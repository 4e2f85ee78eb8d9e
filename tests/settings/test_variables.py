"""Variables and their filters."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.settings.variables import (
    Expression,
    VariableError,
    expand,
    parse,
    variables_of,
)

VALUES = {"user": "Bob@Example.ORG", "home": "/srv/bob", "empty": "", "gone": None, "n": 12}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("100% sure", "100% sure"),
        ("%{home}/mail", "/srv/bob/mail"),
        ("%{user|username}", "Bob"),
        ("%{ user | domain | lower }", "example.org"),
        ("%{user | upper}", "BOB@EXAMPLE.ORG"),
        ("%{n}", "12"),
        ("%%{user}", "%{user}"),
        ("%%%{user}", "%%{user}"),
        ("a%%b", "a%%b"),
        ("%{gone}", ""),
        ("%{gone | lower | default('x')}", "x"),
        ('%{empty | default("it\'s")}', "it's"),
        ("%{user | default('x')}", "Bob@Example.ORG"),
        ("%{userdb:quota | default('none')}", "none"),
        ("%{user | truncate(3)}", "Bob"),
        ("%{user | truncate(0)}", ""),
        ("%{user | substr(0, 1)}", "B"),
        ("%{user | substr(-3)}", "ORG"),
        ("%{user | substr(4, -4)}", "Example"),
        ("%{user | md5}", "e3d7bb9ff0c1ed7a5ed3d1e4f8a2d9d4"),
        ("%{home | sha1 | hex | truncate(8)}", None),
        ("%{home | hash('sha256') | base64}", None),
        ("%{home | hex | unhex | text}", "/srv/bob"),
        ("%{n | hex(8)}", "0000000c"),
        ("%{n | hex(1)}", "c"),
        ("%{n | rfill(4, '0') | hex(2)}", "b0"),
        ("%{home | base64}", "L3Nydi9ib2I="),
        ("%{home | base64 | unbase64 | text}", "/srv/bob"),
        ("%{user | if('eq', 'admin', 'yes', 'no')}", "no"),
        ("%{user | if('*', 'bob@*', 'yes', 'no')}", "no"),
        ("%{user | lower | if('*', 'bob@*', home, 'no')}", "/srv/bob"),
        ("%{if(n, '>=', 10, 'many', 'few')}", "many"),
        ("%{user | if('~', '^B', 'b', 'other')}", "b"),
        ("%{concat('%', home)}", "%/srv/bob"),
        ("%{home | concat('/', n)}", "/srv/bob/12"),
        ("%{literal('a\\nb')}", "a\nb"),
        ("%{user | index('@', 1)}", "Example.ORG"),
        ("%{user | index('@', 7) | default('none')}", "none"),
        ("%{n | lfill(5, '0')}|%{n | rfill(4)}|", "00012|12  |"),
        ("%{user | regexp('@.*', '')}", "Bob"),
        ("%{user | regexp('(.)ob', '\\\\1\\\\1')}", "BB@Example.ORG"),
        ("%{user | domain_last}", "Example.ORG"),
    ],
)
def test_expansion(template: str, expected: str | None) -> None:
    import hashlib

    computed = {
        "%{user | md5}": hashlib.md5(b"Bob@Example.ORG").hexdigest(),
        "%{home | sha1 | hex | truncate(8)}": hashlib.sha1(b"/srv/bob").hexdigest()[:8],
    }
    result = expand(template, VALUES)
    if template.startswith("%{home | hash"):
        import base64

        assert result == base64.b64encode(hashlib.sha256(b"/srv/bob").digest()).decode()
    else:
        assert result == computed.get(template, expected)


def test_rounds_and_salt() -> None:
    import hashlib

    once = hashlib.sha256(b"salt/srv/bob").digest()
    assert expand("%{home | sha256(rounds=2, salt='salt')}", VALUES) == (
        hashlib.sha256(once).hexdigest()
    )


def test_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "red")
    assert expand("%{env:COLOUR | upper}", {}) == "RED"
    assert expand("%{process:pid}", {}) == str(os.getpid())
    assert expand("%{userdb:uid}", {"userdb:uid": 5}) == "5"
    assert expand("%{env:NO_SUCH_THING | default('x')}", {}) == "x"
    with pytest.raises(VariableError, match="the environment has no NO_SUCH_THING"):
        expand("%{env:NO_SUCH_THING}", {})


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("%{usr}", "did you mean user?"),
        ("%{username}", r"write %{user \| username}"),
        ("%{zzzzzz}", "known here: empty, gone, home, n, user"),
        ("%{user | lowr}", r"no filter lowr \(did you mean lower\?\)"),
        ("%{user", "closing brace"),
        ("%{}", "a name is missing"),
        ("%{user | }", "a name is missing"),
        ("%{user lower}", "a | or the closing brace"),
        ("%{user | substr(1}", "comma or the closing parenthesis"),
        ("%{user | substr(1 2)}", "comma or the closing parenthesis"),
        ("%{user | truncate('x')}", "must be a number"),
        ("%{user | truncate}", "does not take these arguments"),
        ("%{user | hash('nope')}", "no hash named"),
        ("%{user | if('??', 'a', 'b', 'c')}", "no comparison"),
        ("%{user | regexp('(', '')}", "regular expression is wrong"),
        ("%{lower('x')}", "lower needs a variable before it"),
        ("%{if('a', 'b')}", "five arguments"),
        ("%{user | unhex}", "hexadecimal digits"),
        ("%{user | hex(8)}", "must be a number"),
        ("%{n | hex(0)}", "at least 1"),
        ("%{user | lfill(9, 'ab')}", "one character"),
    ],
)
def test_errors_say_what_is_wrong(template: str, message: str) -> None:
    with pytest.raises(VariableError, match=message.replace("a | or", r"a \| or")):
        expand(template, VALUES)


def test_parse_gives_the_parts() -> None:
    parts = parse("a %{user | lower} b")
    assert parts[0] == "a "
    assert isinstance(parts[1], Expression)
    assert parts[1].evaluate(VALUES) == "bob@example.org"
    assert parts[2] == " b"
    assert variables_of("%{user}%{if(n, '==', 1, home, 'x')}%%{no}") == {"user", "n", "home"}


@given(st.text())
def test_any_text_expands_or_is_refused(text: str) -> None:
    try:
        result = expand(text, VALUES)
    except VariableError:
        assert "%{" in text
    else:
        assert result == text or "%{" in text


@given(st.text(alphabet=st.characters(blacklist_characters="%")), st.text())
def test_values_are_never_expanded_again(text: str, value: str) -> None:
    assert expand(text + "%{user}", {"user": value}) == text + value


def test_an_open_beginning() -> None:
    """What a proxy may send along is not set if it did not."""
    values = {**VALUES, "forward_*": None, "forward_color": "blue"}
    assert expand("%{forward_color}%{forward_shape}", values) == "blue"
    assert expand("%{forward_shape | default('x')}", values) == "x"
    with pytest.raises(VariableError, match="no variable forward_shape"):
        expand("%{forward_shape}", VALUES)
