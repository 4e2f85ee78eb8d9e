"""Fuzz the session: message bytes and commands mean the same however they are split."""

from __future__ import annotations

import sys

from pillarbox.wire.smtp.command import Bdat, CommandLine, parse
from pillarbox.wire.smtp.reply import Refused
from pillarbox.wire.smtp.session import LMTP, Body, BodyEnd, ServerSession


def run(pieces: list[bytes]) -> list[object]:
    """What a server that accepts every DATA and BDAT sees."""
    session = ServerSession(LMTP, 200)
    seen: list[object] = []
    body = b""
    for piece in pieces:
        session.feed(piece)
        while (item := session.next()) is not None:
            if isinstance(item, Body):
                body += item.data
                continue
            if isinstance(item, BodyEnd):
                seen.append(body)
                body = b""
            seen.append(item)
            if isinstance(item, CommandLine):
                _obey(session, item)
    return seen


def _obey(session: ServerSession, line: CommandLine) -> None:
    if line.name == "DATA":
        session.start_data()
    elif line.name == "BDAT":
        try:
            command = parse(line)
        except Refused:
            return
        assert isinstance(command, Bdat)
        session.start_chunk(min(command.size, 1 << 20), command.last)


def one(data: bytes) -> None:
    """The first byte says in what sizes the rest is cut."""
    size = (data[0] if data else 0) + 1
    stream = data[1:]
    whole = run([stream])
    assert run([stream[i : i + size] for i in range(0, len(stream), size)]) == whole


def main() -> None:
    """Run the fuzzer with the arguments of libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
