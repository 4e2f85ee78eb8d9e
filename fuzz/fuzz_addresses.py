"""Feed octets to the parser of address lists; nothing may raise."""

from __future__ import annotations

import sys

from pillarbox.mail.addresses import parse_addresses


def one(data: bytes) -> None:
    """One input: every promise that holds for any octets."""
    for name, route, mailbox, host in parse_addresses(data):
        if mailbox is None and (host is not None or route is not None):
            raise AssertionError((name, route, mailbox, host))


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
