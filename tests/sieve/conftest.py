"""Short ways to compile and run scripts in tests.

`evaluate` gives the outcome of one test, `act` the actions of a script as lines of text, `problems`
what compiling says as ``line:column text``.  Scripts may begin without require: everything that
the tests of this folder need is required for them.  Every script that is run here has been
through its compiled form, which must give the same tree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from pillarbox.sieve.compiled import dump, load
from pillarbox.sieve.driver import run_script
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.linker import items_of
from pillarbox.sieve.nodes import Node
from pillarbox.sieve.questions import Question
from pillarbox.sieve.result import FileInto, Result
from pillarbox.sieve.script import Loader, Script, compile

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
    return loaded(script, **options)


def loaded(
    script: Script,
    allowed_extensions: Collection[str] | None = None,
    loader: Loader | None = None,
) -> Script:
    """The script from its compiled form; the same tree."""
    octets = dump(script, allowed_extensions)
    assert octets is not None
    other = load(
        octets, script.source, script.name, allowed_extensions, script.limits, loader,
        location=script.location,
    )  # fmt: skip
    assert other is not None
    both = [(script, other)]
    both += zip(script.all_included().values(), other.all_included().values(), strict=True)
    for one, same in both:
        assert (one.name, one.location, one.hash) == (same.name, same.location, same.hash)
        assert one.capabilities == same.capabilities
        assert one.namespaces == same.namespaces
        assert one.uses_matches == same.uses_matches
        assert one.environment_items == same.environment_items
        assert items_of(one.nodes) == items_of(same.nodes)
        assert [derived(node) for node in one.nodes] == [derived(node) for node in same.nodes]
    return other


def derived(node: Node) -> list[Any]:
    """What a node has besides what was written."""
    if node.name == "if":
        return [
            [None if test is None else derived(test), [derived(inner) for inner in block]]
            for test, block, _ in node.data
        ]
    matching = node.matching
    return [
        node.asks,
        node.data,
        node.part,
        [use.spec for use in node.filters],
        node.name == "ihave" and node.known,
        matching and [matching.type, matching.comparator, matching.prepared],
        [derived(test) for test in node.tests],
        [derived(inner) for inner in node.block],
    ]


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
