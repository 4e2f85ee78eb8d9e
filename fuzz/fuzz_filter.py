"""Fuzzes the filter language: any text parses or is a FilterError, and what parses can match."""

from __future__ import annotations

import sys

from pillarbox.events.event import Scope
from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.filter import Filter, compile_matcher
from pillarbox.events.filter.parser import parse

SCOPE = Scope(None, ("imap",), ("imap:cmd_fetch",), user="bob", remote_ip="10.0.0.1", size=5)


def one(data: bytes) -> None:
    """Parse, check, print, parse again, compile and match one input."""
    text = data.decode("utf-8", "replace")
    try:
        tree = parse(text)
    except FilterError as error:
        if not 1 <= error.column <= len(text) + 1:
            raise AssertionError(f"column {error.column}") from error
        return
    assert parse(str(tree)) == tree
    wanted = Filter(text, tree)
    for warning in wanted.warnings():
        assert warning.column >= 1
    compile_matcher.__wrapped__(wanted)(
        "imap_command_finished", "imap", SCOPE, {"net_out_bytes": 7}, "a/b.py:1"
    )


def main() -> None:
    """Run under atheris."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
