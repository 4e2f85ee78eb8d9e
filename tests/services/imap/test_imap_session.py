"""What a session promises besides its replies: order, bounds, ends, errors that are replies."""

from __future__ import annotations

import asyncio
import re
import socket
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.drivers.storage.mdbox.store import MdboxStore
from pillarbox.mailstore.errors import Temporary, Unreadable
from pillarbox.mailstore.view import View
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import LoginRejected
from pillarbox.runtime.connection import CLOSED
from pillarbox.services.imap import handlers

Imap = Callable[..., None]


async def append(client: Any, count: int, size: int = 20) -> None:
    """Append ``count`` messages with one command."""
    message = b"Subject: x\r\n\r\n" + b"b" * size
    literal = b" {%d+}\r\n%b" % (len(message), message)
    assert "OK [APPENDUID" in (await client.command(b"APPEND INBOX" + literal * count))[-1]


def test_pipelined_commands_keep_their_order(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        lines = [b"t%d NOOP" % i for i in range(3000)]
        lines[1000] = b"t1000 CREATE one"
        lines[2000] = b"t2000 APPEND one {5+}\r\nhello"
        client.feed(b"\r\n".join(lines) + b"\r\n")
        tags = [(await client.line()).split()[0] for _ in lines]
        assert tags == [b"t%d" % i for i in range(3000)]

    imap(test)


def test_a_long_pipeline_lets_others_in(imap: Imap) -> None:
    async def test(server: Any) -> None:
        greedy, other = await server.login(), await server.login()
        greedy.feed(b"".join(b"t%d NOOP\r\n" % i for i in range(10_000)))
        assert await other.command("NOOP") == ["x OK NOOP completed."]
        assert greedy.session.reader.buffered > 0
        while (await greedy.line()) != b"t9999 OK NOOP completed.":
            pass

    imap(test)


def test_a_client_that_does_not_read_is_not_written_to_without_end(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client, other = await server.login(), await server.login()
        await append(client, 4, 1_000_000)
        await client.command("SELECT INBOX")
        client.feed(b"".join(b"y%d FETCH 1:4 BODY.PEEK[]\r\n" % i for i in range(20)))
        async with asyncio.timeout(20):
            while client.session.writable:
                await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
            assert await other.command("NOOP") == ["x OK NOOP completed."]
        assert not client.session.writable
        assert client.session.sent < 10_000_000
        for i in range(20):
            tagged = b"y%d OK Fetch completed." % i
            while (await client.line()) != tagged:
                pass

    imap(test)


def test_input_behind_a_waiting_command_is_bounded(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        client.feed(b"a CREATE one\r\n" + b"b NOOP\r\n" * 20)
        assert client.session._paused
        assert await client.line() == b"a OK Create completed."
        for _ in range(20):
            assert await client.line() == b"b OK NOOP completed."
        assert not client.session._paused

    imap(test, imap_input_buffer_size=100)


def test_commands_sent_behind_the_login_are_done(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login(input=b"a NOOP\r\nb NO")
        assert await client.line() == b"a OK NOOP completed."
        client.feed(b"OP\r\n")
        assert await client.line() == b"b OK NOOP completed."

    imap(test)


def test_half_closed_connections_get_their_answers(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await asyncio.get_running_loop().sock_sendall(
            client.sock, b"a CREATE one\r\nb CREATE two\r\n"
        )
        client.sock.shutdown(socket.SHUT_WR)
        assert await client.line() == b"a OK Create completed."
        assert await client.line() == b"b OK Create completed."
        assert await client.ended()

    imap(test)


def test_what_a_session_held_is_given_back(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("SELECT INBOX")
        client.feed(b"a IDLE\r\n")
        assert await client.line() == b"+ idling"
        assert len(server.anvil.sessions) == 1
        client.close()
        await server.worker.idle_wait()
        assert server.anvil.sessions == []
        assert not server.worker.sessions
        assert client.session.state == CLOSED
        assert any("Disconnected: Connection closed in=" in line for line in server.lines)

    imap(test)


def test_a_command_survives_its_connection(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client, other = await server.login(), await server.login()
        client.feed(b"a APPEND INBOX {5+}\r\nhello\r\n")
        client.session.abort("test")
        while server.worker.busy and len(server.anvil.sessions) > 1:
            await asyncio.sleep(0)
        lines = await other.command("STATUS INBOX (MESSAGES)")
        assert lines[0] == "* STATUS INBOX (MESSAGES 1)"

    imap(test)


def test_logout_line_counts(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await append(client, 2)
        await client.command("SELECT INBOX")
        await client.command("FETCH 1:2 (BODY.PEEK[HEADER] BODY.PEEK[TEXT])")
        await client.command("STORE 1 +FLAGS (\\Deleted)")
        await client.command("EXPUNGE")
        await client.command("LOGOUT")
        assert await client.ended()
        await server.worker.idle_wait()
        line = server.lines[-1]
        assert re.fullmatch(
            r"info: Disconnected: Logged out in=\d+ out=\d+ deleted=1 expunged=1 appended=2 "
            r"hdr_count=2 hdr_bytes=\d+ body_count=2 body_bytes=\d+",
            line,
        )

    imap(test)


def test_shutdown_says_goodbye(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await server.worker.drain()
        assert await client.line() == b"* BYE [UNAVAILABLE] Server shutting down."
        assert await client.ended()

    imap(test)


def test_too_many_bad_commands_end_the_session(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        client.feed(b"a X\r\nb X\r\nc NOOP\r\nd X\r\ne X\r\nf X\r\n")
        replies = [(await client.line())[:5] for _ in range(6)]
        assert replies == [b"a BAD", b"b BAD", b"c OK ", b"d BAD", b"e BAD", b"f BAD"]
        assert await client.line() == b"* BYE Too many invalid IMAP commands."
        assert await client.ended()

    imap(test, imap_max_bad_commands=3)


def test_silence_ends_the_session(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        assert await client.line() == b"* BYE Disconnected for inactivity."
        assert await client.ended()

    imap(test, imap_idle_timeout=0.1)


def test_a_client_that_never_reads_is_cut_off(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await append(client, 4, 1_000_000)
        await client.command("SELECT INBOX")
        client.feed(b"y FETCH 1:4 BODY.PEEK[]\r\n")
        await server.worker.idle_wait()
        assert "the client does not read" in server.lines[-1]

    imap(test, imap_idle_timeout=0.5)


def test_idle_is_kept_alive_until_the_client_is_silent_too_long(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        client.feed(b"a IDLE\r\n")
        assert await client.line() == b"+ idling"
        assert await client.line() == b"* OK Still here"
        while (line := await client.line()) == b"* OK Still here":
            pass
        assert line == b"* BYE Disconnected for inactivity."

    imap(test, imap_idle_timeout=0.8, imap_idle_notify_interval=0.1)


def test_limits_are_named(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        lines = await client.command(b"SEARCH " + b"x" * 2000)
        assert lines == ["x BAD Command line is longer than 1000 bytes"]
        lines = await client.command(b"APPEND INBOX {101}")
        assert lines == ["x NO [TOOBIG] Message is larger than 100 bytes"]
        lines = await client.command(b"SELECT {600+}\r\n" + b"x" * 600)
        assert lines == ["x NO [TOOBIG] Literals of one command are larger than 500 bytes"]
        lines = await client.command(b"STATUS ((((")
        assert lines[0].startswith("x BAD STATUS: Expected string")
        await client.command("SELECT INBOX")
        lines = await client.command("SEARCH ((((ALL))))")
        assert lines == ["x BAD SEARCH: Arguments are nested more than 3 deep"]
        lines = await client.command("STORE 1:* +FLAGS (abcdefghijk)")
        assert lines == ["x NO [LIMIT] Keyword is longer than 10 bytes"]

    imap(
        test,
        imap_max_line_length=1000,
        imap_max_command_size=500,
        mail_max_size=100,
        imap_max_nesting=3,
        mail_max_keyword_length=10,
    )


def test_a_bug_is_a_reply_and_a_log_entry(imap: Imap, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: Any) -> Any:
        raise RuntimeError("very private")

    async def broken_later(run: Any) -> Any:
        await asyncio.sleep(0)
        raise RuntimeError("very private")

    async def test(server: Any) -> None:
        client = await server.login()
        for handler in (broken, broken_later):
            monkeypatch.setitem(handlers.HANDLERS, "CHECK", handler)
            monkeypatch.setitem(handlers.HANDLERS, "NAMESPACE", handler)
            (line,) = await client.command("NAMESPACE")
            assert re.fullmatch(
                r"x NO \[SERVERBUG\] Internal error occurred\. Refer to server log for more "
                r"information\. \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]",
                line,
            )
        assert await client.command("NOOP") == ["x OK NOOP completed."]
        logged = [line for line in server.lines if "internal error" in line]
        assert len(logged) == 2
        assert all("very private" in line and "Traceback" in line for line in logged)
        server.lines.clear()

    imap(test)


def test_the_mail_stores_errors_are_replies(imap: Imap, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: object, **more: object) -> None:
        raise Temporary

    async def test(server: Any) -> None:
        client = await server.login()
        await append(client, 1)
        await client.command("SELECT INBOX")
        monkeypatch.setattr(View, "store", fail)
        assert await client.command("STORE 1 FLAGS ()") == [
            "x NO [UNAVAILABLE] Temporary internal failure, try again later"
        ]

    imap(test)


@pytest.mark.parametrize("failure", ["no-after", "disconnect-after", "disconnect-immediately"])
def test_lost_messages_are_left_out(
    imap: Imap, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    read = View._read_one

    async def lossy(self: View, scope: Any, position: int, *rest: Any) -> memoryview:
        if position == 1:
            raise Unreadable
        return await read(self, scope, position, *rest)

    async def test(server: Any) -> None:
        client = await server.login()
        await append(client, 3)
        await client.command("SELECT INBOX")
        monkeypatch.setattr(MdboxStore, "at_hand", lambda self, wanted: [None] * len(wanted))
        monkeypatch.setattr(View, "_read_one", lossy)
        lines = await client.command("FETCH 1:3 BODY[TEXT]<0.1>")
        expected = [
            r"* 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT]<0> {1}",
            "b)",
            r"* 3 FETCH (FLAGS (\Seen \Recent) BODY[TEXT]<0> {1}",
            "b)",
        ]
        if failure == "no-after":
            text = "Some messages could not be read: The message's text is lost or damaged"
            expected.append(f"x NO [SERVERBUG] {text}")
        else:
            expected += ["* BYE [SERVERBUG] FETCH failed: some messages could not be read."]
        assert [line for line in lines if line] == expected

    imap(test, imap_fetch_failure=failure)


def test_a_mailbox_deleted_by_another_session(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client, other = await server.login(), await server.login()
        await client.command("CREATE one")
        await client.command("SELECT one")
        await other.command("SELECT one")
        lines = await other.command("DELETE one")
        assert lines[-1] == "x OK Delete completed."
        assert await other.command("NOOP") == ["x OK NOOP completed."]
        client.feed(b"a NOOP\r\n")
        assert await client.line() == b"* BYE Mailbox was deleted under us"
        assert await client.ended()

    imap(test)


def test_big_fetches_come_in_slices_and_whole(imap: Imap) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await append(client, 5000, 1)
        await client.command("SELECT INBOX")
        lines = await client.command("FETCH 1:* (UID FLAGS)")
        assert lines[:-1] == [f"* {n} FETCH (UID {n} FLAGS (\\Recent))" for n in range(1, 5001)]
        lines = await client.command("UID STORE 1:* +FLAGS (\\Seen)")
        assert len(lines) == 5001
        lines = await client.command("FETCH 1:* ENVELOPE")
        assert len(lines) == 5001
        assert (await client.command("SEARCH UNSEEN"))[0] == "* SEARCH"

    imap(test, imap_max_line_length=1 << 20)


class TestCompress:
    """COMPRESS=DEFLATE (RFC 4978)."""

    @pytest.mark.parametrize("mode", ["whole", "bytes", "splits"])
    def test_both_ways(self, imap: Imap, mode: str) -> None:
        async def test(server: Any) -> None:
            client = await server.login()
            pack = zlib.compressobj(9, zlib.DEFLATED, -15)
            unpack = zlib.decompressobj(-15)
            assert await client.command("COMPRESS LZW") == [
                "x NO [CANNOT] Only DEFLATE is supported."
            ]
            packed = pack.compress(b"b NOOP\r\nc COMPRESS DEFLATE\r\nd IDLE\r\nDONE\r\n")
            client.feed(b"a COMPRESS DEFLATE\r\n" + packed + pack.flush(zlib.Z_SYNC_FLUSH))
            assert await client.line() == b"a OK Begin compression."
            data = unpack.decompress(client.buffer)
            while b"d OK" not in data:
                data += unpack.decompress(await client.recv())
            assert data.split(b"\r\n") == [
                b"b OK NOOP completed.",
                b"c NO [COMPRESSIONACTIVE] DEFLATE is active already.",
                b"+ idling",
                b"d OK Idle completed.",
                b"",
            ]

        imap(test, mode=mode)

    def test_rubbish_ends_the_session(self, imap: Imap) -> None:
        async def test(server: Any) -> None:
            client = await server.login()
            client.feed(b"a COMPRESS DEFLATE\r\n\xff\xff\xff\xff\xff\xff")
            assert await client.line() == b"a OK Begin compression."
            unpack = zlib.decompressobj(-15)
            data = client.buffer
            while piece := await client.recv():
                data += piece
            assert unpack.decompress(data) == b"* BYE Invalid compressed data.\r\n"

        imap(test)

    def test_a_bomb_is_read_in_pieces(self, imap: Imap) -> None:
        async def test(server: Any) -> None:
            client = await server.login()
            pack = zlib.compressobj(9, zlib.DEFLATED, -15)
            bomb = pack.compress(b"y NOOP\r\n" * 2_000_000) + pack.flush(zlib.Z_SYNC_FLUSH)
            assert len(bomb) < 100_000
            client.feed(b"a COMPRESS DEFLATE\r\n" + bomb)
            assert client.session.reader.buffered < 200_000
            client.session.abort("test")

        imap(test)


class TestLogin:
    """Taking over a client."""

    def refused(self, imap: Imap, prepare: Callable[[Any], None], code: str, **more: Any) -> None:
        async def test(server: Any) -> None:
            prepare(server)
            sock, reply, _ = await server.handoff("bob")
            assert not reply.ok
            assert reply.code == code
            assert await asyncio.get_running_loop().sock_recv(sock, 10) == b""
            sock.close()
            assert server.anvil.sessions in ([], ["other"])
            assert not server.worker.busy

        imap(test, **more)

    def test_disabled_user(self, imap: Imap) -> None:
        def prepare(server: Any) -> None:
            server.worker.auth.error = LoginRejected("user_disabled", "Disabled.")

        self.refused(imap, prepare, "user_disabled")

    def test_broken_database(self, imap: Imap) -> None:
        def prepare(server: Any) -> None:
            server.worker.auth.error = AuthTemporaryError("database is down")

        self.refused(imap, prepare, "internal_failure")

    def test_too_many_connections(self, imap: Imap) -> None:
        def prepare(server: Any) -> None:
            server.anvil.sessions.append("other")

        self.refused(imap, prepare, "connection_limit", mail_max_userip_connections=1)

    def test_full_process(self, imap: Imap) -> None:
        def prepare(server: Any) -> None:
            server.ctx.client_limit = 0

        self.refused(imap, prepare, "process_full")

    def test_unusable_mail(self, imap: Imap) -> None:
        def prepare(server: Any) -> None:
            async def fail(*args: object) -> None:
                raise Temporary

            server.worker.users.acquire = fail

        self.refused(imap, prepare, "internal_failure")
