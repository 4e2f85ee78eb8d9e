"""Feed trees to the loader of compiled scripts and run what it takes, on a message.

Head and digest are right, as whoever can write the file can make them; the input is the tree.
Loading gives a script or nothing, running gives a result that keeps the message or says what to do
with it.  Nothing may raise.
"""

from __future__ import annotations

import sys

import msgspec

from pillarbox.sieve import compiled
from pillarbox.sieve.compiled import load
from pillarbox.sieve.driver import run_script
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.registry import default_capabilities

LIMITS = Limits(steps=20_000, regex_effort=20_000, variable_length=500)
SOURCE = b"#" * 4096
MESSAGE = b"From: a@example.org\r\nTo: b@example.com\r\nSubject: hello\r\n\r\nText.\r\n"
RULES = compiled._Rules(default_capabilities(), LIMITS, None, "personal")
DIGEST = RULES.digest(SOURCE, "fuzz")


def one(data: bytes) -> None:
    """One input: the tree."""
    head = msgspec.msgpack.encode(compiled._Head(DIGEST, len(data), ()))
    octets = compiled.FORM + len(head).to_bytes(4, "big") + head + data
    script = load(octets, SOURCE, "fuzz", limits=LIMITS)
    if script is None:
        return
    result = run_script(script, MESSAGE, limits=LIMITS, trace=True)
    if result.error is not None and not result.implicit_keep:
        raise AssertionError("a failed script loses the message")
    if not result.final_actions():
        raise AssertionError("nothing happens to the message")


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
