"""AuthClient and AuthMasterClient against a fake auth service: pipelining, death, time-outs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import (
    AuthClient,
    AuthMasterClient,
    AuthParams,
    AuthTemporaryError,
    Challenge,
    Failure,
    Reply,
    Success,
)
from pillarbox.runtime.auth_master import LoginRejected

ROOT = Scope(None, ("service:t",), service="imap", session="s9", remote_ip="192.0.2.7")
PARAMS = AuthParams(
    service="imap", transport="TLS", session="s1", tls_cipher="X", tls_cipher_bits=128
)
HELLO = (
    b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\nSPID\t1\nCUID\t1\nCOOKIE\tcafe\nDONE\n"
)
MASTER_HELLO = b"VERSION\t1\t2\nSPID\t1\n"

Answer = Callable[[list[str]], bytes]


class Fake:
    """A scripted peer: ``answer`` turns a line's words into bytes to send."""

    def __init__(self, path: Path, hello: bytes, answer: Answer) -> None:
        self.path = path
        self.hello = hello
        self.answer = answer
        self.lines: list[list[str]] = []
        self.reads = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None
        self.arrived = asyncio.Event()

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(self.hello)
        rest = b""
        while data := await reader.read(65536):
            self.reads += 1
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                words = line.decode().split("\t")
                self.lines.append(words)
                writer.write(self.answer(words))
            self.arrived.set()
        writer.close()


@asynccontextmanager
async def faked(path: Path, hello: bytes, answer: Answer) -> AsyncIterator[Fake]:
    fake = Fake(path, hello, answer)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    seen: list[tuple[str, dict[str, Any]]] = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        known = {k: v for k, v in scope.all_fields().items() if k in event.fields}
        seen.append((event.name, {**known, **{k: v for k, v in own.items() if v is not None}}))

    subscription = bus.subscribe(Call(take), "event=auth_client_* OR event=auth_master_client_*")
    yield seen
    bus.unsubscribe(subscription)


def silent(words: list[str]) -> bytes:
    return b""


def accept(words: list[str]) -> bytes:
    return f"OK\t{words[1]}\tuser=u{words[1]}\n".encode() if words[0] == "AUTH" else b""


def test_handshake_and_success(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, accept) as fake:
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            assert client.mechanisms == {"PLAIN": frozenset({"plaintext"}), "LOGIN": frozenset()}
            assert client.cookie == "cafe"
            reply = await client.begin("plain", b"\0a\0b", PARAMS, ROOT).result()
            assert reply == Success("u1", {"user": "u1"}, 1)
            assert fake.lines[-1][:3] == ["AUTH", "1", "PLAIN"]
            assert fake.lines[-1][-1] == "resp=AGEAYg=="
            client.close()

    asyncio.run(main())


def test_pipelining_leaves_in_one_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, accept) as fake:
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            reads = fake.reads
            requests = [client.begin("PLAIN", b"x", PARAMS, ROOT) for _ in range(50)]
            replies = [await request.result() for request in requests]
            assert [r.user for r in replies if isinstance(r, Success)] == [
                f"u{n}" for n in range(1, 51)
            ]
            assert fake.reads == reads + 1
            client.close()

    asyncio.run(main())


def test_callbacks_need_no_task(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, accept):
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            tasks = len(asyncio.all_tasks())
            client.begin("PLAIN", b"x", PARAMS, ROOT, done.set_result)
            assert len(asyncio.all_tasks()) == tasks
            assert isinstance(await done, Success)
            client.close()

    asyncio.run(main())


