"""vnd.dovecot.debug: ``debug_log "text"`` writes a line into the log of the script's owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.registry import STRING, CommandSpec, Extension, Positional

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node


def _debug_log(run: Run, node: Node) -> None:
    text = run.text(node.text("message"))[: run.limits.variable_length]
    run.result.log.append(
        Diagnostic("info", run.frame.script.name, *node.position, f"DEBUG: {text}")
    )
    run.spend(len(run.result.log))  # so that a script cannot fill the log


EXTENSION = Extension(
    "vnd.dovecot.debug",
    commands=(CommandSpec("debug_log", _debug_log, (Positional("message", STRING),)),),
)
