"""The message that a script looks at and may change (headers: RFC 5293).

The header is a list of `HeaderField` values which share the octets of the message; the MIME tree
is read when first wanted.  A change makes a new *version*: actions remember the version they
were made for, and `Snapshot.render` builds its octets only if somebody wants them.  Version 0 is
the message as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pillarbox.mail import mime
from pillarbox.mail.charsets import decode_words
from pillarbox.mail.headers import split_header, unfold
from pillarbox.sieve.addresses import field_addresses, is_unreadable


class HeaderField:
    """One field: upper-case name, its lines as they stand, and its value as text."""

    __slots__ = ("_addresses", "_folded", "_text", "line", "name", "value_at")

    def __init__(self, name: str, line: bytes, value_at: int, text: str | None = None) -> None:
        self.name = name
        self.line = line
        self.value_at = value_at
        self._text = text
        self._addresses: list[tuple[str | None, str | None]] | None = None
        self._folded: tuple[Callable[[str], Any], Any] | None = None

    @property
    def raw(self) -> bytes:
        """The unfolded value without blanks around it, encoded words as they are."""
        return unfold(self.line[self.value_at :])

    @property
    def text(self) -> str:
        """The value with encoded words decoded (RFC 5228 section 2.7.2)."""
        if self._text is None:
            self._text = decode_words(self.raw)
        return self._text

    def folded(self, fold: Callable[[str], Any]) -> Any:
        """The text folded by a comparator; the last folding is remembered."""
        known = self._folded
        if known is None or known[0] is not fold:
            known = self._folded = (fold, fold(self.text))
        return known[1]

    @property
    def addresses(self) -> list[tuple[str | None, str | None]]:
        """Local parts and domains of the addresses in the value."""
        if self._addresses is None:
            self._addresses = field_addresses(self.raw)
        return self._addresses

    @property
    def unreadable(self) -> str:
        """The text where there is one but no address in it, as in ``From: root``; else ""."""
        return "" if self.addresses or not is_unreadable(self.raw) else self.text

    def with_text(self, text: str) -> HeaderField:
        """This field with another text to be looked at (for tags that look at a part of it)."""
        raw = text.encode("utf-8", "surrogateescape")
        return HeaderField(self.name, raw, 0, text)


class Snapshot(NamedTuple):
    """A version of a message, to be rendered when wanted."""

    fields: tuple[HeaderField, ...]
    data: bytes
    header_size: int
    edited: bool

    def render(self) -> bytes:
        """The octets of this version."""
        if not self.edited:
            return self.data
        lines = [field.line for field in self.fields]
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\r\n"
        rest = self.data[self.header_size :]
        return b"".join(lines) + (rest if rest.startswith((b"\r\n", b"\n")) else b"\r\n" + rest)


class Message:
    """The message of one run."""

    def __init__(self, data: bytes) -> None:
        self.version = 0
        self.replace(data)
        self.version = 0

    def replace(self, data: bytes) -> None:
        """Make these octets the message."""
        block = split_header(data)
        self.data = data
        self.edited = False
        self._part: mime.Part | None = None
        self.header_size = block.fields[-1][3] if block.fields else 0
        self.all_fields = [
            HeaderField(name.decode("ascii", "replace"), data[start:end], value - start)
            for name, start, value, end in block.fields
        ]
        self._index()
        self.version += 1

    def _index(self) -> None:
        self.by_name: dict[str, list[HeaderField]] = {}
        for item in self.all_fields:
            self.by_name.setdefault(item.name, []).append(item)

    def fields(self, name: str) -> list[HeaderField]:
        """The fields of that name (any case), in their order; the list must not be changed."""
        return self.by_name.get(name.upper(), [])

    def set_fields(self, fields: list[HeaderField]) -> None:
        """Make these the fields of the header: a new version."""
        self.all_fields = fields
        self.edited = True
        self.version += 1
        self._index()

    @property
    def part(self) -> mime.Part:
        """The MIME tree of the message; offsets are into ``data``, which knows no edits."""
        if self._part is None:
            self._part = mime.parse(self.data)
        return self._part

    @property
    def size(self) -> int:
        """Octets of this version."""
        if not self.edited:
            return len(self.data)
        return len(self.snapshot().render())

    def snapshot(self) -> Snapshot:
        """This version, safe from later changes."""
        return Snapshot(tuple(self.all_fields), self.data, self.header_size, self.edited)
