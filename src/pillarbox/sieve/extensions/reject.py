"""reject and ereject (RFC 5429): refuse a message with a reason for its sender.

They differ in how the caller should say it: ereject wants the protocol's own refusal, reject
prefers to answer by a message.  Neither goes together with anything that delivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.registry import STRING, CommandSpec, Extension, Positional
from pillarbox.sieve.result import Reject

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node

_REASON = (Positional("reason", STRING),)


def _reject(run: Run, node: Node) -> None:
    run.add(Reject(reason=run.text(node.text("reason"))), node)


def _ereject(run: Run, node: Node) -> None:
    run.add(Reject(reason=run.text(node.text("reason")), ereject=True), node)


EXTENSIONS = (
    Extension("reject", commands=(CommandSpec("reject", _reject, _REASON),)),
    Extension("ereject", commands=(CommandSpec("ereject", _ereject, _REASON),)),
)
