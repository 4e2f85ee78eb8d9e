"""Answers of a real name server over UDP, and where they come from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from nameserver import NameServer, name_server

from pillarbox.services.dns_worker import resolver
from pillarbox.services.dns_worker.answer import Answer
from pillarbox.services.dns_worker.lookups import Lookups
from pillarbox.services.dns_worker.resolver import Resolver
from pillarbox.settings.model import Settings

RECORDS = {
    ("mail.test", "A"): (300, ["127.0.0.1"]),
    ("mail.test", "AAAA"): (20, ["2001:db8::1"]),
    ("four.test", "A"): (300, ["127.0.0.2", "127.0.0.3"]),
    ("text.test", "TXT"): (300, ["x"]),
    ("1.2.0.192.in-addr.arpa", "PTR"): (60, ["mail.test."]),
}


def settings_for(server: NameServer, hosts: str = "") -> Settings:
    return msgspec.structs.replace(
        Settings(),
        dns_nameservers=(server.address,),
        dns_hosts_file=hosts,
        dns_request_timeout=0.3,
    )


def drive(
    work: Callable[[NameServer, Lookups], Awaitable[None]],
    hosts: str = "",
    clock: Callable[[], float] | None = None,
) -> NameServer:
    with name_server(RECORDS) as server:
        settings = settings_for(server, hosts)

        async def main() -> None:
            lookups = Lookups(settings) if clock is None else Lookups(settings, clock=clock)
            await work(server, lookups)

        asyncio.run(main())
        return server


def test_found_and_remembered() -> None:
    now = [0.0]

    async def work(server: NameServer, lookups: Lookups) -> None:
        answer, cached = await lookups.find("addresses", "Mail.Test.")
        assert set(answer.values) == {"127.0.0.1", "2001:db8::1"}
        assert (answer.ttl, cached) == (20, False)
        again, cached = await lookups.find("addresses", "mail.test")
        assert again is answer
        assert cached
        assert len(server.asked) == 2
        now[0] = 20.0
        _, cached = await lookups.find("addresses", "mail.test")
        assert not cached
        answer, _ = await lookups.find("name", "192.0.2.1")
        assert answer.values == ("mail.test",)

    drive(work, clock=lambda: now[0])


def test_what_has_no_route_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    no_route = {"2001:db8::1", "127.0.0.2"}
    monkeypatch.setattr(resolver, "_unroutable", no_route.__contains__)

    async def work(server: NameServer, lookups: Lookups) -> None:
        answer, _ = await lookups.find("addresses", "mail.test")
        assert answer.values == ("127.0.0.1", "2001:db8::1")
        answer, _ = await lookups.find("addresses", "four.test")
        assert answer.values == ("127.0.0.3", "127.0.0.2")
        no_route.clear()
        lookups.apply(settings_for(server))
        answer, _ = await lookups.find("addresses", "mail.test")
        assert answer.values == ("2001:db8::1", "127.0.0.1")

    drive(work)


def test_routes() -> None:
    assert not resolver._unroutable("127.0.0.1")
    assert resolver._unroutable("255.255.255.255")


def test_nothing_found() -> None:
    now = [0.0]

    async def work(server: NameServer, lookups: Lookups) -> None:
        for name, code in (("none.test", "NXDOMAIN"), ("text.test", "NODATA")):
            answer, cached = await lookups.find("addresses", name)
            assert (answer.code, answer.values, answer.ttl, cached) == (code, (), 60, False)
            asked = len(server.asked)
            _, cached = await lookups.find("addresses", name)
            assert cached
            assert len(server.asked) == asked
        server.minimum = 7
        answer, _ = await lookups.find("name", "192.0.2.77")
        assert (answer.code, answer.ttl) == ("NXDOMAIN", 7)

    drive(work, clock=lambda: now[0])


def test_failures_are_not_remembered() -> None:
    async def work(server: NameServer, lookups: Lookups) -> None:
        server.silent.add("mail.test")
        answer, _ = await lookups.find("addresses", "mail.test")
        assert answer.code == "TIMEOUT"
        server.silent.clear()
        server.broken.add("mail.test")
        answer, _ = await lookups.find("addresses", "mail.test")
        assert answer.code == "SERVFAIL"
        server.broken.clear()
        answer, cached = await lookups.find("addresses", "mail.test")
        assert answer.values
        assert not cached
        for bad in ("a..b", "x" * 64 + ".test"):
            answer, _ = await lookups.find("addresses", bad)
            assert answer.code == "INVALID"
        answer, _ = await lookups.find("name", "not an address")
        assert answer.code == "INVALID"

    drive(work)


def test_half_an_answer_is_one_for_a_moment() -> None:
    class Half(Resolver):
        async def _ask(self, name: object, kind: str) -> Answer:
            return Answer(("192.0.2.1",), 300) if kind == "A" else Answer(code="TIMEOUT")

    answer = asyncio.run(Half(("127.0.0.1",), 1).addresses("x"))
    assert answer.values == ("192.0.2.1",)
    assert answer.ttl <= 5


def test_the_same_question_at_the_same_time_is_one() -> None:
    async def work(server: NameServer, lookups: Lookups) -> None:
        questions = [asyncio.create_task(lookups.find("addresses", "mail.test")) for _ in range(20)]
        await asyncio.sleep(0)
        questions[0].cancel()
        answers = await asyncio.gather(*questions, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(len(a[0].values) == 2 for a in answers[1:] if not isinstance(a, BaseException))
        assert len(server.asked) == 2

    drive(work)


def test_the_hosts_file_comes_first(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 mail.test\n")

    async def work(server: NameServer, lookups: Lookups) -> None:
        answer, cached = await lookups.find("addresses", "MAIL.test")
        assert (answer.values, cached) == (("192.0.2.1",), False)
        answer, _ = await lookups.find("name", "192.0.2.1")
        assert answer.values == ("mail.test",)
        for name in ("localhost", "x.localhost"):
            answer, _ = await lookups.find("addresses", name)
            assert answer.values == ("::1", "127.0.0.1")
        assert server.asked == []

    drive(work, str(hosts))


def test_new_settings_forget() -> None:
    async def work(server: NameServer, lookups: Lookups) -> None:
        await lookups.find("addresses", "mail.test")
        changed = msgspec.structs.replace(
            Settings(), dns_nameservers=(server.address,), dns_cache_max_entries=0
        )
        lookups.apply(changed)
        for _ in range(2):
            _, cached = await lookups.find("addresses", "mail.test")
            assert not cached

    drive(work)
