"""copy (RFC 3894): ``:copy`` on fileinto and redirect leaves the implicit keep as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.registry import Added, Extension, TagSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.result import Action


def _copy(run: Run, node: Node, use: TagUse, action: Action) -> None:
    action.copy = True


COPY = TagSpec("copy", apply=_copy)

EXTENSION = Extension("copy", added=(Added(("fileinto", "redirect", "pipe"), (COPY,)),))
