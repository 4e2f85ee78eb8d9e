"""Who is penalised, how long, and what is forgiven."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from pillarbox.auth.penalty import FREE, Penalty, delay, penalised
from pillarbox.auth.request import Request
from pillarbox.events.event import Scope
from pillarbox.services.anvil.penalties import Penalties
from pillarbox.wire.auth.params import AuthParams

PARAMS = AuthParams(service="imap", remote_ip="192.0.2.1", local_ip="192.0.2.9")


def request(user: str = "bob", **changes: Any) -> Request:
    made = Request(msgspec.structs.replace(PARAMS, **changes), Scope(None, ()))
    made.identify(user, user)
    return made


class Anvil:
    """The client of anvil, with anvil inside."""

    def __init__(self) -> None:
        self.known = Penalties()

    async def failures(self, keys: list[str], expire: float) -> int:
        return self.known.failures(keys, 0.0, expire)

    def failed(self, keys: list[str], checksum: bytes, expire: float) -> None:
        self.known.failed(keys, checksum, 0.0, expire)

    def forgive(self, keys: list[str]) -> None:
        self.known.forgive(keys)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, ["user:bob", "ip:192.0.2.1"]),
        ({"user": ""}, ["ip:192.0.2.1"]),
        ({"remote_ip": None}, ["user:bob"]),
        ({"remote_ip": "192.0.2.9"}, ["user:bob"]),
        ({"remote_ip": "2001:db8:1:2:3::4"}, ["user:bob", "ip:2001:db8:1:2::"]),
        ({"remote_ip": "::ffff:192.0.2.7"}, ["user:bob", "ip:::ffff:192.0.2.7"]),
        ({"remote_ip": "no address"}, ["user:bob", "ip:no address"]),
        ({"no_penalty": True}, []),
    ],
)
def test_keys(changes: dict[str, Any], keys: list[str]) -> None:
    assert penalised(request(**changes)) == keys


def test_it_grows_to_a_limit() -> None:
    waits = [delay(number, 15.0) for number in range(12)]
    assert waits == [0.0] * FREE + [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0]
    assert delay(1_000_000, 15.0) == 15.0


def test_guessing_and_being_right() -> None:
    async def main() -> None:
        anvil = Anvil()
        guard = Penalty(anvil, b"secret", 15.0, 60.0)  # type: ignore[arg-type]

        async def wait(**changes: Any) -> float:
            return (await guard.before(request(**changes), "x")).delay

        async def over(password: str | None, **more: Any) -> None:
            ended = {"success": False, "refused": False, "result": None, **more}
            await guard.after(request(), password=password, **ended)

        for _ in range(20):
            await over("the old one")
        assert await wait() == 0.0
        for number in range(4):
            await over(f"guess {number}")
        assert await wait() == 2.0
        assert await wait(user="sue") == 2.0
        assert await wait(remote_ip="192.0.2.2") == 2.0
        assert await wait(user="sue", remote_ip="192.0.2.2") == 0.0
        await over(None, refused=True)
        await over("guess", result="internal_failure")
        assert await wait() == 2.0
        await over("right", success=True)
        assert await wait(remote_ip="192.0.2.2") == 0.0
        assert await wait() == 2.0, "the address is not forgiven"
        for _ in range(2):
            await over(None)
        assert await wait() == 8.0, "without a password every failure counts"
        assert not (await guard.confirm(request(), "x")).refused

    asyncio.run(main())
