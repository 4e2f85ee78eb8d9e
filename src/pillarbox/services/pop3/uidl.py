"""Unique ids of messages (RFC 1939 section 7): 1 to 70 printable ASCII characters each.

`own` makes them of pop3_uidl_format.  Where the format is made of ``uid`` and ``uidvalidity``
alone, in decimal or as ``hex(n)``, it becomes one printf-like template, which is some fifty times
faster than expanding variables message by message; 100,000 messages must not keep others waiting.

`chosen` brings in what X-UIDL header fields say (pop3_reuse_xuidl), and `without_duplicates` is
pop3_uidl_duplicates = rename.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pillarbox.mailstore.index.records import Records, guid_bytes
from pillarbox.settings.variables import Expression, VariableError, expand, parse

_VALID: Final = re.compile(rb"[\x21-\x7e]{1,70}")


class BadFormat(Exception):
    """pop3_uidl_format gives what cannot be a unique id; the text is for the log."""


def own(template: str, uidvalidity: int, records: Records) -> list[bytes]:
    """One unique id for each record.  Raises BadFormat."""
    try:
        compiled = _compiled(template, uidvalidity)
        if compiled is not None:
            found = [compiled % uid for uid in records["uid"].tolist()]
        else:
            found = [
                expand(
                    template,
                    {"uid": str(uid), "uidvalidity": str(uidvalidity), "guid": guid.hex()},
                ).encode("utf-8")
                for uid, guid in zip(records["uid"].tolist(), guid_bytes(records["guid"]))
            ]
    except VariableError as error:
        raise BadFormat(str(error)) from None
    # The templates differ in nothing but numbers of bounded length: the longest speaks for all.
    for sample in found if compiled is None else found[:1] + found[-1:]:
        if not valid(sample):
            raise BadFormat(f"{sample!r} cannot be a unique id (RFC 1939 section 7)")
    return found


def valid(uidl: bytes) -> bool:
    """Whether this can be a unique id."""
    return _VALID.fullmatch(uidl) is not None


def chosen(own_uidls: Sequence[bytes], headers: Sequence[bytes]) -> list[bytes]:
    """The X-UIDL field of each message where it has a valid one, else its own unique id.

    ``headers`` are the raw lines of that field, empty for none.
    """
    found = []
    for uidl, lines in zip(own_uidls, headers):
        value = lines.partition(b":")[2].partition(b"\n")[0].strip()
        found.append(value if value and valid(value) else uidl)
    return found


def without_duplicates(uidls: Sequence[bytes]) -> list[bytes]:
    """Later ones of the same kind get ``-2``, ``-3`` and so on, so that all differ."""
    taken = set(uidls)
    seen: set[bytes] = set()
    counts: dict[bytes, int] = {}
    found = []
    for uidl in uidls:
        name = uidl
        if uidl in seen:
            number = counts.get(uidl, 1)
            while name in taken:
                number += 1
                ending = b"-%d" % number
                name = uidl[: 70 - len(ending)] + ending
            counts[uidl] = number
            taken.add(name)
        seen.add(uidl)
        found.append(name)
    return found


def _compiled(template: str, uidvalidity: int) -> bytes | None:
    """A template for ``% uid``, or None if the format is not so simple.  Raises VariableError."""
    text = b""
    times = 0
    for part in parse(template):
        if isinstance(part, str):
            text += part.encode("utf-8").replace(b"%", b"%%")
            continue
        conversion = _conversion(part)
        if conversion is None:
            return None
        if part.variable == "uid":
            times += 1
            text += conversion
        else:
            text += conversion % uidvalidity
    return text if times == 1 else None


def _conversion(part: Expression) -> bytes | None:
    """The printf conversion of ``uid`` or ``uidvalidity``."""
    if part.variable not in ("uid", "uidvalidity"):
        return None
    if not part.steps:
        return b"%d"
    step = part.steps[0]
    width = step.positional[0] if len(step.positional) == 1 else None
    plain = len(part.steps) == 1 and step.name == "hex" and not step.named
    # Below eight digits hex(n) may have to cut a number, which printf never does.
    if not plain or not isinstance(width, int) or width < 8:
        return None
    return b"%%0%dx" % width
