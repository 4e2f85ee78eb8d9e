"""RETR of what is at hand: the same whether somebody watches the command or nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pillarbox.events.bus import bus
from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.catalogue.pop3 import pop3_command_finished
from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.errors import Temporary
from pillarbox.runtime.connection import FLUSH_SIZE
from pillarbox.services.pop3 import retrieve
from pillarbox.services.pop3 import session as session_module
from pillarbox.services.pop3.maildrop import Maildrop
from pillarbox.services.pop3.session import OUTPUT
from pillarbox.wire.pop3.command import Message, parse_command
from pillarbox.wire.pop3.message import PIECE

Run = Callable[..., None]
Server = Any

MAILS = (
    b"Subject: plain\r\n\r\ntext\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    b".begins: with a dot\r\n\r\nx",
    b"",
    b"Subject: big\r\n\r\n" + b"0123456789\r\n" * (PIECE // 12),
    b"Subject: last\r\n\r\n\0nul\r\n",
)
PIPELINE = (
    b"RETR 1\r\nretr 2\r\nRETR 3\r\nRETR 4\r\nDELE 1\r\nRETR 1\r\nRETR 0\r\nRETR 7\r\nRETR 5\r\n"
    b"RETR  2\r\nRETR 2 \r\nRETR 2 2\r\nRETR\r\nRETR 999999999\r\nRETR 9999999999\r\nRETR x\r\n"
    b"RETR 6\nRSET\r\nRETR 1\r\nSTAT\r\n"
)


class Counter:
    """A listener that looks at nothing, as a metric without fields does."""

    def __init__(self) -> None:
        self.count = [0]

    def statements(self, build: Any) -> list[str]:
        return [f"{build.const(self.count)}[0] += 1"]


async def conversation(server: Server, user: str) -> tuple[list[bytes], Any, set[int]]:
    """What a client hears in answer to the pipeline, and what is known of it at the end."""
    await server.append(*MAILS, user=user)
    client = await server.login(user)
    client.feed(PIPELINE)
    heard = []
    while not (line := await client.line()).startswith(b"+OK 6 "):
        heard.append(line)
    return heard, client.session.counts, client.session.maildrop.fetched


@pytest.mark.parametrize("mode", ["whole", "bytes", "splits"])
@pytest.mark.parametrize("workarounds", [(), ("outlook-no-nuls", "oe-ns-eoh")])
def test_watched_and_unwatched_are_the_same(
    pop3: Run, emitted: Any, mode: str, workarounds: tuple[str, ...]
) -> None:
    async def test(server: Server) -> None:
        unwatched = await conversation(server, "bob")
        commands = emitted(pop3_command_finished)
        watched = await conversation(server, "eve")
        assert unwatched == watched
        assert len(commands) == PIPELINE.count(b"\n")
        retrieved = [c for c in commands if c["cmd_name"] == "RETR" and c["reply"] == "OK"]
        assert sum(c["net_out_bytes"] for c in retrieved) == watched[1].retr_bytes
        assert len(retrieved) == watched[1].retr_count == 9

    pop3(test, mode=mode, pop3_client_workarounds=workarounds)


def test_one_who_only_counts_costs_no_scope(pop3: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server) -> None:
        await server.append(*MAILS)
        client = await server.login()
        ordinary = []
        parse = session_module.parse_command
        monkeypatch.setattr(
            session_module, "parse_command", lambda line: ordinary.append(line) or parse(line)
        )
        counter = Counter()
        counting = bus.subscribe(counter, "event=mail_opened")
        try:
            for number in (1, 2, 3, 1):
                assert (await client.do(f"RETR {number}")).startswith("+OK")
                await client.body()
            assert counter.count == [4]
            assert not ordinary
        finally:
            bus.unsubscribe(counting)

    pop3(test)


def test_one_who_looks_sees_the_whole_scope(pop3: Run, emitted: Any) -> None:
    async def test(server: Server) -> None:
        await server.append(*MAILS)
        opened = emitted(mail_opened)
        client = await server.login()
        for number in (1, 2):
            await client.do(f"RETR {number}")
            await client.body()
        assert [(e["seq"], e["uid"], e["cmd_name"], e["cmd_args"]) for e in opened] == [
            (1, 1, "RETR", "1"),
            (2, 2, "RETR", "2"),
        ]
        for event in opened:
            assert event["mailbox"] == "INBOX"
            assert event["reason_code"] == ["pop3:cmd_retr"]

    pop3(test)


def test_what_others_do_to_the_mailbox_is_seen(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(*[b"Subject: %d\r\n\r\n" % n for n in range(20)])
        client = await server.login()

        async def retrieved(number: int) -> bytes:
            assert (await client.do(f"RETR {number}")).startswith("+OK")
            return (await client.body())[0]

        assert [await retrieved(n) for n in (1, 2, 3, 4)] == [b"Subject: %d" % n for n in range(4)]
        box = await server.mailbox()
        view = box.view(readonly=False)
        await view.store(
            Scope(None), view.positions(((5, 5), (17, 17)), False), "add", fl.DELETED, ()
        )
        await view.expunge(Scope(None))
        assert await client.do("RETR 5") == "-ERR Message 5 is no longer there."
        assert await retrieved(6) == b"Subject: 5"
        await server.append(b"Subject: new\r\n\r\n")
        await box.user.purge()
        assert [await retrieved(n) for n in (7, 8, 16)] == [b"Subject: %d" % n for n in (6, 7, 15)]
        assert await client.do("RETR 17") == "-ERR Message 17 is no longer there."
        assert (await client.do("RETR 21")).startswith("-ERR There is no message")

    pop3(test)


def test_a_broken_index_is_an_error(pop3: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server) -> None:
        await server.append(*MAILS)
        client = await server.login()

        def broken(self: Maildrop, index: int) -> bool:
            raise Temporary

        with monkeypatch.context() as patch:
            patch.setattr(Maildrop, "gone", broken)
            assert (await client.do("RETR 1")).startswith("-ERR [SYS/TEMP]")
        assert (await client.do("RETR 1")).startswith("+OK")

    pop3(test)


def test_commands_that_are_none_are_counted_in_a_row(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(*MAILS)
        client = await server.login()
        for _ in range(5):
            assert (await client.do("XYZZY")).startswith("-ERR")
            assert (await client.do("RETR 1")).startswith("+OK")
            await client.body()

    pop3(test, pop3_max_bad_commands=2)


@pytest.mark.parametrize("pieces", [1, 40])
def test_one_who_does_not_read_is_not_answered_further(pop3: Run, pieces: int) -> None:
    async def test(server: Server) -> None:
        mail = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 1500
        await server.append(*[mail] * 10)
        client = await server.login()
        session = client.session
        asked = b"".join(b"RETR %d\r\n" % (n % 10 + 1) for n in range(400))
        step = len(asked) // pieces + 1
        for at in range(0, len(asked), step):
            client.feed(asked[at : at + step])
        for _ in range(100):
            await asyncio.sleep(0)
        assert not session.writable
        assert session.sent == session.net_out < len(mail) * 100
        assert session.transport.get_write_buffer_size() <= OUTPUT + FLUSH_SIZE + len(mail) + 100
        for _ in range(400):
            assert await client.line() == b"+OK %d octets" % len(mail)
            assert len(await client.body()) == 1502
        assert session.counts.retr_count == 400

    pop3(test)


def test_sessions_take_turns(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(*MAILS, user="bob")
        await server.append(*MAILS, user="eve")
        bob, eve = await server.login("bob"), await server.login("eve")
        first, second = bob.session, eve.session
        bob.feed(b"RETR 1\r\n" * 20_000)
        eve.feed(b"RETR 1\r\nNOOP\r\n")
        assert first.reader.buffered
        assert await eve.line() == b"+OK %d octets" % len(MAILS[0])
        await eve.body()
        assert await eve.line() == b"+OK NOOP"
        assert first.reader.buffered
        assert not second.reader.buffered

    pop3(test)


PARTS = st.sampled_from([b"RETR", b"retr", b"Retr", b" ", b"  ", b"1", b"007", b"\r", b"\n", b"\t"])


@given(st.lists(PARTS, max_size=6).map(b"".join))
@example(b"RETR 123456789\r\n")
@example(b"RETR 1234567890")
def test_the_short_way_takes_nothing_for_retr_that_is_none(line: bytes) -> None:
    match = retrieve._RETR(line)
    if match is not None:
        command = parse_command(line.removesuffix(b"\n").removesuffix(b"\r"))
        assert (command.name, command.args) == ("RETR", Message(int(match[1])))