def test_challenges_and_events(tmp_path: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
    def answer(words: list[str]) -> bytes:
        if words[0] == "AUTH":
            return b"CONT\t1\tVXNlcg==\n"
        if words[0] == "CONT":
            return b"OK\t1\tuser=bob\toriginal_user=BOB\tauth_user=adm\tproxy\thost=h\n"
        return b""

    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, answer) as fake:
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            request = client.begin("LOGIN", None, PARAMS, ROOT)
            assert await request.result() == Challenge(b"User")
            assert await request.result() == Challenge(b"User")
            request.respond(b"bob")
            reply = await request.result()
            assert isinstance(reply, Success)
            assert reply.fields["proxy"] == ""
            assert await request.result() is reply
            request.respond(b"late")
            request.abort()
            assert fake.lines[-1] == ["CONT", "1", "Ym9i"]
            client.close()

    asyncio.run(main())
    shared = {
        "mechanism": "LOGIN",
        "service": "imap",
        "transport": "TLS",
        "session": "s1",
        "remote_ip": "192.0.2.7",
        "tls_cipher": "X",
        "tls_cipher_bits": 128,
    }
    who = {"user": "bob", "original_user": "BOB", "auth_user": "adm"}
    assert events == [
        ("auth_client_request_started", shared),
        ("auth_client_request_challenged", shared),
        ("auth_client_request_continued", shared),
        ("auth_client_request_finished", {**shared, **who}),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FAIL\t1\tuser=bob", Failure(None, False, "bob", "", {"user": "bob"})),
        (
            "FAIL\t1\ttemp\tcode=temp_fail",
            Failure("temp_fail", True, "", "", {"temp": "", "code": "temp_fail"}),
        ),
        ("FAIL\t1\ttemp", Failure("temp_fail", True, "", "", {"temp": ""})),
        ("FAIL\t1\tauthz", Failure("authz_fail", False, "", "", {"authz": ""})),
        (
            "FAIL\t1\tcode=user_disabled\treason=Gone",
            Failure(
                "user_disabled", False, "", "Gone", {"code": "user_disabled", "reason": "Gone"}
            ),
        ),
    ],
)
def test_failures(tmp_path: Path, line: str, expected: Failure) -> None:
    async def main() -> None:
        answer = lambda words: f"{line}\n".encode() if words[0] == "AUTH" else b""  # noqa: E731
        async with faked(tmp_path / "a", HELLO, answer):
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            assert await client.begin("PLAIN", b"x", PARAMS, ROOT).result() == expected
            client.close()

    asyncio.run(main())


def test_death_fails_what_is_under_way_and_the_client_comes_back(
    tmp_path: Path, events: list[tuple[str, dict[str, Any]]]
) -> None:
    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, silent) as fake:
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            waiting = [client.begin("PLAIN", b"x", PARAMS, ROOT) for _ in range(3)]
            await fake.stop()
            for request in waiting:
                reply = await request.result()
                assert isinstance(reply, Failure)
                assert (reply.temp, reply.code) == (True, "temp_fail")
            assert not client.ready
            at_once = await client.begin("PLAIN", b"x", PARAMS, ROOT).result()
            assert isinstance(at_once, Failure)
            assert at_once.temp
            fake.answer = accept
            await fake.start()
            await client.connect()
            assert isinstance(await client.begin("PLAIN", b"x", PARAMS, ROOT).result(), Success)
            client.close()

    asyncio.run(main())
    finished = [fields for name, fields in events if name == "auth_client_request_finished"]
    assert ["error" in fields for fields in finished] == [True] * 4 + [False]


def test_connect_before_the_service_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        client = AuthClient(tmp_path / "a", "imap")
        with pytest.raises(AuthTemporaryError):
            await client.connect(0.02)
        fake = Fake(tmp_path / "a", HELLO, accept)
        await fake.start()
        await client.connect()
        assert client.ready
        client.close()
        await fake.stop()

    asyncio.run(main())


def test_nonsense_from_the_service_is_a_temporary_failure(tmp_path: Path) -> None:
    async def main() -> None:
        answer = lambda words: b"OK\tx\n" if words[0] == "AUTH" else b""  # noqa: E731
        async with faked(tmp_path / "a", HELLO, answer):
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            reply = await client.begin("PLAIN", b"x", PARAMS, ROOT).result()
            assert isinstance(reply, Failure)
            assert reply.temp
            client.close()

    asyncio.run(main())


