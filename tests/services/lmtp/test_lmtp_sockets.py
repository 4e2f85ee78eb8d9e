"""The real service, with the real auth service and mail store, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pillarbox.events.catalogue.connection import (
    client_connection_connected,
    client_connection_disconnected,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore.user import Users
from pillarbox.runtime.listeners import listen_inet, listen_unix
from pillarbox.runtime.log import Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.auth.service import SERVICE as AUTH
from pillarbox.services.lmtp.service import SERVICE as LMTP
from pillarbox.settings.model import Settings, UserdbSettings

MAIL = b"From: ann@x\r\nSubject: Hi\r\n\r\nHello\r\n.dot\r\n"


def certificate(folder: Path) -> tuple[str, str]:
    """Files of a self-signed certificate for localhost, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


class Server:
    """Both services in a loop of a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = folder / "run"
        cert, key = certificate(folder)
        names = ["bob", "ann", *(f"user{i}" for i in range(20))]
        (folder / "users").write_text("".join(f"{n}:{{PLAIN}}x::::::\n" for n in names))
        self.settings = msgspec.structs.replace(
            Settings(),
            base_dir=str(self.base),
            mail_home=f"{folder}/mail/%{{user}}",
            hostname="mx.example",
            ssl_server_cert_file=cert,
            ssl_server_key_file=key,
            shutdown_timeout=2.0,
            lmtp_spool_size=100_000,
            passdb={},
            userdb={
                "users": UserdbSettings(
                    driver="passwd-file", passwd_file_path=str(folder / "users")
                )
            },
        )
        self.contexts: list[ServiceContext] = []
        self.ready = threading.Event()
        self.failed: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Server:
        self.unix = self.base / "lmtp"
        self.listeners = [
            BoundListener(listen_unix(self.unix), "lmtp", "unix"),
            BoundListener(listen_inet("127.0.0.1", 0), "tcp", "inet"),
            BoundListener(listen_inet("127.0.0.1", 0), "tls", "inet", ssl=True),
        ]
        self.port, self.tls_port = (x.sock.getsockname()[1] for x in self.listeners[1:])
        self.auth_listeners = [
            BoundListener(listen_unix(self.base / x.path), x.path, "unix")
            for x in AUTH.unix_listeners
        ]
        self.thread.start()
        assert self.ready.wait(20)
        assert self.failed is None
        return self

    def __exit__(self, *error: object) -> None:
        for ctx in reversed(self.contexts):
            self.loop.call_soon_threadsafe(ctx.shutdown.set)
        self.thread.join(20)
        for listener in self.listeners + self.auth_listeners:
            listener.sock.close()
        assert not self.thread.is_alive()
        assert self.failed is None

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            self.failed = error
        finally:
            self.ready.set()

    async def _main(self) -> None:
        from pillarbox.services.auth import service as auth
        from pillarbox.services.lmtp import service as lmtp

        self.loop = asyncio.get_running_loop()
        starts: list[tuple[str, Callable[[ServiceContext], Coroutine[Any, Any, None]], Any]] = [
            (AUTH.name, auth.run, self.auth_listeners),
            (LMTP.name, lmtp.run, self.listeners),
        ]
        tasks = []
        for name, run, listeners in starts:
            up = asyncio.Event()

            async def tell(up: asyncio.Event = up) -> None:
                up.set()

            ctx = ServiceContext(name, self.settings, self.base, listeners=listeners)
            ctx.on_ready = tell
            ctx.log = Log(name, lambda line: None)
            self.contexts.append(ctx)
            tasks.append(asyncio.create_task(run(ctx)))
            await up.wait()
        self.ready.set()
        await asyncio.gather(*tasks)

    def connect(self) -> smtplib.LMTP:
        """A client on the UNIX socket."""
        return smtplib.LMTP(str(self.unix))

    def mails(self, name: str) -> list[bytes]:
        """What is in a user's INBOX, read by a mail store of this thread's own."""

        async def read() -> list[bytes]:
            users = Users()
            user = await users.acquire(name, {}, self.settings)
            mailbox = user.open_mailbox("INBOX")
            view = mailbox.view(readonly=True)
            found = [bytes(await view.read(Scope(), i)) for i in range(view.exists)]
            view.close()
            user.release_mailbox(mailbox)
            users.release(user)
            await users.close()
            return found

        return asyncio.run(read())


def send(client: smtplib.LMTP, to: list[str], text: bytes) -> list[int]:
    """One transaction; the codes of RCPT and of the message for each recipient.

    smtplib.LMTP.sendmail reads one reply to DATA, so it can only do one recipient.
    """
    client.ehlo_or_helo_if_needed()
    assert client.mail("ann@x")[0] == 250
    codes = [client.rcpt(name)[0] for name in to]
    accepted = codes.count(250)
    codes.append(client.data(text)[0])
    return codes + [client.getreply()[0] for _ in range(accepted - 1)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of this module."""
    with Server(tmp_path_factory.mktemp("lmtp")) as running:
        yield running


