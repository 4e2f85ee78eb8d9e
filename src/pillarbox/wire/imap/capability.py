"""What the server says it can do (RFC 3501 sections 6.1.1 and 7.2.1), before and after login.

`announce` applies the changes of the setting imap_capability: ``+NAME`` adds, ``-NAME`` takes
away; IMAP4rev1 cannot be taken away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

BEFORE_LOGIN: Final = ("IMAP4rev1", "SASL-IR", "LITERAL+", "ID", "ENABLE", "IDLE")

AFTER_LOGIN: Final = (
    *BEFORE_LOGIN,
    "NAMESPACE",
    "CHILDREN",
    "UNSELECT",
    "UIDPLUS",
    "MULTIAPPEND",
    "MOVE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "CONDSTORE",
    "QRESYNC",
    "COMPRESS=DEFLATE",
    "FILTER=SIEVE",
)


def announce(capabilities: Iterable[str], changes: Iterable[str] = ()) -> bytes:
    """The capabilities as they are sent, after the changes, without ``CAPABILITY`` itself."""
    names = list(capabilities)
    for change in changes:
        name = change.lstrip("+-")
        if change.startswith("-"):
            names = [n for n in names if n.upper() != name.upper() or n == "IMAP4rev1"]
        elif name and name not in names:
            names.append(name)
    return " ".join(names).encode("ascii", "ignore")
