"""The passdb chain: rules, fields, cache, and that broken is never wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from pillarbox.auth.cache import AuthCache
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.passdbs import Outcome, PassdbBlock, PassdbChain
from pillarbox.auth.request import Request
from pillarbox.auth.schemes import hash_password
from pillarbox.drivers.passdb.api import Entry, NoLookup, Query, Wrong
from pillarbox.drivers.passdb.fail import FailPassdb
from pillarbox.drivers.passdb.memory import MemoryPassdb
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import PassdbSettings
from pillarbox.wire.auth.params import AuthParams

STORED = hash_password("SSHA", "secret")


@pytest.fixture
def results() -> Iterator[list[tuple[str, str, str | None]]]:
    """(passdb_name, result, cache) of each finished passdb request."""
    seen: list[tuple[str, str, str | None]] = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        seen.append((str(scope.get("passdb_name")), own["result"], own["cache"]))

    subscription = bus.subscribe(Call(take), "event=auth_passdb_request_finished")
    yield seen
    bus.unsubscribe(subscription)


class Chain:
    """A chain over drivers, with what tests look at."""

    def __init__(self, *blocks: tuple[Any, dict[str, Any]], cache: int = 0) -> None:
        self.lines: list[Line] = []
        self.cache: AuthCache[Entry] = AuthCache(cache, 100.0, 100.0)
        made = [
            PassdbBlock(i, f"p{i}", PassdbSettings(**settings), driver)
            for i, (driver, settings) in enumerate(blocks, 1)
        ]
        self.hasher = Hasher(1)
        self.chain = PassdbChain(made, self.cache, self.hasher, Log("t", self.lines.append))
        self.request = Request(AuthParams(service="imap"), Scope(None, ()))

    def ask(self, work: Callable[[Request], Any], user: str = "bob", **params: Any) -> Outcome:
        given = msgspec.structs.replace(AuthParams(service="imap"), **params)
        self.request = Request(given, Scope(None, ()), "PLAIN")
        self.request.identify(user, user)

        async def main() -> Outcome:
            outcome: Outcome = await work(self.request)
            return outcome

        return asyncio.run(main())

    def verify(self, password: str = "secret", user: str = "bob", **params: Any) -> Outcome:
        return self.ask(lambda request: self.chain.verify(request, password), user, **params)


def users(password: str | None = STORED, **fields: str) -> MemoryPassdb:
    return MemoryPassdb({"bob": Entry(password, fields)})


EMPTY = MemoryPassdb()
BROKEN = FailPassdb()


def test_right_wrong_unknown() -> None:
    chain = Chain((users(), {}))
    assert chain.verify().result == "ok"
    assert chain.verify("wrong").result == "password_mismatch"
    assert chain.verify(user="nobody").result == "user_unknown"
    assert Chain().verify().result == "user_unknown"


@pytest.mark.parametrize(
    ("blocks", "result"),
    [
        ([(EMPTY, {}), (users(), {})], "ok"),
        ([(BROKEN, {}), (users(), {})], "ok"),
        ([(users(), {}), (BROKEN, {})], "ok"),
        ([(BROKEN, {})], "internal_failure"),
        ([(BROKEN, {}), (EMPTY, {})], "internal_failure"),
        ([(users("other"), {}), (BROKEN, {})], "internal_failure"),
        ([(users("other"), {"result_failure": "return-fail"}), (users(), {})], "password_mismatch"),
        ([(BROKEN, {"result_internalfail": "return-fail"}), (users(), {})], "internal_failure"),
        ([(users(), {"result_success": "continue-ok"}), (EMPTY, {})], "ok"),
        ([(users(), {"result_success": "continue-fail"}), (EMPTY, {})], "password_mismatch"),
        ([(users(), {"result_success": "continue"}), (EMPTY, {})], "password_mismatch"),
        (
            [
                (users(), {"result_success": "continue-ok"}),
                (EMPTY, {"result_failure": "return"}),
                (users("other"), {"result_failure": "return-fail"}),
            ],
            "ok",
        ),
        (
            [
                (users(), {"result_success": "continue-ok"}),
                (users("other"), {"skip": "authenticated", "result_success": "return-fail"}),
            ],
            "ok",
        ),
        ([(users(), {"skip": "unauthenticated"})], "user_unknown"),
        ([(users(), {"username_filter": ("!b*",)})], "user_unknown"),
        ([(users(), {"mechanisms_filter": ("scram-sha-1",)})], "user_unknown"),
        ([(users(), {"mechanisms_filter": ("plain",)})], "ok"),
        ([(users(), {"deny": True}), (users(), {})], "password_mismatch"),
        ([(EMPTY, {"deny": True}), (users(), {})], "ok"),
        ([(users("{NOSUCH}x"), {})], "internal_failure"),
        ([(users("{NOSUCH}x"), {}), (users(), {})], "ok"),
        ([(users(None), {})], "password_mismatch"),
        ([(users(None, nopassword=""), {})], "ok"),
        ([(users(STORED, user_disabled=""), {}), (users(), {})], "user_disabled"),
        ([(users("other", user_disabled=""), {})], "password_mismatch"),
        ([(users(STORED, pass_expired=""), {})], "pass_expired"),
        (
            [(users(None), {"override_fields": {"password": "%{user | upper}"}})],
            "password_mismatch",
        ),
        ([(users(None), {"fields": {"password": "secret"}})], "ok"),
        ([(users(), {"fields": {"x": "%{nosuch}"}})], "internal_failure"),
    ],
)
def test_rules(blocks: list[tuple[Any, dict[str, Any]]], result: str) -> None:
    assert Chain(*blocks).verify().result == result


def test_later_databases_are_only_asked_for_fields() -> None:
    """After one database has accepted, another's password does not matter."""
    first, second = users(), users("{PLAIN}other", theme="dark")
    chain = Chain((first, {"result_success": "continue-ok"}), (second, {}))
    assert chain.verify().result == "ok"
    assert chain.request.fields == {"theme": "dark"}
    assert second.lookups == 1


