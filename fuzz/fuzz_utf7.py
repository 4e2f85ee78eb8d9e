"""Fuzz modified UTF-7: what decodes has exactly one spelling."""

from __future__ import annotations

import sys

from pillarbox.wire.imap import utf7


def one(data: bytes) -> None:
    """Decode, and encode what was decoded."""
    try:
        name = utf7.decode(data)
    except utf7.Utf7Error:
        return
    if utf7.encode(name) != data:
        raise AssertionError("two spellings of one name")


def main() -> None:
    """Run the fuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
