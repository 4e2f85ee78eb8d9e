"""Header fields that the cache keeps apart, back in the order of their message.

The cache has the lines of each field by its name, so that any selection of names can be answered;
BODY[HEADER.FIELDS (...)] gives them as they follow one another in the message (RFC 3501 section
6.4.5 calls it a subset of the header).  The cached list of all field names says how they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pillarbox.mail.headers import split_header


def in_order(names: Sequence[bytes], lines: Sequence[bytes], order: bytes) -> bytes:
    """The lines of the fields with these lower-cased names, sorted by ``order``.

    ``order`` has the names of all fields of the message, with blanks between them.  Lines that it
    does not account for come last.
    """
    present = {name: text for name, text in zip(names, lines, strict=True) if text}
    if len(present) < 2:
        return b"".join(present.values())
    wanted = [name for name in order.split(b" ") if name in present]
    if len(wanted) == len(present) == len(set(wanted)):
        return b"".join([present[name] for name in wanted])
    fields = {name: _apart(text) for name, text in present.items()}
    sorted_lines = [next(fields[name], b"") for name in wanted]
    return b"".join(sorted_lines) + b"".join(rest for one in fields.values() for rest in one)


def _apart(lines: bytes) -> Iterator[bytes]:
    """Several fields of one name, one by one."""
    return iter([lines[start:end] for _, start, _, end in split_header(lines).fields])
