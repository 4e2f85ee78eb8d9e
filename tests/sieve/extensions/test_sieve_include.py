"""include (RFC 6609): where scripts come from, frames, global variables, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.sieve.limits import Limits
from pillarbox.sieve.questions import IncludeScript, Question
from pillarbox.sieve.script import Script, compile

Act = Callable[..., list[str]]
ALL = 'require ["include", "variables", "fileinto", "copy", "imap4flags"]; '

SCRIPTS = {
    ("personal", "file"): 'fileinto "file";',
    ("personal", "stop"): 'fileinto "stop"; stop;',
    ("personal", "return"): 'if true { return; } fileinto "never";',
    ("personal", "copy"): 'fileinto :copy "copy";',
    ("global", "file"): 'fileinto "global";',
    ("personal", "outer"): 'include "file"; fileinto "outer";',
    ("personal", "local"): 'set "v" "inner"; fileinto "${v}";',
    ("personal", "shared"): 'global "v"; fileinto "${v}"; set "v" "changed";',
    ("personal", "namespace"): 'fileinto "${global.v}"; set "global.v" "changed";',
    ("personal", "flags"): 'addflag "inner";',
    ("personal", "a"): 'include "b";',
    ("personal", "b"): 'include "a";',
    ("personal", "self"): 'include "self";',
    ("personal", "bad"): "frop;",
    ("personal", "two words \u00e9"): 'fileinto "words";',
}


def loader(location: str, name: str) -> bytes | None:
    source = SCRIPTS.get((location, name))
    return None if source is None else (ALL + source).encode()


CASES = [
    ('include "file";', ['fileinto "file"']),
    ('include :personal "file";', ['fileinto "file"']),
    ('include :global "file";', ['fileinto "global"']),
    ('export "v"; set "v" "given"; global "v"; include "shared"; import "v"; fileinto "${v}";',
     ['fileinto "given"', 'fileinto "changed"']),
    ('include "two words \u00e9";', ['fileinto "words"']),
    ('include "file"; fileinto "after";', ['fileinto "file"', 'fileinto "after"']),
    ('include "stop"; fileinto "after";', ['fileinto "stop"']),
    ('include "return"; fileinto "after";', ['fileinto "after"']),
    ('return; fileinto "after";', ["keep"]),
    ('include "outer";', ['fileinto "file"', 'fileinto "outer"']),
    ('include "copy"; include "copy";', ['fileinto "copy"', "keep"]),
    ('include :once "local"; include :once "local";', ['fileinto "inner"']),
    ('include :optional "none"; fileinto "after";', ['fileinto "after"']),
    ('include :once :optional "none";', ["keep"]),
    ('set "v" "outer"; include "local"; fileinto "${v}";',
     ['fileinto "inner"', 'fileinto "outer"']),
    ('global "v"; set "v" "given"; include "shared"; fileinto "${v}";',
     ['fileinto "given"', 'fileinto "changed"']),
    ('global ["v", "w"]; set "V" "given"; include "namespace"; fileinto "${V}";',
     ['fileinto "given"', 'fileinto "changed"']),
    ('set "global.v" "g"; set "v" "own"; fileinto "${v}${global.v}";', ['fileinto "owng"']),
    ('setflag "outer"; include "flags";', ["keep with flags (outer inner)"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), CASES)
def test_compiled_with_the_script(act: Act, source: str, expected: list[str]) -> None:
    assert act(ALL + source, loader=loader) == expected


@pytest.mark.parametrize(("source", "expected"), CASES)
def test_asked_for_when_run(act: Act, source: str, expected: list[str]) -> None:
    def answer(question: Question) -> Any:
        assert isinstance(question, IncludeScript)
        octets = loader(question.location, question.name)
        return None if octets is None else compile(octets, question.name)[0]

    assert act(ALL + source, answer=answer) == expected


def test_what_is_not_there(act: Act, problems: Callable[..., list[str]]) -> None:
    assert problems(ALL + 'include "none";', loader=loader) == [
        f"1:{len(ALL) + 1} included personal script 'none' does not exist"
    ]
    assert problems(ALL + 'include :optional "none";', loader=loader) == []
    assert act(ALL + 'include "none";') == [
        "keep",
        "error: included personal script 'none' does not exist",
    ]
    assert act(ALL + 'include "none";', answer=lambda question: "permission denied") == [
        "keep",
        "error: failed to include personal script 'none': permission denied",
    ]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ('include "a";', "circular include of personal script 'a'"),
        ('include "self";', "circular include of personal script 'self'"),
        ('include "bad";', "failed to include personal script 'bad'"),
        ('include "";', "invalid script name '' for include"),
        ('include "a/b";', "invalid script name 'a/b' for include"),
        ('include "${v}";', "the include command allows no variables in argument 1 (script)"),
        ('include :personal :global "a";', "only one is allowed"),
        ('global "1";', "invalid variable name '1'"),
        ('set "a" "x"; global "A";', "the variable 'a' was set before it is declared global"),
        ('global "a.b";', "invalid variable name 'a.b'"),
    ],
)
def test_refused(problems: Callable[..., list[str]], source: str, error: str) -> None:
    assert any(error in line for line in problems(ALL + source, loader=loader))


def test_errors_of_included_scripts_name_their_file() -> None:
    script, diagnostics = compile(ALL + 'include "bad";', "main", loader=loader)
    assert script is None
    assert [item.file for item in diagnostics] == ["bad", "main"]


def test_circles_are_found_when_run(act: Act) -> None:
    scripts: dict[str, Script | None] = {}

    def answer(question: Question) -> Any:
        assert isinstance(question, IncludeScript)
        return scripts[question.name]

    for name, other in (("a", "b"), ("b", "a")):
        scripts[name] = compile(ALL + f'include "{other}";', name)[0]
    assert act(ALL + 'include "a";', answer=answer) == [
        "keep",
        "error: circular include of personal script 'a'",
    ]


def test_limits(act: Act, problems: Callable[..., list[str]]) -> None:
    def chain(location: str, name: str) -> bytes:
        return f'require "include"; include "x{int(name[1:]) + 1}";'.encode()

    found = problems(ALL + 'include "x0";', loader=chain, limits=Limits(include_depth=3))
    assert any("scripts are included deeper than 3" in line for line in found)
    found = problems(ALL + 'include "x0";', loader=chain, limits=Limits(include_depth=500))
    assert any("scripts are included deeper than" in line for line in found)
    flat = "".join(f'include "x{number}";' for number in range(4))
    found = problems(ALL + flat, loader=lambda place, name: b"keep;", limits=Limits(includes=3))
    assert any("more than 3 scripts included" in line for line in found)
    many = ALL + 'include "copy";' * 5
    assert act(many, loader=loader, limits=Limits(includes=4)) == [
        "keep",
        "error: more than 4 scripts included",
    ]


def test_global_needs_variables(problems: Callable[..., list[str]]) -> None:
    assert problems('require "include"; global "a";') == [
        '1:20 the global command needs require "variables"'
    ]


def test_an_error_inside_names_the_included_script(run_it: Callable[..., Any]) -> None:
    def other(location: str, name: str) -> bytes:
        return b'require "ihave";\n\nerror "inside";'

    result = run_it(ALL + 'include "x";', loader=other)
    assert str(result.error) == "x: line 3: error: inside"
