"""Logins through the real sockets, as login services make them, and their events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import AuthClient, Challenge, Failure, Reply, Success
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.wire.sasl import client as sasl

ROOT = Scope(None, ("service:imap-login",))


def plain(user: str, password: str) -> bytes:
    return f"\0{user}\0{password}".encode()


async def once(world: Any, initial: bytes | None, mechanism: str = "PLAIN", **more: Any) -> Reply:
    reply: Reply = await world.client.begin(mechanism, initial, world.params(**more), ROOT).result()
    return reply


def test_plain_login_and_master_request(start: Callable[..., Any], events: Any, run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain("Bob@Example.COM", "secret"), client_id='("name" "x")')
            assert isinstance(reply, Success)
            assert reply.user == "bob@example.com"
            assert reply.fields == {
                "user": "bob@example.com",
                "original_user": "Bob@Example.COM",
                "theme": "dark",
            }
            client = world.client
            info = await world.master.login(reply.id, client.pid, client.cookie, ROOT)
            assert info.user == "bob@example.com"
            assert info.fields == {
                "home": "/home/bob",
                "uid": "1000",
                "gid": "1001",
                "quota_storage_size": "5000",
            }

    run(main())
    shared = {
        "user": "bob@example.com",
        "original_user": "Bob@Example.COM",
        "translated_user": "bob@example.com",
        "mechanism": "PLAIN",
        "service": "imap",
        "session": "s1",
        "client_id": '("name" "x")',
        "remote_ip": "192.0.2.1",
        "remote_port": 4000,
        "local_ip": "192.0.2.9",
        "local_port": 993,
        "real_remote_ip": "192.0.2.1",
        "real_remote_port": 4000,
        "real_local_ip": "192.0.2.9",
        "real_local_port": 993,
        "transport": "TLS",
    }
    passdb = {**shared, "passdb": "passwd-file", "passdb_name": "file", "passdb_id": 1}
    userdb = {**shared, "userdb": "passwd-file", "userdb_name": "file", "userdb_id": 1}
    assert events.of("auth_passdb_request_started") == [passdb]
    assert events.of("auth_passdb_request_finished") == [{**passdb, "result": "ok"}]
    assert events.of("auth_request_finished") == [{**shared, "success": "yes"}]
    assert events.of("auth_userdb_request_started") == [userdb]
    assert events.of("auth_userdb_request_finished") == [{**userdb, "result": "ok"}]
    client_fields = {k: v for k, v in shared.items() if k not in ("translated_user",)}
    before = {k: v for k, v in client_fields.items() if k not in ("user", "original_user")}
    assert events.of("auth_client_request_started") == [before]
    assert events.of("auth_client_request_finished") == [client_fields]
    (login,) = events.of("auth_master_client_login_finished")
    assert login["user"] == "bob@example.com"
    assert login["id"] == 1
    assert "error" not in login


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("bob@example.com", "wrong"),
        ("nobody@example.com", "secret"),
        ("bob@example.com\x7f", "secret"),
        ("office@example.com", "secret"),
        ("gone@example.com", "wrong"),
    ],
)
def test_failures_look_alike(start: Callable[..., Any], run: Any, user: str, password: str) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain(user, password))
            assert isinstance(reply, Failure)
            assert (reply.code, reply.temp, reply.text) == (None, False, "")

    run(main())


def test_failure_waits_and_success_does_not(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start(auth_failure_delay=1.0) as world:
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert isinstance(await once(world, plain("bob@example.com", "secret")), Success)
            quick = loop.time() - began
            for user in ("bob@example.com", "nobody@example.com"):
                began = loop.time()
                assert isinstance(await once(world, plain(user, "wrong")), Failure)
                took = loop.time() - began
                assert took > 0.99
            assert quick < 0.99

    run(main())


@pytest.mark.parametrize(
    ("user", "code", "text"),
    [
        ("gone@example.com", "user_disabled", ""),
        ("shut@example.com", "login_disabled", "Closed"),
    ],
)
def test_right_password_but_not_admitted(
    start: Callable[..., Any], run: Any, events: Any, user: str, code: str, text: str
) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain(user, "secret"))
            assert isinstance(reply, Failure)
            assert (reply.code, reply.temp, reply.text) == (code, False, text)

    run(main())
    (finished,) = events.of("auth_request_finished")
    assert "success" not in finished
    assert finished["error"]


def test_broken_hash_is_temporary(start: Callable[..., Any], run: Any, events: Any) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain("broken@example.com", "secret"))
            assert isinstance(reply, Failure)
            assert reply.temp
            assert reply.code == "temp_fail"
            assert any("stored password" in line.text for line in world.lines)

    run(main())
    (finished,) = events.of("auth_passdb_request_finished")
    assert finished["result"] == "internal_failure"


def test_cleartext_needs_a_secured_connection(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain("bob@example.com", "secret"), transport="insecure")
            assert isinstance(reply, Failure)
            assert reply.code == "cleartext_disabled"
            scram = await once(world, b"n,,n=sue@example.com,r=abc", "SCRAM-SHA-256")
            assert isinstance(scram, Challenge)

    run(main())


def test_cleartext_where_allowed(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start(auth_allow_cleartext=True) as world:
            reply = await once(world, plain("bob@example.com", "secret"), transport="insecure")
            assert isinstance(reply, Success)

    run(main())


async def scram(world: Any, user: str, password: str, mechanism: str = "SCRAM-SHA-256") -> Reply:
    hash_name: Any = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[mechanism]
    client = sasl.scram(hash_name, user, password, "clientnonce")
    request = world.client.begin(mechanism, next(client), world.params(), ROOT)
    first = await request.result()
    assert isinstance(first, Challenge)
    request.respond(client.send(first.data))
    second: Reply = await request.result()
    if not isinstance(second, Challenge):
        return second
    request.respond(client.send(second.data))
    reply: Reply = await request.result()
    return reply


@pytest.mark.parametrize(
    ("user", "mechanism"),
    [
        ("sue@example.com", "SCRAM-SHA-256"),
        ("plain@example.com", "SCRAM-SHA-256"),
        ("plain@example.com", "SCRAM-SHA-1"),
    ],
)
def test_scram(start: Callable[..., Any], run: Any, events: Any, user: str, mechanism: str) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await scram(world, user, "secret", mechanism)
            assert isinstance(reply, Success)
            assert reply.user == user

    run(main())
    assert len(events.of("auth_client_request_challenged")) == 2
    assert len(events.of("auth_client_request_continued")) == 2
    assert events.of("auth_request_finished")[0]["mechanism"] == mechanism


@pytest.mark.parametrize("user", ["sue@example.com", "nobody@example.com", "bob@example.com"])
def test_scram_failures_take_the_same_steps(
    start: Callable[..., Any], run: Any, events: Any, user: str
) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await scram(world, user, "wrong")
            assert isinstance(reply, Failure)
            assert (reply.code, reply.temp) == (None, False)

    run(main())
    assert len(events.of("auth_client_request_challenged")) == 1
    expected = {
        "sue@example.com": "ok",
        "nobody@example.com": "user_unknown",
        "bob@example.com": "scheme_not_available",
    }
    assert events.of("auth_passdb_request_finished")[0]["result"] == expected[user]


def test_scram_salt_of_a_stranger_stays(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            salts = set()
            for nonce in (b"a", b"b"):
                first = b"n,,n=nobody@example.com,r=" + nonce
                reply = await once(world, first, "SCRAM-SHA-256")
                assert isinstance(reply, Challenge)
                salts.add(reply.data.split(b",")[1:][0])
            assert len(salts) == 1

    run(main())


def test_login_mechanism(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            request = world.client.begin("LOGIN", None, world.params(), ROOT)
            assert await request.result() == Challenge(b"Username:")
            request.respond(b"bob@example.com")
            assert await request.result() == Challenge(b"Password:")
            request.respond(b"secret")
            assert isinstance(await request.result(), Success)

    run(main())


def test_a_login_is_fetched_once_and_with_the_cookie(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain("bob@example.com", "secret"))
            assert isinstance(reply, Success)
            client = world.client
            for pid, cookie, number in (
                (client.pid, "0" * 32, reply.id),
                (client.pid + 1, client.cookie, reply.id),
                (client.pid, client.cookie, reply.id + 1),
            ):
                with pytest.raises(AuthTemporaryError):
                    await world.master.login(number, pid, cookie, ROOT)
            await world.master.login(reply.id, client.pid, client.cookie, ROOT)
            with pytest.raises(AuthTemporaryError):
                await world.master.login(reply.id, client.pid, client.cookie, ROOT)

    run(main())


def test_logins_die_with_their_connection(start: Callable[..., Any], run: Any, events: Any) -> None:
    async def main() -> None:
        async with start() as world:
            other = AuthClient(world.folder / "auth-login", "imap")
            await other.connect()
            reply = await other.begin(
                "PLAIN", plain("bob@example.com", "secret"), world.params(), ROOT
            ).result()
            assert isinstance(reply, Success)
            other.close()
            # Another exchange on the same loop: by its end the service has seen the hang-up.
            await once(world, plain("bob@example.com", "secret"))
            with pytest.raises(AuthTemporaryError):
                await world.master.login(reply.id, other.pid, other.cookie, ROOT)

    run(main())
    assert events.of("auth_master_client_login_finished")[0]["error"]


def test_abort(start: Callable[..., Any], run: Any, events: Any) -> None:
    async def main() -> None:
        async with start() as world:
            request = world.client.begin("LOGIN", None, world.params(), ROOT)
            await request.result()
            request.abort()
            assert isinstance(await once(world, plain("bob@example.com", "secret")), Success)

    run(main())
    aborted, done = events.of("auth_request_finished")
    assert aborted["error"] == "aborted"
    assert done["success"] == "yes"
    assert events.of("auth_client_request_finished")[0]["error"] == "aborted by client"


def test_many_side_by_side(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            requests = [
                world.client.begin(
                    "PLAIN",
                    plain("bob@example.com", "secret" if i % 2 else "wrong"),
                    world.params(session=f"s{i}"),
                    ROOT,
                )
                for i in range(200)
            ]
            replies = await asyncio.gather(*(request.result() for request in requests))
            assert [isinstance(r, Success) for r in replies] == [i % 2 == 1 for i in range(200)]

    run(main())


def test_reload_takes_new_settings(start: Callable[..., Any], run: Any, settings: Any) -> None:
    async def main() -> None:
        async with start() as world:
            assert isinstance(await once(world, plain("bob@example.com", "secret")), Success)
            world.ctx.reload(msgspec.structs.replace(settings, passdb={}))
            assert isinstance(await once(world, plain("bob@example.com", "secret")), Failure)
            bad = msgspec.structs.replace(settings, auth_mechanisms=("plian",))
            world.ctx.reload(bad)
            assert any("plian" in line.text for line in world.lines)
            world.ctx.reload(settings)
            assert isinstance(await once(world, plain("bob@example.com", "secret")), Success)

    run(main())


def test_an_exchange_goes_on_over_a_reload(
    start: Callable[..., Any], run: Any, settings: Any
) -> None:
    """It began with the old databases and ends with them; new logins use the new ones."""

    async def main() -> None:
        async with start() as world:
            request = world.client.begin("LOGIN", None, world.params(), ROOT)
            await request.result()
            world.ctx.reload(msgspec.structs.replace(settings, passdb={}))
            world.ctx.reload(msgspec.structs.replace(settings, passdb={}))
            assert isinstance(await once(world, plain("bob@example.com", "secret")), Failure)
            request.respond(b"bob@example.com")
            await request.result()
            request.respond(b"secret")
            assert isinstance(await request.result(), Success)

    run(main())


def test_a_bug_is_a_temporary_failure(
    start: Callable[..., Any], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("pillarbox.auth.passdbs.PassdbChain.verify", broken)
    monkeypatch.setattr("pillarbox.auth.userdbs.UserdbChain.lookup", broken)

    async def main() -> None:
        async with start() as world:
            reply = await once(world, plain("bob@example.com", "secret"))
            assert isinstance(reply, Failure)
            assert reply.temp
            with pytest.raises(AuthTemporaryError):
                await world.master.userdb("bob@example.com", ROOT, "imap")
            assert [line.text for line in world.lines if "a bug" in line.text]

    run(main())


def test_a_long_name_harms_nobody(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            long = world.client.begin("PLAIN", plain("\x01" * 9000, "x"), world.params(), ROOT)
            other = world.client.begin("LOGIN", None, world.params(), ROOT)
            assert isinstance(await other.result(), Challenge)
            reply = await long.result()
            assert isinstance(reply, Failure)
            assert not reply.temp
            other.respond(b"bob@example.com")
            assert isinstance(await other.result(), Challenge)

    run(main())
