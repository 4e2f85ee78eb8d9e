"""Feed scripts to the compiler and run those that it takes, on a message of the same input.

Nothing may raise: compiling gives a script or errors, running gives a result that keeps the message
or says what to do with it.  What was parsed without errors must print and parse to the same tree.
"""

from __future__ import annotations

import sys

from pillarbox.sieve.compiled import dump, load
from pillarbox.sieve.driver import run_script
from pillarbox.sieve.errors import Diagnostics
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.parser import parse
from pillarbox.sieve.printer import print_script
from pillarbox.sieve.registry import default_capabilities
from pillarbox.sieve.script import compile

LIMITS = Limits(steps=20_000, regex_effort=20_000, variable_length=500)
_NAMES = ", ".join(f'"{name}"' for name in sorted(default_capabilities()))
REQUIRE = f"require [{_NAMES}];".encode()


def round_trip(octets: bytes) -> None:
    """parse ∘ print is the identity on sound scripts."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return
    diagnostics = Diagnostics("fuzz")
    commands = parse(text, diagnostics)
    if not diagnostics.errors:
        again = parse(print_script(commands), diagnostics)
        if diagnostics.errors or again != commands:
            raise AssertionError(text)


def one(data: bytes) -> None:
    """One input: the script, a NUL, the message."""
    source, _, message = data.partition(b"\0")
    round_trip(source)
    script, diagnostics = compile(REQUIRE + source, "fuzz", limits=LIMITS)
    if script is None:
        if not diagnostics:
            raise AssertionError("refused without a reason")
        return
    octets = dump(script)
    if octets is None or load(octets, script.source, script.name, limits=LIMITS) is None:
        raise AssertionError("cannot be read back")
    result = run_script(script, message, limits=LIMITS, trace=True)
    if result.error is not None and not result.implicit_keep:
        raise AssertionError("a failed script loses the message")
    if not result.final_actions():
        raise AssertionError("nothing happens to the message")
    for action in result.actions:
        result.message(action.version)


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
