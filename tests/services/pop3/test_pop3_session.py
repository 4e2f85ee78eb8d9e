"""Sessions after login, as transcripts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.errors import NoSpace, Temporary
from pillarbox.runtime.connection import OPEN

Run = Callable[..., None]
Server = Any

ONE = b"Subject: one\r\n\r\nfirst\r\n.dotted\r\n"
TWO = b"Subject: two\r\n\r\na\r\nb\r\nc\r\n"
MODES = ["whole", "bytes", "splits"]


def size(*messages: bytes) -> int:
    return sum(map(len, messages))


@pytest.mark.parametrize("mode", MODES)
def test_a_session(pop3: Run, mode: str) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO)
        await server.talk(
            f"""
C: STAT
S: +OK 2 {size(ONE, TWO)}
C: LIST
S: +OK 2 messages:
S: 1 {size(ONE)}
S: 2 {size(TWO)}
S: .
C: list 2
S: +OK 2 {size(TWO)}
C: RETR 1
S: +OK {size(ONE)} octets
S: Subject: one
S:
S: first
S: ..dotted
S: .
C: TOP 2 1
S: +OK
S: Subject: two
S:
S: a
S: .
C: DELE 1
S: +OK Marked to be deleted.
C: DELE 1
S: -ERR Message 1 is deleted.
C: RETR 1
S: -ERR Message 1 is deleted.
C: STAT
S: +OK 1 {size(TWO)}
C: LIST
S: +OK 1 messages:
S: 2 {size(TWO)}
S: .
C: UIDL
S: +OK
S: 2 {{*}}
S: .
C: RSET
S: +OK No message is deleted.
C: STAT
S: +OK 2 {size(ONE, TWO)}
C: LIST 3
S: -ERR There is no message 3.
C: RETR 0
S: -ERR There is no message 0.
C: NOOP
S: +OK NOOP
C: FROB
S: -ERR Unknown command.
C: PASS secret
S: -ERR PASS is not allowed after login.
C: LAST
S: -ERR LAST is not supported.
C: LANG
S: +OK Language listing follows:
S: en English
S: .
C: CAPA
S: +OK Capability list follows
S: ~
S: IMPLEMENTATION Pillarbox
S: .
C: DELE 2
S: +OK Marked to be deleted.
C: QUIT
S: +OK Logging out, messages deleted.
S:
"""
        )
        box = await server.mailbox()
        assert box.records["uid"].tolist() == [1]
        assert int(box.records["flags"][0]) & fl.SEEN

    pop3(test, mode=mode)


def test_an_empty_maildrop(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.talk(
            """
