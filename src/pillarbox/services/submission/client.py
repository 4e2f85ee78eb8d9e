"""One logged-in submission client; how it is paced is `runtime.smtp_server.connection`'s business.

The login process has read EHLO and AUTH already: the answer to AUTH is given here, and MAIL may
follow at once, also for clients such as printers that forget to say EHLO again under TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.events.event import Scope
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.handoff import Handoff
from pillarbox.runtime.smtp_server.connection import SmtpConnection
from pillarbox.runtime.smtp_server.pipeline import Slot
from pillarbox.services.submission import commands, replies
from pillarbox.services.submission.relay import Relay
from pillarbox.services.submission.transaction import Transaction
from pillarbox.services.submission.workarounds import lenient
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.command import Command, CommandLine, parse
from pillarbox.wire.smtp.reply import Reply
from pillarbox.wire.smtp.session import SUBMISSION, BodyEnd, ServerSession, State

if TYPE_CHECKING:
    from pillarbox.services.submission.worker import Worker


class SubmissionClient(SmtpConnection[Transaction]):
    """See the module; ``fields`` are the user's, from the userdb."""

    __slots__ = (
        "_commands",
        "_input",
        "_replies",
        "fields",
        "relay",
        "remote_ip",
        "remote_port",
        "secured_by",
        "user",
        "worker",
    )

    def __init__(self, worker: Worker, scope: Scope, handoff: Handoff, info: UserInfo) -> None:
        session = ServerSession(SUBMISSION, worker.settings.submission_max_line_length)
        super().__init__(worker.ctx, "submission", session, handoff.session)
        session.enter(State.READY)
        self.scope = scope
        self.worker = worker
        self.user = info.user
        self.fields = info.fields
        self.hello = handoff.hello
        self.remote_ip = handoff.remote_ip
        self.remote_port = handoff.remote_port
        self.secured_by = f"{handoff.tls_protocol} {handoff.tls_cipher}" if handoff.tls else None
        self.relay = Relay(self)
        self._input = handoff.input
        self._commands = 0
        self._replies = 0

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.worker.settings

    @property
    def anvil(self) -> AnvilClient:
        """What counts over all processes."""
        return self.worker.admission.anvil

    @property
    def timeout(self) -> float:
        """Seconds that a client may say nothing."""
        return self.settings.submission_idle_timeout

    @property
    def max_bad_commands(self) -> int:
        """Broken commands after which a client is disconnected."""
        return self.settings.submission_max_bad_commands

    @property
    def max_message_size(self) -> int:
        """Bytes of a message."""
        return self.settings.submission_max_mail_size

    def counts(self) -> dict[str, str]:
        """The variables of submission_logout_format."""
        transaction = self.transaction
        return {
            "input": str(self.net_in),
            "output": str(self.net_out),
            "command_count": str(self._commands),
            "reply_count": str(self._replies),
            "session": self.session_id,
            "transaction_id": "" if transaction is None else transaction.id,
        }

    def connected(self) -> None:
        """Answer AUTH, then go on with what came behind it."""
        self.put(replies.LOGGED_IN)
        self.expire_in(self.timeout)
        waiting, self._input = self._input, b""
        if waiting:
            self.received(waiting)

    def put(self, answer: Reply) -> None:
        """Answer, in order."""
        self._replies += 1
        super().put(answer)

    def fill(self, slot: Slot, answer: Reply) -> None:
        """An answer that has its place already."""
        self._replies += 1
        self.pipeline.fill(slot, answer.encode())

    def read(self, line: CommandLine) -> Command:
        """Read a command, as leniently as the settings say.  Raises Refused."""
        return parse(lenient(line, self.settings.submission_client_workarounds))

    def obey(self, command: Command | None, line: CommandLine, scope: Scope | None) -> Reply | None:
        """Carry out a command."""
        self._commands += 1
        return commands.obey(self, command, line, scope)

    def obeyed(self, line: CommandLine, answer: Reply) -> None:
        """QUIT."""
        if line.name == "QUIT" and answer.success:
            self.finish("Logged out")

    def body_end(self, end: BodyEnd) -> None:
        """A message or a chunk is complete."""
        commands.body_end(self, end)

    def closed(self, reason: str) -> None:
        """The client is gone; a message that is complete goes on to the relay."""
        self.worker.session_closed(self, reason)
        super().closed(reason)

    def over(self) -> None:
        """Nothing of this session runs any more."""
        self.relay.drop()
        self.worker.session_over(self)