def test_a_password_counts_again_after_a_later_database_said_no() -> None:
    first = (users("{PLAIN}first"), {"result_success": "continue-ok"})
    second = (users(), {"result_success": "continue-fail"})
    chain = Chain(first, second, (users("{PLAIN}third"), {}))
    assert chain.verify("first").result == "password_mismatch"
    both = Chain(first, second, (users("{PLAIN}first"), {}))
    assert both.verify("first").result == "ok"


def test_fields_and_renaming() -> None:
    chain = Chain(
        (
            users(STORED, user="robert", theme="dark", userdb_home="/h"),
            {"fields": {"theme": "no", "lang": "%{user}"}, "override_fields": {"x": "%{service}"}},
        )
    )
    assert chain.verify().result == "ok"
    assert chain.request.user == "robert"
    assert chain.request.scope.get("user") == "robert"
    assert chain.request.scope.get("original_user") == "bob"
    assert chain.request.fields == {
        "theme": "dark",
        "userdb_home": "/h",
        "lang": "bob",
        "x": "imap",
    }
    assert chain.request.prefetched() == {"home": "/h"}


def test_failure_leaves_no_fields() -> None:
    chain = Chain((users(STORED, theme="dark", nodelay=""), {}))
    chain.verify("wrong")
    assert chain.request.fields == {"nodelay": ""}


@pytest.mark.parametrize(
    ("address", "result"), [("10.0.0.1", "ok"), ("11.0.0.1", "password_mismatch")]
)
def test_allow_nets(address: str, result: str) -> None:
    chain = Chain((users(STORED, allow_nets="10.0.0.0/8"), {}))
    assert chain.verify(remote_ip=address).result == result


def test_lookup_without_credentials() -> None:
    chain = Chain((users("{NOSUCH}x", theme="dark"), {}))
    assert chain.ask(chain.chain.lookup).result == "ok"
    assert chain.request.fields == {"theme": "dark"}
    assert chain.ask(chain.chain.lookup, "nobody").result == "user_unknown"
    assert Chain((BROKEN, {})).ask(Chain((BROKEN, {})).chain.lookup).result == "internal_failure"


