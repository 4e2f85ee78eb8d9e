"""The imap passdb, against a small IMAP server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e"))

from certificates import Authority
from passdb_contract import VerifyContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Query, Server, Wrong
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings

MISMATCH = Wrong("password_mismatch")


class SmallImap:
    """Lets bob in with "secret"; everybody else gets ``refusal``."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.refusal = "NO [AUTHENTICATIONFAILED] no"
        self.greeting = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2 STARTTLS] hi"
        self.said: list[str] = []
        self._context: Any = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: Any) -> None:
        try:
            sock.sendall(f"{self.greeting}\r\n".encode())
            while line := self._line(sock):
                self.said.append(line)
                tag, *words = line.split(" ")
                if words[0] == "STARTTLS":
                    sock.sendall(f"{tag} OK go\r\n".encode())
                    sock = self._context.wrap_socket(sock, server_side=True)
                elif words[0] == "CAPABILITY":
                    sock.sendall(f"* CAPABILITY SASL-IR AUTH=PLAIN\r\n{tag} OK\r\n".encode())
                elif words[0] == "AUTHENTICATE":
                    good = b64decode(words[2]) == b"\0bob\0secret"
                    sock.sendall(f"{tag} {'OK in' if good else self.refusal}\r\n".encode())
        except OSError:
            pass
        finally:
            sock.close()

    @staticmethod
    def _line(sock: Any) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            byte = sock.recv(1)
            if not byte:
                return ""
            line += byte
        return line.decode().removesuffix("\r\n")


@pytest.fixture
def server() -> Iterator[SmallImap]:
    small = SmallImap()
    yield small
    small.close()


def make(port: int, settings: Settings | None = None, **block: Any) -> Any:
    block = {"imap_host": "127.0.0.1", "imap_port": port, "imap_ssl": "no", **block}
    return registry.load("passdb", "imap").make(
        PassdbSettings(**block), Server(settings or Settings(), Log("t", lambda _: None))
    )


def verify(port: int, password: str = "secret", user: str = "bob", **more: Any) -> Any:
    async def main() -> object:
        passdb = make(port, **more)
        try:
            return await passdb.verify(query(user), password)
        finally:
            await passdb.close()

    return asyncio.run(main())


class TestImap(VerifyContract):
    @pytest.fixture(autouse=True)
    def _serve(self, server: SmallImap) -> None:
        self.port = server.port

    def make(self, folder: Path) -> Any:
        return make(self.port)

    @pytest.mark.parametrize("user", ["nobody", "*", "b\0b", "", "bob\r\nX LOGOUT"])
    def test_unknown_users(self, tmp_path: Path, user: str) -> None:
        """The server does not tell them from wrong passwords."""
        assert self.verify(tmp_path, user, "secret") == MISMATCH


@pytest.mark.parametrize(
    ("refusal", "answer"),
    [
        ("NO", MISMATCH),
        ("NO [AUTHORIZATIONFAILED] x", MISMATCH),
        ("NO [EXPIRED] x", Wrong("pass_expired")),
        ("NO [CONTACTADMIN] x", Wrong("user_disabled")),
    ],
)
def test_what_the_server_says(server: SmallImap, refusal: str, answer: Wrong) -> None:
    server.refusal = refusal
    assert verify(server.port, "wrong") == answer


@pytest.mark.parametrize(
    "refusal", ["NO [UNAVAILABLE] x", "NO [INUSE] x", "BAD x", "what?", "NO [REFERRAL imap://x/] x"]
)
def test_what_is_no_answer_is_no_wrong_password(server: SmallImap, refusal: str) -> None:
    server.refusal = refusal
    with pytest.raises(DatabaseError):
        verify(server.port, "wrong")


@pytest.mark.parametrize(
    "greeting", ["* BYE [UNAVAILABLE] x", "220 ESMTP", "* OK " + "x" * 100_000]
)
def test_a_server_that_does_not_serve(server: SmallImap, greeting: str) -> None:
    server.greeting = greeting
    with pytest.raises(DatabaseError):
        verify(server.port)


def test_no_server_and_a_silent_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = int(silent.getsockname()[1])
        with pytest.raises(DatabaseError):
            verify(port, imap_timeout=0.2)
    with pytest.raises(DatabaseError, match="imap: Connect"):
        verify(port)


def test_under_tls_with_the_right_name_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    small = SmallImap(authority.make("mail.example.com"))
    settings = msgspec.structs.replace(Settings(), ssl_client_ca_file=str(authority.file))
    try:
        found = verify(small.port, settings=settings, imap_ssl="starttls")
        assert found == Entry(None)
        with pytest.raises(DatabaseError, match="certificate"):
            verify(small.port, imap_ssl="starttls")
        assert [line.split()[1] for line in small.said].count("AUTHENTICATE") == 1
    finally:
        small.close()


def test_the_name_there_and_logging_out(server: SmallImap) -> None:
    assert verify(server.port, user="bob@example.com", imap_user="bob") == Entry(None)
    server.close()  # which waits until all was heard
    assert server.said[-1] == "X LOGOUT"


def test_a_token_goes_on_by_its_own_mechanism(server: SmallImap) -> None:
    async def main() -> object:
        asked = Query("bob", Scope(None), {"user": "bob", "mechanism": "XOAUTH2"})
        passdb = make(server.port)
        try:
            return await passdb.verify(asked, "t0ken")
        finally:
            await passdb.close()

    assert asyncio.run(main()) == MISMATCH
    [command] = [line for line in server.said if "AUTHENTICATE" in line]
    assert b64decode(command.split()[3]) == b"user=bob\1auth=Bearer t0ken\1\1"


def test_nobody_is_known_without_a_password(server: SmallImap) -> None:
    with pytest.raises(NoLookup):
        asyncio.run(make(server.port).lookup(query("bob")))


@pytest.mark.parametrize("block", [{"imap_host": ""}, {"imap_mechanism": "FROB"}])
def test_settings_that_make_no_sense(block: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="imap_"):
        make(1, **block)
