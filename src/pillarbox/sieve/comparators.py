"""Comparators: what of two strings is compared (RFC 4790, RFC 5051).

A comparator is a folding: strings are equal if their foldings are, and are ordered as those.
i;octet orders by code points, which is the order of the UTF-8 octets.  i;ascii-numeric reads the
digits at the beginning; a string without any is infinity, equal to other such strings.
"""

from __future__ import annotations

import math
import re
import string

from pillarbox.mail.casemap import casemap
from pillarbox.sieve.registry import Comparator

_UPPER = {ord(low): up for low, up in zip(string.ascii_lowercase, string.ascii_uppercase)}
_LOWER = {ord(up): low for low, up in zip(string.ascii_lowercase, string.ascii_uppercase)}
_DIGITS = re.compile(r"[0-9]+")


def _same(text: str) -> str:
    return text


def ascii_upper(text: str) -> str:
    """ASCII letters in upper case, everything else as it is."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def ascii_lower(text: str) -> str:
    """ASCII letters in lower case, everything else as it is."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _numeric(text: str) -> float | int:
    match = _DIGITS.match(text)
    if match is None:
        return math.inf
    digits = match[0].lstrip("0")
    # beyond what int() reads gladly, length decides first: a Python int still, and ordered
    return int(digits or "0") if len(digits) < 400 else 10 ** min(len(digits), 4000)


OCTET = Comparator("i;octet", _same, octets=True)
ASCII_CASEMAP = Comparator("i;ascii-casemap", ascii_upper, octets=True)
ASCII_NUMERIC = Comparator(
    "i;ascii-numeric", _numeric, substring=False, capability="comparator-i;ascii-numeric"
)
UNICODE_CASEMAP = Comparator(
    "i;unicode-casemap", casemap, capability="comparator-i;unicode-casemap"
)
