"""Fuzz the IMAP reader and parser: no input may raise anything but what is declared."""

from __future__ import annotations

import sys

from pillarbox.wire.imap import args_text
from pillarbox.wire.imap.command import BadCommand, parse_command
from pillarbox.wire.imap.reader import CommandReader, Limits, RawCommand

LIMITS = Limits(line=1000, command=2000, message=4000, append=8000)


def _commands(chunks: list[bytes]) -> list[object]:
    reader = CommandReader(LIMITS)
    found: list[object] = []
    for chunk in chunks:
        reader.feed(chunk)
        while (item := reader.next()) is not None:
            if isinstance(item, RawCommand):
                found.append((item.text, [bytes(x) for x in item.literals], item.octets))
                try:
                    parse_command(item)
                except BadCommand as error:
                    args_text.for_humans(error.name, item, error.at)
            else:
                found.append(item)
    return found


def one(data: bytes) -> None:
    """One input: whole, and in two parts, must give the same."""
    cut = data[0] if data else 0
    if _commands([data]) != _commands([data[:cut], data[cut:]]):
        raise AssertionError("a split made a difference")


def main() -> None:
    """Run the fuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
