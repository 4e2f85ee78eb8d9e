"""USER, PASS, LIST and CACHE-FLUSH through the real master socket, and their events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events.event import Scope
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import LookupImpossible
from pillarbox.settings.model import PassdbSettings, UserdbSettings

ROOT = Scope(None, ("service:lmtp",), session="m1", remote_ip="192.0.2.5", remote_port=25)


def test_userdb(start: Callable[..., Any], run: Any, events: Any) -> None:
    async def main() -> None:
        async with start() as world:
            info = await world.master.userdb("SUE@example.com", ROOT, "lmtp")
            assert info is not None
            assert info.user == "sue@example.com"
            assert info.fields == {"home": "/home/sue", "uid": "1002", "gid": "1003"}
            assert await world.master.userdb("nobody@example.com", ROOT, "lmtp") is None

    run(main())
    known = {
        "session": "m1",
        "remote_ip": "192.0.2.5",
        "remote_port": 25,
        "real_remote_ip": "192.0.2.5",
        "real_remote_port": 25,
        "service": "lmtp",
    }
    assert events.of("auth_client_userdb_lookup_started") == [
        {**known, "user": "SUE@example.com"},
        {**known, "user": "nobody@example.com"},
    ]
    assert events.of("auth_client_userdb_lookup_finished") == [
        {**known, "user": "SUE@example.com"},
        {**known, "user": "nobody@example.com", "error": "user not found"},
    ]
    asked = events.of("auth_userdb_request_finished")
    assert [fields["result"] for fields in asked] == ["ok", "user_unknown"]
    assert asked[0]["session"] == "m1"
    assert asked[0]["remote_ip"] == "192.0.2.5"


def test_a_passdb_that_only_checks(start: Callable[..., Any], run: Any, events: Any) -> None:
    """Whether it knows the user cannot be told; that is neither yes nor no."""
    passdb = {"other": PassdbSettings(driver="imap", imap_host="127.0.0.1")}

    async def main() -> None:
        async with start(passdb=passdb) as world:
            with pytest.raises(LookupImpossible, match="only checks passwords"):
                await world.master.passdb("bob@example.com", ROOT, "lmtp")

    run(main())
    [finished] = events.of("auth_passdb_request_finished")
    assert finished["result"] == "scheme_not_available"


def test_passdb(start: Callable[..., Any], run: Any, events: Any) -> None:
    async def main() -> None:
        async with start() as world:
            info = await world.master.passdb("bob@example.com", ROOT, "lmtp")
            assert info is not None
            assert info.user == "bob@example.com"
            assert info.fields == {
                "user": "bob@example.com",
                "userdb_quota_storage_size": "5000",
                "theme": "dark",
            }
            assert await world.master.passdb("nobody@example.com", ROOT, "lmtp") is None

    run(main())
    assert len(events.of("auth_client_passdb_lookup_started")) == 2
    first, second = events.of("auth_client_passdb_lookup_finished")
    assert "error" not in first
    assert second["error"] == "user not found"


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("", 7),
        ("*", 7),
        ("*@example.com", 7),
        ("b*", 2),
        ("?ue@example.com", 1),
        ("[b]ob@example.com", 0),
    ],
)
def test_list(start: Callable[..., Any], run: Any, events: Any, mask: str, expected: int) -> None:
    async def main() -> None:
        async with start() as world:
            users = [user async for user in world.master.list_users(mask, ROOT)]
            assert len(users) == len(set(users)) == expected

    run(main())
    assert events.of("auth_client_userdb_list_started")[0].get("user_mask", "") == mask
    assert "error" not in events.of("auth_client_userdb_list_finished")[0]
    assert events.of("auth_userdb_request_finished")[0]["result"] == "ok"


def test_broken_databases_are_temporary(
    start: Callable[..., Any], run: Any, events: Any, tmp_path: Path
) -> None:
    broken = str(tmp_path / "missing")
    changes = {
        "passdb": {"a": PassdbSettings(driver="passwd-file", passwd_file_path=broken)},
        "userdb": {"a": UserdbSettings(driver="sql", sqlite_path=broken)},
    }

    async def main() -> None:
        async with start(**changes) as world:
            with pytest.raises(AuthTemporaryError):
                await world.master.userdb("bob@example.com", ROOT, "lmtp")
            with pytest.raises(AuthTemporaryError):
                await world.master.passdb("bob@example.com", ROOT, "lmtp")
            with pytest.raises(AuthTemporaryError):
                _ = [user async for user in world.master.list_users("", ROOT)]

    run(main())
    for name in ("userdb_lookup", "passdb_lookup", "userdb_list"):
        assert events.of(f"auth_client_{name}_finished")[0]["error"]
    results = [f["result"] for f in events.of("auth_userdb_request_finished")]
    assert results == ["internal_failure", "internal_failure"]
    assert events.of("sql_query_finished")[0]["error"]


def test_without_userdb_the_passdb_decides(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start(userdb={}) as world:
            info = await world.master.userdb("bob@example.com", ROOT, "lmtp")
            assert info is not None
            assert info.fields == {"quota_storage_size": "5000"}
            assert await world.master.userdb("nobody@example.com", ROOT, "lmtp") is None

    run(main())


def test_cache_flush(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            assert await world.master.cache_flush() == 0

    run(main())


def test_every_field_of_a_proxied_tls_login(
    start: Callable[..., Any], run: Any, events: Any
) -> None:
    """Whatever the login service knows is in the events of both sides."""
    told = {
        "client_id": '("name" "x")',
        "local_name": "mail.example.com",
        "real_local_ip": "10.0.0.1",
        "real_local_port": 1993,
        "real_remote_ip": "10.0.0.2",
        "real_remote_port": 5555,
        "tls_cipher": "TLS_AES_256_GCM_SHA384",
        "tls_cipher_bits": 256,
        "tls_pfs": "KxANY",
        "tls_protocol": "TLSv1.3",
        "certificate_user": "bob",
    }

    async def main() -> None:
        async with start() as world:
            params = world.params(**told, valid_client_cert=True)
            reply = world.client.begin("PLAIN", b"\0bob@example.com\0secret", params, ROOT)
            await reply.result()

    run(main())
    from pillarbox.events.catalogue.auth import auth_request_finished
    from pillarbox.events.catalogue.auth_client import auth_client_request_finished

    (seen,) = events.of("auth_client_request_finished")
    absent = {"auth_user", "error", "duration", "reason_code"}
    assert set(auth_client_request_finished.fields) - set(seen) == absent
    assert {name: seen[name] for name in told} == told
    (seen,) = events.of("auth_request_finished")
    absent = {
        "error",
        "login_user",
        "master_user",
        "policy_penalty",
        "policy_result",
        "duration",
        "reason_code",
    }
    assert set(auth_request_finished.fields) - set(seen) == absent
