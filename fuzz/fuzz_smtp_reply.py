"""Fuzz replies: what a server sends is read or refused, and splits make no difference."""

from __future__ import annotations

import sys

from pillarbox.wire.smtp.capabilities import parse_capabilities
from pillarbox.wire.smtp.reply import Reply
from pillarbox.wire.smtp.reply_reader import BadReply, ReplyReader


def _replies(chunks: list[bytes]) -> list[Reply | str]:
    reader = ReplyReader()
    found: list[Reply | str] = []
    for chunk in chunks:
        reader.feed(chunk)
        try:
            while (reply := reader.next()) is not None:
                found.append(reply)
        except BadReply as error:
            return [*found, str(error)]
    return found


def one(data: bytes) -> None:
    """One input: whole, and cut in two."""
    cut = data[0] if data else 0
    whole = _replies([data])
    if whole != _replies([data[:cut], data[cut:]]):
        raise AssertionError("a split made a difference")
    for reply in whole:
        if isinstance(reply, Reply):
            parse_capabilities(reply)
            if len(_replies([reply.encode()])) != 1:
                raise AssertionError("a reply does not go round")


def main() -> None:
    """Run the fuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
