"""A POP3 client before login: USER and PASS, AUTH, STLS, CAPA, LANG, UTF8, XCLIENT, QUIT.

What is the same in every protocol (attempts to log in, the way out, limits) is in
`runtime.login.connection`; here are the grammar and the words of POP3.  PASS becomes a SASL PLAIN
exchange, so there is one way to check a password.

APOP (RFC 1939 section 7) is there if the auth service has a mechanism of that name: the greeting
then ends with a time stamp, and what auth gets as initial response is stamp, user name and digest
(16 octets), parted by NULs.

A proxy in login_trusted_networks sees ``[XCLIENT]`` in the greeting and may say whom it acts for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from pillarbox.runtime.login.connection import LoginConnection
from pillarbox.runtime.login.verdict import CLEARTEXT, TLS_FIRST, Verdict
from pillarbox.runtime.service import BoundListener
from pillarbox.wire.pop3.command import (
    Apop,
    Auth,
    BadCommand,
    Command,
    Lang,
    Pass,
    User,
    Xclient,
    parse_command,
)
from pillarbox.wire.pop3.language import reply as language_reply
from pillarbox.wire.pop3.reader import LineReader, LineTooLong
from pillarbox.wire.pop3.response import Err, err, listing, ok, pop3_code
from pillarbox.wire.pop3.states import ALLOWED, State
from pillarbox.wire.proxy import xclient
from pillarbox.wire.proxy.dialogue import LoggedIn

if TYPE_CHECKING:
    from pillarbox.services.pop3_login.server import LoginServer

LONGEST_LINE: Final = 65536
"""RFC 2449 wants 255 octets; tokens of SASL mechanisms in an initial response are far longer."""


class Pop3Login(LoginConnection):
    """One POP3 client that has not logged in yet, or that this process relays."""

    __slots__ = ("_reader", "_server", "_stamp", "_user")

    def __init__(self, server: LoginServer, listener: BoundListener | None = None) -> None:
        super().__init__(server, listener)
        self._server = server
        self._reader = LineReader(LONGEST_LINE)
        self._user: bytes | None = None
        self._stamp = ""

    # What the base asks for.

    def greet(self) -> None:
        """Greet."""
        if "APOP" in self.server.auth.mechanisms:
            host = self.server.settings.hostname or "localhost"
            self._stamp = f"<{self.session}.{time.time_ns()}@{host}>"
        code = "[XCLIENT] " if self.trusted else ""
        self.send(ok(f"{code}{self.server.greeting} {self._stamp}".rstrip()))

    def feed(self, data: bytes) -> None:
        """Take input."""
        self._reader.feed(data)

    def work(self) -> None:
        """Carry out what has arrived, until a command has to wait."""
        while self.idle:
            try:
                line = self._reader.next_line()
            except LineTooLong:
                self._not_so("Line is too long.")
                continue
            if line is None:
                return
            self._line(line)

    def sasl_input(self) -> bytes | Literal[False] | None:
        """The next line of a SASL exchange."""
        try:
            return self._reader.next_line()
        except LineTooLong:
            return False

    def take_input(self) -> bytes:
        """What was read behind the command that logs in."""
        return self._reader.rest()

    def forget_input(self) -> None:
        """TLS begins: even the user name must be said again (RFC 2595 section 4)."""
        self._reader = LineReader(LONGEST_LINE)
        self._user = None

    def answer(self, tag: bytes, verdict: Verdict) -> None:
        """The reply to an attempt that failed."""
        self.send(err(verdict.text, pop3_code(verdict.code)))

    def welcome(self, tag: bytes, result: LoggedIn) -> None:
        """The server's own words."""
        self.send(b"+OK %b\r\n" % (result.text or b"Logged in."))

    def bye(self, text: str, code: bytes | None = None) -> None:
        """Say goodbye and close."""
        self.send(err(text, pop3_code(code)))
        self.finish(text.rstrip("."))

    # Commands.

    def _not_so(self, text: str) -> None:
        self.send(err(text))
        self.count_bad()

    def _line(self, line: bytes) -> None:
        if not self.count_command():
            return
        try:
            command = parse_command(line)
        except BadCommand as bad:
            self._not_so(bad.text)
            return
        if command.name not in ALLOWED[State.AUTHORIZATION]:
            self._not_so(f"{command.name} needs a login first.")
            return
        try:
            self._command(command)
        except Err as error:
            self.send(err(error.text, error.code))

    def _command(self, command: Command) -> None:
        args = command.args
        if isinstance(args, User):
            self._take_user(args)
        elif isinstance(args, Pass):
            self._take_pass(args)
        elif isinstance(args, Auth):
            self._auth(args)
        elif isinstance(args, Apop) and self._stamp:
            stamp = self._stamp.encode("ascii", "replace")
            self.begin(b"", "APOP", b"\0".join((stamp, args.name, args.digest)), False, True)
        elif isinstance(args, Lang):
            self.send(language_reply(args))
        elif command.name == "CAPA":
            lines = self._server.capabilities(self.tls is not None, self.secured)
            self.send(listing("Capability list follows", lines))
        elif command.name == "UTF8":
            self.send(ok("UTF8 enabled."))
        elif command.name == "STLS":
            self._stls()
        elif isinstance(args, Xclient) and self.trusted:
            self._xclient(args)
        elif command.name == "QUIT":
            self.send(ok("Logging out"))
            self.finish("Logged out")
        else:
            self._not_so(f"{command.name} is not supported.")

    def _take_user(self, user: User) -> None:
        """Keep the name; a name that could only be followed by a refusal is refused now."""
        if not self.server.policy.cleartext_allowed(self.secured):
            self.mechanism = "PLAIN"
            required = not self.secured and self.server.settings.ssl == "required"
            self.refuse(b"", TLS_FIRST if required else CLEARTEXT)
            return
        self._user = user.name
        self.send(ok())

    def _take_pass(self, secret: Pass) -> None:
        user, self._user = self._user, None
        if user is None:
            self._not_so("No user name was given.")
            return
        self.begin(b"", "PLAIN", b"\0" + user + b"\0" + secret.password, True)

    def _auth(self, auth: Auth) -> None:
        if auth.mechanism is None:
            names = self.server.policy.mechanisms(self.secured, self.tls is not None)
            self.send(listing("", [name.encode("ascii", "replace") for name in names]))
            return
        self.begin(b"", auth.mechanism, auth.initial, False)

    def _xclient(self, told: Xclient) -> None:
        try:
            origin = xclient.parse(told.words, encoded=False)
        except xclient.BadXclient as error:
            self._not_so(f"{error}.")
            return
        self.take_origin(origin)
        self.send(ok("Updated"))

    def _stls(self) -> None:
        if self.tls is not None:
            self._not_so("TLS is already active.")
        elif self.server.acceptor.tls is None:
            self._not_so("TLS is not available here.")
        elif self._reader.rest():
            self.send(err("Data was sent after STLS."))
            self.bye("Protocol error: data in clear after STLS.")
        else:
            self.send(ok("Begin TLS negotiation now."))
            self.begin_tls()
