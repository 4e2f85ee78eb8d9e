"""Scripts: what they include, the trace, and several in a row."""

from __future__ import annotations

import pytest

from pillarbox.sieve.driver import run_script
from pillarbox.sieve.multiscript import combine, goes_on
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Script, compile

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"


def loader(location: str, name: str) -> bytes | None:
    return {
        "one": b'require "include"; include :global "two";',
        "two": b'require "fileinto"; fileinto "from two";',
    }.get(name)


def sound(source: str) -> Script:
    script, diagnostics = compile(source, "main", loader=loader)
    assert script is not None, diagnostics
    return script


def test_all_that_is_included_is_told() -> None:
    script = sound('require "include"; include "one";')
    assert sorted(key[:2] for key in script.dependencies()) == [
        ("global", "two"),
        ("personal", "one"),
    ]


def test_compile_never_raises_on_lone_surrogates() -> None:
    script, diagnostics = compile('keep; # "\ud800"', "odd")
    assert script is None
    assert "UTF-8" in diagnostics[0].message


def test_trace() -> None:
    script = sound(
        'require "fileinto";\n'
        'if allof (header :contains "subject" ["x", "ell"],\n'
        "          not size :over 1M) {\n"
        '  fileinto "A";\n'
        "}\n"
    )
    trace = run_script(script, MESSAGE, trace=True).trace
    assert [str(item) for item in trace] == [
        "   2: if",
        "       2: header :contains keys=['x', 'ell'] values=['hello'] \u2192 true",
        "         3: size \u2192 false",
        "       3: not \u2192 true",
        "     2: allof \u2192 true",
        "     4: fileinto",
    ]
    assert run_script(script, MESSAGE).trace == []


def test_steps_are_told() -> None:
    assert run_script(sound("keep; keep; keep;"), MESSAGE).steps == 3


def results(*sources: str) -> list[Result]:
    """Run scripts as a delivery does: the next one only if the last one goes on."""
    found: list[Result] = []
    for source in sources:
        script = sound('require ["fileinto", "copy", "imap4flags", "ihave", "reject"]; ' + source)
        found.append(run_script(script, MESSAGE))
        if not goes_on(found[-1]):
            break
    return found


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([""], ["keep"]),
        (["", ""], ["keep"]),
        (["keep;", "keep;"], ["keep"]),
        (["keep;", "discard;"], ["discard"]),
        (["", "discard;"], ["discard"]),
        (["discard;", 'fileinto "no";'], ["discard"]),
        (['fileinto "a";', 'fileinto "no";'], ['fileinto "a"']),
        (['fileinto "a"; keep;', 'fileinto "b";'], ['fileinto "a"', 'fileinto "b"']),
        (['fileinto :copy "a";', 'fileinto "b";'], ['fileinto "a"', 'fileinto "b"']),
        (['fileinto :copy "a";', ""], ['fileinto "a"', "keep"]),
        (['fileinto :copy "a";', 'fileinto "a";'], ['fileinto "a"']),
        (["stop;", 'fileinto "b";'], ['fileinto "b"']),
        (['reject "r";', "keep;"], ["reject: r"]),
        (['setflag "x";', ""], ["keep"]),
        (["", 'setflag "x";'], ["keep with flags (x)"]),
        (['fileinto :copy "a";', 'error "e";', 'fileinto "no";'],
         ['fileinto "a"', "keep", "error: e"]),
        (['error "e";', "discard;"], ["keep", "error: e"]),
        ([], []),
    ],
)  # fmt: skip
def test_sequences(sources: list[str], expected: list[str]) -> None:
    steps, errors = combine(results(*sources))
    lines = [step.action.describe() for step in steps]
    assert lines + [f"error: {error.message}" for error in errors] == expected


def test_steps_of_a_sequence_find_their_message() -> None:
    for step in combine(results('fileinto :copy "a";', ""))[0]:
        assert step.result.message(step.action.version) == MESSAGE
