"""Fuzz the POP3 reader and parser, and dot-stuffing: splits must make no difference."""

from __future__ import annotations

import sys

from pillarbox.wire.pop3.command import BadCommand, parse_command
from pillarbox.wire.pop3.message import pieces, top
from pillarbox.wire.pop3.reader import LineReader, LineTooLong


def _commands(chunks: list[bytes]) -> list[object]:
    reader = LineReader(200)
    found: list[object] = []
    for chunk in chunks:
        reader.feed(chunk)
        while True:
            try:
                line = reader.next_line()
            except LineTooLong:
                found.append("too long")
                continue
            if line is None:
                break
            try:
                command = parse_command(line)
            except BadCommand as error:
                found.append((error.name, error.text))
            else:
                found.append((command.name, command.args, command.shown))
    return found


def one(data: bytes) -> None:
    """One input: as commands, and as a message."""
    cut = data[0] if data else 0
    if _commands([data]) != _commands([data[:cut], data[cut:]]):
        raise AssertionError("a split made a difference")
    if b"".join(pieces(data, cut + 1)) != b"".join(pieces(data)):
        raise AssertionError("a message in pieces is another message")
    if not data.startswith(top(data, cut)):
        raise AssertionError("TOP is not the top")


def main() -> None:
    """Run the fuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
