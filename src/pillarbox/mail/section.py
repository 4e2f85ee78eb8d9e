"""BODY[<section>]: the octets that a FETCH section specification means (RFC 3501 section 6.4.5).

``section(data, root, (1, 2), "MIME")`` is BODY[1.2.MIME].  HEADER, TEXT and HEADER.FIELDS with
part numbers speak of the message inside a message/rfc822 part, and mean nothing for others.  A
section that does not exist is None, which FETCH sends as an empty literal.  Whole ranges are
views into the message; only selected header fields are copied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from pillarbox.mail.buffer import Buffer
from pillarbox.mail.headers import select_fields
from pillarbox.mail.mime import Part, find

What = Literal["HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"]


def section(
    data: Buffer,
    part: Part,
    path: Sequence[int],
    what: What | None,
    names: Collection[bytes] = (),
) -> memoryview | bytes | None:
    """The octets of a section of the message ``part``; ``names`` are upper-cased field names."""
    view = memoryview(data)
    if not path:
        if what is None:
            return view[part.start : part.end]
        return None if what == "MIME" else _of_message(data, view, part, what, names)
    found = find(part, path)
    if found is None:
        return None
    if what is None:
        return view[found.body_start : found.end]
    if what == "MIME":
        return view[found.start : found.body_start]
    if not (found.is_message and found.parts):
        return None
    return _of_message(data, view, found.parts[0], what, names)


def _of_message(
    data: Buffer, view: memoryview, message: Part, what: What, names: Collection[bytes]
) -> memoryview | bytes:
    if what == "HEADER":
        return view[message.start : message.body_start]
    if what == "TEXT":
        return view[message.body_start : message.end]
    return select_fields(data, message.header, names, invert=what == "HEADER.FIELDS.NOT")
