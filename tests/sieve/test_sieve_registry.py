"""Extensions: what is declared is whole, and the example in the registry's docstring works."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest

from pillarbox.sieve import registry
from pillarbox.sieve.driver import run_script
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.nodes import Node, TagUse
from pillarbox.sieve.registry import KEYS, NUMBER, STRING, Asking, core, extensions
from pillarbox.sieve.result import Action
from pillarbox.sieve.script import compile
from pillarbox.sieve.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = [
    "body", "comparator-i;ascii-numeric", "comparator-i;unicode-casemap", "copy", "date",
    "duplicate", "editheader", "encoded-character", "envelope", "environment", "ereject",
    "fileinto", "ihave", "imap4flags", "include", "index", "mailbox", "mailboxid",
    "mboxmetadata", "regex", "reject", "relational", "servermetadata", "special-use",
    "subaddress", "variables", "vnd.dovecot.debug", "vnd.dovecot.environment",
]  # fmt: skip


@pytest.mark.parametrize("capability", OURS)
def test_every_extension_is_there_and_can_be_required(capability: str) -> None:
    assert capability in extensions()
    script, diagnostics = compile(f'require "{capability}";', "t", {capability})
    assert script is not None, diagnostics
    assert script.capabilities[0] == capability


def test_declarations_are_whole() -> None:
    for extension in (*core(), *extensions().values()):
        for command in extension.commands:
            assert command.name == command.name.lower()
            names = [argument.name for argument in command.arguments]
            assert not command.keys or command.keys in names
        for test in extension.tests:
            assert test.name == test.name.lower()
            names = [argument.name for argument in test.arguments]
            assert not test.keys or test.keys in names
            assert (test.evaluate is None) or (test.values is None)
        for kind in extension.match_types:
            assert (kind.whole is None) == (kind.prepare is not None and kind.search is not None)
        for implied in extension.implies:
            assert implied in extensions()


@dataclass(slots=True, kw_only=True)
class Notify(Action):
    """The action that the example makes."""

    name: ClassVar[str] = "shout"
    words: str


@pytest.fixture
def with_example(monkeypatch: pytest.MonkeyPatch) -> None:
    text = registry.__doc__ or ""
    example = re.sub("(?m)^    ", "", text[text.index('    """Shouting') :])
    names = {
        name: getattr(registry, name)
        for name in ("Extension", "CommandSpec", "TestSpec", "TagSpec", "Added", "Positional")
    }
    names |= {"STRING": STRING, "NUMBER": NUMBER, "KEYS": KEYS, "Asking": Asking, "Run": Run}
    names |= {"Node": Node, "TagUse": TagUse, "Action": Action, "Validator": Validator}
    names |= {"Notify": lambda words: Notify(words=words)}
    exec(compile_source(example), names)  # the example, as it is printed
    known: Mapping[str, registry.Extension] = {
        **extensions(),
        "vnd.example.shout": names["EXTENSION"],
    }
    monkeypatch.setattr("pillarbox.sieve.scope.extensions", lambda: known)


def compile_source(text: str) -> object:
    import builtins

    return builtins.compile(text, "example", "exec")


@pytest.mark.usefixtures("with_example")
def test_the_example_works() -> None:
    allowed = {"vnd.example.shout", "fileinto", "copy"}
    script, diagnostics = compile(
        'require ["vnd.example.shout", "fileinto"]; shout "hello"; fileinto :loud 11 "x"; '
        'if weekday "thursday" { shout "thor"; }',
        "t",
        allowed,
    )
    assert script is not None, diagnostics
    shout, fileinto, last = run_script(script, b"").actions
    assert isinstance(shout, Notify)
    assert isinstance(last, Notify)
    assert (shout.words, last.words) == ("HELLO", "THOR")
    assert fileinto.options == {"loudness": 11}
    script, diagnostics = compile('require "vnd.example.shout"; shout "";', "t", allowed)
    assert [item.message for item in diagnostics] == ["shout: there is nothing to say"]
