"""Feed octets to all four ends of the authentication protocol.

Only ProtocolError may come up, and cutting the input anywhere must not change what is understood.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pillarbox.wire.auth import client, master
from pillarbox.wire.auth.tabs import ProtocolError

SIDES: list[tuple[Callable[[], Any], bytes]] = [
    (client.ServerSide, b"VERSION\t1\t2\nCPID\t1\n"),
    (client.ClientSide, b"VERSION\t1\t2\nSPID\t1\nDONE\n"),
    (master.ServerSide, b"VERSION\t1\t2\n"),
    (master.MasterSide, b"VERSION\t1\t2\nSPID\t1\n"),
]


def understood(make: Callable[[], Any], pieces: list[bytes]) -> list[Any] | None:
    """The messages, or None for a protocol error."""
    side = make()
    messages: list[Any] = []
    try:
        for piece in pieces:
            messages += side.feed(piece)
    except ProtocolError:
        return None
    return messages


def one(data: bytes) -> None:
    """One input: first octet where to cut, the rest the stream."""
    cut, stream = (data[0] if data else 0), data[1:]
    for make, greeting in SIDES:
        for start in (b"", greeting):
            whole = understood(make, [start + stream])
            parts = understood(make, [start + stream[:cut], stream[cut:]])
            if whole != parts:
                raise AssertionError((make, whole, parts))


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
