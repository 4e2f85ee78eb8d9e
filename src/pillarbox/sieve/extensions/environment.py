"""environment (RFC 5183) and vnd.dovecot.environment: what is around the script.

Items that the caller put into the environment are read there, others are asked for; an item that
nobody knows matches nothing.  vnd.dovecot.environment adds items named ``vnd.dovecot.…`` and, with
variables, the namespace ``env``: ``${env.vnd.dovecot.username}``.  A variable's name cannot hold a
minus, so ``${env.remote_ip}`` is the item ``remote-ip``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.nodes import VariableRef
from pillarbox.sieve.registry import (
    KEYS,
    STRING,
    Asking,
    Extension,
    Namespace,
    Positional,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator


def _values(run: Run, node: Node) -> Asking[list[str]]:
    value = yield from run.environment_item(run.text(node.text("name")).lower())
    return [] if value is None else [value]


def _item_name(name: str) -> str:
    return name if name.startswith("vnd.dovecot.config.") else name.replace("_", "-")


def _read(run: Run, name: str) -> str | None:
    item = _item_name(name)
    known = run.environment.items.get(item)
    return run.items.get(item) if known is None else known


def _check_reference(v: Validator, reference: VariableRef) -> str | None:
    items: dict[str, None] = v.data.setdefault("environment items", {})
    items[_item_name(reference.name)] = None
    return None


EXTENSIONS = (
    Extension(
        "environment",
        tests=(
            TestSpec(
                "environment",
                values=_values,
                arguments=(Positional("name", STRING), KEYS),
                keys="keys",
            ),
        ),
    ),
    Extension(
        "vnd.dovecot.environment",
        namespaces=(Namespace("env", _read, check=_check_reference),),
        implies=("environment",),
    ),
)
