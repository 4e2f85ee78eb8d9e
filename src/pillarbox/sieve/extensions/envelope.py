"""envelope (RFC 5228 section 5.4): tests on the SMTP envelope.

Parts ``from`` and ``to``, and ``auth`` and ``orig_to`` as Dovecot users know them.  The null
reverse path is the empty string whatever address part is wanted.  What the caller does not know
has no values, so that nothing matches.  Other extensions add parts by `EnvelopePart`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.addresses import split_address
from pillarbox.sieve.arguments import ADDRESS_PART
from pillarbox.sieve.core.tests import address_part
from pillarbox.sieve.registry import KEYS, STRINGS, EnvelopePart, Extension, Positional, TestSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator


def _known(value: str | None) -> list[str]:
    return [] if value is None else [value]


def _from(run: Run) -> list[str]:
    return _known(run.envelope.sender)


def _to(run: Run) -> list[str]:
    return _known(run.envelope.recipient)


def _auth(run: Run) -> list[str]:
    return _known(run.envelope.auth)


def _orig_to(run: Run) -> list[str]:
    return _known(run.envelope.original_recipient)


def _check(v: Validator, node: Node) -> None:
    known: dict[str, EnvelopePart] = dict(v.scope.envelope_parts)
    node.data = known
    for name in node.texts("parts"):
        if name.constant is None:
            continue
        part = known.get(name.constant.lower())
        if part is None:
            v.error(
                name.position,
                f"specified envelope part '{name.constant[:80]}' is not supported by the "
                "envelope test",
            )
        elif not part.address and node.group(ADDRESS_PART) is not None:
            v.error(
                name.position,
                f"address part tags cannot be used with the envelope part '{name.constant}'",
            )


def _values(run: Run, node: Node) -> list[str]:
    found: list[str] = []
    for name in run.texts(node.texts("parts")):
        part: EnvelopePart | None = node.data.get(name.lower())
        if part is None:
            continue
        values = part.values(run)
        if part.address and node.part is not None:
            for address in values:
                local, domain = split_address(address)
                value = address_part(run, node, local, domain) if address else ""
                found += _known(value)
        else:
            found += values
    return found


EXTENSION = Extension(
    "envelope",
    tests=(
        TestSpec(
            "envelope",
            values=_values,
            arguments=(Positional("parts", STRINGS), KEYS),
            keys="keys",
            parts=True,
            validate=_check,
        ),
    ),
    envelope_parts=(
        EnvelopePart("from", _from),
        EnvelopePart("to", _to),
        EnvelopePart("auth", _auth, address=False),
        EnvelopePart("orig_to", _orig_to),
    ),
)
