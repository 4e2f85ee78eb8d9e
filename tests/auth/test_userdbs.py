"""The userdb chain: rules, fields, cache, lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox.auth.cache import AuthCache
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.passdbs import PassdbBlock, PassdbChain
from pillarbox.auth.request import Request
from pillarbox.auth.userdbs import Outcome, UserdbBlock, UserdbChain
from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Query
from pillarbox.drivers.passdb.fail import FailPassdb
from pillarbox.drivers.passdb.memory import MemoryPassdb
from pillarbox.drivers.userdb.fail import FailUserdb
from pillarbox.drivers.userdb.memory import MemoryUserdb
from pillarbox.drivers.userdb.prefetch import PrefetchUserdb
from pillarbox.drivers.userdb.static import StaticUserdb
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, UserdbSettings
from pillarbox.wire.auth.params import AuthParams


@pytest.fixture
def results() -> Iterator[list[tuple[str, str, str | None]]]:
    """(userdb_name, result, cache) of each finished userdb request."""
    seen: list[tuple[str, str, str | None]] = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        seen.append((str(scope.get("userdb_name")), own["result"], own["cache"]))

    subscription = bus.subscribe(Call(take), "event=auth_userdb_request_finished")
    yield seen
    bus.unsubscribe(subscription)


def chain(*blocks: tuple[Any, dict[str, Any]], passdb: Any = None, cache: int = 0) -> UserdbChain:
    log = Log("t", lambda line: None)
    known = passdb or MemoryPassdb({"bob": Entry("x")})
    passdbs = PassdbChain(
        [PassdbBlock(1, "p", PassdbSettings(), known)], AuthCache(0, 1.0, 1.0), Hasher(1), log
    )
    made = [
        UserdbBlock(i, f"u{i}", UserdbSettings(**settings), driver)
        for i, (driver, settings) in enumerate(blocks, 1)
    ]
    return UserdbChain(made, passdbs, AuthCache(cache, 100.0, 100.0), log)


def request(user: str = "bob", *, authenticated: bool = False, **fields: str) -> Request:
    made = Request(AuthParams(service="lmtp"), Scope(None, ()))
    made.identify(user, user)
    made.authenticated = authenticated
    made.fields.update(fields)
    return made


def lookup(chain: UserdbChain, asked: Request | None = None) -> Outcome:
    return asyncio.run(chain.lookup(asked or request()))


def users(**fields: str) -> MemoryUserdb:
    return MemoryUserdb({"bob": fields})


EMPTY = MemoryUserdb()
BROKEN = FailUserdb()


@pytest.mark.parametrize(
    ("blocks", "result", "fields"),
    [
        ([(users(home="/b"), {})], "ok", {"home": "/b"}),
        ([(EMPTY, {})], "user_unknown", {}),
        ([(BROKEN, {})], "internal_failure", {}),
        ([(BROKEN, {}), (EMPTY, {})], "internal_failure", {}),
        ([(BROKEN, {}), (users(home="/b"), {})], "ok", {"home": "/b"}),
        ([(EMPTY, {"result_failure": "return-fail"}), (users(), {})], "user_unknown", {}),
        (
            [(users(a="1", b="1"), {"result_success": "continue-ok"}), (users(b="2"), {})],
            "ok",
            {"a": "1", "b": "2"},
        ),
        (
            [(users(a="1"), {"result_success": "continue-ok"}), (users(a="2"), {"skip": "found"})],
            "ok",
            {"a": "1"},
        ),
        ([(users(), {"skip": "notfound"})], "user_unknown", {}),
        ([(users(), {"username_filter": ("sue",)})], "user_unknown", {}),
        (
            [
                (
                    users(home="/b"),
                    {"fields": {"home": "/x", "y": "%{user}"}, "override_fields": {"z": "1"}},
                )
            ],
            "ok",
            {"home": "/b", "y": "bob", "z": "1"},
        ),
        ([(users(), {"fields": {"a": "%{oops}"}})], "internal_failure", {}),
    ],
)
def test_rules(
    blocks: list[tuple[Any, dict[str, Any]]], result: str, fields: dict[str, str]
) -> None:
    assert lookup(chain(*blocks)) == Outcome(result, fields)  # type: ignore[arg-type]


def test_no_user_is_unknown() -> None:
    assert lookup(chain((StaticUserdb(True), {})), request("")).result == "user_unknown"


def test_renaming() -> None:
    asked = request()
    assert lookup(chain((users(user="robert"), {})), asked).fields == {}
    assert asked.user == "robert"


async def no_lookup(query: Query) -> Entry | None:
    raise NoLookup


def test_static_asks_a_passdb() -> None:
    static = (StaticUserdb(False), {"fields": {"home": "/srv/%{user}"}})
    assert lookup(chain(static)).fields == {"home": "/srv/bob"}
    assert lookup(chain(static), request("nobody")).result == "user_unknown"
    assert lookup(chain(static), request("nobody", authenticated=True)).result == "ok"
    assert lookup(chain(static, passdb=FailPassdb())).result == "internal_failure"
    mute = MemoryPassdb()
    mute.lookup = no_lookup  # type: ignore[method-assign]
    assert lookup(chain(static, passdb=mute)).result == "internal_failure"
    anybody = (StaticUserdb(True), {})
    assert lookup(chain(anybody), request("nobody")).result == "ok"


def test_prefetch() -> None:
    blocks = ((PrefetchUserdb(), {}), (users(home="/slow"), {}))
    assert lookup(chain(*blocks), request(userdb_home="/fast")).fields == {"home": "/fast"}
    assert lookup(chain(*blocks)).fields == {"home": "/slow"}


def test_cache(results: list[tuple[str, str, str | None]]) -> None:
    driver = MemoryUserdb({"bob": {"home": "/b"}}, cache_key="%{user}")
    cached = chain((driver, {}), cache=100_000)
    for _ in range(2):
        found = lookup(cached)
        assert found.fields == {"home": "/b"}
        found.fields.clear()
        assert lookup(cached, request("nobody")).result == "user_unknown"
    assert driver.lookups == 2
    assert results == [
        ("u1", "ok", "miss"),
        ("u1", "user_unknown", "miss"),
        ("u1", "ok", "hit"),
        ("u1", "user_unknown", "hit"),
    ]


def names(chain: UserdbChain) -> list[str]:
    async def main() -> list[str]:
        return [user async for user in chain.users(request(""))]

    return asyncio.run(main())


def test_lists(results: list[tuple[str, str, str | None]]) -> None:
    both = chain(
        (MemoryUserdb({"a": {}, "b": {}}), {}),
        (StaticUserdb(True), {}),
        (MemoryUserdb({"b": {}, "c": {}}), {}),
    )
    assert names(both) == ["a", "b", "c"]
    assert results == [("u1", "ok", None), ("u3", "ok", None)]


def test_a_list_that_breaks_off_gives_the_others_first(
    results: list[tuple[str, str, str | None]],
) -> None:
    broken = chain((BROKEN, {}), (MemoryUserdb({"z": {}}), {}))
    seen: list[str] = []

    async def main() -> None:
        async for user in broken.users(request("")):
            seen.append(user)

    with pytest.raises(DatabaseError):
        asyncio.run(main())
    assert seen == ["first", "z"]
    assert results == [("u1", "internal_failure", None), ("u2", "ok", None)]


def test_nobody_can_list() -> None:
    with pytest.raises(DatabaseError):
        names(chain((StaticUserdb(True), {})))
