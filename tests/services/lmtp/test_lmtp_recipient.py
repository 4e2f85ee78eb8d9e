"""From an address to a user, and the small parts of the service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pillarbox.services.lmtp.capabilities import lhlo_reply
from pillarbox.services.lmtp.recipient import user_of
from pillarbox.wire.smtp.address import Address


@pytest.mark.parametrize(
    ("address", "delimiters", "user", "detail"),
    [
        (Address("bob", ""), "+", "bob", ""),
        (Address("Bob", "EXAMPLE.com"), "+", "bob@example.com", ""),
        (Address("bob+Work", "x"), "+", "bob@x", "Work"),
        (Address("bob-Work", "x"), "+-", "bob@x", "Work"),
        (Address("bob+work", "x"), "", "bob+work@x", ""),
        (Address("+bob", "x"), "+", "+bob@x", ""),
        (Address("a b", "x"), "+", "a b@x", ""),
    ],
)
def test_user_of(address: Address, delimiters: str, user: str, detail: str) -> None:
    assert user_of(address, delimiters) == (user, detail)


def test_capabilities() -> None:
    assert "SIZE" in lhlo_reply("h", 0, False).lines
    assert lhlo_reply("h", 5, True).lines[-1] == "STARTTLS"
    assert "STARTTLS" not in lhlo_reply("h", 5, False).lines


@pytest.mark.parametrize(("to", "named"), [(["bob"], True), (["bob", "ann"], False)])
def test_received_names_the_only_recipient(
    world: Any, talk: Any, to: list[str], named: bool
) -> None:
    lines = "".join(f"RCPT TO:<{name}@example.com>\r\n" for name in to)
    stream = f"LHLO x\r\nMAIL FROM:<>\r\n{lines}DATA\r\nx\r\n.\r\n".encode()
    asyncio.run(talk._run([stream]))
    (message,) = world.users["bob@example.com"].boxes["INBOX"].messages
    assert (b"\tfor <bob@example.com>;" in message) is named


@pytest.mark.parametrize(
    ("settings", "present", "absent"),
    [
        ({}, b"Delivered-To: bob@example.com", b"old@x"),
        ({"lmtp_hdr_delivery_address": "original"}, b"Delivered-To: old@x", b"To: bob"),
        ({"lmtp_hdr_delivery_address": "none"}, b"Return-Path: <>", b"Delivered-To"),
        ({"lmtp_add_received_header": False}, b"Return-Path: <>", b"Received"),
    ],
)
def test_header_settings(
    world: Any, talk: Any, settings: dict[str, Any], present: bytes, absent: bytes
) -> None:
    world.set(**settings)
    rcpt = b"RCPT TO:<bob@example.com> ORCPT=rfc822;old@x\r\n"
    asyncio.run(talk._run([b"LHLO x\r\nMAIL FROM:<>\r\n" + rcpt + b"DATA\r\nx\r\n.\r\n"]))
    (message,) = world.users["bob@example.com"].boxes["INBOX"].messages
    assert present in message
    assert absent not in message
