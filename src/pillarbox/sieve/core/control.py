"""Control commands and combining tests (RFC 5228 sections 3 and 5.2, 5.3, 5.7, 5.10).

``require`` and the chain of ``if``, ``elsif`` and ``else`` are checked by the validator itself;
allof, anyof and not are evaluated by the interpreter.  They are declared here so that they have
names, arguments and places in the tables like everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.registry import CommandSpec, Extension, Flow, TestSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node


def _stop(run: Run, node: Node) -> Flow:
    return Flow.STOP


def _by_interpreter(run: Run, node: Node) -> None:
    raise AssertionError(node.name)


def _true(run: Run, node: Node) -> bool:
    return True


def _false(run: Run, node: Node) -> bool:
    return False


EXTENSION = Extension(
    "",
    commands=(
        CommandSpec("if", _by_interpreter, test=True, block=True),
        CommandSpec("elsif", _by_interpreter, test=True, block=True),
        CommandSpec("else", _by_interpreter, block=True),
        CommandSpec("stop", _stop),
    ),
    tests=(
        TestSpec("true", _true),
        TestSpec("false", _false),
        TestSpec("not", tests=1),
        TestSpec("allof", tests=None),
        TestSpec("anyof", tests=None),
    ),
)
