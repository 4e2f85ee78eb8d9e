"""What is known of one message without its text, by field name, and how new mail brings it along.

`metadata` makes the values that `fields` serves: ``imap.envelope``, ``imap.bodystructure``,
``imap.body``, ``imap.header_order``, ``hdr.<name>``, ``date.sent`` (see there for what they are).
The header alone is parsed where that is enough, without copying a long body.

`remember` gives the cache the fields of mails that are just being saved, `carry` those of mails
that are copied, both only for fields that the target mailbox caches anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.mail.bodystructure import bodystructure
from pillarbox.mail.buffer import Buffer, as_bytes
from pillarbox.mail.dates import parse_date
from pillarbox.mail.envelope import envelope
from pillarbox.mail.headers import HeaderBlock, field_lines, first_value, split_header
from pillarbox.mail.mime import DEFAULT, Limits, Part, parse
from pillarbox.mailstore.cache.cache import MailCache
from pillarbox.mailstore.index.records import Uids
from pillarbox.settings.model import Settings

_USUAL_HEADER: Final = 32 * 1024


class Metadata:
    """What can be known of one message, each found when it is first asked for."""

    __slots__ = ("_header", "_limits", "_raw", "_tree", "data")

    def __init__(self, data: Buffer, limits: Limits = DEFAULT) -> None:
        self.data = data
        self._limits = limits
        self._raw: bytes | None = None
        self._header: HeaderBlock | None = None
        self._tree: Part | None = None

    @property
    def tree(self) -> Part:
        """The MIME structure."""
        if self._tree is None:
            self._raw = as_bytes(self.data)
            self._tree = parse(self._raw, self._limits)
            self._header = self._tree.header
        return self._tree

    def header(self) -> tuple[bytes, HeaderBlock]:
        """The octets that hold the header, and its fields; a long body is not copied for it."""
        if self._raw is None or self._header is None:
            raw = bytes(self.data[:_USUAL_HEADER])
            block = split_header(raw)
            if block.body_start == len(raw) and len(raw) < len(self.data):
                raw = as_bytes(self.data)
                block = split_header(raw)
            self._raw, self._header = raw, block
        return self._raw, self._header

    def value(self, name: str) -> bytes:
        """A field's value.  Raises KeyError for a name that is none."""
        if name.startswith("hdr."):
            raw, block = self.header()
            return field_lines(raw, block, name[4:].encode("latin-1", "replace"))
        return _MAKERS[name](self)

    def order(self) -> bytes:
        """The lower-cased names of all header fields as they follow one another."""
        _, block = self.header()
        return b" ".join([name for name, *_ in block.fields if name]).lower()

    def sent(self) -> bytes:
        """The Date field as ``unix zone``."""
        raw, block = self.header()
        value = first_value(raw, block, b"DATE")
        parsed = None if value is None else parse_date(value)
        return b"" if parsed is None else b"%d %d" % parsed


_MAKERS: Final[dict[str, Callable[[Metadata], bytes]]] = {
    "imap.bodystructure": lambda mail: bodystructure(mail.data, mail.tree, True),
    "imap.body": lambda mail: bodystructure(mail.data, mail.tree, False),
    "imap.envelope": lambda mail: envelope(*mail.header()),
    "imap.header_order": Metadata.order,
    "date.sent": Metadata.sent,
}


def metadata(data: Buffer, names: Sequence[str], limits: Limits = DEFAULT) -> list[bytes]:
    """The values of these fields for one message.  Raises KeyError for a name that is none."""
    mail = Metadata(data, limits)
    # The tree first, if it is wanted: the header comes with it.
    if any(name in ("imap.bodystructure", "imap.body") for name in names):
        _ = mail.tree
    return [mail.value(name) for name in names]


def limits_of(settings: Settings) -> Limits:
    """How much of a message's structure is believed, by the settings."""
    return Limits(
        settings.mail_max_mime_depth,
        settings.mail_max_mime_parts,
        settings.mail_max_header_fields,
        settings.mail_max_header_value_size,
    )


def remember(
    cache: MailCache,
    scope: Scope,
    uids: Uids,
    messages: Sequence[Buffer],
    limits: Limits = DEFAULT,
) -> None:
    """Cache what is cached of this mailbox's mails for new ones, while they are at hand."""
    names = [name for name in cache.wanted_fields(scope) if is_field(name)]
    if names:
        values = [metadata(message, names, limits) for message in messages]
        for name, column in zip(names, zip(*values)):
            cache.add(scope, name, uids, column, asked=False)


def carry(
    source: MailCache, target: MailCache, scope: Scope, source_uids: Uids, target_uids: Uids
) -> None:
    """Take along, for copied mails, what both mailboxes cache; the UIDs pair up and ascend."""
    for name in target.wanted_fields(scope):
        values = source.lookup(name, source_uids, scope, asked=False)
        have = [number for number, value in enumerate(values) if value is not None]
        if have:
            known = [value for value in values if value is not None]
            target.add(scope, name, target_uids[have], known, asked=False)


def is_field(name: str) -> bool:
    """Whether this module can make the field."""
    return name.startswith("hdr.") or name in _MAKERS
