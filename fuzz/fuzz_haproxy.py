"""Fuzz the PROXY protocol header: it is accepted within its bytes, or refused, never more."""

from __future__ import annotations

import sys

from pillarbox.wire.haproxy.header import HeaderError, NeedMore, parse


def one(data: bytes) -> None:
    """Parse it whole; what is accepted must be accepted at exactly its own length too."""
    try:
        header = parse(data)
    except (NeedMore, HeaderError):
        return
    assert 0 < header.length <= len(data)
    assert parse(data[: header.length]) == header
    try:
        parse(data[: header.length - 1])
    except NeedMore:
        return
    raise AssertionError("a shorter header was accepted or refused")


def main() -> None:
    """Run under atheris."""
    import atheris

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
