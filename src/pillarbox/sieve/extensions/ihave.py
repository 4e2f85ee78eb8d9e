"""ihave (RFC 5463): ask for extensions in a test instead of requiring them.

The outcome is known when a script is compiled: names must be constant.  A true test enables the
extensions for what follows; behind a false one nothing is checked, so that a script may use
what is not there in a branch that never runs.  ``error`` ends the script with a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.registry import (
    STRING,
    STRINGS,
    CommandSpec,
    Extension,
    Positional,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator


_ALWAYS = ("comparator-i;octet", "comparator-i;ascii-casemap")


def _check(v: Validator, node: Node) -> None:
    names = [name.constant or "" for name in node.texts("capabilities")]
    node.known = all(name in _ALWAYS or v.scope.supports(name) for name in names)
    if node.known:
        for name in names:
            if name not in _ALWAYS:
                v.enable(name)


def _ihave(run: Run, node: Node) -> bool:
    return bool(node.known)


def _error(run: Run, node: Node) -> None:
    raise SieveRunError(run.text(node.text("message")), node.position)


EXTENSION = Extension(
    "ihave",
    commands=(CommandSpec("error", _error, (Positional("message", STRING),)),),
    tests=(
        TestSpec(
            "ihave",
            _ihave,
            arguments=(Positional("capabilities", STRINGS, constant=True),),
            validate=_check,
        ),
    ),
)
