"""An imap_login process in the test's own loop, between a played auth service and worker."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pillarbox.events.catalogue import connection as connection_events
from pillarbox.events.catalogue import imap, login
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply, HandoffServer
from pillarbox.runtime.listeners import listen_inet, listen_unix
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.imap_login.server import LoginServer
from pillarbox.settings.model import Settings

WATCHED = (
    login.login_aborted,
    imap.imap_id_received,
    connection_events.client_connection_connected,
    connection_events.client_connection_disconnected,
)


class PlayedAuth:
    """Answers by the user's name; the password is "secret"."""

    def __init__(self) -> None:
        self.users: dict[int, str] = {}
        self.requests: list[list[str]] = []
        self.got = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self._steps: dict[str, list[bytes]] = {}

    async def start(self, path: Path) -> None:
        self.server = await asyncio.start_unix_server(self._serve, str(path))

    async def stop(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(
            b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n"
            b"MECH\tSCRAM-SHA-256\tdictionary\tactive\nSPID\t77\nCUID\t1\nCOOKIE\tc00kie\nDONE\n"
        )
        while line := await reader.readline():
            words = line.decode().rstrip("\n").split("\t")
            if words[0] == "AUTH":
                self.requests.append(words)
                self.got.set()
                self._auth(words, writer)
            elif words[0] == "CONT":
                self._cont(words, writer)

    def _auth(self, words: list[str], writer: asyncio.StreamWriter) -> None:
        number, mechanism = words[1:3]
        given = next((w[5:] for w in words if w.startswith("resp=")), None)
        if mechanism == "LOGIN":
            self._steps[number] = []
            writer.write(b"CONT\t%s\t%s\n" % (number.encode(), b64encode(b"Username:")))
        elif given is None:
            writer.write(b"CONT\t%s\t\n" % number.encode())
        else:
            _, user, password = b64decode(given).split(b"\0")
            self._decide(number, user.decode(), password.decode(), writer)

    def _cont(self, words: list[str], writer: asyncio.StreamWriter) -> None:
        number, data = words[1], b64decode(words[2])
        if number not in self._steps:
            _, user, password = data.split(b"\0")
            self._decide(number, user.decode(), password.decode(), writer)
            return
        self._steps[number].append(data)
        if len(self._steps[number]) == 1:
            writer.write(b"CONT\t%s\t%s\n" % (number.encode(), b64encode(b"Password:")))
        else:
            user, password = self._steps.pop(number)
            self._decide(number, user.decode(), password.decode(), writer)

    def _decide(self, number: str, user: str, password: str, writer: asyncio.StreamWriter) -> None:
        self.users[int(number)] = user
        codes = {
            "temp": "code=temp_fail",
            "disabled": "code=user_disabled",
            "expired": "code=pass_expired",
            "authz": "code=authz_fail",
            "forbidden": "code=login_disabled",
        }
        if user == "silent":
            return
        if user == "hangup":
            writer.close()
        elif user in codes:
            writer.write(f"FAIL\t{number}\tuser={user}\t{codes[user]}\n".encode())
        elif user == "nologin":
            writer.write(f"OK\t{number}\tuser={user}\tnologin\treason=Moved away.\n".encode())
        elif user == "referral":
            url = "imap://elsewhere.example.com/"
            writer.write(f"OK\t{number}\tuser={user}\tnologin\treferral={url}\n".encode())
        elif password == "secret":
            writer.write(f"OK\t{number}\tuser={user}\n".encode())
        else:
            writer.write(f"FAIL\t{number}\tuser={user}\n".encode())


class PlayedSession(Connection):
    """A worker's session: echoes words with "worker: " in front."""

    __slots__ = ("login",)

    def connected(self) -> None:
        tag, waiting = self.login
        self.send(tag.encode() + b" OK [CAPABILITY IMAP4rev1] Logged in\r\n")
        if waiting:
            self.received(waiting)

    def received(self, data: bytes) -> None:
        for line in data.splitlines():
            self.send(b"worker: " + line + b"\r\n")
            if line.endswith(b"LOGOUT"):
                self.finish("Logged out")


class PlayedWorker:
    """Takes or refuses clients by the user's name."""

    def __init__(self, ctx: ServiceContext, auth: PlayedAuth) -> None:
        self.ctx = ctx
        self.auth = auth
        self.handoffs: list[Handoff] = []
        self.sessions: set[Connection] = set()
        self.hold = asyncio.Event()
        self.hold.set()

    def start(self) -> None:
        self.server = HandoffServer(self.ctx, "imap/0", self._on_client)
        self.server.start()

    async def _on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        self.handoffs.append(handoff)
        await self.hold.wait()
        user = self.auth.users[handoff.auth_id]
        codes = {"limit": "connection_limit", "full": "process_full", "broken": "internal_failure"}
        if user in codes:
            sock.close()
            return HandoffReply(False, codes[user])
        session = PlayedSession(self.ctx)
        session.login = (handoff.tag, handoff.input)
        await session.adopt(sock, handoff, self.sessions)
        return HandoffReply(True, pid=4711)


class World:
    """All of it, with what was logged and emitted."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self.folder = folder
        self.certificate = certificate
        self.lines: list[Line] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.settings = msgspec.structs.replace(
            Settings(),
            base_dir=str(folder),
            ssl_server_cert_file=str(certificate),
            auth_allow_cleartext=True,
            shutdown_timeout=5.0,
        )

    def change(self, **more: Any) -> None:
        self.settings = msgspec.structs.replace(self.settings, **more)

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def event(self, name: str) -> dict[str, Any]:
        return next(fields for found, fields in self.events if found == name)

    def log(self) -> str:
        return "\n".join(line.text for line in self.lines)

    def run(self, scenario: Callable[[World], Awaitable[None]], haproxy: bool = False) -> None:
        async def main() -> None:
            await self.start(haproxy)
            try:
                async with asyncio.timeout(20):
                    await scenario(self)
            finally:
                await self.stop()

        with watching(self.events), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    async def start(self, haproxy: bool) -> None:
        self.auth = PlayedAuth()
        await self.auth.start(self.folder / "auth-login")
        log = Log("imap-login", self.lines.append, "debug")
        worker_ctx = ServiceContext("imap", self.settings, self.folder, log=log)
        worker_ctx.listeners.append(
            BoundListener(listen_unix(self.folder / "imap" / "0"), "imap/0", "unix")
        )
        self.worker = PlayedWorker(worker_ctx, self.auth)
        self.worker.start()
        self.ready = asyncio.Event()

        async def on_ready() -> None:
            self.ready.set()

        self.ctx = ServiceContext(
            "imap_login",
            self.settings,
            self.folder,
            peers={"imap": 1},
            log=log,
            on_ready=on_ready,
            listeners=[
                BoundListener(listen_inet("127.0.0.1", 0), "imap", "inet", False, haproxy),
                BoundListener(listen_inet("127.0.0.1", 0), "imaps", "inet", True, haproxy),
            ],
        )
        self.server = LoginServer(self.ctx)
        self.task = asyncio.ensure_future(self.server.run())
        await self.ready.wait()

    async def stop(self) -> None:
        self.ctx.shutdown.set()
        for session in list(self.worker.sessions):
            session.abort("Test is over")
        await self.task
        self.worker.server.close()
        await self.auth.stop()
        for listener in [*self.ctx.listeners, *self.worker.ctx.listeners]:
            listener.sock.close()

    async def connect(self, tls: bool = False) -> Client:
        host, port = self.ctx.listeners[1 if tls else 0].sock.getsockname()[:2]
        options: dict[str, Any] = {}
        if tls:
            options = {"ssl": self.client_context(), "server_hostname": "localhost"}
        return Client(*await asyncio.open_connection(host, port, **options))

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    async def ended(self) -> None:
        """Wait until no client is left in the login process."""
        while self.server.acceptor.connections:
            await asyncio.sleep(0.001)


class Client:
    """An IMAP client, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> str:
        return (await self.reader.readline()).decode().rstrip("\r\n")

    async def ask(self, command: str) -> str:
        """Send a line; the next line that is not untagged."""
        self.writer.write(command.encode() + b"\r\n")
        while (line := await self.line()).startswith("* ") and "BYE" not in line:
            pass
        return line

    async def rest(self) -> str:
        try:
            return (await self.reader.read()).decode()
        except ConnectionResetError:
            return ""

    async def starttls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname="localhost")

    def close(self) -> None:
        self.writer.close()


@contextmanager
def watching(events: list[tuple[str, dict[str, Any]]]) -> Iterator[None]:
    """Collect what is emitted, with the fields of the scope."""

    def collector(name: str) -> Callable[..., None]:
        def emit(scope: Any, **own: Any) -> None:
            events.append((name, {**scope.all_fields(), **own}))

        return emit

    for event in WATCHED:
        event.emit = collector(event.name)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for event in WATCHED:
            event.emit = None  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, usable as a client's and as an authority too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def world(tmp_path: Path, certificate: Path) -> World:
    return World(tmp_path, certificate)
