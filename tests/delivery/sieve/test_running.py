"""Running scripts at once, and in threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pillarbox.delivery.sieve import running
from pillarbox.delivery.sieve.running import Replay, run_script
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.questions import DuplicateCheck, MailboxExists, Question
from pillarbox.sieve.result import Keep, Result
from pillarbox.sieve.script import Script, compile

MAIL = b"Subject: x\r\nMessage-ID: <1>\r\n\r\n"
ASKS = 'require ["mailbox", "duplicate"]; if allof(duplicate, mailboxexists "A") { keep; }\n'
LONG = 'if header "subject" "y" { discard; }\n' * 1000


def script(text: str) -> Script:
    found, diagnostics = compile(text, "test")
    assert found is not None, diagnostics
    return found


class Asked:
    """Answers yes; remembers what it was asked, and that it was asked on the loop."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.threads: set[int] = set()

    async def __call__(self, question: Question) -> Any:
        self.threads.add(threading.get_ident())
        self.questions.append(question)
        await asyncio.sleep(0)
        return True


def run(text: str, answer: Any, data: bytes = MAIL, cpu_time: float = 30.0) -> Result:
    work = run_script(script(text), data, Envelope(), Environment(), answer, cpu_time)
    return asyncio.run(work)


def test_at_once() -> None:
    asked = Asked()
    result = run(ASKS, asked)
    assert [type(action) for action in result.actions] == [Keep]
    assert [type(question) for question in asked.questions] == [DuplicateCheck, MailboxExists]


def test_in_a_thread_with_the_answers_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "QUICK", 1e-9)
    asked = Asked()
    result = run(ASKS + LONG + 'if not mailboxexists "B" { discard; }', asked)
    assert result.error is None
    assert [type(action) for action in result.actions] == [Keep]
    assert asked.questions == [
        DuplicateCheck("", "<1>"),
        MailboxExists("A"),
        MailboxExists("B"),
    ]
    assert asked.threads == {threading.get_ident()}


def test_large_messages_go_to_a_thread_at_once() -> None:
    asked = Asked()
    result = run(ASKS, asked, MAIL + b"x" * running.SMALL)
    assert result.error is None
    assert len(asked.questions) == 2


def test_limits_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "QUICK", 1e-9)
    result = run(LONG, Asked(), cpu_time=1e-9)
    assert result.limited
    assert result.error is not None
    assert run(LONG, Asked(), cpu_time=0.0).error is None


@pytest.mark.parametrize("data", [MAIL, MAIL + b"x" * running.SMALL])
def test_errors_of_answers_are_raised(data: bytes) -> None:
    async def broken(question: Question) -> Any:
        raise KeyError("broken")

    with pytest.raises(KeyError):
        run(ASKS, broken, data)


def test_replay_forgets_what_came_out_otherwise() -> None:
    async def main() -> None:
        asked = Asked()
        replay = Replay(asked)
        await replay(MailboxExists("A"))
        await replay(MailboxExists("B"))
        replay.rewind()
        await replay(MailboxExists("A"))
        await replay(MailboxExists("C"))
        assert asked.questions == [MailboxExists("A"), MailboxExists("B"), MailboxExists("C")]

    asyncio.run(main())
