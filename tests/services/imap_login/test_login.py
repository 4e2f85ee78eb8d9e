"""Logging in: every way in, every way out, over real sockets."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from typing import Any

import pytest

SECRET = b64encode(b"\0bob\0secret").decode()
World = Any


def test_login_hands_over_with_what_was_pipelined(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        greeting = await client.line()
        assert greeting.startswith("* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID")
        assert "STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256]" in greeting
        client.write(b"a1 LOGIN bob secret\r\na2 NOOP\r\n")
        assert await client.line() == "a1 OK [CAPABILITY IMAP4rev1] Logged in"
        assert await client.line() == "worker: a2 NOOP"
        assert await client.ask("a3 X") == "worker: a3 X"
        await world.ended()
        [handoff] = world.worker.handoffs
        assert (handoff.tag, handoff.input) == ("a1", b"a2 NOOP\r\n")
        assert (handoff.auth_cookie, handoff.mechanism, handoff.tls) == ("c00kie", "PLAIN", False)
        assert handoff.net_in == len(b"a1 LOGIN bob secret\r\n")
        assert handoff.remote_ip == "127.0.0.1"
        [session] = world.worker.sessions
        assert session.net_in == len(b"a1 LOGIN bob secret\r\na3 X\r\n")
        assert await client.ask("a4 LOGOUT") == "worker: a4 LOGOUT"
        assert await client.rest() == ""
        client.close()

    world.run(scenario)
    assert world.names() == ["client_connection_connected", "client_connection_disconnected"]
    assert world.event("client_connection_disconnected")["reason"] == "Logged out"
    session = world.worker.handoffs[0].session
    assert (
        f"Login: user=<bob>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=4711, secured, "
        f"session=<{session}>" in world.log()
    )
    assert world.lines[-1].user == "bob"


@pytest.mark.parametrize("size", [1, 3, 7])
def test_commands_in_pieces(world: World, size: int) -> None:
    text = (
        b"a0 CAPABILITY\r\na1 NOOP\r\n"
        b'a2 ID ("name" "test")\r\n'
        b"a3 LOGIN {3}\r\nbob {6+}\r\nsecret\r\na4 NOOP\r\n"
    )

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        for at in range(0, len(text), size):
            client.write(text[at : at + size])
            await asyncio.sleep(0)
        seen = []
        while not seen or seen[-1] != "a3":
            seen.append((await client.line()).split(" ")[0])
        assert seen == ["*", "a0", "a1", "*", "a2", "+", "a3"]
        rest = ""
        while not rest.endswith("NOOP"):
            rest += (await client.line()).removeprefix("worker: ")
        assert rest == "a4 NOOP"
        client.close()

    world.run(scenario)


@pytest.mark.parametrize(
    "exchange",
    [
        [("a1 AUTHENTICATE PLAIN " + SECRET, "a1 OK")],
        [("a1 AUTHENTICATE PLAIN", "+ "), (SECRET, "a1 OK")],
        [
            ("a1 AUTHENTICATE LOGIN", "+ " + b64encode(b"Username:").decode()),
            (b64encode(b"bob").decode(), "+ " + b64encode(b"Password:").decode()),
            (b64encode(b"secret").decode(), "a1 OK"),
        ],
        [('a1 LOGIN "bob" "secret"', "a1 OK")],
    ],
)
def test_all_ways_to_authenticate(world: World, exchange: list[tuple[str, str]]) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        for line, answer in exchange:
            assert (await client.ask(line)).startswith(answer)
        client.close()

    world.run(scenario)


def test_wrong_passwords_are_counted_and_told(world: World) -> None:
    world.change(login_max_auth_attempts=2)

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        answer = "[AUTHENTICATIONFAILED] Authentication failed."
        assert await client.ask("a1 LOGIN bob wrong") == f"a1 NO {answer}"
        assert await client.ask("a2 LOGIN nobody wrong") == f"a2 NO {answer}"
        assert "BYE" in await client.line()
        await client.rest()
        client.close()
        await world.ended()

    world.run(scenario)
    aborted = world.event("login_aborted")
    assert aborted["reason"] == "auth_failed"
    assert (aborted["auth_attempts"], aborted["auth_successes"]) == (2, 0)
    assert 0 < aborted["auth_usecs"] <= aborted["connected_usecs"]
    assert (aborted["user"], aborted["service"]) == ("nobody", "imap")
    assert aborted["local_ip"] == aborted["remote_ip"] == "127.0.0.1"
    assert isinstance(aborted["local_port"], int)
    assert isinstance(aborted["remote_port"], int)
    assert "(auth failed, 2 attempts in 0 secs): user=<nobody>, method=PLAIN, rip=" in world.log()
    assert world.names()[-1] == "client_connection_disconnected"


async def attempt(world: World, line: str) -> str:
    client = await world.connect()
    await client.line()
    answer: str = await client.ask(line)
    client.close()
    await world.ended()
    return answer


REFUSALS = [
    ("LOGIN temp secret", "NO [UNAVAILABLE]", "internal_failure"),
    ("LOGIN disabled secret", "NO [AUTHENTICATIONFAILED] Account is disabled", "user_disabled"),
    ("LOGIN expired secret", "NO [EXPIRED]", "password_expired"),
    ("LOGIN authz secret", "NO [AUTHORIZATIONFAILED]", "authorization_failed"),
    ("LOGIN forbidden secret", "NO [AUTHORIZATIONFAILED] Login is disabled", "login_disabled"),
    ("LOGIN nologin secret", "NO Moved away.", "login_disabled"),
    ("LOGIN referral secret", "NO [REFERRAL imap://elsewhere", "auth_nologin_referral"),
    ("LOGIN hangup secret", "NO [UNAVAILABLE]", "auth_process_comm_fail"),
    ("LOGIN limit secret", "NO [LIMIT]", "connection_limit"),
    ("LOGIN full secret", "NO [UNAVAILABLE]", "process_full"),
    ("LOGIN broken secret", "NO [UNAVAILABLE]", "internal_failure"),
    ("AUTHENTICATE GSSAPI", "NO Unsupported", "invalid_mech"),
    ("AUTHENTICATE ANONYMOUS", "NO Unsupported", "anonymous_auth_disabled"),
]


@pytest.mark.parametrize(("line", "answer", "reason"), REFUSALS)
def test_refusals(world: World, line: str, answer: str, reason: str) -> None:
    async def scenario(world: World) -> None:
        assert (await attempt(world, f"a1 {line}")).startswith(f"a1 {answer}")

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == reason
    assert world.names().count("login_aborted") == 1


def test_a_client_that_was_refused_by_the_worker_can_go_on(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"a1 LOGIN limit secret\r\na2 NOOP\r\n")
        assert (await client.line()).startswith("a1 NO [LIMIT]")
        assert (await client.line()).startswith("a2 OK NOOP")
        assert (await client.ask("a3 LOGIN bob secret")).startswith("a3 OK")
        client.close()

    world.run(scenario)
    assert "login_aborted" not in world.names()


def test_a_client_that_gives_up_in_the_middle(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        await client.ask("a1 AUTHENTICATE PLAIN")
        assert (await client.ask("*")).startswith("a1 BAD Authentication aborted")
        await client.ask("a2 AUTHENTICATE PLAIN")
        assert (await client.ask("!!!")).startswith("a2 BAD Invalid base64")
        assert (await client.ask("a3 AUTHENTICATE PLAIN")).startswith("+")
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "auth_waiting_client"


@pytest.mark.parametrize(
    ("answer", "reason"), [("*", "auth_aborted_by_client"), ("?", "invalid_base64")]
)
def test_reasons_of_a_broken_exchange(world: World, answer: str, reason: str) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        await client.ask("a1 AUTHENTICATE PLAIN")
        await client.ask(answer)
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == reason


def test_a_client_that_leaves_while_auth_thinks(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"a1 LOGIN silent secret\r\n")
        await world.auth.got.wait()
        client.writer.transport.abort()
        world.server.acceptor.connections.copy().pop().resume_reading()
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "auth_failed"
    assert world.event("login_aborted")["auth_attempts"] == 1


def test_without_attempts(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"a1 LOGOUT\r\n")
        assert await client.rest() == "* BYE Logging out\r\na1 OK Logout completed.\r\n"
        client.close()
        await world.ended()

    world.run(scenario)
    aborted = world.event("login_aborted")
    assert (aborted["reason"], aborted["auth_attempts"]) == ("no_auth_attempts", 0)
    assert aborted["auth_usecs"] == 0
    assert "Disconnected: Logged out (no auth attempts in 0 secs): rip=" in world.log()


def test_login_timeout(world: World) -> None:
    world.change(login_timeout=0.05)

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        assert await client.rest() == "* BYE Disconnected for inactivity.\r\n"
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "no_auth_attempts"


def test_shutdown_says_goodbye(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        world.ctx.shutdown.set()
        assert await client.rest() == "* BYE [UNAVAILABLE] Server shutting down.\r\n"
        client.close()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "shutting_down"


def test_too_many_bad_commands(world: World) -> None:
    world.change(login_max_bad_commands=3)

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"GET / HTTP/1.1\r\na1 FETCH 1 ALL\r\na2 NONSENSE\r\na3 NOOP\r\n")
        lines = (await client.rest()).splitlines()
        assert [line.split(" ")[1] for line in lines] == ["BAD", "BAD", "BAD", "BYE"]
        client.close()

    world.run(scenario)


def test_too_many_commands(world: World) -> None:
    world.change(login_max_commands=5)

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"a NOOP\r\n" * 10)
        lines = (await client.rest()).splitlines()
        assert len(lines) == 6
        assert lines[-1].startswith("* BYE Too many commands before login")
        client.close()

    world.run(scenario)


def test_long_lines_and_literals_are_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"a1 LOGIN {99999999}\r\n")
        assert (await client.line()).startswith(("a1 NO [TOOBIG]", "a1 BAD "))
        client.write(b"a2 " + b"x" * 100_000 + b"\r\n")
        assert (await client.line()).startswith("a2 BAD ")
        assert (await client.ask("a3 NOOP")).startswith("a3 OK")
        client.close()

    world.run(scenario)


def test_id_is_an_event(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b'a1 ID ("name" "mutt" "x-originating-ip" "192.0.2.9" "v" NIL)\r\n')
        assert await client.line() == '* ID ("name" "Pillarbox")'
        assert (await client.line()).startswith("a1 OK")
        await client.ask("a2 LOGIN bob secret")
        client.close()

    world.run(scenario)
    fields = world.event("imap_id_received")
    assert fields["params"] == {"name": "mutt", "x-originating-ip": "192.0.2.9", "v": None}
    assert (fields["cmd_tag"], fields["cmd_name"], fields["cmd_input_name"]) == ("a1", "ID", "ID")
    assert fields["cmd_args"] == fields["cmd_human_args"]
    assert fields["cmd_args"].startswith('("name" "mutt"')
    [handoff] = world.worker.handoffs
    assert handoff.client_id == '"name" "mutt" "x-originating-ip" "192.0.2.9" "v" NIL'
    # Nobody has said that this client may speak for others.
    assert handoff.remote_ip == "127.0.0.1"


def test_a_trusted_client_speaks_for_another(world: World) -> None:
    world.change(login_trusted_networks=("127.0.0.0/8",))

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        await client.ask(
            'a1 ID ("x-originating-ip" "192.0.2.9" "x-originating-port" "4242" '
            '"x-session-id" "webmail-1")'
        )
        await client.ask("a2 LOGIN bob secret")
        client.close()

    world.run(scenario)
    [handoff] = world.worker.handoffs
    assert (handoff.remote_ip, handoff.remote_port) == ("192.0.2.9", 4242)
    assert handoff.real_remote_ip == "127.0.0.1"
    assert handoff.session == "webmail-1"
    assert "rip=192.0.2.9" in world.log()


def test_auth_that_comes_back_is_waited_for(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        await world.auth.stop()
        while world.server.auth.ready:
            await asyncio.sleep(0.001)
        client.write(b"a1 LOGIN bob secret\r\n")
        (world.folder / "auth-login").unlink(missing_ok=True)
        await world.auth.start(world.folder / "auth-login")
        assert (await client.line()).startswith("a1 OK")
        client.close()

    world.run(scenario)


def test_a_client_that_does_not_wait_for_auth(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        await world.auth.stop()
        while world.server.auth.ready:
            await asyncio.sleep(0.001)
        client.write(b"a1 LOGIN bob secret\r\n")
        [connection] = world.server.acceptor.connections
        while connection.mechanism is None:
            await asyncio.sleep(0.001)
        connection.resume_reading()
        client.writer.transport.abort()
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "auth_process_not_ready"


def test_a_proxy_protocol_header_names_the_client(world: World) -> None:
    world.change(haproxy_trusted_networks=("127.0.0.1",), auth_allow_cleartext=False)
    addresses = bytes((192, 0, 2, 9, 198, 51, 100, 2)) + struct.pack("!HH", 4242, 993)
    name = struct.pack("!BH", 0x22, 5) + b"alice"
    tls = struct.pack("!BH", 0x20, 5 + len(name)) + b"\x03" + bytes(4) + name
    tls += struct.pack("!BH", 0x02, 6) + b"mail.x"
    body = addresses + tls
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body

    async def scenario(world: World) -> None:
        client = await world.connect()
        client.write(header)
        assert "LOGINDISABLED" not in await client.line()
        assert (await client.ask("a1 LOGIN bob secret")).startswith("a1 OK")
        client.close()
        plain = await world.connect()
        plain.write(b"PROXY TCP4 192.0.2.9 198.51.100.2 4242 143\r\n")
        assert "LOGINDISABLED" in await plain.line()
        plain.close()

    world.run(scenario, haproxy=True)
    [handoff] = world.worker.handoffs
    assert (handoff.remote_ip, handoff.local_port) == ("192.0.2.9", 993)
    assert handoff.real_remote_ip == "127.0.0.1"
    assert handoff.secured
    assert handoff.local_name == "mail.x"
    [request] = world.auth.requests
    assert {"secured", "valid-client-cert", "cert_username=alice"} <= set(request)