C: STAT
S: +OK 0 0
C: LIST
S: +OK 0 messages:
S: .
C: UIDL
S: +OK
S: .
C: RETR 1
S: -ERR There is no message 1.
C: QUIT
S: +OK Logging out.
S:
"""
        )

    pop3(test)


def test_what_was_pipelined_behind_the_login_is_answered(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        client = await server.login(waiting=b"RETR 1\r\nSTAT\r\nQUI")
        assert await client.line() == b"+OK %d octets" % size(ONE)
        await client.body()
        assert await client.line() == b"+OK 1 %d" % size(ONE)
        client.feed(b"T\r\n")
        assert await client.line() == b"+OK Logging out."
        assert await client.ended()

    pop3(test)


def test_leaving_without_quit_deletes_nothing_but_marks_as_seen(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO)
        client = await server.login()
        assert (await client.do("RETR 2")).startswith("+OK")
        await client.body()
        assert (await client.do("DELE 1")).startswith("+OK")
        assert (await client.do("DELE 2")).startswith("+OK")
        client.close()
        await server.left()
        box = await server.mailbox()
        assert (box.records["flags"] & fl.SEEN).tolist() == [0, fl.SEEN]
        assert server.anvil.sessions == []

    pop3(test)


def test_new_mail_waits_for_the_next_session(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        client = await server.login()
        await server.append(TWO)
        assert await client.do("STAT") == f"+OK 1 {size(ONE)}"
        assert (await client.do("RETR 2")).startswith("-ERR")
        assert (await client.do("DELE 1")).startswith("+OK")
        assert await client.do("QUIT") == "+OK Logging out, messages deleted."
        assert (await server.mailbox()).records["uid"].tolist() == [2]
        again = await server.login()
        assert await again.do("STAT") == f"+OK 1 {size(TWO)}"

    pop3(test)


def test_what_others_expunge_fails_and_the_rest_keeps_its_number(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO, ONE)
        client = await server.login()
        other = (await server.mailbox()).view(readonly=False)
        scope = Scope(None)
        await other.store(scope, other.positions(((1, 1),), False), "add", fl.DELETED, ())
        await other.expunge(scope)
        assert await client.do("RETR 1") == "-ERR Message 1 is no longer there."
        assert await client.do("TOP 1 0") == "-ERR Message 1 is no longer there."
        assert await client.do("RETR 2") == f"+OK {size(TWO)} octets"
        assert b"Subject: two" in await client.body()
        assert await client.do("STAT") == f"+OK 3 {size(ONE, TWO, ONE)}"
        for number in (1, 2):
            assert (await client.do(f"DELE {number}")).startswith("+OK")
        assert await client.do("QUIT") == "+OK Logging out, messages deleted."
        assert (await server.mailbox()).records["uid"].tolist() == [3]

    pop3(test)


def test_two_sessions_may_delete_the_same(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        await server.talk(
            """
