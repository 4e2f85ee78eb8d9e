"""Feed octets to the two things that the DNS worker reads: questions of processes, a hosts file.

Only FrameTooLong and MsgspecError may come up, cutting the stream anywhere must not change what
is understood, and whatever a hosts file says is addresses.
"""

from __future__ import annotations

import ipaddress
import sys

import msgspec

from pillarbox.runtime.dns_client import MAX_MESSAGE, Lookup
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.services.dns_worker.hosts import parse

START = encode_frame(Lookup(1, "addresses", "mail.example.com"))


def understood(pieces: list[bytes]) -> list[Lookup] | None:
    """The questions, or None for what is none."""
    reader: FrameReader[Lookup] = FrameReader(Lookup, MAX_MESSAGE)
    questions: list[Lookup] = []
    try:
        for piece in pieces:
            questions += reader.feed(piece)
    except (FrameTooLong, msgspec.MsgspecError):
        return None
    return questions


def one(data: bytes) -> None:
    """One input: first octet where to cut, the rest the stream."""
    cut, stream = (data[0] if data else 0), data[1:]
    for start in (b"", START, START[:4]):
        whole = understood([start + stream])
        parts = understood([start + stream[:cut], stream[cut:]])
        if whole != parts:
            raise AssertionError((whole, parts))
    hosts = parse(stream.decode("utf-8", "replace"))
    for addresses in hosts.addresses.values():
        for address in addresses:
            ipaddress.ip_address(address)


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
