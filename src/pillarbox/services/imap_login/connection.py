"""An IMAP client before login: the few commands there are, and their replies.

What is the same in every protocol (attempts to log in, the way out, limits) is in
`runtime.login.connection`; here are the grammar and the words of IMAP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pillarbox.events.catalogue.imap import imap_id_received
from pillarbox.events.event import Scope
from pillarbox.runtime.login.connection import LoginConnection
from pillarbox.runtime.login.verdict import Verdict
from pillarbox.runtime.service import BoundListener
from pillarbox.services.imap_login.client_id import (
    as_texts,
    client_id,
    origin,
    own_parameters,
)
from pillarbox.wire.imap import args_text
from pillarbox.wire.imap.command import BadCommand, Command, parse_command
from pillarbox.wire.imap.id import Id
from pillarbox.wire.imap.login import Authenticate, Login
from pillarbox.wire.imap.reader import (
    CONTINUE,
    CommandReader,
    Limits,
    LineTooLong,
    Problem,
    RawCommand,
)
from pillarbox.wire.imap.response import status_line
from pillarbox.wire.proxy.dialogue import LoggedIn

if TYPE_CHECKING:
    from pillarbox.services.imap_login.server import LoginServer

LIMITS: Final = Limits(line=65536, command=65536)


class ImapLogin(LoginConnection):
    """One IMAP client that has not logged in yet, or that this process relays."""

    __slots__ = ("_capabilities", "_reader")

    def __init__(self, server: LoginServer, listener: BoundListener | None = None) -> None:
        super().__init__(server, listener)
        self._capabilities = server.capabilities
        self._reader = CommandReader(LIMITS)

    # What the base asks for.

    def greet(self) -> None:
        """Greet, with the capabilities."""
        code = b"CAPABILITY " + self._capability()
        self.send(status_line(b"*", "OK", code, self.server.greeting))

    def feed(self, data: bytes) -> None:
        """Take input."""
        self._reader.feed(data)

    def work(self) -> None:
        """Carry out what has arrived, until a command has to wait."""
        while self.idle:
            item = self._reader.next()
            if item is None:
                return
            if item is CONTINUE:
                self.send(b"+ OK\r\n")
            elif isinstance(item, Problem):
                self.reply(item.tag, item.state, item.code, item.text)
                self.count_bad()
            elif isinstance(item, RawCommand):
                self._command(item)

    def sasl_input(self) -> bytes | Literal[False] | None:
        """The next line of a SASL exchange."""
        try:
            return self._reader.next_line()
        except LineTooLong:
            return False

    def take_input(self) -> bytes:
        """What was read behind the login command."""
        return self._reader.rest()

    def forget_input(self) -> None:
        """TLS begins."""
        self._reader = CommandReader(LIMITS)

    def answer(self, tag: bytes, verdict: Verdict) -> None:
        """The tagged reply to an attempt that failed."""
        self.reply(tag, verdict.state, verdict.code, verdict.text)

    def welcome(self, tag: bytes, result: LoggedIn) -> None:
        """The server's own words, under the client's tag."""
        lines = (*result.untagged, b"%b OK %b" % (tag, result.text or b"Logged in."))
        self.send(*(line + b"\r\n" for line in lines))

    def bye(self, text: str, code: bytes | None = None) -> None:
        """Say goodbye and close."""
        self.send(status_line(b"*", "BYE", code, text))
        self.finish(text.rstrip("."))

    # Commands.

    def reply(self, tag: bytes, state: str, code: bytes | None, text: str) -> None:
        """A tagged reply."""
        self.send(status_line(tag, state, code, text))

    def _command(self, raw: RawCommand) -> None:
        if not self.count_command():
            return
        try:
            command = parse_command(raw)
        except BadCommand as bad:
            self.reply(bad.tag, bad.state, bad.code, bad.text)
            self.count_bad()
            return
        if command.name == "AUTHENTICATE" and isinstance(command.args, Authenticate):
            self.begin(command.tag, command.args.mechanism, command.args.initial, False)
        elif command.name == "LOGIN" and isinstance(command.args, Login):
            self._login(command, command.args)
        elif command.name == "ID" and isinstance(command.args, Id):
            self._id(command, command.args)
        elif command.name == "CAPABILITY":
            self.send(b"* CAPABILITY " + self._capability() + b"\r\n")
            self.reply(command.tag, "OK", None, "Pre-login capabilities listed, more follow.")
        elif command.name == "NOOP":
            self.reply(command.tag, "OK", None, "NOOP completed.")
        elif command.name == "STARTTLS":
            self._starttls(command)
        elif command.name == "LOGOUT":
            self.send(b"* BYE Logging out\r\n")
            self.reply(command.tag, "OK", None, "Logout completed.")
            self.finish("Logged out")
        else:
            self.reply(command.tag, "BAD", None, f"{command.name} needs a login first.")
            self.count_bad()

    def _login(self, command: Command, login: Login) -> None:
        if b"\0" in login.user or b"\0" in login.password:
            self.reply(command.tag, "BAD", None, "NUL in user name or password.")
            self.count_bad()
            return
        initial = b"\0" + bytes(login.user) + b"\0" + bytes(login.password)
        self.begin(command.tag, "PLAIN", initial, True)

    def _id(self, command: Command, args: Id) -> None:
        params = as_texts(args.params)
        if imap_id_received.emit is not None:
            raw = command.raw
            scope = Scope(
                self.scope,
                (),
                ("imap:cmd_id",),
                cmd_tag=command.tag.decode("ascii", "replace"),
                cmd_name="ID",
                cmd_input_name=command.input_name,
                cmd_args=args_text.as_sent("ID", raw, command.at),
                cmd_human_args=args_text.for_humans("ID", raw, command.at),
            )
            imap_id_received.emit(scope, params=params)
        if self.trusted:
            self.take_origin(origin(params))
        self.client_id = client_id(args.params)
        self.send(b"* ID %b\r\n" % own_parameters(self.server.settings.imap_id_send))
        self.reply(command.tag, "OK", None, "ID completed.")

    def _starttls(self, command: Command) -> None:
        if self.tls is not None:
            self.reply(command.tag, "BAD", None, "TLS is already active.")
            self.count_bad()
        elif self.server.acceptor.tls is None:
            self.reply(command.tag, "BAD", None, "TLS is not available here.")
            self.count_bad()
        elif self._reader.rest():
            self.reply(command.tag, "BAD", None, "Data was sent after STARTTLS.")
            self.bye("Protocol error: data in clear after STARTTLS.")
        else:
            self.reply(command.tag, "OK", None, "Begin TLS negotiation now.")
            self.begin_tls()

    def _capability(self) -> bytes:
        return self._capabilities.text(self.tls is not None, self.secured)
