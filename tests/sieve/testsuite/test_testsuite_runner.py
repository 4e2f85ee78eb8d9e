"""The runner of test files: how tests fail, and what a report says."""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.sieve.testsuite.runner import Report, run_testsuite


def report(source: str, scripts: Mapping[str, str] | None = None) -> Report:
    known = scripts or {}

    def load(location: str, name: str) -> bytes | None:
        found = known.get(name)
        return None if found is None else found.encode()

    text = 'require ["vnd.dovecot.testsuite", "variables", "include", "foreverypart"];\n' + source
    return run_testsuite("t.svtest", text.encode(), load)


def outcomes(source: str, scripts: Mapping[str, str] | None = None) -> list[tuple[str, bool, str]]:
    found = report(source, scripts)
    assert [str(d) for d in found.diagnostics] == []
    return [(o.name, o.passed, o.reason) for o in found.outcomes]


def test_passing_and_failing() -> None:
    source = 'test "a" { }\ntest "b" { test_fail "why"; }\ntest "c" { }\n'
    assert outcomes(source) == [("a", True, ""), ("b", False, "why"), ("c", True, "")]


def test_a_failure_knows_its_line() -> None:
    (outcome,) = report('test "a" {\n  if true {\n    test_fail "x";\n  }\n}\n').outcomes
    assert (outcome.line, outcome.failed_line) == (2, 4)


def test_a_failure_ends_the_test() -> None:
    source = 'test "a" { set "x" "1"; test_fail "f"; set "x" "2"; }\n'
    source += 'test "b" { if not string "${x}" "1" { test_fail "${x}"; } }'
    assert [o[1] for o in outcomes(source)] == [False, True]


def test_a_failure_within_an_included_script_leaves_it() -> None:
    scripts = {"inner": 'require "ihave"; error "inside";'}
    source = 'set "x" "outer"; test "a" { include "inner"; }\n'
    source += 'test "b" { if not string "${x}" "outer" { test_fail "lost"; } }'
    assert outcomes(source, scripts) == [("a", False, "inside"), ("b", True, "")]


def test_a_failure_within_a_loop_leaves_it() -> None:
    source = 'test "a" { foreverypart { test_fail "in"; } }\n'
    source += 'test "b" { set "n" ""; foreverypart { set "n" "${n}x"; }\n'
    source += 'if not string "${n}" "x" { test_fail "${n}"; } }'
    assert [o[1] for o in outcomes(source)] == [False, True]


def test_stop_ends_only_the_test() -> None:
    assert [o[0] for o in outcomes('test "a" { stop; }\ntest "b" { }')] == ["a", "b"]


def test_a_failure_outside_of_tests_ends_the_file() -> None:
    found = report('test "a" { }\ntest_fail "here";\ntest "b" { }')
    assert [o.name for o in found.outcomes] == ["a"]
    assert found.error is not None
    assert found.error.message == "here"
    assert found.failures == 1


def test_a_missing_script_fails_the_test() -> None:
    ((_, passed, reason),) = outcomes('test "a" { if test_script_compile "x" { } }')
    assert not passed
    assert "'x' was not found" in reason


def test_running_without_a_script_fails_the_test() -> None:
    ((_, passed, reason),) = outcomes('test "a" { if test_script_run { } }')
    assert (passed, reason) == (False, "no script was compiled before")


def test_a_message_that_is_not_there_fails_the_test() -> None:
    ((_, passed, reason),) = outcomes('test "a" { test_message :smtp 0; }')
    assert (passed, reason) == (False, "there is no :smtp message 0")


def test_an_unknown_binary_fails_the_test() -> None:
    ((_, passed, reason),) = outcomes('test "a" { test_binary_load "x"; }')
    assert (passed, reason) == (False, "no script was saved as 'x'")


def test_a_mailbox_that_is_not_there_cannot_be_deleted() -> None:
    assert not outcomes('test "a" { test_mailbox_delete "x"; }')[0][1]


def test_tests_do_not_nest() -> None:
    found = report('test "a" { test "b" { } }')
    assert found.failures == 1
    assert "within another test" in found.diagnostics[0].message


def test_unknown_objects_are_refused() -> None:
    found = report('test_set "envelope.unknown" "x";')
    assert "unknown testsuite object" in found.diagnostics[0].message


def test_scripts_of_users_cannot_use_it() -> None:
    scripts = {"x": 'require "vnd.dovecot.testsuite";'}
    source = 'test "a" { if test_script_compile "x" { test_fail "it compiles"; } }'
    assert outcomes(source, scripts)[0][1]


def test_what_is_printed_belongs_to_the_test() -> None:
    found = report('test_message_print;\ntest "a" { discard; test_result_print; }')
    assert found.output[0] == "From: sender@example.com"
    assert found.outcomes[0].output == ["1: discard (t.svtest: line 3)"]


def test_a_file_that_does_not_compile() -> None:
    found = report("frobnicate;")
    assert found.outcomes == []
    assert found.failures == 1
