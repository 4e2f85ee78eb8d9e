"""vnd.dovecot.report: tell somebody about a message in the form of RFC 5965.

``report [:headers_only] "abuse" "text for people" "address"`` sends a feedback report with the
message, or only its header, and leaves the implicit keep as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from pillarbox.sieve.addresses import bare_address
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.registry import STRING, CommandSpec, Extension, Positional, TagSpec
from pillarbox.sieve.result import Action

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator

_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


@dataclass(slots=True, kw_only=True)
class Report(Action):
    """Send a report of that type to ``address``."""

    name: ClassVar[str] = "report"
    feedback_type: str
    message: str
    address: str
    headers_only: bool = False

    def same(self, other: Action) -> bool:
        return isinstance(other, Report) and (
            (other.feedback_type, other.address) == (self.feedback_type, self.address)
        )

    def describe(self) -> str:
        return f"report ({self.feedback_type}) to <{self.address}>"


def _report(run: Run, node: Node) -> None:
    kind = run.text(node.text("feedback-type"))
    given = run.text(node.text("address"))
    address = bare_address(given)
    if _TYPE.match(kind) is None:
        raise SieveRunError(f"report action: invalid feedback type '{kind[:80]}'")
    if address is None:
        raise SieveRunError(f"report action: invalid address '{given[:80]}'")
    run.add(
        Report(
            feedback_type=kind.lower(),
            message=run.text(node.text("message")),
            address=address,
            headers_only="headers_only" in node.tags,
        ),
        node,
    )


def _check(v: Validator, node: Node) -> None:
    kind, address = node.text("feedback-type"), node.text("address")
    if kind.constant is not None and _TYPE.match(kind.constant) is None:
        v.error(kind.position, f"invalid feedback type '{kind.constant[:80]}' for report")
    if address.constant is not None and bare_address(address.constant) is None:
        v.error(address.position, f"invalid address '{address.constant[:80]}' for report")


EXTENSION = Extension(
    "vnd.dovecot.report",
    commands=(
        CommandSpec(
            "report",
            _report,
            (
                Positional("feedback-type", STRING),
                Positional("message", STRING),
                Positional("address", STRING),
            ),
            tags=(TagSpec("headers_only"),),
            validate=_check,
        ),
    ),
)
