"""The client's side of an SMTP or LMTP conversation, without any I/O (RFC 5321, 2033, 2920).

Commands go in by `command`, each with a key of the caller's; `to_send` gives what may go out now,
and `receive` which replies came, with the keys of their commands.  While the server has not
announced PIPELINING one command is sent at a time.  With it, commands go out together, but nothing
behind one that is ``alone``: its answer decides what follows (EHLO, DATA, AUTH, STARTTLS, QUIT).

Replies that no command asked for (the greeting, those to a message) are announced by `expect`.  One
that nobody expects is the server's farewell if its code is 421, and a broken server otherwise.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from pillarbox.wire.smtp.capabilities import Capabilities
from pillarbox.wire.smtp.reply import Reply
from pillarbox.wire.smtp.reply_reader import BadReply, ReplyReader

K = TypeVar("K")


class ClientSession(Generic[K]):
    """One connection's conversation; ``capabilities`` are for the caller to set."""

    __slots__ = ("_alone", "_expected", "_reader", "_unsent", "capabilities", "farewell")

    def __init__(self) -> None:
        self.capabilities = Capabilities()
        self.farewell: Reply | None = None
        self._reader = ReplyReader()
        self._expected: deque[K] = deque()
        self._unsent: deque[tuple[bytes, K, bool]] = deque()
        self._alone = False  # the last command sent lets none follow

    @property
    def idle(self) -> bool:
        """Whether no reply is outstanding."""
        return not self._expected and not self._unsent

    def command(self, line: bytes, key: K, *, alone: bool = False) -> None:
        """Queue a command line, with its CRLF."""
        self._unsent.append((line, key, alone))

    def expect(self, key: K) -> None:
        """One more reply will come without a command."""
        self._expected.append(key)

    def to_send(self) -> bytes:
        """What may go out now."""
        pipelining = "PIPELINING" in self.capabilities
        out = []
        while self._unsent:
            if self._expected and (self._alone or not pipelining):
                break
            line, key, self._alone = self._unsent.popleft()
            self._expected.append(key)
            out.append(line)
        return b"".join(out)

    def receive(self, data: bytes) -> list[tuple[K, Reply]]:
        """Take bytes from the server: the replies they complete.  Raises BadReply."""
        self._reader.feed(data)
        replies = []
        while (reply := self._reader.next()) is not None:
            if self._expected:
                replies.append((self._expected.popleft(), reply))
            elif reply.code == 421:
                self.farewell = reply
            else:
                raise BadReply("a reply that nothing asked for")
        return replies

    def start_tls(self) -> None:
        """TLS begins: what the server said in clear is forgotten.

        Raises BadReply if it has sent more than the answer to STARTTLS: that would be taken for
        something said under TLS.
        """
        if not self._reader.idle:
            raise BadReply("data in clear after STARTTLS")
        self.capabilities = Capabilities()

    def waiting(self) -> list[K]:
        """The keys of all commands without an answer, which will not come any more."""
        keys = [*self._expected, *(key for _, key, _ in self._unsent)]
        self._expected.clear()
        self._unsent.clear()
        return keys
