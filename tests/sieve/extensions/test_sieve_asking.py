"""Extensions that ask their caller: programs, calendars, lists, environment of IMAP."""

from __future__ import annotations

from typing import Any

from pillarbox.sieve.driver import run_script
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.extensions.extlists import ListContains, ListExists
from pillarbox.sieve.extensions.processcalendar import CalendarOutcome, ProcessCalendar
from pillarbox.sieve.extensions.programs import Pipe, ProgramOutcome, RunProgram
from pillarbox.sieve.extensions.vacation import Vacation
from pillarbox.sieve.questions import EnvironmentItem, Question
from pillarbox.sieve.registry import extensions
from pillarbox.sieve.result import Redirect, Result
from pillarbox.sieve.script import compile

MESSAGE = b"From: a@example.org\r\nTo: b@example.com\r\nSubject: x\r\n\r\nText\r\n"
ENVELOPE = Envelope("a@example.org", "b@example.com", parameters={"ret": "FULL"})


def run(source: str, answers: dict[type, Any], asked: list[Question] | None = None) -> Result:
    script, diagnostics = compile(source, "s", frozenset(extensions()))
    assert script is not None, [str(d) for d in diagnostics]

    def answer(question: Question) -> Any:
        if asked is not None:
            asked.append(question)
        found = answers.get(type(question), question.default)
        return found(question) if callable(found) else found

    result = run_script(script, MESSAGE, ENVELOPE, Environment(), answer=answer)
    assert result.error is None
    return result


def names(result: Result) -> list[str]:
    return [action.name for action in result.final_actions()]


def test_optional_ones_must_be_allowed() -> None:
    for name in ("vnd.dovecot.pipe", "vnd.dovecot.filter", "vnd.dovecot.execute"):
        script, diagnostics = compile(f'require "{name}";', "s")
        assert script is None
        assert "unknown Sieve capability" in diagnostics[0].message


def test_a_filter_changes_the_message() -> None:
    asked: list[Question] = []
    result = run(
        'require "vnd.dovecot.filter";\n'
        'if filter "f" ["a", "b"] { if header "subject" "new" { discard; } }',
        {RunProgram: ProgramOutcome(True, b"Subject: new\r\n\r\nNew\r\n")},
        asked,
    )
    assert asked == [RunProgram("filter", "f", ("a", "b"), MESSAGE)]
    assert names(result) == ["discard"]
    assert result.message(result.final_version) == b"Subject: new\r\n\r\nNew\r\n"


def test_execute_gives_its_output() -> None:
    asked: list[Question] = []
    result = run(
        'require ["vnd.dovecot.execute", "variables"];\n'
        'if execute :input "in" :output "o" "f" { redirect "${o}"; }',
        {RunProgram: ProgramOutcome(True, b"c@example.net")},
        asked,
    )
    assert asked == [RunProgram("execute", "f", (), b"in")]
    assert result.actions == [Redirect(address="c@example.net", script="s", line=2, column=42)]


def test_execute_with_the_message() -> None:
    asked: list[Question] = []
    run('require "vnd.dovecot.execute"; execute :pipe "f";', {}, asked)
    assert asked == [RunProgram("execute", "f", (), MESSAGE)]


def test_pipe_only_decides() -> None:
    asked: list[Question] = []
    result = run('require "vnd.dovecot.pipe"; pipe :try "f" "a";', {}, asked)
    assert asked == []
    (action,) = result.final_actions()
    assert isinstance(action, Pipe)
    assert (action.program, action.arguments, action.attempt) == ("f", ("a",), True)


def test_calendar() -> None:
    asked: list[Question] = []
    result = run(
        'require ["processcalendar", "variables"];\n'
        'processcalendar :calendarid "work" :deletecancelled :outcome "o" :reason "r";\n'
        'if string "${o} ${r}" "added as wished" { discard; }',
        {ProcessCalendar: CalendarOutcome("added", "as wished")},
        asked,
    )
    (question,) = asked
    assert isinstance(question, ProcessCalendar)
    assert (question.calendar_id, question.delete_cancelled) == ("work", True)
    assert names(result) == ["discard"]


def test_lists() -> None:
    asked: list[Question] = []
    result = run(
        'require "extlists";\nif address :list "from" ["one", "two"] { discard; }',
        {ListContains: lambda q: q.list_name == "two", ListExists: True},
        asked,
    )
    assert asked == [ListContains("one", "a@example.org"), ListContains("two", "a@example.org")]
    assert names(result) == ["discard"]


def test_imap_environment() -> None:
    result = run(
        'require ["imapsieve", "environment"];\nif environment "imap.cause" "COPY" { discard; }',
        {EnvironmentItem: lambda q: {"imap.cause": "COPY"}.get(q.name)},
    )
    assert names(result) == ["discard"]


def test_redirect_parameters() -> None:
    result = run(
        'require ["redirect-dsn", "redirect-deliverby"];\n'
        'redirect :notify "failure, delay" :ret "hdrs" :bytimerelative 60 :bymode "return"\n'
        '  :bytrace "c@example.net";',
        {},
    )
    options = result.actions[0].options
    assert options["notify"] == "FAILURE,DELAY"
    assert options["ret"] == "HDRS"
    assert options["by"] == "60;RT"


def test_envelope_parameters() -> None:
    source = 'require ["envelope", "envelope-dsn"]; if envelope "ret" "full" { discard; }'
    assert names(run(source, {})) == ["discard"]


def test_vacation_periods() -> None:
    def seconds(tags: str, **settings: str) -> int:
        script, _ = compile(f'require ["vacation", "vacation-seconds"]; vacation {tags} "x";', "s")
        assert script is not None
        environment = Environment(settings={f"sieve_vacation_{k}": v for k, v in settings.items()})
        action = run_script(script, MESSAGE, ENVELOPE, environment).actions[0]
        assert isinstance(action, Vacation)
        return action.seconds

    day = 86_400
    assert seconds("") == 7 * day
    assert seconds("", default_period="3d") == 3 * day
    assert seconds(":days 2") == 2 * day
    assert seconds(":days 0") == day
    assert seconds(":seconds 5") == day
    assert seconds(":seconds 5", min_period="1s") == 5
    assert seconds(":days 30", max_period="10d") == 10 * day
