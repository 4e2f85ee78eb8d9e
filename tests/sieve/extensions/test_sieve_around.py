"""envelope, environment, duplicate, ihave, debug and subaddress: what is around a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.questions import DuplicateCheck, EnvironmentItem, Question
from pillarbox.sieve.result import DuplicateMark, Result

Evaluate = Callable[..., bool]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('envelope "from" "sender@example.com"', True),
        ('envelope "FROM" "SENDER@example.com"', True),
        ('envelope :localpart "from" "sender"', True),
        ('envelope :domain "to" "example.org"', True),
        ('envelope :user "to" "alice"', True),
        ('envelope :detail "to" "work"', True),
        ('envelope :detail :matches "from" "*"', False),
        ('envelope "auth" "bob"', True),
        ('envelope "orig_to" "orig@example.org"', True),
        ('envelope ["from", "to"] "alice+work@example.org"', True),
        ('envelope :count "eq" ["from", "to"] "2"', True),
    ],
)
def test_envelope(evaluate: Evaluate, envelope: Envelope, test: str, expected: bool) -> None:
    assert evaluate(test, envelope=envelope) is expected


@pytest.mark.parametrize("part", ["", ":all", ":localpart", ":domain", ":user", ":detail"])
def test_the_null_reverse_path_is_empty(evaluate: Evaluate, part: str) -> None:
    assert evaluate(f'envelope {part} "from" ""', envelope=Envelope(""))
    assert not evaluate(f'envelope {part} "from" ""', envelope=Envelope())
    assert not evaluate(f'envelope {part} "from" "x"', envelope=Envelope(""))


@pytest.mark.parametrize(
    ("delimiter", "local", "user", "detail"),
    [
        ("+", "ken+sieve", "ken", "sieve"),
        ("+", "ken+", "ken", ""),
        ("+", "+x", "", "x"),
        ("+", "ken+a+b", "ken", "a+b"),
        ("+", "ken-a", "ken-a", None),
        ("+-", "ken-a+b", "ken", "a+b"),
        ("", "ken+a", "ken+a", None),
    ],
)
def test_subaddress(
    evaluate: Evaluate, delimiter: str, local: str, user: str, detail: str | None
) -> None:
    around: dict[str, Any] = {
        "envelope": Envelope(None, f"{local}@example.com"),
        "environment": Environment(recipient_delimiter=delimiter),
    }
    assert evaluate(f'envelope :user "to" "{user}"', **around)
    if detail is None:
        assert evaluate('envelope :detail :count "eq" "to" "0"', **around)
    else:
        assert evaluate(f'envelope :detail "to" "{detail}"', **around)


def test_envelope_refused(problems: Callable[..., list[str]]) -> None:
    assert problems('require "envelope"; if envelope "frop" "x" {}') == [
        "1:33 specified envelope part 'frop' is not supported by the envelope test"
    ]
    assert problems('require "envelope"; if envelope :domain "auth" "x" {}') == [
        "1:41 address part tags cannot be used with the envelope part 'auth'"
    ]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('environment "domain" "example.org"', True),
        ('environment "PHASE" "during"', True),
        ('environment :matches "host" "mx.*"', True),
        ('environment :contains "none" ""', False),
        ('environment "remote-host" "client.example"', True),
        ('environment :count "eq" "none" "0"', False),
        ('environment :count "eq" "name" "1"', True),
        ('environment "vnd.dovecot.username" "alice"', True),
        ('string "${env.vnd.dovecot.username}" "alice"', True),
        ('string "${env.domain}/${ENV.name}" "example.org/Pillarbox"', True),
        ('string "${env.remote_ip}" "192.0.2.1"', True),
        ('string "${env.remote_host}" "client.example"', True),
        ('string "[${env.vnd.dovecot.config.none}]" "[]"', True),
        ('string "${env.vnd.dovecot.config.my_key}" "value"', True),
    ],
)
def test_environment(
    evaluate: Evaluate, environment: Environment, test: str, expected: bool
) -> None:
    asked: list[str] = []

    def answer(question: Question) -> Any:
        assert isinstance(question, EnvironmentItem)
        asked.append(question.name)
        return {
            "remote-host": "client.example",
            "vnd.dovecot.config.my_key": "value",
        }.get(question.name)

    assert evaluate(test, environment=environment, answer=answer) is expected
    assert len(asked) == len(set(asked))


def test_variables_of_the_environment_cannot_be_set(problems: Callable[..., list[str]]) -> None:
    source = 'require ["variables", "vnd.dovecot.environment"]; set "env.x" "y";'
    assert problems(source) == ["1:55 variables of the namespace 'env' cannot be set"]


def test_the_vendor_environment_brings_the_test(problems: Callable[..., list[str]]) -> None:
    assert problems('require "vnd.dovecot.environment"; if environment "name" "x" {}') == []


SEEN = {("", "<one@example.com>"), ("h", "seen")}


def known(question: Question) -> Any:
    assert isinstance(question, DuplicateCheck)
    return (question.handle, question.unique_id) in SEEN


@pytest.mark.parametrize(
    ("test", "expected", "marks"),
    [
        ("duplicate", True, []),
        ("duplicate :last", True, [DuplicateMark("", "<one@example.com>", 43200, True)]),
        ('duplicate :handle "x"', False, [DuplicateMark("x", "<one@example.com>", 43200, False)]),
        ('duplicate :handle "h" :uniqueid "seen"', True, []),
        ('duplicate :uniqueid "new" :seconds 60', False, [DuplicateMark("", "new", 60, False)]),
        ('duplicate :uniqueid "new" :seconds 4000000', False,
         [DuplicateMark("", "new", 172800, False)]),
        ('duplicate :header "x-list"', False, [DuplicateMark("", "one", 43200, False)]),
        ('duplicate :header "x-none"', False, []),
        ('duplicate :uniqueid ""', False, []),
        ('anyof (not duplicate :uniqueid "new", duplicate :uniqueid "new")', True,
         [DuplicateMark("", "new", 43200, False)]),
        ('anyof (duplicate :uniqueid "new", duplicate :uniqueid "new")', False,
         [DuplicateMark("", "new", 43200, False)]),
    ],
)  # fmt: skip
def test_duplicate(
    run_it: Callable[..., Result], test: str, expected: bool, marks: list[DuplicateMark]
) -> None:
    result = run_it(f"if {test} {{ discard; }}", answer=known)
    assert (result.actions != []) is expected
    assert result.duplicates == marks


def test_a_failing_script_marks_nothing(run_it: Callable[..., Result]) -> None:
    result = run_it('if duplicate :uniqueid "new" {} error "x";', answer=known)
    assert result.duplicates == []


def test_duplicate_settings(run_it: Callable[..., Result]) -> None:
    around = Environment(
        settings={"sieve_duplicate_default_period": "1h", "sieve_duplicate_max_period": "2 days"}
    )
    result = run_it(
        'if anyof(duplicate :uniqueid "a", duplicate :uniqueid "b" :seconds 9999999) {}',
        environment=around,
        answer=known,
    )
    assert [mark.seconds for mark in result.duplicates] == [3600, 172800]


def test_duplicate_refused(problems: Callable[..., list[str]]) -> None:
    (line,) = problems('require "duplicate"; if duplicate :header "a" :uniqueid "b" {}')
    assert "only one is allowed" in line
    (line,) = problems('require "duplicate"; if duplicate :header "a b" {}')
    assert "invalid header name" in line


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('if ihave "fileinto" { fileinto "a"; }', ['fileinto "a"']),
        ('if ihave "fileinto" { fileinto "a"; } else { frop; }', ['fileinto "a"']),
        ('if ihave "nope" { frop; } else { discard; }', ["discard"]),
        ('if ihave "nope" { frop :x 1; } elsif true { discard; }', ["discard"]),
        ('if not ihave "nope" { discard; } else { frop; }', ["discard"]),
        ('if not ihave "nope" { stop; } frop; frip 1;', ["keep"]),
        ('if not ihave "fileinto" { stop; } fileinto "a";', ['fileinto "a"']),
        ('if allof (ihave "nope", frop) { frop; }', ["keep"]),
        ('if anyof (ihave "fileinto", frop) { fileinto "a"; }', ['fileinto "a"']),
        ('if allof (ihave "fileinto", true) { fileinto "a"; }', ['fileinto "a"']),
        ('if anyof (ihave "nope", true) { discard; }', ["discard"]),
        ('if ihave ["fileinto", "nope"] { frop; }', ["keep"]),
        ('if ihave "comparator-i;octet" { discard; }', ["discard"]),
        ('if ihave ["fileinto", "copy"] { fileinto :copy "a"; }', ['fileinto "a"', "keep"]),
        ('if ihave "variables" { set "a" "b"; if string "${a}" "b" { discard; } }', ["discard"]),
        ('error "no way";', ["keep", "error: no way"]),
    ],
)
def test_ihave(act: Callable[..., list[str]], source: str, expected: list[str]) -> None:
    assert act('require "ihave"; ' + source) == expected


def test_ihave_checks_what_can_run(problems: Callable[..., list[str]]) -> None:
    start = 'require ["ihave", "variables"]; '
    assert len(problems(start + 'if ihave "fileinto" { frop; }')) == 1
    assert len(problems(start + 'if ihave "nope" {} else { frop; }')) == 1
    assert len(problems(start + 'if not ihave "nope" { keep; } frop;')) == 1
    assert len(problems(start + 'if ihave "${a}" {}')) == 1


def test_debug_log(run_it: Callable[..., Result]) -> None:
    result = run_it('set "a" "b";\ndebug_log "a is ${a}";')
    (line,) = result.log
    assert (line.severity, line.line, line.message) == ("info", 2, "DEBUG: a is b")
    assert result.implicit_keep
