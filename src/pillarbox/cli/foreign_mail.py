"""A message on its way in from, or out to, somebody else's mail store."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

_LINE_END: Final = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class ForeignMail:
    r"""One message: CRLF line ends, system flags as bits, ``date`` in seconds since 1970 or None.

    ``at`` is how far into the source it is, in bytes, for a progress bar.
    """

    data: bytes
    flags: int = 0
    keywords: tuple[bytes, ...] = ()
    date: int | None = None
    at: int = 0


def with_crlf(data: bytes) -> bytes:
    """Every line end as CRLF; a bare CR stays what it is."""
    return _LINE_END.sub(b"\r\n", data)


def with_lf(data: bytes) -> bytes:
    """Every CRLF as LF."""
    return data.replace(b"\r\n", b"\n")


class Identities:
    """GUIDs that follow from the content, so that an import can be repeated without doubles.

    The n-th message with the same bytes and date always gets the same GUID of 16 bytes.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def guid(self, mail: ForeignMail) -> bytes:
        """The GUID of the next message of this source."""
        digest = hashlib.blake2b(b"%d " % (mail.date or 0), digest_size=16)
        digest.update(mail.data)
        first = digest.digest()
        count = self._seen.get(first, 0)
        self._seen[first] = count + 1
        if not count:
            return first
        digest.update(b" %d" % count)
        return digest.digest()
