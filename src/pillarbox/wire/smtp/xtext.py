"""xtext, the encoding of ESMTP parameter values (RFC 3461 section 4).

Printable ASCII but ``+`` and ``=`` stands for itself, anything else is ``+HH`` with capital hex
digits.  Decoded values are text: bytes that are no UTF-8 are refused, since nothing that carries
them could be shown.
"""

from __future__ import annotations

import re
from typing import Final

_VALID: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX: Final = re.compile(rb"\+([0-9A-F]{2})")
_UNSAFE: Final = re.compile(rb"[^!-*,-<>-~]")


def decode(value: str) -> str:
    """The text that an xtext value stands for.  Raises ValueError for anything else."""
    if not _VALID.fullmatch(value):
        raise ValueError("invalid xtext")
    if "+" not in value:
        return value
    return _HEX.sub(lambda m: bytes.fromhex(m[1].decode()), value.encode()).decode()


def encode(text: str) -> str:
    """The text as xtext."""
    return _UNSAFE.sub(lambda m: b"+%02X" % m[0][0], text.encode()).decode()
