"""The whole service on an SQLite user database: cache, changes, faults, events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.auth.schemes import hash_password
from pillarbox.drivers.passdb.sql import SqlUsers
from pillarbox.drivers.sql.sqlite import SqliteSql
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import Failure, Reply, Success
from pillarbox.settings.model import PassdbSettings, UserdbSettings

ROOT = Scope(None, ("service:imap-login",))


async def fill(path: Path) -> SqlUsers:
    users = SqlUsers(SqliteSql(str(path), create=True))
    stored = hash_password("SSHA512", "secret")
    await users.add("bob@x.org", stored, {"home": "/b", "quota_storage_size": "7"})
    await users.add("o'hara@x.org", stored, {})
    return users


def blocks(path: Path) -> dict[str, Any]:
    return {
        "auth_username_chars": "",
        "passdb": {"sql": PassdbSettings(sqlite_path=str(path))},
        "userdb": {"sql": UserdbSettings(sqlite_path=str(path))},
    }


async def login(world: Any, user: str, password: str) -> Reply:
    initial = f"\0{user}\0{password}".encode()
    reply: Reply = await world.client.begin("PLAIN", initial, world.params(), ROOT).result()
    return reply


def test_login_lookup_and_list(
    start: Callable[..., Any], run: Any, events: Any, tmp_path: Path
) -> None:
    path = tmp_path / "users.db"

    async def main() -> None:
        await (await fill(path)).close()
        events.seen.clear()
        async with start(**blocks(path)) as world:
            assert isinstance(await login(world, "bob@x.org", "secret"), Success)
            assert isinstance(await login(world, "o'hara@x.org", "secret"), Success)
            for user in ("' OR '1'='1", "bob@x.org' --", "nobody@x.org"):
                assert isinstance(await login(world, user, "secret"), Failure)
            info = await world.master.userdb("bob@x.org", ROOT, "lmtp")
            assert info is not None
            assert info.fields == {"home": "/b", "quota_storage_size": "7"}
            listed = [user async for user in world.master.list_users("*", ROOT)]
            assert listed == ["bob@x.org", "o'hara@x.org"]

    run(main())
    queries = events.of("sql_query_finished")
    assert [q.get("query_first_word") for q in queries] == ["SELECT"] * 7
    assert not any("error" in q for q in queries)
    assert len(events.of("sql_connection_finished")) == 2
    assert events.of("auth_passdb_request_finished")[0]["passdb"] == "sql"


def test_cache_and_a_changed_password(
    start: Callable[..., Any], run: Any, events: Any, tmp_path: Path
) -> None:
    path = tmp_path / "users.db"

    async def main() -> None:
        users = await fill(path)
        events.seen.clear()
        async with start(**blocks(path), auth_cache_size=1_000_000) as world:
            for _ in range(3):
                assert isinstance(await login(world, "bob@x.org", "secret"), Success)
                assert isinstance(await login(world, "nobody@x.org", "secret"), Failure)
            await users.update("bob@x.org", password="{PLAIN}new")
            assert isinstance(await login(world, "bob@x.org", "new"), Success)
            assert isinstance(await login(world, "bob@x.org", "secret"), Failure)
            assert await world.master.cache_flush(("nobody@x.org",)) == 1
            assert isinstance(await login(world, "nobody@x.org", "secret"), Failure)
        await users.close()

    run(main())
    states = [fields["cache"] for fields in events.of("auth_passdb_request_finished")]
    assert states == ["miss", "miss", "hit", "hit", "hit", "hit", "miss", "miss", "miss"]
    assert len(events.of("sql_query_finished")) == 5


@pytest.mark.parametrize("content", [None, b"", b"rubbish" * 1000])
def test_broken_database_is_never_a_wrong_password(
    start: Callable[..., Any], run: Any, events: Any, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "users.db"

    async def main() -> None:
        await (await fill(path)).close()
        good = path.read_bytes()
        async with start(**blocks(path)) as world:
            assert isinstance(await login(world, "bob@x.org", "secret"), Success)
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            for user in ("bob@x.org", "nobody@x.org"):
                reply = await login(world, user, "secret")
                assert isinstance(reply, Failure)
                assert reply.temp
                assert reply.code == "temp_fail"
                assert reply.text == ""
            (tmp_path / "back").write_bytes(good)
            (tmp_path / "back").rename(path)
            assert isinstance(await login(world, "bob@x.org", "secret"), Success)

    run(main())
    results = [f["result"] for f in events.of("auth_passdb_request_finished")]
    assert results == ["ok", "internal_failure", "internal_failure", "ok"]
    errors = [q["error"] for q in events.of("sql_query_finished") if "error" in q]
    assert len(errors) == 2
