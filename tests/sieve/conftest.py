"""Short ways to compile and run scripts in tests.

`evaluate` gives the outcome of one test, `act` the actions of a script as lines of text, `problems`
what compiling says as ``line:column text``.  Scripts may begin without require: everything that
the tests of this folder need is required for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.sieve.driver import run_script
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.questions import Question
from pillarbox.sieve.result import FileInto, Result
from pillarbox.sieve.script import Script, compile

ALL = (
    "body", "comparator-i;ascii-numeric", "comparator-i;unicode-casemap", "copy", "date",
    "duplicate", "editheader", "encoded-character", "envelope", "environment", "ereject",
    "fileinto", "ihave", "imap4flags", "include", "index", "mailbox", "mailboxid",
    "mboxmetadata", "regex", "reject", "relational", "servermetadata", "special-use",
    "subaddress", "variables", "vnd.dovecot.debug", "vnd.dovecot.environment",
)  # fmt: skip
REQUIRE = "require [" + ", ".join(f'"{name}"' for name in ALL) + "]; "

MESSAGE = (
    b"Return-Path: <sender@example.com>\r\n"
    b"Received: from b.example by c.example; Tue, 02 Jan 2024 10:00:00 +0000\r\n"
    b"Received: from a.example by b.example; Mon, 01 Jan 2024 23:30:15 -0500\r\n"
    b"From: Bob Example <bob@example.com>\r\n"
    b'To: "Alice A." <alice+work@example.org>, carol@example.net,\r\n'
    b"\tDave <dave@EXAMPLE.org>\r\n"
    b"Cc: friends: eve@example.com, mallory@example.com;\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the sea\r\n"
    b"Date: Mon, 01 Jan 2024 23:30:00 -0500\r\n"
    b"Message-ID: <one@example.com>\r\n"
    b"X-Number: 42 apples\r\n"
    b"X-Empty:\r\n"
    b"X-List: one\r\n"
    b"X-List: two\r\n"
    b"X-List: three\r\n"
    b"\r\n"
    b"Hello there.\r\nSecond line.\r\n"
)

Answer = Callable[[Question], Any]


def default(question: Question) -> Any:
    return question.default


def compiled(source: str, **options: Any) -> Script:
    if "require" not in source:
        source = REQUIRE + source
    script, diagnostics = compile(source, "test", **options)
    assert script is not None, [str(item) for item in diagnostics]
    return script


def ran(source: str, message: bytes = MESSAGE, **options: Any) -> Result:
    compiling = {
        name: options.pop(name) for name in ("allowed_extensions", "loader") if name in options
    }
    return run_script(compiled(source, **compiling), message, **options)


@pytest.fixture(scope="session")
def message() -> bytes:
    return MESSAGE


@pytest.fixture(scope="session")
def run_it() -> Callable[..., Result]:
    return ran


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., bool]:
    def outcome(test: str, message: bytes = MESSAGE, before: str = "", **options: Any) -> bool:
        result = ran(
            before + f' if {test} {{ fileinto "yes"; }} else {{ fileinto "no"; }}',
            message,
            **options,
        )
        assert result.error is None, str(result.error)
        last = result.actions[-1]
        assert isinstance(last, FileInto)
        return last.mailbox == "yes"

    return outcome


@pytest.fixture(scope="session")
def act() -> Callable[..., list[str]]:
    def actions(source: str, message: bytes = MESSAGE, **options: Any) -> list[str]:
        result = ran(source, message, **options)
        lines = [action.describe() for action in result.final_actions()]
        if result.error is not None:
            lines.append(f"error: {result.error.message}")
        return lines

    return actions


@pytest.fixture(scope="session")
def problems() -> Callable[..., list[str]]:
    def told(source: str, **options: Any) -> list[str]:
        _, diagnostics = compile(source, "test", **options)
        return [f"{item.line}:{item.column} {item.message}" for item in diagnostics]

    return told


@pytest.fixture(scope="session")
def envelope() -> Envelope:
    return Envelope("sender@example.com", "alice+work@example.org", "bob", "orig@example.org")


@pytest.fixture(scope="session")
def environment() -> Environment:
    return Environment(
        items={
            "domain": "example.org",
            "host": "mx.example.org",
            "location": "MDA",
            "name": "Pillarbox",
            "phase": "during",
            "remote-ip": "192.0.2.1",
            "vnd.dovecot.username": "alice",
        }
    )
