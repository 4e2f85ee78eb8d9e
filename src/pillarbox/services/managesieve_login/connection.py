"""A ManageSieve client before login: CAPABILITY, STARTTLS, AUTHENTICATE, NOOP, XCLIENT, LOGOUT.

What is the same in every protocol (attempts to log in, the way out, limits) is in
`runtime.login.connection`; here are the grammar and the words of RFC 5804.  Challenges and
responses of SASL travel as strings; the last word of a mechanism goes to the client with the
worker's OK.  The greeting is the list of capabilities, which is sent again when TLS has begun.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pillarbox.runtime.login.connection import LoginConnection
from pillarbox.runtime.login.verdict import Verdict
from pillarbox.runtime.service import BoundListener
from pillarbox.services.managesieve_login.gate import UnauthenticateGate
from pillarbox.wire.managesieve.command import (
    Authenticate,
    BadCommand,
    Command,
    Tag,
    Xclient,
    parse_command,
    parse_response,
)
from pillarbox.wire.managesieve.reader import CommandReader, Limits, Problem
from pillarbox.wire.managesieve.response import response, sieve_code, string, with_string
from pillarbox.wire.managesieve.states import ALLOWED, State
from pillarbox.wire.proxy import xclient
from pillarbox.wire.proxy.dialogue import LoggedIn

if TYPE_CHECKING:
    from pillarbox.services.managesieve_login.server import LoginServer

LIMITS: Final = Limits(line=8192, literals=65536)
"""Tokens of SASL mechanisms can be long; nothing else is before login."""


class ManageSieveLogin(LoginConnection):
    """One ManageSieve client that has not logged in yet, or that this process relays."""

    __slots__ = ("_reader", "_server")

    takes_final: ClassVar[bool] = True

    def __init__(self, server: LoginServer, listener: BoundListener | None = None) -> None:
        super().__init__(server, listener)
        self._server = server
        self._reader = CommandReader(LIMITS)

    # What the base asks for.

    def greet(self) -> None:
        """The capabilities, and OK."""
        self._tell_capabilities(self.server.greeting)

    def connected(self) -> None:
        """Greet; after STARTTLS the capabilities are told anew (RFC 5804 section 2.2)."""
        again = self.greeted
        super().connected()
        if again:
            self._tell_capabilities("TLS negotiation successful.")

    def feed(self, data: bytes) -> None:
        """Take input."""
        self._reader.feed(data)

    def work(self) -> None:
        """Carry out what has arrived, until a command has to wait."""
        while self.idle:
            raw = self._reader.next()
            if raw is None:
                return
            if isinstance(raw, Problem):
                self._refused_input(raw)
                continue
            if not self.count_command():
                return
            try:
                command = parse_command(raw)
            except BadCommand as bad:
                self._not_so(bad.text)
                continue
            self._command(command)

    def sasl_input(self) -> bytes | Literal[False] | None:
        """The next string of a SASL exchange."""
        raw = self._reader.next()
        if raw is None:
            return None
        if isinstance(raw, Problem):
            if raw.fatal:
                self.bye(raw.text)
            return False
        answer = parse_response(raw)
        return False if answer is None else answer

    def challenge(self, data: bytes) -> None:
        """A challenge is a string in base64."""
        self.send(string(b64encode(data)) + b"\r\n")

    def gate(self) -> UnauthenticateGate:
        """Every client is relayed, so that it can come back."""
        return UnauthenticateGate(self.server.settings.managesieve_max_line_length)

    def take_input(self) -> bytes:
        """What was read behind the command that logs in."""
        return self._reader.rest()

    def forget_input(self) -> None:
        """TLS begins."""
        self._reader = CommandReader(LIMITS)

    def answer(self, tag: bytes, verdict: Verdict) -> None:
        """The reply to an attempt that failed."""
        self.send(response("NO", verdict.text, sieve_code(verdict.code)))

    def welcome(self, tag: bytes, result: LoggedIn) -> None:
        """The server's own words, and our mechanism's last one."""
        final = self.sasl_final
        code = None if final is None else with_string(b"SASL", b64encode(final))
        self.send(response("OK", result.text.decode("utf-8", "replace") or "Logged in.", code))

    def bye(self, text: str, code: bytes | None = None) -> None:
        """Say goodbye and close."""
        self.send(response("BYE", text, sieve_code(code)))
        self.finish(text.rstrip("."))

    # Commands.

    def _tell_capabilities(self, text: str) -> None:
        lines = self._server.capabilities(self.tls is not None, self.secured, self.trusted)
        self.send(lines, response("OK", text))

    def _not_so(self, text: str) -> None:
        self.send(response("NO", text))
        self.count_bad()

    def _refused_input(self, problem: Problem) -> None:
        if problem.fatal:
            self.bye(problem.text)
            return
        self.send(response("NO", problem.text, problem.code))
        self.count_bad()

    def _command(self, command: Command) -> None:
        args = command.args
        if command.name not in ALLOWED[State.NON_AUTHENTICATED]:
            self._not_so(f"{command.name} needs a login first.")
        elif isinstance(args, Authenticate):
            self.begin(b"", args.mechanism, args.initial, False)
        elif isinstance(args, Tag):
            code = None if args.text is None else with_string(b"TAG", args.text)
            self.send(response("OK", "Done.", code))
        elif isinstance(args, Xclient):
            self._xclient(args)
        elif command.name == "CAPABILITY":
            self._tell_capabilities("Capabilities listed.")
        elif command.name == "STARTTLS":
            self._starttls()
        else:
            self.send(response("OK", "Logging out."))
            self.finish("Logged out")

    def _xclient(self, told: Xclient) -> None:
        if not self.trusted:
            self._not_so("XCLIENT is not allowed from here.")
            return
        try:
            origin = xclient.parse(told.words, encoded=False)
        except xclient.BadXclient as error:
            self._not_so(f"{error}.")
            return
        self.take_origin(origin)
        self.send(response("OK", "Updated."))

    def _starttls(self) -> None:
        if self.tls is not None:
            self._not_so("TLS is already active.")
        elif self.server.acceptor.tls is None:
            self._not_so("TLS is not available here.")
        elif self._reader.buffered:
            self.send(response("NO", "Data was sent after STARTTLS."))
            self.bye("Protocol error: data in clear after STARTTLS.")
        else:
            self.send(response("OK", "Begin TLS negotiation now."))
            self.begin_tls()
