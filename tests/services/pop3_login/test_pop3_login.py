"""Logging in by POP3: every way in, and how it is refused, over real sockets."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from typing import Any

import pytest

from pillarbox.services.master.plan import make_plan
from pillarbox.services.pop3 import service as workers
from pillarbox.services.pop3_login.service import SERVICE
from pillarbox.settings.model import Settings

SECRET = b64encode(b"\0bob\0secret").decode()
World = Any


def test_the_ports_are_closed_unless_the_protocol_is_on() -> None:
    specs = [SERVICE, workers.SERVICE]
    assert make_plan(Settings(default_login_user="", default_internal_user=""), specs) == {}
    listeners = {listener.name: listener.port for listener in SERVICE.inet_listeners}
    assert listeners == {"pop3": 110, "pop3s": 995}


def test_login_hands_over_with_what_was_pipelined(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        client.writer.write(b"USER bob\r\nPASS secret\r\nSTAT\r\n")
        assert await client.line() == "+OK"
        assert await client.line() == "+OK Logged in."
        assert await client.line() == "worker: STAT"
        assert await client.ask("NOOP") == "worker: NOOP"
        [handoff] = world.handoffs
        assert (handoff.service, handoff.input) == ("pop3", b"STAT\r\n")
        assert (handoff.auth_cookie, handoff.mechanism) == ("c00kie", "PLAIN")
        assert handoff.net_in == len(b"USER bob\r\nPASS secret\r\n")
        [request] = world.auth.requests
        assert "service=pop3" in request
        client.close()

    world.run(scenario)
    assert not world.aborted
    text = "\n".join(line.text for line in world.lines)
    assert "Login: user=<bob>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=4711" in text


@pytest.mark.parametrize("size", [1, 3, 7])
def test_commands_in_pieces(world: World, size: int) -> None:
    text = b"CAPA\r\nUTF8\r\nLANG en\r\nAUTH PLAIN\r\n" + SECRET.encode() + b"\r\nSTAT\r\n"

    async def scenario(world: World) -> None:
        client = await world.connect()
        for at in range(0, len(text), size):
            client.writer.write(text[at : at + size])
            await client.writer.drain()
        assert (await client.line()).startswith("+OK")
        while await client.line() != ".":
            pass
        assert (await client.line()).startswith("+OK UTF8")
        assert (await client.line()).startswith("+OK en ")
        assert await client.line() == "+ "
        assert await client.line() == "+OK Logged in."
        answer = ""
        while not answer.endswith("STAT"):
            answer += (await client.line()).removeprefix("worker: ")
        client.close()

    world.run(scenario)


@pytest.mark.parametrize(
    "exchange",
    [
        [(f"AUTH PLAIN {SECRET}", "+OK Logged in.")],
        [("auth plain", "+ "), (SECRET, "+OK Logged in.")],
        [("USER bob", "+OK"), ("PASS secret", "+OK Logged in.")],
        [
            ("USER bob", "+OK"),
            ("PASS wrong", "-ERR [AUTH] Authentication failed."),
            ("PASS secret", "-ERR No user name was given."),
            ("USER bob", "+OK"),
            ("PASS secret", "+OK Logged in."),
        ],
        [
            ("AUTH PLAIN", "+ "),
            ("*", "-ERR Authentication aborted by client."),
            ("AUTH PLAIN", "+ "),
            ("?", "-ERR Invalid base64 data."),
            ("AUTH PLAIN ?", "-ERR Invalid base64 data."),
            ("AUTH GSSAPI", "-ERR Unsupported authentication mechanism."),
            ("STAT", "-ERR STAT needs a login first."),
            ("APOP bob " + "0" * 32, "-ERR APOP is not supported."),
            ("STLS", "-ERR TLS is not available here."),
            ("LANG tlh", "-ERR There is no such language."),
            ("FROB", "-ERR Unknown command."),
            (f"AUTH PLAIN {SECRET}", "+OK Logged in."),
        ],
    ],
)
def test_exchanges(world: World, exchange: list[tuple[str, str]]) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        for line, answer in exchange:
            assert await client.ask(line) == answer
        client.close()

    world.run(scenario)


@pytest.mark.parametrize(
    ("user", "answer", "reason"),
    [
        ("temp", "-ERR [SYS/TEMP] Temporary", "internal_failure"),
        ("disabled", "-ERR [AUTH] Account is disabled", "user_disabled"),
        ("expired", "-ERR [AUTH] Password expired", "password_expired"),
        ("authz", "-ERR [AUTH] Authorization failed", "authorization_failed"),
        ("limit", "-ERR [IN-USE] Maximum number", "connection_limit"),
        ("full", "-ERR [SYS/TEMP] Maximum number", "process_full"),
        ("busy", "-ERR [IN-USE] The mailbox is in use", "connection_limit"),
        ("hasty", "-ERR [LOGIN-DELAY] The last login", "connection_limit"),
        ("broken", "-ERR [SYS/PERM] The mailbox", "internal_failure"),
    ],
)
def test_refusals_and_their_reasons(world: World, user: str, answer: str, reason: str) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        assert (await client.login(user)).startswith(answer)
        client.close()
        await world.ended()

    world.run(scenario)
    [aborted] = world.aborted
    assert (aborted["reason"], aborted["service"]) == (reason, "pop3")
    assert aborted["auth_attempts"] == 1


def test_capabilities(world: World) -> None:
    world.change(pop3_login_delay=30.0)

    async def scenario(world: World) -> None:
        client = await world.connect()
        assert (await client.ask("CAPA")).startswith("+OK")
        lines = []
        while (line := await client.line()) != ".":
            lines.append(line)
        assert {"USER", "SASL PLAIN SCRAM-SHA-256", "LOGIN-DELAY 30"} <= set(lines)
        assert "STLS" not in lines
        assert await client.ask("AUTH") == "+OK"
        assert [await client.line() for _ in range(3)] == ["PLAIN", "SCRAM-SHA-256", "."]
        assert await client.ask("QUIT") == "+OK Logging out"
        assert await client.rest() == ""
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.aborted[0]["reason"] == "no_auth_attempts"


def test_apop_is_there_if_the_auth_service_has_it(world: World) -> None:
    world.apop = b"MECH\tAPOP\tprivate\tdictionary\tactive\n"
    world.change(hostname="mail.example.com")

    async def scenario(world: World) -> None:
        client = await world.connect()
        stamp = client.greeting.removeprefix("+OK Pillarbox ready. ")
        assert re.fullmatch(r"<[^<>@ ]+@mail\.example\.com>", stamp)
        wrong = await client.ask("APOP bob " + "0" * 32)
        assert wrong == "-ERR [AUTH] Authentication failed."
        digest = hashlib.md5(stamp.encode() + b"secret").hexdigest()
        assert await client.ask(f"APOP bob {digest}") == "+OK Logged in."
        assert world.handoffs[0].mechanism == "APOP"
        other = await world.connect()
        assert other.greeting != client.greeting
        await other.ask("AUTH")
        assert [await other.line() for _ in range(3)] == ["PLAIN", "SCRAM-SHA-256", "."]
        client.close()
        other.close()

    world.run(scenario)


def test_limits(world: World) -> None:
    world.change(login_max_bad_commands=3, login_max_auth_attempts=2)

    async def scenario(world: World) -> None:
        client = await world.connect()
        client.writer.write(b"X\r\n" * 2 + b"x" * 70_000 + b"\r\nCAPA\r\n")
        rest = (await client.rest()).split("\r\n")
        assert rest[:3] == ["-ERR Unknown command."] * 2 + ["-ERR Line is too long."]
        assert rest[3].startswith("-ERR Too many invalid commands")
        client.close()
        client = await world.connect()
        await client.login("bob", "wrong")
        await client.login("bob", "wrong")
        assert "Too many failed authentications" in await client.rest()
        client.close()
        await world.ended()

    world.run(scenario)
    assert [event["reason"] for event in world.aborted] == ["no_auth_attempts", "auth_failed"]


def test_leaving_in_the_middle_of_sasl(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        assert await client.ask("AUTH PLAIN") == "+ "
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.aborted[0]["reason"] == "auth_waiting_client"


def test_the_server_stops(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        world.ctx.shutdown.set()
        assert await client.line() == "-ERR [SYS/TEMP] Server shutting down."
        client.close()

    world.run(scenario)
    assert world.aborted[0]["reason"] == "shutting_down"
