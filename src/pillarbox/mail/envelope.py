"""ENVELOPE: ten facts about a message, as the bytes IMAP sends (RFC 3501 section 7.4.2).

Built once when a message is first asked for, kept in the cache as it is, and sent by slicing.
Sender and Reply-To default to From.  Fields that occur more than once: all addresses count, of
other fields the first.  Values are unfolded; encoded words stay encoded, 8-bit ones are literals.
"""

from __future__ import annotations

from typing import Final

from pillarbox.mail.addresses import Address, parse_addresses
from pillarbox.mail.buffer import Buffer, as_bytes
from pillarbox.mail.headers import HeaderBlock, unfold
from pillarbox.mail.nstring import nstring

_SLOTS: Final = {
    b"DATE": 0,
    b"SUBJECT": 1,
    b"FROM": 2,
    b"SENDER": 3,
    b"REPLY-TO": 4,
    b"TO": 5,
    b"CC": 6,
    b"BCC": 7,
    b"IN-REPLY-TO": 8,
    b"MESSAGE-ID": 9,
}
_ADDRESSES: Final = range(2, 8)
MAX_VALUE: Final = 64 * 1024


def envelope(data: Buffer, block: HeaderBlock) -> bytes:
    """The parenthesised ENVELOPE of the message with this header."""
    raw = as_bytes(data)
    values: list[bytes | None] = [None] * 10
    for name, _, start, end in block.fields:
        slot = _SLOTS.get(name)
        if slot is None:
            continue
        value = unfold(raw[start : min(end, start + MAX_VALUE)])
        earlier = values[slot]
        if earlier is None:
            values[slot] = value
        elif slot in _ADDRESSES and len(earlier) < MAX_VALUE:
            values[slot] = earlier + b", " + value
    sender, reply_to, to, cc, bcc = [_addresses(value) for value in values[3:8]]
    author = _addresses(values[2])
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(values[0]),
        nstring(values[1]),
        author,
        author if sender == b"NIL" else sender,
        author if reply_to == b"NIL" else reply_to,
        to,
        cc,
        bcc,
        nstring(values[8]),
        nstring(values[9]),
    )


def _addresses(value: bytes | None) -> bytes:
    """A list of address structures, or NIL."""
    if not value:
        return b"NIL"
    found = parse_addresses(value)
    return b"(%b)" % b"".join([_address(address) for address in found]) if found else b"NIL"


def _address(address: Address) -> bytes:
    name, route, mailbox, host = address
    return b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(mailbox), nstring(host))
