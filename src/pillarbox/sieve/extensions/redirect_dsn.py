"""redirect-dsn and redirect-deliverby (RFC 6009), with envelope-dsn and envelope-deliverby.

The first two add ESMTP parameters to the mail that redirect sends: ``options`` of the action then
hold "notify", "ret", and "by" as the value of MAIL's BY parameter (RFC 2852) or, for an absolute
time, the time itself in "by-time".  The other two read such parameters of the message that came.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pillarbox.mail.dates import parse_date
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.registry import (
    NUMBER,
    STRING,
    Added,
    EnvelopePart,
    Extension,
    TagSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator

_EVENTS: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})\Z"
)


def _notify(value: str) -> str | None:
    words = value.upper().replace(" ", "").split(",")
    if words == ["NEVER"] or (words and set(words) <= _EVENTS and len(set(words)) == len(words)):
        return ",".join(words)
    return None


def _ret(value: str) -> str | None:
    return value.upper() if value.upper() in ("FULL", "HDRS") else None


def _mode(value: str) -> str | None:
    return value.upper() if value.upper() in ("NOTIFY", "RETURN") else None


def _absolute(value: str) -> str | None:
    if _RFC3339.match(value.strip()):
        return value.strip()
    return value.strip() if parse_date(value.encode("ascii", "replace")) is not None else None


def _checked(
    name: str, read: Callable[[str], str | None], option: str, group: str | None, needs: str | None
) -> TagSpec:
    """A tag whose value must be one of a few, and goes into the action's options."""

    def validate(v: Validator, node: Node, use: TagUse) -> None:
        given = use.text().constant
        if given is not None and read(given) is None:
            v.error(use.position, f"invalid value '{given[:80]}' for the redirect tag ':{name}'")
        elif name == "bymode":
            _check_mode(v, node, use)

    def apply(run: Run, node: Node, use: TagUse, action: Action) -> None:
        given = run.text(use.text())
        value = read(given)
        if value is None:
            raise SieveRunError(f"invalid value '{given[:80]}' for the redirect tag ':{name}'")
        action.options[option] = value

    return TagSpec(name, STRING, group=group, needs=needs, validate=validate, apply=apply)


def _check_by(v: Validator, node: Node, use: TagUse) -> None:
    if use.value > 999_999_999:
        v.error(use.position, "the redirect tag ':bytimerelative' has at most nine digits")


def _relative(run: Run, node: Node, use: TagUse, action: Action) -> None:
    mode = node.tags.get("bymode")
    letter = "N"
    if mode is not None:
        letter = run.text(mode.text())[:1].upper()
    action.options["by"] = f"{use.value};{letter}{'T' if 'bytrace' in node.tags else ''}"


def _trace(run: Run, node: Node, use: TagUse, action: Action) -> None:
    action.options["by-trace"] = True


def _check_mode(v: Validator, node: Node, use: TagUse) -> None:
    if node.group("delivery time") is None:
        v.error(
            use.position,
            f"the redirect tag ':{use.spec.name}' needs ':bytimerelative' or ':bytimeabsolute'",
        )


def _part(name: str) -> EnvelopePart:
    def values(run: Run) -> list[str]:
        found = run.envelope.parameters.get(name)
        return [] if found is None else [found]

    return EnvelopePart(name, values, address=False)


_TIME = "delivery time"

EXTENSIONS = (
    Extension(
        "redirect-dsn",
        added=(
            Added(
                ("redirect",),
                (
                    _checked("notify", _notify, "notify", None, None),
                    _checked("ret", _ret, "ret", None, None),
                ),
            ),
        ),
    ),
    Extension(
        "redirect-deliverby",
        added=(
            Added(
                ("redirect",),
                (
                    TagSpec(
                        "bytimerelative", NUMBER, group=_TIME, validate=_check_by, apply=_relative
                    ),
                    _checked("bytimeabsolute", _absolute, "by-time", _TIME, None),
                    _checked("bymode", _mode, "by-mode", None, None),
                    TagSpec("bytrace", validate=_check_mode, apply=_trace),
                ),
            ),
        ),
    ),
    Extension(
        "envelope-dsn",
        envelope_parts=tuple(map(_part, ("notify", "orcpt", "ret", "envid"))),
    ),
    Extension(
        "envelope-deliverby",
        envelope_parts=tuple(map(_part, ("bytimeabsolute", "bytimerelative", "bymode", "bytrace"))),
    ),
)
