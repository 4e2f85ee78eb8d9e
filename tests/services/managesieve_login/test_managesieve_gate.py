"""The gate that lets clients come back: it must see what the worker sees, however input is cut."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.services.managesieve_login.gate import UnauthenticateGate
from pillarbox.services.managesieve_login.server import announced

SCRIPT = b'PUTSCRIPT "a" {16+}\r\nUNAUTHENTICATE\r\n\r\n'


def through(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    gate = UnauthenticateGate(100)
    passed = b"".join(gate.passes(piece) for piece in pieces)
    return passed, gate.held(), gate.shut


@pytest.mark.parametrize(
    ("before", "after", "shut"),
    [
        (b"NOOP\r\nLISTSCRIPTS\r\n", b"", False),
        (b"NOOP\r\nUnauthenticate\r\n", b"NOOP\r\nhalf a line", True),
        (SCRIPT + b"UNAUTHENTICATE\n", b"x", True),
        (SCRIPT, b"", False),
        (b"UNAUTHENTICATE now\r\nNOOP\r\n", b"", False),
        (b"NOOP " + b"x" * 200 + b"{14+}\r\nUNAUTHENTICATE\r\nNOOP\r\n", b"", False),
        (b"NOOP {99999999999+}\r\nUNAUTHENTICATE\r\nNOOP\r\n", b"", False),
        (b"UNAUTHENTICATED\r\n", b"", False),
    ],
)
def test_what_passes(before: bytes, after: bytes, shut: bool) -> None:
    data = before + after
    assert through([data]) == (before, after, shut)
    assert through([data[i : i + 1] for i in range(len(data))]) == (before, after, shut)
    rng = random.Random(1)
    for _ in range(20):
        cuts = sorted(rng.randint(0, len(data)) for _ in range(4))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
        assert through(pieces) == (before, after, shut)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_nothing_is_lost(data: bytes, cut: int) -> None:
    passed, held, shut = through([data[:cut], data[cut:]])
    assert passed + held == data
    assert shut or not held


def test_extensions_before_login_are_changed_as_the_settings_say() -> None:
    assert announced("a b", ()) == "a b"
    assert announced("a b", ("+c", "-a")) == "b c"
    assert announced("a b", ("d", "e")) == "d e"
    assert announced("a b", ("-x",)) == "a b"
