"""The lines of TOML keys."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.settings.positions import line_of, lines

DOCUMENT = '''\
# a comment with [brackets] and = signs
top = 1
"quoted key" = "a # no comment"
dotted.inner . deep = [
    1, # [x]
    "]",
]
text = """
[not.a.table]
key = 1
"""
literal = \'\'\'
also = "no"\'\'\'\'
inline = { a = 1, b = "}" } # end

[table]
x = 1
[ table . "sub.key" ]
y = 2
[[array]]
z = 1
[[array]]
z = 2
[array.child]
w = 3
'''


def test_every_key_has_its_line() -> None:
    tomllib.loads(DOCUMENT)
    found = lines(DOCUMENT)
    assert found == {
        ("top",): 2,
        ("quoted key",): 3,
        ("dotted",): 4,
        ("dotted", "inner"): 4,
        ("dotted", "inner", "deep"): 4,
        ("text",): 8,
        ("literal",): 12,
        ("inline",): 14,
        ("table",): 16,
        ("table", "x"): 17,
        ("table", "sub.key"): 18,
        ("table", "sub.key", "y"): 19,
        ("array",): 20,
        ("array", 0): 20,
        ("array", 0, "z"): 21,
        ("array", 1): 22,
        ("array", 1, "z"): 23,
        ("array", 1, "child"): 24,
        ("array", 1, "child", "w"): 25,
    }


def test_what_has_no_line_has_that_of_its_surroundings() -> None:
    found = lines("a = 1\n[t]\nb = { c = 1 }\n")
    assert line_of(found, ("t", "b", "c")) == 3
    assert line_of(found, ("t", "missing")) == 2
    assert line_of(found, ("nowhere",)) is None


def test_a_table_that_is_only_implied_has_the_line_of_its_first_child() -> None:
    assert lines("[a.b.c]\n[a.b]\n") == {("a",): 1, ("a", "b"): 2, ("a", "b", "c"): 1}


def test_windows_lines() -> None:
    assert lines('a = """\r\nx\r\n"""\r\nb = 2\r\n') == {("a",): 1, ("b",): 4}


KEYS = st.text(alphabet="abz_-19 .\"'#[]=é", min_size=1, max_size=6)
SCALARS = st.one_of(
    st.integers(-(2**60), 2**60),
    st.booleans(),
    st.text(alphabet="ab \"'#[]{}=\\\n,.", max_size=12),
)
TREES = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=4),
    lambda inner: st.dictionaries(KEYS, st.one_of(SCALARS, inner), max_size=4),
    max_leaves=12,
)


def _write(tree: dict[str, Any], path: tuple[str, ...], out: list[str]) -> None:
    for key, value in tree.items():
        if not isinstance(value, dict):
            out.append(f"{json.dumps(key)} = {_value(value)}")
    for key, value in tree.items():
        if isinstance(value, dict):
            name = ".".join(json.dumps(p) for p in (*path, key))
            out.append(f"[{name}]")
            _write(value, (*path, key), out)


def _value(value: object) -> str:
    if isinstance(value, str) and "\n" in value:
        return '"""\n' + value.replace("\\", "\\\\").replace('"""', '""\\"') + 'x"""'
    if isinstance(value, str) and value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value)


def _paths(tree: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in tree.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += _paths(value, (*path, key))
    return found


@given(TREES)
def test_all_keys_of_any_document_are_found(tree: dict[str, Any]) -> None:
    out: list[str] = []
    _write(tree, (), out)
    text = "\n".join(out) + "\n"
    parsed = tomllib.loads(text)
    found = lines(text)
    assert set(found) == set(_paths(parsed))
    rows = text.split("\n")
    for path, line in found.items():
        assert json.dumps(path[-1]) in rows[line - 1]
