"""The actions of the base language: keep, discard and redirect (RFC 5228 section 4).

An address may have a name (``Name <a@b>``); only the bare address is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.addresses import bare_address
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.registry import STRING, CommandSpec, Extension, Positional
from pillarbox.sieve.result import Discard, Redirect

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator


def _keep(run: Run, node: Node) -> None:
    run.keep(node)


def _discard(run: Run, node: Node) -> None:
    run.add(Discard(), node)


def _redirect(run: Run, node: Node) -> None:
    given = run.text(node.text("address"))
    if "list" in node.tags:
        run.add(Redirect(address=given), node)
        return
    address = bare_address(given)
    if address is None:
        raise SieveRunError(f"specified redirect address '{given[:80]}' is invalid")
    run.add(Redirect(address=address), node)


def _check_redirect(v: Validator, node: Node) -> None:
    given = node.text("address")
    if "list" in node.tags or given.constant is None:
        return
    if bare_address(given.constant) is None:
        v.error(given.position, f"specified redirect address '{given.constant[:80]}' is invalid")
    elif v.limits.redirects == 0:
        v.error(node.position, "local policy prohibits the use of a redirect action")


EXTENSION = Extension(
    "",
    commands=(
        CommandSpec("keep", _keep),
        CommandSpec("discard", _discard),
        CommandSpec(
            "redirect", _redirect, (Positional("address", STRING),), validate=_check_redirect
        ),
    ),
)
