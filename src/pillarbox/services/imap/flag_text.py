r"""Flags as text, for thousands of messages at once.

The few combinations of flags and keywords that a mailbox has are rendered once each: `FlagTable`
is a dict that fills itself, keyed by one number per combination (the five system flags, a bit
for ``\Recent``, then the keyword bits), which NumPy makes for a whole column at a time.

Also here: what a client may set (`split_flags`), with the limits on keywords.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from pillarbox.mailstore import flags as bits
from pillarbox.mailstore.index.records import Records
from pillarbox.wire.imap.response import Bad, No

_RECENT: Final = 32
_SHIFT: Final = 6
_PACKABLE: Final = 1 << (64 - _SHIFT)

SYSTEM_FLAGS: Final = rb"\Answered \Flagged \Deleted \Seen \Draft"


class FlagTable(dict[int, bytes]):
    """From a combination's number to its text, without parentheses."""

    def __init__(self, keywords: list[bytes]) -> None:
        super().__init__()
        self.keywords = keywords

    def __missing__(self, key: int) -> bytes:
        names = bits.flag_names(key & bits.ALL)
        if key & _RECENT:
            names.append(b"\\Recent")
        names += bits.flag_names(0, key >> _SHIFT, self.keywords)
        text = self[key] = b" ".join(names)
        return text

    def render(self, records: Records, recent: npt.NDArray[np.bool_]) -> list[bytes]:
        r"""The text for each record; ``recent`` says which are \Recent."""
        keywords = records["keywords"]
        if len(keywords) and int(keywords.max()) >= _PACKABLE:
            return self._render_slowly(records, recent)
        keys = (keywords << np.uint64(_SHIFT)) | records["flags"]
        if recent.any():
            keys = keys | (recent.astype(np.uint64) << np.uint64(5))
        return list(map(self.__getitem__, keys.tolist()))

    def of_all(self, records: Records, recent: npt.NDArray[np.bool_]) -> bytes | None:
        """The text that all these records have in common, if they do; there is at least one."""
        flags, keywords = records["flags"], records["keywords"]
        if (flags != flags[0]).any() or (keywords != keywords[0]).any():
            return None
        new = bool(recent[0])
        if not (recent.all() if new else not recent.any()):
            return None
        return self[int(flags[0]) | int(keywords[0]) << _SHIFT | (_RECENT if new else 0)]

    def _render_slowly(self, records: Records, recent: npt.NDArray[np.bool_]) -> list[bytes]:
        rows = zip(
            records["flags"].tolist(),
            records["keywords"].tolist(),
            recent.tolist(),
            strict=True,
        )
        return [
            self[flags | keywords << _SHIFT | (_RECENT if new else 0)]
            for flags, keywords, new in rows
        ]


def split_flags(flags: Iterable[bytes], longest_keyword: int) -> tuple[int, list[bytes]]:
    r"""The system flags as bits, and the keywords.

    ``\Recent``, which cannot be set, and unknown system flags are BAD, a keyword that is too
    long is NO.
    """
    system = 0
    keywords: list[bytes] = []
    for flag in flags:
        if not flag.startswith(b"\\"):
            if len(flag) > longest_keyword:
                raise No(f"Keyword is longer than {longest_keyword} bytes", b"LIMIT")
            if flag not in keywords:
                keywords.append(flag)
        elif flag.lower() in bits.FLAG_BITS:
            system |= bits.FLAG_BITS[flag.lower()]
        else:
            raise Bad(f"Invalid system flag {flag.decode('ascii')}")
    return system, keywords