C1: DELE 1
S1: +OK Marked to be deleted.
C2: DELE 1
S2: +OK Marked to be deleted.
C1: QUIT
S1: +OK Logging out, messages deleted.
C2: QUIT
S2: +OK Logging out.
"""
        )

    pop3(test)


def test_an_update_that_fails_is_told(pop3: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        client = await server.login()

        async def full(*args: object, **more: object) -> None:
            raise NoSpace

        monkeypatch.setattr(client.session.maildrop.view.mailbox.writer, "commit", full)
        await client.do("DELE 1")
        assert (await client.do("QUIT")).startswith("-ERR [SYS/TEMP] No space left")
        assert await client.ended()
        monkeypatch.undo()
        assert len((await server.mailbox()).records) == 1

    pop3(test)


def test_a_message_that_cannot_be_read_is_an_error_and_no_more(
    pop3: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        client = await server.login()
        maildrop = client.session.maildrop
        view = maildrop.view

        async def fail(*args: object, **more: object) -> None:
            raise Temporary

        monkeypatch.setattr(maildrop, "at_hand", lambda index: None)
        monkeypatch.setattr(view, "read", fail)
        assert (await client.do("RETR 1")).startswith("-ERR [SYS/TEMP] ")
        assert await client.do("NOOP") == "+OK NOOP"

        async def bug(*args: object, **more: object) -> None:
            raise KeyError("secret")

        monkeypatch.setattr(view, "read", bug)
        reply = await client.do("RETR 1")
        assert reply.startswith("-ERR [SYS/PERM] Internal error")
        assert "secret" not in reply
        assert await client.do("NOOP") == "+OK NOOP"
        assert any("internal error" in line for line in server.lines)
        server.lines.clear()

    pop3(test)


@pytest.mark.parametrize("cold", [(), (1,), (2,), (1, 2, 3)])
def test_messages_at_hand_and_messages_on_the_disk(
    pop3: Run, monkeypatch: pytest.MonkeyPatch, cold: tuple[int, ...]
) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO, ONE)
        client = await server.login()
        maildrop = client.session.maildrop
        all_at_hand = maildrop.at_hand

        def at_hand(index: int) -> memoryview | None:
            return None if index + 1 in cold else all_at_hand(index)

        monkeypatch.setattr(maildrop, "at_hand", at_hand)
        client.feed(b"RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 2\r\n")
        for expected in (ONE, TWO, ONE, TWO):
            assert await client.line() == b"+OK %d octets" % len(expected)
            assert await client.body() == expected.splitlines()
        assert client.session.counts.retr_count == 4
        assert client.session.maildrop.fetched == {0, 1, 2}

    pop3(test)


def test_last_and_rset(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, flags=fl.SEEN)
        await server.append(TWO, ONE)
        client = await server.login()
        assert await client.do("LAST") == "+OK 1"
        await client.do("RETR 2")
        await client.body()
        assert await client.do("LAST") == "+OK 2"
        assert (await client.do("RSET")).startswith("+OK")
        assert await client.do("LAST") == "+OK 0"
        await client.do("QUIT")
        assert not ((await server.mailbox()).records["flags"] & fl.SEEN).any()

    pop3(test, pop3_enable_last=True)


def test_no_flag_updates(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO)
        client = await server.login()
        await client.do("RETR 1")
        await client.body()
        await client.do("DELE 2")
        assert await client.do("QUIT") == "+OK Logging out, messages deleted."
        box = await server.mailbox()
        assert box.records["uid"].tolist() == [1]
        assert not (box.records["flags"] & fl.SEEN).any()
        assert box.first_recent_uid == 1

    pop3(test, pop3_no_flag_updates=True)


@pytest.mark.parametrize("flag", ["$POP3Deleted", "\\Deleted"])
def test_deleting_by_flag_hides(pop3: Run, flag: str) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO, ONE)
        client = await server.login()
        await client.do("DELE 2")
        assert await client.do("QUIT") == "+OK Logging out, messages deleted."
        assert len((await server.mailbox()).records) == 3
        again = await server.login()
        assert await again.do("STAT") == f"+OK 2 {size(ONE, ONE)}"
        assert (await again.do("UIDL 2")).startswith("+OK 2 00000003")
        await again.do("RETR 2")
        assert b"Subject: one" in await again.body()

    pop3(test, pop3_deleted_flag=flag)


def test_expunging_what_is_shown_leaves_what_is_hidden(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, keywords=[b"$POP3Deleted"])
        await server.append(TWO)
        client = await server.login()
        assert await client.do("STAT") == f"+OK 1 {size(TWO)}"
        await client.do("DELE 1")
        await client.do("QUIT")
        assert (await server.mailbox()).records["uid"].tolist() == [1]

    pop3(test, pop3_deleted_flag="$POP3Deleted", pop3_delete_type="expunge")


def test_workarounds(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(b"Subject: headless\r\n", b"A: b\r\n\r\nx\0y\r\n")
        client = await server.login()
        await client.do("RETR 1")
        assert await client.body() == [b"Subject: headless", b""]
        await client.do("RETR 2")
        assert (await client.body())[-1] == b"x\x80y"

    pop3(test, pop3_client_workarounds=("outlook-no-nuls", "oe-ns-eoh"))


def test_a_message_far_bigger_than_the_buffers(pop3: Run) -> None:
    async def test(server: Server) -> None:
        lines = [b".%d" % n + b"x" * 60 for n in range(60_000)]
        await server.append(b"A: b\r\n\r\n" + b"\r\n".join(lines) + b"\r\n", ONE)
        client = await server.login()
        client.feed(b"RETR 1\r\nRETR 2\r\nSTAT\r\n")
        await client.line()
        assert await client.body() == [b"A: b", b"", *lines]
        assert await client.line() == b"+OK %d octets" % size(ONE)
        await client.body()
        assert (await client.line()).startswith(b"+OK 2 ")
        client.feed(b"RETR 1\r\n")
        await client.line()
        client.close()
        await server.left()

    pop3(test)


def test_lists_of_many_messages(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(*[ONE] * 9000)
        client = await server.login()
        client.feed(b"DELE 5\r\nLIST\r\nUIDL\r\nSTAT\r\n")
        await client.line()
        assert await client.line() == b"+OK 8999 messages:"
        sizes = await client.body()
        assert len(sizes) == 8999
        assert sizes[4] == b"6 %d" % size(ONE)
        assert await client.line() == b"+OK"
        uidls = await client.body()
        assert len({line.split()[1] for line in uidls}) == 8999
        assert await client.line() == b"+OK 8999 %d" % (8999 * size(ONE))

    pop3(test)


def test_bad_commands_end_it(pop3: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        client.feed(b"X\r\nNOOP\r\n" + b"X\r\n" * 3 + b"x" * 5000 + b"\r\nNOOP\r\nNOOP\r\n")
        assert (await client.line()) == b"-ERR Unknown command."
        assert (await client.line()) == b"+OK NOOP"
        for _ in range(2):
            await client.line()
        assert (await client.line()) == b"-ERR Unknown command."
        assert (await client.line()) == b"-ERR Too many invalid commands."
        assert await client.ended()

    pop3(test, pop3_max_bad_commands=3)


def test_a_line_too_long(pop3: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        client.feed(b"x" * 5000 + b"\r\nNOOP\r\n")
        assert await client.line() == b"-ERR Line is too long."
        assert await client.line() == b"+OK NOOP"

    pop3(test)


def test_silence_ends_the_session_without_a_word(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        client = await server.login()
        await client.do("DELE 1")
        client.session.expired()
        assert await client.ended()
        await server.left()
        assert len((await server.mailbox()).records) == 1
        assert any("Disconnected for inactivity" in line for line in server.lines)

    pop3(test)


def test_a_slow_reader_is_not_idle_but_one_that_stopped_is(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(b"A: b\r\n\r\n" + (b"x" * 98 + b"\r\n") * 60_000)
        client = await server.login()
        client.feed(b"RETR 1\r\n")
        while client.session.writable:
            await asyncio.sleep(0)
        client.session.expired()
        assert client.session.state == OPEN
        before = client.session.sent
        for _ in range(40_000):
            await client.line()
        assert client.session.sent > before
        while client.session.writable:
            await asyncio.sleep(0)
        client.session.expired()
        assert client.session.state == OPEN
        client.session.expired()
        await server.left()
        assert any("the client does not read" in line for line in server.lines)

    pop3(test)


def test_the_server_stops_between_two_replies(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(b"A: b\r\n\r\n" + b"x" * 98 + b"\r\n", ONE)
        await server.append(b"A: b\r\n\r\n" + (b"x" * 98 + b"\r\n") * 40_000)
        client, idle = await server.login(), await server.login()
        client.feed(b"RETR 3\r\nNOOP\r\n")
        await client.line()
        client.session.shutting_down()
        idle.session.shutting_down()
        assert len(await client.body()) == 40_002
        assert await client.line() == b"-ERR [SYS/TEMP] Server shutting down."
        assert await client.ended()
        assert await idle.line() == b"-ERR [SYS/TEMP] Server shutting down."

    pop3(test)


@pytest.mark.parametrize("waits", [False, True])
def test_half_closing_clients_get_their_answers(
    pop3: Run, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        client = await server.login()
        if waits:
            monkeypatch.setattr(client.session.maildrop, "at_hand", lambda index: None)
        client.feed(b"RETR 1\r\nSTAT\r\n")
        if waits:
            assert client.session.eof_received()
        else:
            client.sock.shutdown(socket.SHUT_WR)
        assert await client.line() == b"+OK %d octets" % size(ONE)
        await client.body()
        assert (await client.line()).startswith(b"+OK 1 ")
        assert await client.ended()

    pop3(test)


def test_many_pipelined_commands_give_way(pop3: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        client.feed(b"NOOP\r\n" * 30_000 + b"STAT\r\n")
        turns = 0
        while client.session.reader.buffered and client.session.state == OPEN:
            turns += 1
            async with asyncio.timeout(20):
                data = await asyncio.get_running_loop().sock_recv(client.sock, 1 << 20)
            client.buffer = (client.buffer + data)[-100:]
        while b"+OK 0 0" not in client.buffer:
            data = await asyncio.get_running_loop().sock_recv(client.sock, 1 << 20)
            client.buffer = (client.buffer + data)[-100:]
        assert turns > 1

    pop3(test)
