"""Fuzz the ManageSieve reader and parser: splits must make no difference, and nothing may hang."""

from __future__ import annotations

import sys

from pillarbox.wire.managesieve.command import BadCommand, parse_command, parse_response
from pillarbox.wire.managesieve.reader import CommandReader, Limits, Problem, RawCommand
from pillarbox.wire.managesieve.response import response, string


def read(chunks: list[bytes]) -> list[RawCommand | Problem]:
    """What a reader makes of input in these pieces."""
    reader = CommandReader(Limits(line=100, literals=60))
    found: list[RawCommand | Problem] = []
    for chunk in chunks:
        reader.feed(chunk)
        while (item := reader.next()) is not None:
            found.append(item)
            if isinstance(item, Problem) and item.fatal:
                return found
            if isinstance(item, RawCommand) and sum(map(len, item.literals)) > 60:
                raise AssertionError("more was kept than the limit allows")
    return found


def one(data: bytes) -> None:
    """One input: as commands, and as a string."""
    cut = data[0] if data else 0
    found = read([data])
    if found != read([data[:cut], data[cut:]]):
        raise AssertionError("a split made a difference")
    for item in found:
        if isinstance(item, RawCommand):
            parse_response(item)
            try:
                _ = parse_command(item).shown
            except BadCommand:
                continue
    reader = CommandReader(Limits(line=1 << 20, literals=1 << 20))
    reader.feed(string(data) + b"\r\n")
    raw = reader.next()
    if not isinstance(raw, RawCommand) or parse_response(raw) != data:
        raise AssertionError("a string is not read as it was written")
    response("NO", data.decode("latin-1"))


def main() -> None:
    """Run the fuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
