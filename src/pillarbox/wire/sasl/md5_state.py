"""MD5 (RFC 1321) that can stop after a block and go on from there.

CRAM-MD5's stored passwords are MD5 states after the key's block, so that a server can check an HMAC
without knowing the key; hashlib does not let anybody in there.  Only for the few blocks of such a
check: everything else hashes with hashlib.
"""

from __future__ import annotations

import math
import struct
from typing import Final

BLOCK: Final = 64
STATE: Final = 16
_START: Final = struct.pack("<4I", 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SINES: Final = tuple(int(abs(math.sin(i + 1)) * 2**32) for i in range(64))
_TURNS: Final = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_MASK: Final = 0xFFFFFFFF


def after(block: bytes) -> bytes:
    """The state after a first block of 64 octets."""
    return _compress(_START, block)


def resume(state: bytes, data: bytes) -> bytes:
    """The digest of a message whose first block led to ``state`` and that goes on with ``data``."""
    bits = (BLOCK + len(data)) * 8
    padded = data + b"\x80" + b"\0" * (-(len(data) + 9) % BLOCK) + struct.pack("<Q", bits)
    for at in range(0, len(padded), BLOCK):
        state = _compress(state, padded[at : at + BLOCK])
    return state


def _compress(state: bytes, block: bytes) -> bytes:
    words = struct.unpack("<16I", block)
    before = struct.unpack("<4I", state)
    a, b, c, d = before
    for step in range(64):
        kind = step >> 4
        if kind == 0:
            mixed, word = (b & c) | (~b & d), step
        elif kind == 1:
            mixed, word = (d & b) | (~d & c), (5 * step + 1) & 15
        elif kind == 2:
            mixed, word = b ^ c ^ d, (3 * step + 5) & 15
        else:
            mixed, word = c ^ (b | (~d & _MASK)), (7 * step) & 15
        total = (a + mixed + _SINES[step] + words[word]) & _MASK
        turn = _TURNS[kind][step & 3]
        a, b, c, d = d, (b + (total << turn | total >> (32 - turn))) & _MASK, b, c
    return struct.pack("<4I", *((x + y) & _MASK for x, y in zip(before, (a, b, c, d), strict=True)))