def test_scram() -> None:
    def scram(chain: Chain, user: str = "bob") -> Outcome:
        return chain.ask(lambda request: chain.chain.scram(request, "sha256", b"salt"), user)

    plain = scram(Chain((users("{PLAIN}secret"), {})))
    assert plain.ok
    assert plain.secret is not None
    assert scram(Chain((users(), {}))).result == "scheme_not_available"
    assert scram(Chain((users(None), {}))).result == "scheme_not_available"
    assert scram(Chain((users(), {})), "nobody").result == "user_unknown"
    assert scram(Chain((BROKEN, {}))).result == "internal_failure"
    assert scram(Chain((users("{SCRAM-SHA-256}x"), {}))).result == "internal_failure"
    disabled = scram(Chain((users("{PLAIN}secret", user_disabled=""), {})))
    assert disabled.result == "user_disabled"
    assert disabled.secret is not None


def test_events(results: list[tuple[str, str, str | None]]) -> None:
    Chain((BROKEN, {}), (users("other"), {}), (EMPTY, {}), (users(), {})).verify()
    assert results == [
        ("p1", "internal_failure", None),
        ("p2", "password_mismatch", None),
        ("p3", "user_unknown", None),
        ("p4", "ok", None),
    ]


def test_broken_is_logged_without_secrets() -> None:
    chain = Chain((users("{SSHA}topsecrethash"), {}))
    chain.verify("mypassword")
    assert len(chain.lines) == 1
    assert "topsecrethash" not in chain.lines[0].text
    assert "mypassword" not in chain.lines[0].text


def cached(password: str = STORED) -> tuple[Chain, MemoryPassdb]:
    driver = MemoryPassdb({"bob": Entry(password)}, cache_key="%{user}")
    return Chain((driver, {}), cache=100_000), driver


def test_cache_hits(results: list[tuple[str, str, str | None]]) -> None:
    chain, driver = cached()
    for _ in range(3):
        assert chain.verify().ok
        assert chain.verify(user="nobody").result == "user_unknown"
    assert driver.lookups == 2
    assert [cache for _, _, cache in results] == ["miss", "miss", "hit", "hit", "hit", "hit"]


def test_a_wrong_password_asks_again_once(results: list[tuple[str, str, str | None]]) -> None:
    chain, driver = cached()
    assert chain.verify().ok
    for _ in range(5):
        assert chain.verify("wrong").result == "password_mismatch"
    assert driver.lookups == 2
    assert [cache for _, _, cache in results] == ["miss", "miss", "hit", "hit", "hit", "hit"]


def test_a_changed_password_works_at_once() -> None:
    chain, driver = cached()
    assert chain.verify().ok
    driver.users["bob"] = Entry("{PLAIN}new")
    assert chain.verify("new").ok
    assert not chain.verify("secret").ok
    assert driver.lookups == 3


def test_failures_of_the_database_are_not_cached() -> None:
    inner = MemoryPassdb({"bob": Entry(STORED)}, cache_key="%{user}")
    driver = FailPassdb(inner, failing=True)
    chain = Chain((driver, {}), cache=100_000)
    assert chain.verify().result == "internal_failure"
    driver.failing = False
    assert chain.verify().ok


def test_blocks_and_settings_that_are_not_cached() -> None:
    driver = MemoryPassdb({"bob": Entry(STORED)}, cache_key="%{user}")
    chain = Chain((driver, {"use_cache": False}), cache=100_000)
    chain.verify()
    chain.verify()
    assert driver.lookups == 2


def test_unknown_users_cost_a_hash() -> None:
    """The decoy is compared like the hash that the database gave last."""
    chain = Chain((users("{PLAIN}secret"), {}))
    seen: list[str] = []
    real = chain.hasher.verify

    async def verify(stored: str, password: str, default: str, user: str = "") -> bool:
        seen.append(stored)
        return await real(stored, password, default)

    chain.hasher.verify = verify  # type: ignore[method-assign]
    chain.verify(user="nobody")
    assert len(seen) == 1
    chain.verify()
    chain.verify(user="nobody")
    assert seen[1:] == ["{PLAIN}secret", "{PLAIN}secret"]


class Verifying:
    """A database that says whether a password is right, and nothing without one."""

    name = "verifying"

    def __init__(self, answer: Entry | Wrong | None = None, cache_key: str = "") -> None:
        self.answer = answer or Entry(None, {})
        self.cache_key = cache_key
        self.asked: list[str] = []
        self.right = "secret"

    async def lookup(self, query: Query) -> Entry | None:
        raise NoLookup

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        self.asked.append(password)
        if query.user == "nobody":
            return None
        return self.answer if password == self.right else Wrong("password_mismatch")

    async def close(self) -> None:
        pass


