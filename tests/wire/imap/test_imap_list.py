"""LIST patterns as expressions."""

from __future__ import annotations

import pytest

from pillarbox.wire.imap.list import compile_patterns


@pytest.mark.parametrize(
    ("reference", "pattern", "matching", "other"),
    [
        ("", "*", ["INBOX", "a/b", "é"], []),
        ("", "%", ["INBOX", "a"], ["a/b"]),
        ("", "a/%", ["a/b"], ["a", "a/b/c"]),
        ("a/", "%", ["a/b"], ["b"]),
        ("", "inbox", ["INBOX"], ["INBOX/a", "a/INBOX"]),
        ("", "in%", ["INBOX", "ink"], ["INK", "INBOX/a"]),
        ("", "i*", ["INBOX", "INBOX/a", "i"], ["I", "INBOXES"]),
        ("", "%BoX", ["INBOX", "aBoX"], ["ABOX"]),
        ("in", "box/A", ["INBOX/A"], ["INBOX/a"]),
        ("", "iNbOx/%", ["INBOX/a"], []),
        ("", "inboxes", ["inboxes"], ["INBOXes"]),
        ("", "a.c", ["a.c"], ["abc"]),
        ("", "%/%", ["a/b"], ["a", "a/b/c"]),
        ("", "*%*%*x", ["x", "a/x"], ["y"]),
        ("", "", [""], ["a"]),
    ],
)
def test_matches(reference: str, pattern: str, matching: list[str], other: list[str]) -> None:
    compiled = compile_patterns(reference, (pattern,), "/")
    assert all(compiled.fullmatch(name) for name in matching)
    assert not any(compiled.fullmatch(name) for name in other)


def test_no_pattern_matches_nothing() -> None:
    assert compile_patterns("", (), "/").fullmatch("") is None


def test_several_patterns() -> None:
    compiled = compile_patterns("", ("a", "b%"), "/")
    assert compiled.fullmatch("a")
    assert compiled.fullmatch("bcd")
    assert not compiled.fullmatch("c")
