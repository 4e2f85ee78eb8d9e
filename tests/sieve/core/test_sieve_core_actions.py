"""keep, discard, redirect, fileinto, stop and if: what a script ends in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.sieve.limits import Limits
from pillarbox.sieve.result import FileInto, Keep, Result

Act = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ["keep"]),
        ("keep;", ["keep"]),
        ("keep; keep;", ["keep"]),
        ("discard;", ["discard"]),
        ("discard; keep;", ["discard", "keep"]),
        ("stop; discard;", ["keep"]),
        ("if true { stop; } discard;", ["keep"]),
        ('fileinto "A";', ['fileinto "A"']),
        ('fileinto "A"; fileinto "B";', ['fileinto "A"', 'fileinto "B"']),
        ('fileinto "A"; fileinto "A";', ['fileinto "A"']),
        ('fileinto :copy "A";', ['fileinto "A"', "keep"]),
        ('fileinto :copy "A"; fileinto "A";', ['fileinto "A"']),
        ('fileinto "A\u00a0\u3000 b";', ['fileinto "A\u00a0\u3000 b"']),
        ('fileinto :copy "A"; discard;', ['fileinto "A"', "discard"]),
        ('redirect "a@example.com";', ["redirect to <a@example.com>"]),
        ('redirect :copy "a@example.com";', ["redirect to <a@example.com>", "keep"]),
        ('redirect "Ann <a@example.com>";', ["redirect to <a@example.com>"]),
        ('redirect "a@example.com"; redirect "a@example.com";', ["redirect to <a@example.com>"]),
        ('redirect "a@example.com"; redirect "a@EXAMPLE.com";', ["redirect to <a@example.com>"]),
        ('redirect "a@example.com"; redirect "A@example.com";',
         ["redirect to <a@example.com>", "redirect to <A@example.com>"]),
        ('if false { discard; } else { fileinto "E"; }', ['fileinto "E"']),
        ('if false {} elsif true { fileinto "F"; } else { discard; }', ['fileinto "F"']),
        ('if false {} elsif false {} else { fileinto "G"; }', ['fileinto "G"']),
        ('if true { fileinto "H"; } elsif true { discard; }', ['fileinto "H"']),
        ('if true { if false {} else { fileinto "I"; } }', ['fileinto "I"']),
        ('if true {} if true { fileinto "J"; }', ['fileinto "J"']),
        ('reject "no";', ["reject: no"]),
        ('ereject "no";', ["ereject: no"]),
        ('reject "no"; keep;', ["keep", "error: reject and keep exclude each other"]),
        ('fileinto "A"; reject "no";', ["keep", "error: reject and fileinto exclude each other"]),
        ('reject "a"; ereject "b";', ["keep", "error: the message is rejected more than once"]),
        ('reject "no"; discard;', ["reject: no", "discard"]),
        ('set "a" ""; fileinto "${a}";',
         ["keep", "error: invalid mailbox name '' for the fileinto command"]),
        ('set "a" "x"; redirect "${a}";',
         ["keep", "error: specified redirect address 'x' is invalid"]),
        ('set "a" "x@y.example"; redirect "${a}";', ["redirect to <x@y.example>"]),
        ('discard; error "enough";', ["keep", "error: enough"]),
    ],
)  # fmt: skip
def test_actions(act: Act, source: str, expected: list[str]) -> None:
    assert act(source) == expected


def test_every_action_tells_its_line(run_it: Callable[..., Result]) -> None:
    result = run_it(
        'require ["fileinto", "copy"];\nkeep;\n\n  fileinto\n "A";\nif true {redirect "a@b.c";}'
    )
    assert [(a.line, a.column) for a in result.actions] == [(2, 1), (4, 3), (6, 10)]
    assert [a.location for a in result.actions] == ["test: line 2", "test: line 4", "test: line 6"]


def test_the_implicit_keep_is_told_from_an_explicit_one(run_it: Callable[..., Result]) -> None:
    (implicit,) = run_it("").final_actions()
    (explicit,) = run_it("keep;").final_actions()
    assert isinstance(implicit, Keep)
    assert isinstance(explicit, Keep)
    assert implicit.implicit
    assert not explicit.implicit
    assert run_it("keep;").keeps
    assert not run_it("discard;").keeps


@pytest.mark.parametrize(
    ("source", "limits", "error"),
    [
        ('fileinto "1"; fileinto "2"; fileinto "3";', Limits(actions=2),
         "total number of actions exceeds policy limit (2)"),
        ('redirect "a@b.c"; redirect "b@b.c";', Limits(redirects=1),
         "number of redirect actions exceeds policy limit (2 > 1)"),
        ("keep; " * 600, Limits(steps=300), "execution exceeded the limit of steps"),
    ],
)  # fmt: skip
def test_limits_end_in_keep(act: Act, source: str, limits: Limits, error: str) -> None:
    assert act(source, limits=limits) == ["keep", f"error: {error}"]


def test_a_limit_of_none_lifts_the_redirects(act: Act) -> None:
    source = "".join(f'redirect "{letter}@b.c";' for letter in "abcdefgh")
    assert len(act(source, limits=Limits(redirects=None))) == 8


def test_the_budget_of_the_caller_ends_a_run(act: Act) -> None:
    looks: list[int] = []

    def budget() -> bool:
        looks.append(1)
        return len(looks) < 2

    assert act("keep; " * 2000, budget=budget) == [
        "keep",
        "error: execution exceeded the CPU time limit",
    ]
    assert len(looks) == 2


def test_the_same_mailbox_twice_is_made_once(run_it: Callable[..., Result]) -> None:
    (action,) = run_it('fileinto :copy "A"; fileinto :create :flags "x" "A";').actions
    assert isinstance(action, FileInto)
    assert (action.create, action.flags, action.copy) == (True, ("x",), False)


def test_an_error_in_a_test_names_its_line(run_it: Callable[..., Result]) -> None:
    result = run_it(
        'set "r" "(";\nif false {}\nelsif allof (true,\n  header :regex "subject" "${r}") {}\nkeep;'
    )
    assert result.error is not None
    assert (result.error.line, result.error.column) == (4, 3)


def test_control_characters_are_in_no_mailbox_name(act: Act) -> None:
    assert act('set "a" "${unicode:7}"; fileinto "x${a}";')[0] == "keep"
