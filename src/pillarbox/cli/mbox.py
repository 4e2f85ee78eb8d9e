"""mbox files: read whoever wrote them, write mboxrd.

A message begins at a line ``From sender date`` that stands at the beginning or after an empty line
(RFC 4155).  Lines of the body that look like it carry a ``>``: one is taken off when reading, as
mboxrd has it, which is also right for most of what mboxo writes.  Flags are in Status, X-Status
and X-Keywords fields, which are not part of the message and are taken out.

The file is read through mmap, message by message, so its size does not matter.
"""

from __future__ import annotations

import calendar
import mmap
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from pillarbox.cli.foreign_mail import ForeignMail, with_crlf, with_lf
from pillarbox.mail.dates import parse_date
from pillarbox.mail.headers import first_value, header_values, split_header
from pillarbox.mailstore import flags as fl

_FROM: Final = re.compile(
    rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))"
    rb"From [^\r\n]*\d{1,2}:\d\d(?::\d\d)?[^\r\n]* \d{4}[^\r\n]*\r?\n"
)
_DATE: Final = re.compile(
    rb"([A-Z][a-z]{2}) +(\d{1,2}) +(\d{1,2}):(\d\d)(?::(\d\d))?(?: +[A-Z]{1,5})?(?: +([+-]\d{4}))?"
    rb" +(\d{4})(?: +([+-]\d{4}))?"
)
_MONTHS: Final = {
    m: i
    for i, m in enumerate(
        b"JanFebMarAprMayJunJulAugSepOctNovDec"[i * 3 : i * 3 + 3] for i in range(12)
    )
}
_QUOTED: Final = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE: Final = re.compile(rb"^(>*From )", re.MULTILINE)
_OURS: Final = frozenset(
    {b"STATUS", b"X-STATUS", b"X-KEYWORDS", b"X-UID", b"X-IMAP", b"X-IMAPBASE"}
)
_STATUS: Final = {b"R": fl.SEEN}
_X_STATUS: Final = {b"A": fl.ANSWERED, b"F": fl.FLAGGED, b"D": fl.DELETED, b"T": fl.DRAFT}


def read_mbox(path: Path) -> Iterator[ForeignMail]:
    """Every message of the file.  Raises OSError, and ValueError if it is no mbox."""
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = _FROM.match(data)
        if found is None:
            raise ValueError(f"{path} is no mbox file: it does not begin with a From line")
        while found is not None:
            following = _FROM.search(data, found.end())
            end = following.start() if following else len(data)
            mail = _message(found[0], data[found.end() : end], end)
            if mail is not None:
                yield mail
            found = following


def _message(line: bytes, raw: bytes, at: int) -> ForeignMail | None:
    """One message of the file; None for the one in which some programs keep their own notes."""
    data = with_crlf(raw)
    if data.endswith(b"\r\n\r\n") and (b"\r\n\r\n" in data[:-2] or data[:2] == b"\r\n"):
        data = data[:-2]  # the empty line before the next From line
    data = _QUOTED.sub(rb"\1", data)
    header = split_header(data)
    names = {field[0] for field in header.fields}
    subject = first_value(data, header, b"SUBJECT") or b""
    if b"X-IMAP" in names and b"INTERNAL DATA" in subject:
        return None
    flags = 0
    for letters, table in ((b"STATUS", _STATUS), (b"X-STATUS", _X_STATUS)):
        for value in header_values(data, header, letters):
            flags |= sum(bit for letter, bit in table.items() if letter in value)
    keywords = [k for v in header_values(data, header, b"X-KEYWORDS") for k in v.split()]
    date = _from_date(line)
    if date is None and (written := first_value(data, header, b"DATE")):
        parsed = parse_date(written)
        date = parsed[0] if parsed else None
    for name, start, _, end in reversed(header.fields):
        if name in _OURS:
            data = data[:start] + data[end:]
    return ForeignMail(data, flags, tuple(dict.fromkeys(keywords)), date, at)


def _from_date(line: bytes) -> int | None:
    """The time of a From line, which is in UTC unless it says a zone."""
    found = _DATE.search(line)
    if found is None or found[1] not in _MONTHS:
        return None
    day, hour, minute, second = (int(found[i] or 0) for i in (2, 3, 4, 5))
    fields = (int(found[7]), _MONTHS[found[1]] + 1, day, hour, minute, second)
    zone = found[6] or found[8] or b"+0000"
    offset = (int(zone[1:3]) * 60 + int(zone[3:5])) * (60 if zone[:1] == b"+" else -60)
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    return calendar.timegm(fields) - offset


def write_mbox(file: BinaryIO, mail: ForeignMail) -> None:
    """Append one message, quoted as mboxrd, with its flags in the header."""
    stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(mail.date or 0))
    status = b"RO" if mail.flags & fl.SEEN else b"O"
    marks = b"".join(letter for letter, bit in _X_STATUS.items() if mail.flags & bit)
    lines = [b"Status: " + status]
    lines += [b"X-Status: " + marks] if marks else []
    lines += [b"X-Keywords: " + b" ".join(mail.keywords)] if mail.keywords else []
    header = split_header(mail.data)
    body = with_lf(mail.data)
    first = b"".join(line + b"\n" for line in lines)
    text = _TO_QUOTE.sub(rb">\1", body if header.fields or body.startswith(b"\n") else b"\n" + body)
    file.write(b"From MAILER-DAEMON " + stamp.encode() + b"\n" + first + text)
    file.write(b"\n" if text.endswith(b"\n") else b"\n\n")
