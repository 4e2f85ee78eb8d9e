"""One connection to an SMTP or LMTP server: each command is awaited and gives its reply.

Replies are values, whatever their code; only a connection that fails raises (`SmtpError`).
Commands that are begun together leave together where the server takes them so, and a command
waits ``timeout`` seconds for its answer.  While no answer is outstanding the connection may idle,
with `expire_in`, and says QUIT when that time is over.

A message is sent by `data` or, where the server has CHUNKING, by `bdat`, out of pieces that are
not copied together; the server's pace is kept.  LMTP answers once for each recipient.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.runtime.outgoing import OPEN, ServerConnection
from pillarbox.runtime.smtp_client.errors import SmtpError
from pillarbox.wire.sasl import base64
from pillarbox.wire.sasl.client import Client, ServerNotTrusted
from pillarbox.wire.smtp import rendering
from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.capabilities import Capabilities, parse_capabilities
from pillarbox.wire.smtp.client import ClientSession
from pillarbox.wire.smtp.data import DataEncoder
from pillarbox.wire.smtp.parameters import MailParameters, RcptParameters
from pillarbox.wire.smtp.reply import Reply
from pillarbox.wire.smtp.reply_reader import BadReply

SLICE: Final = 64 * 1024
Answer = asyncio.Future[Reply]


def slices(message: bytes | bytearray | memoryview) -> Iterator[bytes]:
    """A message in pieces that are worth a write each."""
    for at in range(0, len(message), SLICE):
        yield bytes(message[at : at + SLICE])


class SmtpSession(ServerConnection):
    """See the module."""

    def __init__(
        self, parent: Scope, log: Log, *, lmtp: bool = False, timeout: float = 300.0
    ) -> None:
        super().__init__(parent, log)
        self.scope.categories = ("smtp-client",)
        self.lmtp = lmtp
        self._timeout = timeout
        self._gone = ""
        self._in_data = False  # between DATA and the answers to its message
        self._wire = ClientSession[Answer]()
        self._greeting: Answer = self._loop.create_future()
        self._wire.expect(self._greeting)  # it may come before anybody asks for it

    @property
    def capabilities(self) -> Capabilities:
        """What the server announced."""
        return self._wire.capabilities

    @property
    def usable(self) -> bool:
        """Whether another transaction may be begun here."""
        idle = self._wire.idle and not self._in_data
        return self.state == OPEN and idle and self._wire.farewell is None

    # Commands.

    async def greeting(self) -> Reply:
        """The server's first words."""
        return await self.answered(self._greeting)

    async def hello(self, name: str) -> Reply:
        """LHLO, or EHLO and where that is not known HELO; takes note of what the server can do."""
        reply = await self.command("LHLO" if self.lmtp else "EHLO", name)
        if reply.code == 250:
            self._wire.capabilities = parse_capabilities(reply)
        elif reply.code in (500, 502) and not self.lmtp:
            reply = await self.command("HELO", name)
            self._wire.capabilities = Capabilities()
        return reply

    async def starttls(self, context: ssl.SSLContext) -> Reply:
        """STARTTLS and, after a 220, the handshake; say hello again then."""
        reply = await self.command("STARTTLS")
        if reply.code != 220:
            return reply
        try:
            self._wire.start_tls()
            async with asyncio.timeout(self._timeout):
                await self.start_tls(context)
        except (OSError, BadReply) as error:
            self.abort(f"TLS handshaking failed: {error}")
            raise SmtpError(f"TLS with {self.destination} failed: {error}") from error
        return reply

    async def auth(self, mechanism: str, client: Client) -> Reply:
        """AUTH with this client mechanism; the last reply, 235 for success."""
        initial = b64encode(next(client)).decode()
        reply = await self.command("AUTH", mechanism, *([initial] if initial else []))
        try:
            while reply.code == 334:
                reply = await self._respond(client, reply)
            if reply.code == 235:
                _last_word(client)
        except (ServerNotTrusted, base64.InvalidBase64) as error:
            self.abort(f"Authentication failed: {error}")
            raise SmtpError(f"{self.destination} cannot be trusted: {error}") from error
        return reply

    async def _respond(self, client: Client, challenge: Reply) -> Reply:
        try:
            data = base64.decode(challenge.text.strip().encode() or b"=")
            response = b64encode(client.send(data))
        except (StopIteration, base64.InvalidBase64):
            response = b"*"
        return await self._ask(response + b"\r\n", alone=True)

    async def xclient(self, attributes: Mapping[str, str | None]) -> Reply:
        """XCLIENT; after a 220 the session begins anew: say hello again."""
        return await self._ask(rendering.xclient(attributes), alone=True)

    async def mail(self, sender: Address, parameters: MailParameters) -> Reply:
        """MAIL with all of these parameters."""
        return await self.answered(self.ask_mail(sender, parameters))

    async def rcpt(self, recipient: Address, parameters: RcptParameters) -> Reply:
        """RCPT with all of these parameters."""
        return await self.answered(self.ask_rcpt(recipient, parameters))

    def ask_mail(self, sender: Address, parameters: MailParameters) -> Answer:
        """As `mail`, for an answer to be `answered` later."""
        return self._begin(rendering.mail(sender, parameters))

    def ask_rcpt(self, recipient: Address, parameters: RcptParameters) -> Answer:
        """As `rcpt`, for an answer to be `answered` later."""
        return self._begin(rendering.rcpt(recipient, parameters))

    def ask_data(self) -> Answer:
        """DATA; `data` with its answer must follow, or `no_data`."""
        self._in_data = True
        return self._begin(b"DATA\r\n", alone=True)

    async def no_data(self, asked: Answer) -> None:
        """There is no message: a server that has refused DATA can go on, another one cannot."""
        if (await self.answered(asked)).code == 354:
            self.abort("There is no message after DATA")
        self._in_data = False

    async def data(
        self, pieces: Iterable[bytes], recipients: int = 1, asked: Answer | None = None
    ) -> tuple[Reply, ...]:
        """DATA and the message, with CRLF line ends; LMTP's replies are one for each recipient.

        If DATA itself is refused, that is everybody's reply.  ``asked``: DATA was sent already.
        """
        wanted = recipients if self.lmtp else 1
        start = await self.answered(asked or self.ask_data())
        if start.success and start.code != 354:
            self.abort("Protocol error: DATA was answered as if a message had come")
            raise SmtpError(f"{self.destination}: DATA was answered {start.code}")
        if start.code != 354:
            self._in_data = False
            return (start,) * wanted
        answers = self._expect(wanted)
        encoder = DataEncoder()
        for piece in pieces:
            await self._send_piece(encoder.feed(piece))
        self.send(encoder.finish())
        replies = await self._all(answers)
        self._in_data = False
        return replies

    async def bdat(
        self, pieces: Iterable[bytes], size: int, recipients: int = 1
    ) -> tuple[Reply, ...]:
        """The message of ``size`` bytes as one chunk, byte by byte as it is."""
        wanted = recipients if self.lmtp else 1
        answers = self._expect(wanted)
        self.send(rendering.line("BDAT", str(size), "LAST"))
        for piece in pieces:
            await self._send_piece(piece)
        return await self._all(answers)

    async def answered(self, answer: Answer) -> Reply:
        """Wait for an answer.  Raises SmtpError."""
        if self.state != OPEN and not answer.done():
            answer.cancel()
            raise SmtpError(self._gone or f"{self.destination}: Connection closed")
        self.expire_in(self._timeout)
        return await answer

    async def command(self, *words: str) -> Reply:
        """Any other command of one line: RSET, VRFY, NOOP, HELP."""
        return await self._ask(rendering.line(*words), alone=True)

    async def quit(self) -> None:
        """Say goodbye if the connection is still there, and return when it is closed."""
        if self.usable:
            try:
                await self.command("QUIT")
            except SmtpError:
                return
        self.finish("Logged out")
        await self.wait_closed()

    # What the connection tells.

    def received(self, data: bytes) -> None:
        """Give the replies to those that wait for them."""
        try:
            replies = self._wire.receive(data)
        except BadReply as error:
            self.abort(f"Protocol error: {error}")
            return
        for answer, reply in replies:
            if not answer.done():
                answer.set_result(reply)
        self._go_on()

    def expired(self) -> None:
        """Nothing came for too long: an answer, or something to do."""
        if self._wire.idle:
            self.send(b"QUIT\r\n")
            self.finish("Disconnected for inactivity")
        else:
            self.abort(f"No answer in {self._timeout:g} s")

    def closed(self, reason: str) -> None:
        """No answer will come any more."""
        farewell = self._wire.farewell
        if farewell is not None:
            reason = f"{farewell.code} {farewell.text}"
        self._gone = f"{self.destination}: {reason}"
        for answer in self._wire.waiting():
            if not answer.done():
                answer.set_exception(SmtpError(self._gone))
                answer.exception()  # whoever is sending a message looks at it only later

    # Inside.

    async def _ask(self, line: bytes, *, alone: bool = False) -> Reply:
        return await self.answered(self._begin(line, alone=alone))

    def _begin(self, line: bytes, *, alone: bool = False) -> Answer:
        answer: Answer = self._loop.create_future()
        self._wire.command(line, answer, alone=alone)
        self._go_on()
        return answer

    def _expect(self, count: int) -> list[Answer]:
        """The replies to a message, which may come before all of it is sent."""
        answers: list[Answer] = [self._loop.create_future() for _ in range(count)]
        for answer in answers:
            self._wire.expect(answer)
        return answers

    async def _all(self, answers: list[Answer]) -> tuple[Reply, ...]:
        """The answers to a message; whoever wants more of it then has not taken it."""
        replies = tuple([await self.answered(answer) for answer in answers])
        for reply in replies:
            if reply.success and reply.code >= 300:
                self.abort("Protocol error: a message was answered as if it had no end")
                raise SmtpError(f"{self.destination}: a message was answered {reply.code}")
        return replies

    def _go_on(self) -> None:
        """Send what may be sent; wait for answers, if there are any, no longer than allowed."""
        line = self._wire.to_send()
        if line:
            self.send(line)
        self.expire_in(None if self._wire.idle else self._timeout)

    async def _send_piece(self, piece: bytes) -> None:
        """A small one, the last or only one, leaves with what follows it."""
        self.send(piece)
        if len(piece) >= SLICE:
            self.flush()
        if not self.writable:
            self.expire_in(self._timeout)
            await self.drained()


def _last_word(client: Client) -> None:
    """The server says that all is well: what it owed the mechanism must have come by now.

    Raises ServerNotTrusted.
    """
    try:
        client.send(b"")
    except StopIteration:
        return
