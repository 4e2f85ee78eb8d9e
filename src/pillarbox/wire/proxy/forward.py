"""Fields that go along with a session from one server to the next, ``forward_<name>`` in a passdb.

In text they are ``name=value`` words parted by tabs, with the escapes of `wire.auth.tabs`: so the
auth service is told of them, and LMTP's RCPT (XRCPTFORWARD, in xtext).  XCLIENT has them in base64
besides.  Some servers send RCPT's in base64 too; `read_either` takes both.

What comes is bounded, so that it fits into the auth service's lines; names are those that a
variable can have.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final

from pillarbox.wire.auth.tabs import escape, unescape

PREFIX: Final = "forward_"
MAX_FIELDS: Final = 30
MAX_LENGTH: Final = 4096
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def bounded(fields: Mapping[str, str], limit: int = MAX_LENGTH) -> dict[str, str]:
    """As many of the fields, from the first on, as are short enough together in text."""
    kept: dict[str, str] = {}
    length = 0
    for name, value in fields.items():
        length += len(escape(f"{name}={value}").encode("utf-8", "surrogateescape")) + 1
        if length > limit or len(kept) == MAX_FIELDS:
            break
        if _NAME.fullmatch(name):
            kept[name] = value
    return kept


def of_passdb(fields: Mapping[str, str]) -> dict[str, str]:
    """Those of a user's passdb fields that are to go along."""
    return {n.removeprefix(PREFIX): v for n, v in fields.items() if n.startswith(PREFIX)}


def write(fields: Mapping[str, str]) -> str:
    """Fields in text; "" without any."""
    return "\t".join(escape(f"{name}={value}") for name, value in fields.items())


def read(text: str) -> dict[str, str]:
    """The fields again; what has no name that can be one is left out."""
    pairs = (unescape(word).partition("=") for word in text.split("\t"))
    return bounded({name: value for name, equals, value in pairs if equals})


def write_base64(fields: Mapping[str, str]) -> str:
    """Fields in text, in base64."""
    return b64encode(write(fields).encode("utf-8", "replace")).decode()


def read_base64(text: str) -> dict[str, str]:
    """The fields again.  Raises ValueError."""
    return read(a2b_base64(text.encode(), strict_mode=True).decode()) if text else {}


def read_either(text: str) -> dict[str, str]:
    """Fields in text, in base64 or not."""
    try:
        found = read_base64(text)
    except ValueError:
        found = {}
    return found or read(text)
