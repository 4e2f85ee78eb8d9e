"""The protocol as it stands on the wire, read and written by hand."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

PLAIN = base64.b64encode(b"\0bob@example.com\0secret").decode()
WRONG = base64.b64encode(b"\0bob@example.com\0wrong").decode()


async def handshake(reader: Any) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}
    while True:
        command, *rest = (await reader.readline()).decode().rstrip("\n").split("\t")
        seen.setdefault(command, []).append("\t".join(rest))
        if command == "DONE":
            return seen


def test_what_postfix_says(start: Callable[..., Any], run: Any) -> None:
    """The lines that smtpd_sasl_type = dovecot sends and needs."""

    async def main() -> None:
        async with start() as world:
            reader, writer = await world.raw("auth-client")
            writer.write(b"VERSION\t1\t1\nCPID\t4711\n")
            seen = await handshake(reader)
            assert next(iter(seen)) == "VERSION"
            assert seen["VERSION"][0].startswith("1\t")
            assert "PLAIN\tplaintext" in seen["MECH"]
            assert "LOGIN\tplaintext" in seen["MECH"]
            assert len(seen["COOKIE"][0]) == 32
            common = "service=smtp\tnologin\tlip=192.0.2.9\trip=192.0.2.1\tsecured"
            writer.write(f"AUTH\t1\tPLAIN\t{common}\tresp={PLAIN}\n".encode())
            assert await reader.readline() == b"OK\t1\tuser=bob@example.com\ttheme=dark\n"
            writer.write(f"AUTH\t2\tPLAIN\t{common}\tresp={WRONG}\n".encode())
            assert await reader.readline() == b"FAIL\t2\tuser=bob@example.com\n"
            writer.write(f"AUTH\t3\tLOGIN\t{common}\n".encode())
            assert await reader.readline() == b"CONT\t3\tVXNlcm5hbWU6\n"
            writer.write(b"CONT\t3\tYm9iQGV4YW1wbGUuY29t\n")
            assert await reader.readline() == b"CONT\t3\tUGFzc3dvcmQ6\n"
            writer.write(b"CONT\t3\tc2VjcmV0\n")
            assert await reader.readline() == b"OK\t3\tuser=bob@example.com\ttheme=dark\n"
            writer.close()

    run(main())


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ("AUTH\t1\tPLAIN\tservice=x\tsecured\tresp=!!!\n", b"FAIL\t1\tcode=invalid_base64\n"),
        ("AUTH\t1\tNOSUCH\tservice=x\tsecured\n", b"FAIL\t1\n"),
        ("CONT\t9\tAAAA\n", b"FAIL\t9\treason=no such request\n"),
        (
            f"NEWTHING\tx\nAUTH\t1\tPLAIN\tservice=x\tsecured\tunknown=1\tresp={PLAIN}\n",
            b"OK\t1\tuser=bob@example.com\ttheme=dark\n",
        ),
    ],
)
def test_single_answers(start: Callable[..., Any], run: Any, sent: str, answer: bytes) -> None:
    async def main() -> None:
        async with start() as world:
            reader, writer = await world.raw("auth-client")
            writer.write(b"VERSION\t1\t2\nCPID\t1\n" + sent.encode())
            await handshake(reader)
            assert await reader.readline() == answer
            writer.close()

    run(main())


@pytest.mark.parametrize(
    "sent",
    [
        b"AUTH\t1\tPLAIN\n",
        b"VERSION\t2\t0\n",
        b"VERSION\t1\t0\nAUTH\t1\tPLAIN\n",
        b"VERSION\t1\t0\nCPID\t1\nAUTH\t99999999999\tPLAIN\n",
        b"VERSION\t1\t0\nCPID\t1\nCPID\t2\n",
        b"VERSION\t1\t0\nCPID\t1\nAUTH\t1\tLOGIN\tsecured\nAUTH\t1\tLOGIN\tsecured\n",
        b"x" * 20000,
    ],
)
def test_nonsense_ends_the_connection(start: Callable[..., Any], run: Any, sent: bytes) -> None:
    async def main() -> None:
        async with start() as world:
            reader, writer = await world.raw("auth-client")
            writer.write(sent)
            await handshake(reader)
            rest = await reader.read()
            assert not rest.startswith((b"OK", b"FAIL"))
            writer.close()

    run(main())


def test_master_by_hand(start: Callable[..., Any], run: Any) -> None:
    async def main() -> None:
        async with start() as world:
            client_in, client_out = await world.raw("auth-login")
            client_out.write(b"VERSION\t1\t2\nCPID\t77\n")
            cookie = (await handshake(client_in))["COOKIE"][0]
            client_out.write(f"AUTH\t5\tPLAIN\tservice=imap\tsecured\tresp={PLAIN}\n".encode())
            assert (await client_in.readline()).startswith(b"OK\t5\t")
            reader, writer = await world.raw("auth-master")
            writer.write(b"VERSION\t1\t0\n")
            assert (await reader.readline()).startswith(b"VERSION\t1\t")
            assert (await reader.readline()).startswith(b"SPID\t")
            writer.write(f"REQUEST\t1\t77\t5\t{'f' * 32}\n".encode())
            assert await reader.readline() == b"NOTFOUND\t1\n"
            writer.write(f"REQUEST\t2\t77\t5\t{cookie}\n".encode())
            assert await reader.readline() == (
                b"USER\t2\tbob@example.com\tuid=1000\tgid=1001\thome=/home/bob"
                b"\tquota_storage_size=5000\n"
            )
            writer.write(b"USER\t3\tnobody@example.com\tservice=lmtp\n")
            assert await reader.readline() == b"NOTFOUND\t3\n"
            writer.write(b"LIST\t4\tservice=x\tuser=s*\n")
            listed = {await reader.readline() for _ in range(2)}
            assert listed == {b"LIST\t4\tsue@example.com\n", b"LIST\t4\tshut@example.com\n"}
            assert await reader.readline() == b"DONE\t4\n"
            for each in (writer, client_out):
                each.close()

    run(main())


def test_logins_of_the_client_socket_are_not_for_masters(
    start: Callable[..., Any], run: Any
) -> None:
    async def main() -> None:
        async with start() as world:
            client_in, client_out = await world.raw("auth-client")
            client_out.write(b"VERSION\t1\t2\nCPID\t77\n")
            cookie = (await handshake(client_in))["COOKIE"][0]
            client_out.write(f"AUTH\t5\tPLAIN\tservice=smtp\tsecured\tresp={PLAIN}\n".encode())
            assert (await client_in.readline()).startswith(b"OK\t5\t")
            reader, writer = await world.raw("auth-master")
            writer.write(f"VERSION\t1\t0\nREQUEST\t1\t77\t5\t{cookie}\n".encode())
            await reader.readline()
            await reader.readline()
            assert await reader.readline() == b"NOTFOUND\t1\n"
            writer.close()
            client_out.close()

    run(main())