def test_a_service_that_hangs(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, silent) as fake:
            client = AuthClient(tmp_path / "a", "imap", timeout=0.04)
            await client.connect()
            reply = await client.begin("PLAIN", b"x", PARAMS, ROOT).result()
            assert isinstance(reply, Failure)
            assert reply.temp
            fake.arrived.clear()
            await fake.arrived.wait()
            assert fake.lines[-1] == ["CANCEL", "1"]
            client.close()

    asyncio.run(main())


def test_unknown_mechanism_and_abort(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, silent) as fake:
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            reply = await client.begin("GSSAPI", None, PARAMS, ROOT).result()
            assert isinstance(reply, Failure)
            assert not reply.temp
            request = client.begin("PLAIN", b"x", PARAMS, ROOT)
            fake.arrived.clear()
            await fake.arrived.wait()
            request.abort()
            fake.arrived.clear()
            await fake.arrived.wait()
            assert fake.lines[-1] == ["CANCEL", "2"]
            client.close()

    asyncio.run(main())


def test_long_data_fail_one_login_and_not_the_connection(tmp_path: Path) -> None:
    def answer(words: list[str]) -> bytes:
        return b"CONT\t2\t\n" if words[:3] == ["AUTH", "2", "LOGIN"] else accept(words)

    async def main() -> None:
        async with faked(tmp_path / "a", HELLO, answer) as fake:
            client = AuthClient(tmp_path / "a", "imap")
            await client.connect()
            reply = await client.begin("PLAIN", b"x" * 20_000, PARAMS, ROOT).result()
            assert isinstance(reply, Failure)
            assert not reply.temp
            request = client.begin("LOGIN", None, PARAMS, ROOT)
            await request.result()
            request.respond(b"x" * 20_000)
            assert isinstance(await request.result(), Failure)
            wordy = AuthParams(service="imap", client_id="x" * 20_000)
            assert isinstance(await client.begin("PLAIN", b"x", wordy, ROOT).result(), Success)
            assert all(len("\t".join(words)) < 16384 for words in fake.lines)
            client.close()

    asyncio.run(main())


# The master's client.


def test_a_name_too_long_is_nobodys(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "m", MASTER_HELLO, silent):
            master = AuthMasterClient(tmp_path / "m")
            assert await master.userdb("x" * 20_000, ROOT, "lmtp") is None
            master.close()

    asyncio.run(main())


