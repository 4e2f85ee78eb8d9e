"""index (RFC 5260 section 6): ``:index`` and ``:last`` choose one of the fields of a name.

They work on header, address and date.  The number counts fields, not addresses or parts of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.registry import NUMBER, Added, Extension, TagSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.message import HeaderField
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator


def check_index(v: Validator, node: Node, use: TagUse) -> None:
    """Fields are counted from one."""
    if use.value < 1:
        v.error(use.position, "the :index tag needs a number greater than zero")


def _chosen(
    run: Run, node: Node, use: TagUse, name: str, found: list[HeaderField]
) -> list[HeaderField]:
    number: int = use.value
    if number > len(found):
        return []
    at = -number if "last" in node.tags else number - 1
    return [found[at]]


INDEX = TagSpec("index", NUMBER, order=10, validate=check_index, fields=_chosen)
LAST = TagSpec("last", needs="index")

EXTENSION = Extension("index", added=(Added(("header", "address", "date"), (INDEX, LAST)),))
