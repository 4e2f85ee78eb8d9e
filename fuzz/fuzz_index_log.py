"""Feed octets to the readers of the index log and of its transactions; only Malformed may rise."""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib

from pillarbox.mailstore.index.log import LogDamaged, check_header
from pillarbox.mailstore.index.state import Inconsistent, State
from pillarbox.mailstore.index.transaction import HEADER, MAGIC, Malformed, salvage, scan


def one(data: bytes) -> None:
    """One input, as it is and behind a transaction's magic; what is read is applied."""
    with contextlib.suppress(LogDamaged):
        check_header(data, "fuzz")
    for raw in (data, MAGIC.to_bytes(4, "little") + data, signed(data)):
        state = State(bytes(16))
        with contextlib.suppress(Malformed):
            list(scan(memoryview(raw), 0, 0))
        for transaction in salvage(memoryview(raw)):
            with contextlib.suppress(Inconsistent):
                state.apply(transaction)
        if state.count != len(state.records) or state.count != len(state.uids):
            raise AssertionError(state)


def signed(body: bytes) -> bytes:
    """The octets as the operations of a transaction whose checksum is right."""
    rest = struct.pack("<IIIQQ", 0, 0, body[0] % 4 if body else 0, 5, 0) + body[1:]
    head = struct.pack("<II", MAGIC, HEADER.size + max(len(body) - 1, 0))
    return head + struct.pack("<I", zlib.crc32(rest)) + rest


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
