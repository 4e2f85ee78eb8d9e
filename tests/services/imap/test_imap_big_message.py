"""A message that is bigger than any other answer leaves in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.services.imap.session import PIECE, ImapSession

BODY = b"0123456789abcdef" * 65536 + b"\r\n"
MESSAGE = b"From: a\r\nSubject: big\r\n\r\n" + BODY


@pytest.mark.parametrize(
    ("items", "before", "octets", "after"),
    [
        ("BODY[]", b"FLAGS (\\Seen \\Recent) BODY[] ", MESSAGE, b")"),
        ("BODY.PEEK[]", b"BODY[] ", MESSAGE, b")"),
        ("(UID BODY.PEEK[TEXT])", b"UID 1 BODY[TEXT] ", BODY, b")"),
        ("(BODY.PEEK[TEXT]<5.400000> UID)", b"UID 1 BODY[TEXT]<5> ", BODY[5:400005], b")"),
        ("(BODY.PEEK[] BODY.PEEK[2])", b"BODY[] ", MESSAGE, b" BODY[2] {0}"),
        (
            "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] RFC822.SIZE BODY.PEEK[1])",
            b"RFC822.SIZE %d BODY[HEADER.FIELDS (SUBJECT)] {16}" % len(MESSAGE),
            b"Subject: big\r\n\r\n",
            b" BODY[1] {%d}" % len(BODY),
        ),
    ],
)
def test_big_message(
    imap: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    items: str,
    before: bytes,
    octets: bytes,
    after: bytes,
) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await client.command(b"APPEND INBOX {%d+}\r\n%b" % (len(MESSAGE), MESSAGE))
        await client.command("SELECT INBOX")
        largest = 0
        send = ImapSession.send

        def watched(session: ImapSession, *chunks: bytes) -> None:
            nonlocal largest
            largest = max(largest, *map(len, chunks))
            send(session, *chunks)

        with monkeypatch.context() as patch:
            patch.setattr(ImapSession, "send", watched)
            client.feed(f"x FETCH 1 {items}\r\n".encode())
            head = await client.line()
            size = b"" if before.endswith(b"}") else b"{%d}" % len(octets)
            assert head == b"* 1 FETCH (" + before + size
            got = await read(client, len(octets))
            assert hashlib.sha1(got).digest() == hashlib.sha1(octets).digest()
            assert await client.line() == after
            while not (await client.line()).startswith(b"x OK"):
                pass
        assert largest <= PIECE

    imap(test)


async def read(client: Any, size: int) -> bytes:
    while len(client.buffer) < size:
        client.buffer += await client.recv()
    data, client.buffer = client.buffer[:size], client.buffer[size:]
    return bytes(data)
