"""BODY[...] of one message: sections cut out of its bytes (RFC 3501 section 6.4.5).

The header is found without parsing the MIME structure or copying the body, and the structure is
parsed at most once per message, only when a part number asks for it.  A section that does not
exist is empty.
"""

from __future__ import annotations

from typing import Final

from pillarbox.mail import mime
from pillarbox.mail.headers import HeaderBlock, select_fields, split_header
from pillarbox.mail.section import section as cut
from pillarbox.wire.imap.fetch import BodySection

Item = tuple[bytes, memoryview | bytes]

_USUAL_HEADER: Final = 32 * 1024


class Message:
    """A message that was read for a FETCH."""

    __slots__ = ("_header", "_limits", "_part", "data")

    def __init__(self, data: memoryview, limits: mime.Limits = mime.DEFAULT) -> None:
        self.data = data
        self._limits = limits
        self._header: tuple[bytes, HeaderBlock] | None = None
        self._part: mime.Part | None = None

    @property
    def header(self) -> tuple[bytes, HeaderBlock]:
        """Octets that hold the header, and where its fields and its end are."""
        if self._header is None:
            raw = bytes(self.data[:_USUAL_HEADER])
            block = split_header(raw)
            if block.body_start == len(raw) < len(self.data):
                raw = bytes(self.data)
                block = split_header(raw)
            self._header = raw, block
        return self._header

    @property
    def part(self) -> mime.Part:
        """The MIME structure."""
        if self._part is None:
            self._part = mime.parse(self.data, self._limits)
        return self._part

    def item(self, section: BodySection) -> Item:
        """One item: label and size, and the octets, not copied where that can be."""
        octets = self._octets(section) or b""
        if section.partial is not None:
            first, count = section.partial
            octets = octets[first : first + count]
        return b"%b {%d}\r\n" % (section.label, len(octets)), octets

    def _octets(self, section: BodySection) -> memoryview | bytes | None:
        if section.path:
            return cut(self.data, self.part, section.path, section.what, section.names)
        if section.what is None:
            return self.data
        if section.what == "HEADER":
            return self.data[: self.header[1].body_start]
        if section.what == "TEXT":
            return self.data[self.header[1].body_start :]
        invert = section.what == "HEADER.FIELDS.NOT"
        return select_fields(*self.header, section.names, invert=invert)
