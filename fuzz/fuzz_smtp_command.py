"""Fuzz command lines: whatever a client sends is read or refused, never a crash."""

from __future__ import annotations

import sys

from pillarbox.wire.smtp.command import Mail, parse, split, without_sender
from pillarbox.wire.smtp.reply import Refused


def one(data: bytes) -> None:
    """One line of input."""
    line = split(data)
    for tried in (line, without_sender(line) or line):
        code, sent = 500, b"\n"
        try:
            parsed = parse(tried)
            assert tried is line or (isinstance(parsed, Mail) and parsed.sender.is_null)
        except Refused as refused:
            code, sent = refused.reply.code, refused.reply.encode()
        assert 500 <= code < 600
        assert sent.count(b"\n") == 1


def main() -> None:
    """Run the fuzzer with the arguments of libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
