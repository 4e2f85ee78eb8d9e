"""A small SMTP or LMTP server in a thread, which says what a test wants it to say.

It keeps what it was told: ``commands`` by connection in order, and each ``Mail`` that it took.
``answers`` gives other replies by verb ("GREETING" and "BODY" are the greeting and the reply to a
message, "RCPT without MAIL" and "DATA for nobody" what they say) as a text, a list of texts to be
used one after the other, or None to close the connection without a word; ``CLOSE`` behind a text
closes it after it.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_CAPABILITIES = (
    "PIPELINING",
    "SIZE 10000000",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "CHUNKING",
    "BINARYMIME",
)
CLOSE = " [close]"


@dataclass
class Mail:
    """One message that was taken."""

    sender: str
    recipients: list[str]
    data: bytes
    parameters: str


@dataclass
class Talk:
    """One connection."""

    commands: list[str] = field(default_factory=list)
    tls: bool = False


class FakeRelay:
    """See the module."""

    def __init__(
        self,
        *,
        capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES,
        answers: dict[str, Any] | None = None,
        certificate: Path | None = None,
        implicit_tls: bool = False,
        lmtp: bool = False,
    ) -> None:
        self.capabilities = capabilities
        self.answers = dict(answers or {})
        self.lmtp = lmtp
        self.talks: list[Talk] = []
        self.mails: list[Mail] = []
        self._implicit = implicit_tls
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._open: set[_Served] = set()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def __enter__(self) -> FakeRelay:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)

    def hang_up(self) -> None:
        """Close all connections that are open."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.sock.shutdown(socket.SHUT_RDWR)

    def commands(self, verb: str = "") -> list[str]:
        """The commands of all connections, or those with this verb."""
        found = [line for talk in self.talks for line in talk.commands]
        return [line for line in found if line.upper().startswith(verb)]

    def _accept(self) -> None:
        while not self._stopped:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, sock: socket.socket) -> None:
        served = _Served(self, sock, self._context)
        self._open.add(served)
        try:
            served.run(self._implicit)
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(served)
            served.close()


class _Served:
    """One connection being served."""

    def __init__(
        self, relay: FakeRelay, sock: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        self.relay = relay
        self.talk = Talk()
        relay.talks.append(self.talk)
        self.context = context
        self.sock = sock
        self.file = sock.makefile("rb")
        self.sender = ""
        self.parameters = ""
        self.mailing = False
        self.recipients: list[str] = []
        self.chunks = b""

    def _begin_tls(self) -> None:
        assert self.context is not None
        self.file.close()
        self.sock = self.context.wrap_socket(self.sock, server_side=True)
        self.file = self.sock.makefile("rb")
        self.talk.tls = True

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def run(self, implicit: bool) -> None:
        if implicit:
            self._begin_tls()
        self.say("GREETING", "220 relay.example.com ESMTP")
        while line := self.file.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self.talk.commands.append(text)
            verb = text.split(" ")[0].upper()
            getattr(self, f"do_{verb.lower()}", self.do_other)(verb, text)
            if verb == "QUIT":
                break

    def say(self, verb: str, default: str, before: Callable[[], object] = lambda: None) -> bool:
        """Answer; whether it was a success.  ``before`` is called before one is told."""
        answer = self.relay.answers.get(verb, default)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else default
        if answer is None:
            raise OSError("closed as the test wants")
        text, close, _ = answer.partition(CLOSE)
        if text[0] in "23":
            before()
        self.sock.sendall(text.encode() + b"\r\n")
        if close:
            raise OSError("closed as the test wants")
        return bool(text[0] in "23")

    def do_ehlo(self, verb: str, text: str) -> None:
        lines = ["relay.example.com", *self.relay.capabilities]
        if self.context is not None and not self.talk.tls:
            lines.append("STARTTLS")
        all_lines = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        self.say(verb, "\r\n".join(all_lines))

    do_lhlo = do_ehlo

    def do_starttls(self, verb: str, text: str) -> None:
        if self.say(verb, "220 2.0.0 go"):
            self._begin_tls()

    def do_auth(self, verb: str, text: str) -> None:
        words = text.split(" ")
        if words[1].upper() == "LOGIN" and len(words) == 2:
            for prompt in ("Username:", "Password:"):
                self.sock.sendall(b"334 " + base64.b64encode(prompt.encode()) + b"\r\n")
                self.talk.commands.append(self.file.readline().decode().rstrip("\r\n"))
        self.say(verb, "235 2.7.0 in")

    def do_mail(self, verb: str, text: str) -> None:
        address, _, self.parameters = text.partition(">")
        if self.say(verb, "250 2.1.0 sender ok"):
            self.sender = address.partition("<")[2]
            self.mailing = True
            self.recipients = []
            self.chunks = b""

    def do_rcpt(self, verb: str, text: str) -> None:
        address, _, parameters = text.partition(">")
        recipient = address.partition("<")[2]
        if not self.mailing:
            self.say("RCPT without MAIL", "503 5.5.1 MAIL first")
        elif self.say(
            f"RCPT {recipient}" if f"RCPT {recipient}" in self.relay.answers else verb,
            "250 2.1.5 recipient ok",
        ):
            self.recipients.append(recipient)
            self.parameters += parameters

    def do_data(self, verb: str, text: str) -> None:
        if not self.recipients:
            verb = "DATA for nobody"
        default = "354 go ahead" if self.recipients else "503 5.5.1 no valid recipients"
        if not self.say(verb, default):
            return
        data = b""
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                raise OSError("gone")
            data += line.removeprefix(b".")
        self.taken(data)

    def do_bdat(self, verb: str, text: str) -> None:
        words = text.split(" ")
        self.chunks += self.file.read(int(words[1]))
        if len(words) > 2:
            self.taken(self.chunks)
        else:
            self.say(verb, "250 2.0.0 chunk ok")

    def do_rset(self, verb: str, text: str) -> None:
        self.mailing, self.recipients = False, []
        self.say(verb, "250 2.0.0 ok")

    def taken(self, data: bytes) -> None:
        mail = Mail(self.sender, self.recipients, data, self.parameters)
        self.mailing = False

        def keep() -> None:
            if not any(one is mail for one in self.relay.mails):
                self.relay.mails.append(mail)

        recipients, self.recipients = self.recipients, []
        for recipient in recipients if self.relay.lmtp else ("",):
            verb = f"BODY {recipient}" if f"BODY {recipient}" in self.relay.answers else "BODY"
            self.say(verb, "250 2.0.0 queued as 4711", keep)

    def do_quit(self, verb: str, text: str) -> None:
        self.say(verb, "221 2.0.0 bye")

    def do_vrfy(self, verb: str, text: str) -> None:
        self.say(verb, "252 2.5.0 try it")

    def do_xclient(self, verb: str, text: str) -> None:
        self.say(verb, "220 relay.example.com ESMTP")

    def do_other(self, verb: str, text: str) -> None:
        self.say(verb, "250 2.0.0 ok")
