"""A message on its way into mailboxes, received once for all its recipients.

Pieces come in as the client sent them; line ends are made CRLF on the way, so that what is stored
has the size that IMAP tells (a bare CR stays).  Its header is parsed once, when the first
recipient asks for `facts`, however many there are.

The one trick: a piece whose LFs are as many as its CRLFs needs no repair, and counting both is
the work of memchr.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pillarbox.delivery.spool import Buffer, Spool
from pillarbox.mail.addresses import parse_addresses
from pillarbox.mail.charsets import decode_words
from pillarbox.mail.headers import first_value, split_header

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_HEADER_SLICE: Final = 64 * 1024
_MAX_ID: Final = 200
_MAX_SUBJECT: Final = 80


class Facts(NamedTuple):
    """What the header says, as logs and events want it; ``hops`` counts Received fields.

    ``header_size`` in bytes with the empty line; None for fields that are not there.
    """

    message_id: str | None
    subject: str | None
    sender: str | None
    header_size: int
    hops: int


class IncomingMessage:
    """One message.

    ``received`` is the number of bytes taken from the client, ``size`` that with CRLF line ends.
    Raises OSError where the message cannot be kept.
    """

    __slots__ = ("_after_cr", "_binary", "_facts", "_spool", "received")

    def __init__(self, memory_limit: int, temp_dir: str = "", *, binary: bool = False) -> None:
        """``binary``: line ends stay as they are (BODY=BINARYMIME)."""
        self._binary = binary
        self._spool = Spool(memory_limit, temp_dir)
        self._after_cr = False
        self._facts: Facts | None = None
        self.received = 0

    @property
    def size(self) -> int:
        """Bytes with CRLF line ends."""
        return self._spool.size

    @property
    def spool(self) -> Spool:
        """Where its bytes are."""
        return self._spool

    def write(self, piece: bytes) -> None:
        """Add what came next."""
        if not piece:
            return
        self.received += len(piece)
        self._spool.write(piece if self._binary else self._with_crlf(piece))

    def facts(self) -> Facts:
        """What its header says; parsed at the first call, which comes after the last `write`."""
        if self._facts is None:
            self._facts = _facts(self._spool)
        return self._facts

    def with_prefix(self, prefix: bytes) -> Buffer:
        """The message behind these header lines (see `Spool.with_prefix` for its lock)."""
        return self._spool.with_prefix(prefix)

    def close(self) -> None:
        """Forget it."""
        self._spool.close()

    def _with_crlf(self, piece: bytes) -> bytes:
        after_cr, self._after_cr = self._after_cr, piece.endswith(b"\r")
        whole = after_cr and piece.startswith(b"\n")
        if piece.count(b"\n") == piece.count(b"\r\n") + whole:
            return piece
        if whole:
            return b"\n" + _BARE_LF.sub(b"\r\n", piece[1:])
        return _BARE_LF.sub(b"\r\n", piece)


def _facts(spool: Spool) -> Facts:
    head = spool.head(_HEADER_SLICE)
    if b"\r\n\r\n" not in head and spool.size > len(head):
        head = spool.head(spool.size)
    block = split_header(head)
    message_id = first_value(head, block, b"MESSAGE-ID")
    subject = first_value(head, block, b"SUBJECT")
    sender = first_value(head, block, b"FROM")
    return Facts(
        None if message_id is None else _cut(message_id.decode("utf-8", "replace"), _MAX_ID),
        None if subject is None else _cut(decode_words(subject), _MAX_SUBJECT),
        None if sender is None else _first_address(sender),
        block.body_start,
        sum(field[0] == b"RECEIVED" for field in block.fields),
    )


def _first_address(value: bytes) -> str | None:
    for address in parse_addresses(value):
        if address.mailbox is not None and address.host is not None:
            return (address.mailbox + b"@" + address.host).decode("utf-8", "replace")
    return None


def _cut(text: str, size: int) -> str:
    """The text cut to ``size`` bytes of UTF-8, at a character."""
    octets = text.encode("utf-8", "replace")
    return text if len(octets) <= size else octets[:size].decode("utf-8", "ignore")
