"""Sessions after login, as transcripts, and the ways in which they end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.delivery.sieve_storage.errors import TryLater
from pillarbox.settings.schema.sieve_script import SieveScriptSettings

Run = Callable[..., None]
Server = Any

MODES = ["whole", "bytes", "splits"]


@pytest.mark.parametrize("mode", MODES)
def test_a_session(sieve: Run, mode: str) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.talk(
            """
S: OK "Logged in."
C: LISTSCRIPTS
S: OK "Scripts listed."
C: PUTSCRIPT "one" {18+}
C: keep;
C: # a comment
S: OK "Script stored."
C: PUTSCRIPT {3+}
C: two "stop;"
S: OK "Script stored."
C: setactive "two"
S: OK "Script activated."
C: LISTSCRIPTS
S: "one"
S: "two" ACTIVE
S: OK "Scripts listed."
C: GETSCRIPT "one"
S: {18}
S: keep;
S: # a comment
S: OK "Script sent."
C: HAVESPACE "three" 10
S: OK "There is room for the script."
C: DELETESCRIPT "two"
S: NO (ACTIVE) "The active script cannot be deleted."
C: RENAMESCRIPT "two" "one"
S: NO (ALREADYEXISTS) "A script of that name exists already."
C: RENAMESCRIPT "two" "three"
S: OK "Script renamed."
C: SETACTIVE ""
S: OK "No script is active now."
C: DELETESCRIPT "three"
S: OK "Script deleted."
C: GETSCRIPT "three"
S: NO (NONEXISTENT) "There is no script by that name."
C: CHECKSCRIPT "nonsense;"
S: NO "line 1: error: unknown command 'nonsense'{*}"
C: PUTSCRIPT "w" "require \\"include\\"; include \\"no\\";"
S: OK (WARNINGS) "w: line 1: warning: {*}"
C: NOOP
S: OK "Done."
C: NOOP "a \\"tag\\""
S: OK (TAG "a \\"tag\\"") "Done."
C: FROB
S: NO "Unknown command."
C: AUTHENTICATE "PLAIN" ""
S: NO "AUTHENTICATE is not possible after login."
C: XCLIENT "ADDR=192.0.2.1"
S: NO "XCLIENT is not possible after login."
C: LOGOUT
S: OK "Logging out."
S:
"""
        )
        await server.left()
        assert server.anvil.sessions == []
        assert server.lines[-1].startswith("info: Disconnected: Logged out bytes=")

    sieve(test, mode=mode)


def test_capabilities_are_the_users(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login("ann")
        await client.line()
        client.feed(b"CAPABILITY\r\n")
        lines = []
        while not (line := await client.line()).startswith(b"OK"):
            lines.append(line)
        assert b'"SIEVE" "fileinto vacation"' in lines
        assert b'"OWNER" "ann"' in lines
        assert b'"MAXREDIRECTS" "7"' in lines
        assert b'"IMPLEMENTATION" "Something"' in lines
        assert b'"UNAUTHENTICATE"' in lines

    sieve(
        test,
        sieve_extensions=("fileinto", "vacation"),
        sieve_max_redirects=7,
        managesieve_implementation_string="Something",
    )


def test_the_mechanisms_last_word_comes_with_the_ok(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login(final=b"v=xyz", waiting=b"NOOP\r\nNO")
        assert await client.line() == b'OK (SASL "dj14eXo=") "Logged in."'
        assert await client.line() == b'OK "Done."'
        assert await client.do("OP") == 'OK "Done."'

    sieve(test)


@pytest.mark.parametrize("mode", ["whole", "splits"])
def test_too_large_scripts_are_refused_and_the_session_goes_on(sieve: Run, mode: str) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()
        for size in (1001, 6000):
            client.feed(b'PUTSCRIPT "a" {%d+}\r\n%b\r\n' % (size, b"#" * size))
            assert (await client.line()).startswith(b"NO (QUOTA/MAXSIZE)")
        assert await client.do("NOOP") == 'OK "Done."'
        assert await client.do('NOOP "' + "x" * 300 + '"') == 'NO "The command line is too long."'
        assert await client.do("NOOP {4294967296+}") == (
            'BYE (QUOTA/MAXSIZE) "The literal is too large."'
        )
        assert await client.line() == b""

    sieve(test, mode=mode, sieve_max_script_size=1000, managesieve_max_line_length=200)


def test_too_many_wrong_commands(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()
        for command in ("a", "b", "NOOP", "c", "d"):
            await client.do(command)
        assert await client.do("e") == 'NO "Unknown command."'
        assert await client.line() == b'BYE "Too many invalid commands."'
        assert await client.line() == b""

    sieve(test, managesieve_max_bad_commands=3)


def test_a_client_that_stops_sending_still_gets_its_answers(sieve: Run) -> None:
    async def test(server: Server) -> None:
        sock, reply, _ = await server.handoff()
        assert reply.ok
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b'PUTSCRIPT "a" "keep;"\r\nLISTSCRIPTS\r\n')
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while data := await loop.sock_recv(sock, 65536):
            said += data
        assert said.endswith(b'"a"\r\nOK "Scripts listed."\r\n')
        sock.close()
        await server.left()

    sieve(test)


def test_a_client_that_does_not_read_is_not_read_from(sieve: Run) -> None:
    async def test(server: Server) -> None:
        sock, reply, _ = await server.handoff()
        assert reply.ok
        loop = asyncio.get_running_loop()
        source = b"# " + b"x" * 100_000
        await loop.sock_sendall(sock, b'PUTSCRIPT "a" {%d+}\r\n%b\r\n' % (len(source), source))
        [session] = server.worker.sessions
        sending = asyncio.create_task(loop.sock_sendall(sock, b'GETSCRIPT "a"\r\n' * 5000))
        while session.writable:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert session.reader.buffered < 300_000
        said = 0
        wanted = 5000 * (len(source) + len(b'{100002}\r\n\r\nOK "Script sent."\r\n'))
        while said < wanted:
            said += len(await loop.sock_recv(sock, 1 << 20))
        await sending
        sock.close()
        await server.left()

    sieve(test)


def test_silence_ends_the_session(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()
        client.session.on_deadline()
        assert await client.line() == b'BYE "Disconnected for inactivity."'
        assert await client.line() == b""

    sieve(test)


def test_a_command_that_runs_is_finished_before_the_goodbye(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()
        client.feed(b'PUTSCRIPT "a" "keep;"\r\nLISTSCRIPTS\r\n')
        client.session.shutting_down()
        client.session.on_deadline()
        assert await client.line() == b'OK "Script stored."'
        assert await client.line() == b'BYE (TRYLATER) "Server shutting down."'
        assert await client.line() == b""
        assert (server.root / "bob" / "sieve" / "a.sieve").read_bytes() == b"keep;"

    sieve(test)


def test_a_client_that_goes_while_a_command_runs(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()
        client.feed(b'PUTSCRIPT "a" "keep;"\r\n')
        client.session.abort("gone")
        await server.left()
        assert (server.root / "bob" / "sieve" / "a.sieve").read_bytes() == b"keep;"

    sieve(test)


def test_bugs_are_logged_and_not_told(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()

        async def broken(scope: object) -> None:
            raise RuntimeError("secret")

        client.session.storage.scripts = broken
        answer = await client.do("LISTSCRIPTS")
        assert answer.startswith('NO "Internal error occurred.')
        assert "secret" not in answer
        assert any("RuntimeError: secret" in line for line in server.lines)
        server.lines.clear()

        async def later(scope: object) -> None:
            raise TryLater

        client.session.storage.scripts = later
        assert (await client.do("LISTSCRIPTS")).startswith("NO (TRYLATER)")

    sieve(test)


def test_logins_that_cannot_be_finished(sieve: Run) -> None:
    async def test(server: Server) -> None:
        server.ctx.client_limit = 1
        await server.login()
        assert (await server.refused()).code == "process_full"
        server.ctx.client_limit = 10
        assert (await server.refused()).code == "connection_limit"
        server.anvil.sessions.clear()
        server.logins.fields = {"sieve_quota_script_count": "many"}
        assert (await server.refused()).code == "internal_failure"
        assert server.anvil.sessions == []
        assert any(line.startswith("error: sieve_script personal:") for line in server.lines)

    sieve(test, mail_max_userip_connections=1)


def test_there_must_be_a_place_for_scripts(sieve: Run) -> None:
    async def test(server: Server) -> None:
        assert (await server.refused()).code == "internal_failure"
        assert "error: No sieve_script block has the type personal" in server.lines

    blocks = {"other": SieveScriptSettings(type="global", path="/nowhere")}
    sieve(test, sieve_script=blocks)


def test_a_logout_format_that_is_wrong_does_not_hurt(sieve: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        await client.line()
        assert await client.do("LOGOUT") == 'OK "Logging out."'
        await server.left()
        assert "(managesieve_logout_format:" in server.lines[-1]

    sieve(test, managesieve_logout_format="%{nothing}")
