"""Feed octets to the parser of Date fields and INTERNALDATE; nothing may raise."""

from __future__ import annotations

import sys

from pillarbox.mail.dates import format_internal_date, parse_date, parse_internal_date


def one(data: bytes) -> None:
    """One input: every promise that holds for any octets."""
    parsed = parse_date(data)
    if parsed is not None:
        unix, zone = parsed
        if not -24 * 60 < zone < 24 * 60:
            raise AssertionError(zone)
        if 0 <= unix < 253_402_300_800 and parse_internal_date(format_internal_date(unix)) != unix:
            raise AssertionError(unix)
    parse_internal_date(data)


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
