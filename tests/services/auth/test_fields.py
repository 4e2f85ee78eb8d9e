"""What passdb fields and settings do to a login, over the sockets, with a file that is written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.auth import delay
from pillarbox.auth.schemes import verify
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import AuthClient, Failure, Success
from pillarbox.runtime.login.policy import Policy
from pillarbox.settings.model import PassdbSettings

ROOT = Scope(None, ("service:imap-login",))


async def login(client: Any, world: Any, user: str, password: str) -> Any:
    initial = f"\0{user}\0{password}".encode()
    return await client.begin("PLAIN", initial, world.params(), ROOT).result()


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_an_answer_that_is_held_back(
    start: Callable[..., Any],
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    password: str,
) -> None:
    asked: list[str] = []

    def seconds(fields: dict[str, str], now: float) -> float:
        asked.append(fields["delay_until"])
        return 0.05

    monkeypatch.setattr(delay, "seconds", seconds)

    async def main() -> None:
        with (tmp_path / "users").open("a") as users:
            users.write("late@example.com:secret:1:1::/home/late::delay_until=1234+5\n")
        async with start(auth_failure_delay=0.0) as world:
            reply = await login(world.client, world, "late@example.com", password)
            if password == "secret":
                assert isinstance(reply, Success)
                assert "delay_until" not in reply.fields
                client = world.client
                info = await world.master.login(reply.id, client.pid, client.cookie, ROOT)
                assert info.user == "late@example.com"
            else:
                assert isinstance(reply, Failure)

    if password == "wrong":
        monkeypatch.undo()
    run(main())
    assert asked == (["1234+5"] if password == "secret" else [])


def test_rehashing_writes_the_file(start: Callable[..., Any], run: Any, tmp_path: Path) -> None:
    def stored() -> str:
        lines = (tmp_path / "users").read_text().splitlines()
        [line] = [line for line in lines if line.startswith("plain@example.com:")]
        return line.split(":")[1]

    async def main() -> None:
        changes = {"auth_rehash_on_login": True, "auth_password_scheme": "SSHA512"}
        async with start(**changes) as world:
            assert stored() == "secret"
            wrong = await login(world.client, world, "plain@example.com", "wrong")
            assert isinstance(wrong, Failure)
            assert stored() == "secret"
            assert isinstance(
                await login(world.client, world, "plain@example.com", "secret"), Success
            )
        assert stored().startswith("{SSHA512}")
        assert verify(stored(), "secret")

    run(main())


def test_who_is_told_of_channel_binding(start: Callable[..., Any], run: Any) -> None:
    """Login services are; others, which cannot know the channel, are not."""

    async def main() -> None:
        mechanisms = ("plain", "apop", "scram-sha-256", "scram-sha-256-plus")
        async with start(auth_mechanisms=mechanisms) as world:
            assert set(world.client.mechanisms) == {name.upper() for name in mechanisms}
            other = AuthClient(world.folder / "auth-client", "smtp")
            await other.connect()
            assert set(other.mechanisms) == {"PLAIN", "APOP", "SCRAM-SHA-256"}
            assert "private" in other.mechanisms["APOP"]
            other.close()
            policy = Policy(world.ctx.settings, world.client)
            assert policy.mechanisms(True) == ["PLAIN", "SCRAM-SHA-256"]
            assert policy.mechanisms(True, tls=True) == [
                "PLAIN",
                "SCRAM-SHA-256",
                "SCRAM-SHA-256-PLUS",
            ]

    run(main())


def test_passwords_for_proxies_are_for_login_services(
    start: Callable[..., Any], run: Any, tmp_path: Path
) -> None:
    async def main() -> None:
        with (tmp_path / "users").open("a") as users:
            users.write("moved@example.com:secret::::::proxy host=192.0.2.7 nologin\n")
        async with start() as world:
            reply = await login(world.client, world, "moved@example.com", "secret")
            assert isinstance(reply, Success)
            assert reply.fields["pass"] == "secret"
            other = AuthClient(world.folder / "auth-client", "smtp")
            await other.connect()
            reply = await login(other, world, "moved@example.com", "secret")
            assert isinstance(reply, Success)
            assert "pass" not in reply.fields
            other.close()

    run(main())


def test_two_clients_do_not_wait_for_each_other(start: Callable[..., Any], run: Any) -> None:
    """One that is answered late holds up nobody."""

    async def main() -> None:
        async with start(auth_failure_delay=60.0) as world:
            slow = asyncio.ensure_future(login(world.client, world, "bob@example.com", "wrong"))
            for _ in range(3):
                assert isinstance(
                    await login(world.client, world, "bob@example.com", "secret"), Success
                )
            assert not slow.done()
            slow.cancel()

    run(main())


@pytest.mark.parametrize("query", ["", "SELECT password FROM users WHERE username = '%{user}'"])
def test_rehashing_writes_the_users_table(
    start: Callable[..., Any], run: Any, tmp_path: Path, query: str
) -> None:
    """Only for the query that comes with the table: others may look anywhere."""
    file = tmp_path / "users.db"
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE users (username TEXT PRIMARY KEY, password TEXT, home TEXT, uid TEXT, "
            "gid TEXT, quota_storage_size INTEGER, active INTEGER DEFAULT 1)"
        )
        database.execute("INSERT INTO users (username, password) VALUES ('dora', 'secret')")
    database.close()

    def stored() -> str:
        with sqlite3.connect(file) as database:
            [(password,)] = database.execute("SELECT password FROM users").fetchall()
        database.close()
        return str(password)

    async def main() -> None:
        changes = {"auth_rehash_on_login": True, "auth_password_scheme": "SSHA512"}
        passdb = PassdbSettings(driver="sql", sqlite_path=str(file))
        if query:
            passdb = msgspec.structs.replace(passdb, sql_query=query)
        async with start(**changes, passdb={"db": passdb}) as world:
            assert isinstance(await login(world.client, world, "dora", "secret"), Success)
        assert stored().startswith("{SSHA512}") == (not query)

    run(main())


def test_what_a_proxy_sent_along_is_a_variable(
    start: Callable[..., Any], run: Any, tmp_path: Path
) -> None:
    fields = {"password": "{PLAIN}%{forward_key}", "userdb_home": "/srv/%{passdb:forward_site}"}
    passdb = {"there": PassdbSettings(driver="static", fields=fields)}

    async def main() -> None:
        async with start(passdb=passdb, userdb={}, auth_failure_delay=0.0) as world:
            initial = b"\0bob@example.com\0a b\tc"
            for forward, right in (
                ({"key": "a b\tc", "site": "x=y"}, True),
                ({"key": "other", "site": "x"}, False),
                ({"site": "x"}, False),
            ):
                params = world.params(forward=forward)
                reply = await world.client.begin("PLAIN", initial, params, ROOT).result()
                assert isinstance(reply, Success) == right
                if isinstance(reply, Success):
                    client = world.client
                    info = await world.master.login(reply.id, client.pid, client.cookie, ROOT)
                    assert info.fields["home"] == "/srv/x=y"
            found = await world.master.passdb(
                "bob@example.com", ROOT, "lmtp", forward={"site": "z"}
            )
            assert found.fields["userdb_home"] == "/srv/z"

    run(main())