def test_smtplib_over_unix(server: Server) -> None:
    with server.connect() as client:
        assert send(client, ["bob", "nobody", "ann"], MAIL) == [250, 550, 250, 250, 250]
        assert client.has_extn("chunking")
        assert not client.has_extn("starttls")
    for name in ("bob", "ann"):
        (mail,) = server.mails(name)
        assert mail.startswith(f"Return-Path: <ann@x>\r\nDelivered-To: {name}\r\n".encode())
        assert mail.endswith(MAIL)
        assert b"by mx.example with LMTP\r\n" in mail


def test_smtplib_with_starttls(server: Server) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with smtplib.LMTP("127.0.0.1", server.port) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=context)
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.sendmail("ann@x", ["user1"], MAIL) == {}
        assert client.docmd("STARTTLS")[0] == 503
    (mail,) = server.mails("user1")
    assert b" with LMTPS\r\n" in mail
    assert b"(using TLSv1.3 with cipher " in mail
    assert b"([127.0.0.1])" in mail


def test_nothing_sent_before_tls_counts_after_it(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as file:
        assert file.readline().startswith(b"220 ")
        sock.sendall(b"LHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@x>\r\n")
        answers = file.read().splitlines()
    assert answers[-1].startswith(b"503 5.5.1 ")
    assert not any(line.startswith(b"220") for line in answers)


def test_implicit_tls(server: Server) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", server.tls_port))
    with context.wrap_socket(plain) as sock:
        file = sock.makefile("rb")
        sock.sendall(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<user2>\r\nDATA\r\n")
        for line in file:
            if line.startswith(b"354"):
                break
        sock.sendall(MAIL.replace(b"\r\n.", b"\r\n..") + b".\r\nQUIT\r\n")
        assert [line[:3] for line in file] == [b"250", b"221"]
        file.close()
    assert server.mails("user2")[0].endswith(MAIL)


def test_bdat_in_one_write(server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(server.unix))
        half = len(MAIL) // 2
        sock.sendall(
            b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<user3>\r\n"
            + b"BDAT %d\r\n%s" % (half, MAIL[:half])
            + b"BDAT %d LAST\r\n%sQUIT\r\n" % (len(MAIL) - half, MAIL[half:])
        )
        sock.shutdown(socket.SHUT_WR)
        answers = sock.makefile("rb").read().splitlines()
    assert [line[:3] for line in answers if line[3:4] == b" "][1:] == [
        b"250", b"250", b"250", b"250", b"250", b"221",
    ]  # fmt: skip
    assert server.mails("user3")[0].endswith(MAIL)


def test_a_big_message_through_the_spool(server: Server) -> None:
    line = b"x" * 70 + b"\r\n.y\r\n"
    body = b"Subject: big\r\n\r\n" + line * 30_000
    with server.connect() as client:
        assert send(client, ["user4", "user5"], body) == [250] * 4
    for name in ("user4", "user5"):
        (mail,) = server.mails(name)
        assert mail.endswith(body)


def test_many_clients_at_once(server: Server) -> None:
    def work(number: int) -> None:
        with server.connect() as client:
            for i in range(10):
                text = b"X-Number: %d-%d\r\n\r\nbody\r\n" % (number, i)
                to = ["user6", f"user{7 + number}"]
                assert send(client, to, text) == [250] * 4

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    mails = server.mails("user6")
    assert len({mail.split(b"X-Number: ")[1] for mail in mails}) == len(mails) == 80
    for number in range(8):
        mails = server.mails(f"user{7 + number}")
        order = [mail.split(b"X-Number: ")[1].split(b"\r\n")[0] for mail in mails]
        assert order == [b"%d-%d" % (number, i) for i in range(10)]


def test_a_client_that_stops_half_way_leaves_nothing(server: Server) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(str(server.unix))
        sock.sendall(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<user19>\r\nDATA\r\nSubject: half\r\n")
        file = sock.makefile("rb")
        while not file.readline().startswith(b"354"):
            pass
        file.close()
    with server.connect() as client:
        assert client.sendmail("", ["user19"], MAIL) == {}
    assert len(server.mails("user19")) == 1


def test_a_user_deleted_a_moment_ago_is_unknown(server: Server) -> None:
    users = server.folder / "users"
    with server.connect() as client:
        users.write_text(users.read_text() + "shortlived:{PLAIN}x::::::\n")
        assert client.sendmail("", ["shortlived"], MAIL) == {}
        users.write_text(users.read_text().replace("shortlived:{PLAIN}x::::::\n", ""))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("", ["shortlived"], MAIL)


def test_connection_events(tmp_path: Path, watch: Callable[..., Any]) -> None:
    seen = watch(client_connection_connected, client_connection_disconnected)
    with Server(tmp_path) as server:
        with server.connect() as client:
            client.noop()
        with smtplib.LMTP("127.0.0.1", server.port) as client:
            port = client.sock.getsockname()[1]

        def lmtp_events() -> list[tuple[str, dict[str, Any]]]:
            """Of the sessions that began here: one of an earlier test may end only now."""
            lmtp = [(name, fields) for name, fields in seen if "lmtp" in fields["categories"]]
            began = {f["session"] for name, f in lmtp if name == "client_connection_connected"}
            return [(name, fields) for name, fields in lmtp if fields["session"] in began]

        deadline = time.monotonic() + 20
        while len(lmtp_events()) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    ours = lmtp_events()
    assert len(ours) == 4
    unix_up, tcp_up = (f for name, f in ours if name == "client_connection_connected")
    unix_down, tcp_down = sorted(
        (f for name, f in ours if name == "client_connection_disconnected"),
        key=lambda f: "remote_ip" in f,
    )
    assert (unix_up["remote_pid"], unix_up["remote_uid"]) == (os.getpid(), os.getuid())
    assert unix_up["session"] == unix_down["session"] != tcp_up["session"]
    assert unix_down["net_in_bytes"] == len(b"noop\r\nQUIT\r\n")
    assert unix_down["net_out_bytes"] > 60
    assert unix_down["reason"] == "Logged out"
    assert (tcp_down["remote_ip"], tcp_down["remote_port"]) == ("127.0.0.1", port)
    assert "lmtp" in tcp_down["categories"]


def test_reload(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        changed = msgspec.structs.replace(
            server.settings,
            hostname="new.example",
            mail_max_size=1000,
            ssl_server_cert_file=str(tmp_path / "missing"),
        )
        lmtp = next(ctx for ctx in server.contexts if ctx.name == "lmtp")
        with smtplib.LMTP("127.0.0.1", server.port) as old:
            old.ehlo()
            assert old.ehlo_resp is not None
            assert old.ehlo_resp.startswith(b"mx.example")
            done = threading.Event()
            server.loop.call_soon_threadsafe(lambda: (lmtp.reload(changed), done.set()))
            assert done.wait(10)
            old.ehlo()
            assert old.ehlo_resp.startswith(b"new.example")
            assert old.esmtp_features["size"] == "1000"
            assert old.mail("ann@x", ["size=1001"])[0] == 552
        with smtplib.LMTP("127.0.0.1", server.port) as client:
            client.ehlo()
            assert client.has_extn("starttls")


def test_shutdown_says_goodbye(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        client = server.connect()
        client.ehlo()
    code, text = client.getreply()
    client.close()
    assert (code, text) == (421, b"4.3.2 Server shutting down")
