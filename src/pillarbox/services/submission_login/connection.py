"""An SMTP client before login: EHLO, STARTTLS, AUTH, XCLIENT, NOOP, RSET, HELP, VRFY, QUIT.

What is the same in every protocol (attempts to log in, the way out, limits) is in
`runtime.login.connection`; here are the words of SMTP (RFC 6409, RFC 4954).  Whatever belongs to a
message is refused with 530 before a login, EHLO or not.  A proxy in login_trusted_networks may say
by XCLIENT whom it acts for.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final, Literal

from pillarbox.runtime.login.connection import LoginConnection
from pillarbox.runtime.login.verdict import INVALID_BASE64, Verdict
from pillarbox.runtime.service import BoundListener
from pillarbox.runtime.smtp_server import replies
from pillarbox.services.submission_login.verdicts import farewell_of, reply_of
from pillarbox.wire.proxy import xclient
from pillarbox.wire.proxy.dialogue import LoggedIn
from pillarbox.wire.sasl import base64
from pillarbox.wire.smtp.command import Auth, Command, CommandLine, Hello, Simple, parse
from pillarbox.wire.smtp.reply import Refused, Reply, reply
from pillarbox.wire.smtp.session import SUBMISSION, BadLine, ServerSession, State

if TYPE_CHECKING:
    from pillarbox.services.submission_login.server import LoginServer

LONGEST_LINE: Final = 65536
"""RFC 4954 wants 12288 octets; tokens of some mechanisms are longer."""

AUTH_FIRST: Final = reply(530, "5.7.0", "Authentication required")
HELP: Final = reply(214, "2.0.0", "Log in with AUTH, then send; see RFC 6409")
VRFY: Final = reply(252, "2.3.3", "Try RCPT instead")
NOT_TRUSTED: Final = reply(550, "5.7.0", "You are not from a trusted network")
_BAD: Final = frozenset({500, 501, 502, 503, 504, 530})
_AFTER_LOGIN: Final = frozenset({"MAIL", "RCPT", "DATA", "BDAT"})


class SubmissionLogin(LoginConnection):
    """One SMTP client that has not logged in yet, or that this process relays."""

    __slots__ = ("_server", "_wire")

    def __init__(self, server: LoginServer, listener: BoundListener | None = None) -> None:
        super().__init__(server, listener)
        self._server = server
        self._wire = ServerSession(SUBMISSION, LONGEST_LINE)

    # What the base asks for.

    def greet(self) -> None:
        """Greet."""
        self._put(reply(220, "", f"{self._server.hostname} ESMTP {self.server.greeting}"))

    def feed(self, data: bytes) -> None:
        """Take input."""
        self._wire.feed(data)

    def work(self) -> None:
        """Carry out what has arrived, until a command has to wait."""
        while self.idle:
            item = self._wire.next()
            if isinstance(item, CommandLine):
                self._line(item)
            elif isinstance(item, BadLine):
                self._put(item.reply)
                self.count_bad()
            else:
                return

    def sasl_input(self) -> bytes | Literal[False] | None:
        """The next line of a SASL exchange."""
        line = self._wire.next_raw()
        return False if isinstance(line, BadLine) else line

    def challenge(self, data: bytes) -> None:
        """334 and base64."""
        self.send(b"334 " + b64encode(data) + b"\r\n")

    def take_input(self) -> bytes:
        """What was read behind the command that logs in."""
        return self._wire.take_rest()

    def forget_input(self) -> None:
        """TLS begins: EHLO must be said again (RFC 3207 section 4.2)."""
        self._wire.start_tls()
        self.hello = ""

    def answer(self, tag: bytes, verdict: Verdict) -> None:
        """The reply to an attempt that failed."""
        self._put(reply_of(verdict))

    def welcome(self, tag: bytes, result: LoggedIn) -> None:
        """The words of the server that a proxied client has been logged in at."""
        text = (result.text or b"Logged in.").decode("utf-8", "replace")
        self._put(reply(235, "2.7.0", text))

    def bye(self, text: str, code: bytes | None = None) -> None:
        """Say goodbye and close."""
        self._put(farewell_of(text, code))
        self.finish(text.rstrip("."))

    # Commands.

    def _put(self, answer: Reply) -> None:
        self.send(answer.encode())

    def _line(self, line: CommandLine) -> None:
        if not self.count_command():
            return
        answer = self._answer(line)
        if answer is None:
            return
        self._put(answer)
        if answer.code in _BAD:
            self.count_bad()
        if answer is replies.TLS_PIPELINED:
            self.finish("Commands sent along with STARTTLS")
        elif answer is replies.START_TLS:
            self.begin_tls()
        elif line.name == "QUIT" and answer.success:
            self.finish("Logged out")

    def _answer(self, line: CommandLine) -> Reply | None:
        """The reply; None: an attempt to log in has begun."""
        if line.name in _AFTER_LOGIN:
            return AUTH_FIRST
        try:
            return self._wire.refusal(line) or self._command(parse(line))
        except Refused as refused:
            return refused.reply

    def _command(self, command: Command) -> Reply | None:
        if isinstance(command, Hello):
            return self._hello(command)
        if isinstance(command, Auth):
            return self._auth(command)
        if isinstance(command, Simple):
            return self._simple(command)
        raise RuntimeError(f"{type(command).__name__} before a login")

    def _hello(self, command: Hello) -> Reply:
        self.hello = command.domain
        self._wire.enter(State.READY)
        if command.verb == "HELO":
            return reply(250, "", self._server.hostname)
        lines = self._server.hello(self.tls is not None, self.secured, self.trusted)
        return Reply(250, "", tuple(lines))

    def _auth(self, command: Auth) -> Reply | None:
        try:
            given = command.initial
            initial = None if given is None else base64.decode(given.encode())
        except base64.InvalidBase64:
            return reply_of(INVALID_BASE64)
        self.begin(b"", command.mechanism, initial, False)
        return None

    def _simple(self, command: Simple) -> Reply:
        match command.verb:
            case "STARTTLS":
                return self._starttls()
            case "XCLIENT":
                return self._xclient(command)
            case "QUIT":
                return replies.BYE
            case "HELP":
                return HELP
            case "VRFY":
                return VRFY
            case _:
                return replies.OK

    def _starttls(self) -> Reply:
        if self.tls is not None:
            return replies.TLS_ACTIVE
        if self.server.acceptor.tls is None:
            return replies.NO_TLS
        return replies.TLS_PIPELINED if self._wire.buffered else replies.START_TLS

    def _xclient(self, command: Simple) -> Reply:
        if not self.trusted:
            return NOT_TRUSTED
        try:
            origin = xclient.parse(command.argument.encode().split())
        except xclient.BadXclient as error:
            return reply(501, "5.5.4", str(error))
        self.take_origin(origin)
        self.hello = ""
        self._wire.enter(State.GREETED)
        return reply(220, "", f"{self._server.hostname} ESMTP {self.server.greeting}")
