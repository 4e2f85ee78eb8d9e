"""The authenticator: what the settings make of it, and what is wrong with settings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.auth import authenticator
from pillarbox.auth.authenticator import AuthConfigError, Authenticator
from pillarbox.auth.request import Request
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings, UserdbSettings
from pillarbox.wire.auth.params import AuthParams
from pillarbox.wire.sasl import scram
from pillarbox.wire.sasl.exchange import HashName, ScramSecret

LOG = Log("t", lambda line: None)


def make(**changes: Any) -> Authenticator:
    return authenticator.make(msgspec.structs.replace(Settings(), **changes), LOG, b"s" * 32)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"auth_mechanisms": ("plian",)}, "no mechanism plian"),
        ({"passdb": {"passwd-fiel": PassdbSettings()}}, "passdb passwd-fiel: .*'passwd-file'"),
        ({"passdb": {"x": PassdbSettings(driver="passwd-file")}}, "passwd_file_path is not set"),
        ({"userdb": {"x": UserdbSettings(driver="sqll")}}, "userdb x: .*'sql'"),
        ({"passdb": {"x": PassdbSettings(driver="sql", sql_driver="pgsqlx")}}, "passdb x: no sql"),
        ({"passdb": {"x": PassdbSettings(driver="sql", sql_query="%{user")}}, "passdb x"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(AuthConfigError, match=text):
        make(**changes)


def test_blocks_in_their_order_and_by_their_names() -> None:
    made = make(
        passdb={"static": PassdbSettings(), "second": PassdbSettings(driver="memory")},
        userdb={"prefetch": UserdbSettings(), "x": UserdbSettings(driver="static")},
    )
    assert [(b.id, b.name, b.driver.name) for b in made.passdbs.blocks] == [
        (1, "static", "static"),
        (2, "second", "memory"),
    ]
    assert [b.driver.name for b in made.userdbs.blocks] == ["prefetch", "static"]
    asyncio.run(made.close())


def test_salts_and_fake_secrets() -> None:
    made, same = make(), make()
    assert made.salt("bob") == same.salt("bob")
    assert made.salt("bob") != made.salt("sue")
    made_up = fake(made, "bob", "sha256")
    assert made_up == fake(same, "bob", "sha256")
    assert made_up.salt == made.salt("bob")
    assert len(made_up.stored_key) == 32
    assert made_up.iterations == 4096
    made.seen_scram(ScramSecret(10_000, b"s" * 20, b"", b""), b"ours")
    other = fake(made, "bob", "sha1")
    assert (other.iterations, len(other.salt), len(other.stored_key)) == (10_000, 20, 20)


def test_made_up_secrets_take_the_time_of_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where real ones are made from clear passwords, for users who do not exist as well."""
    rounds: list[int] = []

    def secret(hash_name: HashName, password: str, salt: bytes, iterations: int) -> ScramSecret:
        rounds.append(iterations)
        return scram.secret(hash_name, password, salt, 1)

    monkeypatch.setattr(authenticator, "secret", secret)
    made = make()
    fake(made, "bob", "sha256")
    made.seen_scram(ScramSecret(4096, b"stored", b"", b""), made.salt("sue"))
    fake(made, "bob", "sha256")
    made.seen_scram(ScramSecret(4096, made.salt("sue"), b"", b""), made.salt("sue"))
    fake(made, "bob", "sha256")
    assert rounds == [1, 1, 4096]


def fake(made: Authenticator, user: str, hash_name: HashName) -> ScramSecret:
    return asyncio.run(made.fake_scram(user, hash_name))


def test_a_name_that_cannot_be() -> None:
    made = make()
    request = Request(AuthParams(service="x"), Scope(None, ()))
    assert not made.identify(request, "b ob")
    assert request.user == ""
    assert request.original_user == "b ob"


def test_whole_chain_from_settings(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("bob:{PLAIN}x:1:1::/b\n")
    made = make(
        passdb={
            "f": PassdbSettings(driver="passwd-file", passwd_file_path=str(tmp_path / "users"))
        },
    )
    request = Request(AuthParams(service="x"), Scope(None, ()))
    made.identify(request, "BOB")

    async def main() -> None:
        assert (await made.passdbs.verify(request, "x")).ok
        assert (await made.userdb(request)).result == "ok"
        await made.close()

    asyncio.run(main())
    assert made.flush_cache() == 0
