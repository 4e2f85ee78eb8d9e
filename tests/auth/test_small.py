"""User names, networks and result rules."""

from __future__ import annotations

import msgspec
import pytest

from pillarbox.auth.networks import allowed
from pillarbox.auth.rules import EFFECTS, user_matches
from pillarbox.auth.usernames import normalise
from pillarbox.settings.model import Settings


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("Bob@Example.COM", "bob@example.com"),
        ("bob", "bob"),
        ("bob+tag", "bob+tag"),
        ("", None),
        ("bo b", None),
        ("bob/../sue", None),
        ("bob\0", None),
        ("bob\n", None),
        ("b" * 600, None),
        ("böb", None),
    ],
)
def test_names(name: str, normal: str | None) -> None:
    assert normalise(name, Settings()) == normal


def test_default_domain_and_format() -> None:
    settings = msgspec.structs.replace(
        Settings(),
        auth_default_domain="example.org",
        auth_username_chars="",
        auth_username_format="%{user | upper}",
    )
    assert normalise("bob", settings) == "BOB@EXAMPLE.ORG"
    assert normalise("bob@x.org", settings) == "BOB@X.ORG"
    assert normalise("b\x07b", settings) is None
    plain = msgspec.structs.replace(settings, auth_username_format="")
    assert normalise("Bob", plain) == "Bob@example.org"


@pytest.mark.parametrize(
    ("nets", "address", "right"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8, 192.0.2.1", "192.0.2.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "10.0.0.1", False),
        ("local", None, True),
        ("local", "127.0.0.1", False),
        ("10.0.0.0/8", None, False),
        ("10.0.0.0/8,!10.1.0.0/16", "10.1.2.3", False),
        ("10.0.0.0/8,!10.1.0.0/16", "10.2.2.3", True),
        ("", "10.0.0.1", False),
        ("nonsense", "10.0.0.1", False),
        ("10.0.0.0/8", "nonsense", False),
    ],
)
def test_networks(nets: str, address: str | None, right: bool) -> None:
    assert allowed(nets, address) is right


@pytest.mark.parametrize(
    ("patterns", "user", "right"),
    [
        ((), "bob@x", True),
        (("*@x",), "bob@x", True),
        (("*@x",), "bob@y", False),
        (("!*@x",), "bob@x", False),
        (("!*@x",), "bob@y", True),
        (("*", "!bob*"), "bob@y", False),
    ],
)
def test_user_filter(patterns: tuple[str, ...], user: str, right: bool) -> None:
    assert user_matches(user, patterns) is right


def test_every_rule_has_an_effect() -> None:
    assert {name for name, effect in EFFECTS.items() if effect.ends} == {
        "return",
        "return-ok",
        "return-fail",
    }
    assert {name for name, effect in EFFECTS.items() if effect.sets} == {
        "return-ok",
        "continue-ok",
    }