def test_a_database_that_verifies() -> None:
    chain = Chain((Verifying(Entry(None, {"userdb_home": "/b"})), {"fields": {"theme": "dark"}}))
    assert chain.verify().result == "ok"
    assert chain.request.fields == {"userdb_home": "/b", "theme": "dark"}
    assert chain.verify("wrong").result == "password_mismatch"
    assert chain.verify(user="nobody").result == "user_unknown"
    assert chain.ask(chain.chain.lookup).result == "scheme_not_available"
    scram = chain.ask(lambda request: chain.chain.scram(request, "sha1", b"salt"))
    assert scram.result == "scheme_not_available"


@pytest.mark.parametrize("reason", ["user_disabled", "pass_expired"])
def test_a_verifying_database_refuses_for_other_reasons(reason: Any) -> None:
    assert Chain((Verifying(Wrong(reason)), {}), (users(), {})).verify().result == reason


def test_allow_nets_hold_for_verified_users() -> None:
    chain = Chain((Verifying(Entry(None, {"allow_nets": "10.0.0.0/8"})), {}))
    assert chain.verify(remote_ip="11.0.0.1").result == "password_mismatch"


def test_verified_passwords_are_cached_as_hashes(
    results: list[tuple[str, str, str | None]],
) -> None:
    """A hit needs the same password, even with ``nopassword``; a wrong one is asked for again."""
    driver = Verifying(Entry(None, {"nopassword": "", "theme": "dark"}), "%{user}")
    chain = Chain((driver, {}), cache=100_000)
    passwords = ["wrong", "secret", "secret", "wrong", "wrong", "secret"]
    outcomes = [chain.verify(password).ok for password in passwords]
    assert outcomes == [password == "secret" for password in passwords]
    assert chain.request.fields["theme"] == "dark"
    assert driver.asked == ["wrong", "secret", "wrong", "wrong"]
    assert [cache for _, _, cache in results] == ["miss", "miss", "hit", "miss", "miss", "hit"]
    [kept] = chain.cache._entries.values()
    assert kept.value is not None
    assert str(kept.value.password).startswith("{SSHA512}")


def test_a_changed_verified_password_works_at_once() -> None:
    driver = Verifying(cache_key="%{user}")
    chain = Chain((driver, {}), cache=100_000)
    assert chain.verify().ok
    driver.right = "new"
    assert chain.verify("new").ok
    assert not chain.verify("secret").ok


def test_unknown_users_of_a_verifying_database_are_cached() -> None:
    driver = Verifying(cache_key="%{user}")
    chain = Chain((driver, {}), cache=100_000)
    assert [chain.verify(user="nobody").result for _ in range(3)] == ["user_unknown"] * 3
    assert len(driver.asked) == 1


def test_a_broken_deny_list_lets_nobody_in() -> None:
    assert Chain((BROKEN, {"deny": True}), (users(), {})).verify().result == "internal_failure"
    asked = Chain((Verifying(), {"deny": True}), (users(), {}))
    assert asked.verify().result == "internal_failure"


def test_noauthenticate_gives_fields_only() -> None:
    fields = users("{PLAIN}other", noauthenticate="", theme="dark")
    chain = Chain((fields, {}), (users(), {}))
    assert chain.verify().ok
    assert chain.request.fields == {"theme": "dark"}
    assert Chain((fields, {})).verify("other").result == "user_unknown"
    assert Chain((fields, {})).ask(Chain((fields, {})).chain.lookup).result == "user_unknown"


def test_master_blocks_are_for_masters_alone() -> None:
    masters = MemoryPassdb({"admin": Entry("{PLAIN}root")})
    chain = Chain((masters, {"master": True}), (users(), {}))
    assert chain.chain.masters
    assert not Chain((users(), {})).chain.masters
    assert chain.verify("root", user="admin").result == "user_unknown"

    def as_master(request: Request) -> Any:
        return chain.chain.verify(request, "root", master=True)

    assert chain.ask(as_master, "admin").ok
    assert chain.ask(as_master, "bob").result == "user_unknown"
