"""Feed octets to everything that reads MIME; nothing may raise."""

from __future__ import annotations

import sys

from pillarbox.mail.bodystructure import bodystructure
from pillarbox.mail.envelope import envelope
from pillarbox.mail.mime import parse
from pillarbox.mail.search_text import Pattern
from pillarbox.mail.section import section


def one(data: bytes) -> None:
    """One input: every promise that holds for any octets."""
    tree = parse(data)
    for part in tree.walk():
        if not tree.start <= part.start <= part.body_start <= part.end <= tree.end:
            raise AssertionError(f"{part} is outside of its message")
    for extended in (False, True):
        written = bodystructure(data, tree, extended)
        if not (written.startswith(b"(") and written.endswith(b")")):
            raise AssertionError(written)
    envelope(data, tree.header)
    Pattern("needle").in_message(data, tree, headers=True)
    for path in ((), (1,), (2,), (1, 1), (2, 1)):
        section(data, tree, path, "HEADER")
        section(data, tree, path, None)


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