def test_master_login(tmp_path: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
    def answer(words: list[str]) -> bytes:
        if words[0] != "REQUEST":
            return b""
        number = words[1].encode()
        return {
            "1": b"USER\t" + number + b"\tbob\thome=/b\n",
            "2": b"NOTFOUND\t" + number + b"\n",
            "3": b"FAIL\t" + number + b"\tcode=user_disabled\treason=Gone\n",
            "4": b"FAIL\t" + number + b"\ttemp\tcode=temp_fail\n",
        }[words[3]]

    async def main() -> None:
        async with faked(tmp_path / "m", MASTER_HELLO, answer) as fake:
            master = AuthMasterClient(tmp_path / "m")
            info = await master.login(1, 77, "cafe", ROOT)
            assert (info.user, info.fields) == ("bob", {"home": "/b"})
            assert fake.lines[-1] == ["REQUEST", "1", "77", "1", "cafe"]
            with pytest.raises(AuthTemporaryError):
                await master.login(2, 77, "cafe", ROOT)
            with pytest.raises(LoginRejected, match="Gone") as raised:
                await master.login(3, 77, "cafe", ROOT)
            assert raised.value.code == "user_disabled"
            with pytest.raises(AuthTemporaryError) as temporary:
                await master.login(4, 77, "cafe", ROOT)
            assert not isinstance(temporary.value, LoginRejected)
            master.close()

    asyncio.run(main())
    known = {"remote_ip": "192.0.2.7"}
    assert events[0] == ("auth_master_client_login_started", {**known, "id": 1})
    assert events[1] == ("auth_master_client_login_finished", {**known, "id": 1, "user": "bob"})
    assert [name for name, _ in events[2:]] == [
        "auth_master_client_login_started",
        "auth_master_client_login_finished",
    ] * 3
    assert all("error" in fields for name, fields in events[3:] if name.endswith("finished"))


def test_master_lookups_side_by_side_and_out_of_order(tmp_path: Path) -> None:
    held: list[bytes] = []

    def answer(words: list[str]) -> bytes:
        if words[0] == "USER":
            held.insert(0, f"USER\t{words[1]}\t{words[2]}\n".encode())
        return b"".join(held) if len(held) == 20 else b""

    async def main() -> None:
        async with faked(tmp_path / "m", MASTER_HELLO, answer):
            master = AuthMasterClient(tmp_path / "m")
            found = await asyncio.gather(*(master.userdb(f"u{n}", ROOT, "lmtp") for n in range(20)))
            assert [info.user for info in found if info] == [f"u{n}" for n in range(20)]
            master.close()

    asyncio.run(main())


def test_master_tells_the_service_what_the_scope_knows(tmp_path: Path) -> None:
    async def main() -> None:
        answer = lambda words: b"NOTFOUND\t1\n" if words[0] == "USER" else b""  # noqa: E731
        async with faked(tmp_path / "m", MASTER_HELLO, answer) as fake:
            master = AuthMasterClient(tmp_path / "m")
            assert await master.userdb("bob", ROOT, "lmtp") is None
            assert fake.lines[-1] == [
                "USER",
                "1",
                "bob",
                "service=lmtp",
                "session=s9",
                "rip=192.0.2.7",
            ]
            master.close()

    asyncio.run(main())


def test_master_list_breaks_off(tmp_path: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
    async def main() -> None:
        answer = lambda words: (  # noqa: E731
            b"LIST\t1\tbob\nDONE\t1\tfail\n" if words[0] == "LIST" else b""
        )
        async with faked(tmp_path / "m", MASTER_HELLO, answer):
            master = AuthMasterClient(tmp_path / "m")
            seen = []
            try:
                async for user in master.list_users("b*", ROOT):
                    seen.append(user)
            except AuthTemporaryError:
                seen.append("broke off")
            assert seen == ["bob", "broke off"]
            master.close()

    asyncio.run(main())
    assert events[0][1]["user_mask"] == "b*"
    assert events[1][1]["error"]


def test_master_death_and_return(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "m", MASTER_HELLO, silent) as fake:
            master = AuthMasterClient(tmp_path / "m")
            waiting = asyncio.ensure_future(master.userdb("bob", ROOT, "lmtp"))
            await fake.arrived.wait()
            await fake.stop()
            with pytest.raises(AuthTemporaryError):
                await waiting
            fake.answer = lambda words: f"USER\t{words[1]}\tbob\n".encode() * (words[0] == "USER")
            await fake.start()
            info = await master.userdb("bob", ROOT, "lmtp")
            assert info is not None
            assert info.user == "bob"
            master.close()

    asyncio.run(main())


def test_master_that_hangs(tmp_path: Path) -> None:
    async def main() -> None:
        async with faked(tmp_path / "m", MASTER_HELLO, silent):
            master = AuthMasterClient(tmp_path / "m", timeout=0.05)
            with pytest.raises(AuthTemporaryError):
                await master.passdb("bob", ROOT, "lmtp")
            master.close()

    asyncio.run(main())


def test_master_without_a_service(tmp_path: Path) -> None:
    async def main() -> None:
        master = AuthMasterClient(tmp_path / "m", timeout=0.05)
        with pytest.raises(AuthTemporaryError):
            await master.userdb("bob", ROOT, "lmtp")
        master.close()

    asyncio.run(main())
