"""Tests on the message: header, address, exists and size (RFC 5228 section 5).

Also what they share with the tests of extensions: comparators, match types and address parts.
Header values are compared without blanks around them and with encoded words decoded; addresses
are compared as they are written; a field that holds none, as ``From: root``, is one to ``:all``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.comparators import ASCII_CASEMAP, OCTET
from pillarbox.sieve.match import CONTAINS, IS, MATCHES
from pillarbox.sieve.registry import (
    KEYS,
    NUMBER,
    STRINGS,
    AddressPart,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, Text
    from pillarbox.sieve.validator import Validator

_FIELD_NAME: Final = re.compile(r"[\x21-\x39\x3b-\x7e]+\Z")
_NOT_ADDRESSES: Final = frozenset({
    "subject", "message-id", "date", "received", "references", "in-reply-to", "content-type",
    "content-transfer-encoding", "content-disposition", "content-id", "mime-version", "comments",
    "keywords", "list-id", "x-spam-flag", "x-spam-status",
})  # fmt: skip


def is_field_name(name: str) -> bool:
    """Whether a header field may have this name (RFC 5322 section 2.2)."""
    return _FIELD_NAME.match(name) is not None


def check_names(v: Validator, node: Node, names: tuple[Text, ...]) -> None:
    """Warn of constant names that no header field can have (RFC 5228 section 2.4.2.2)."""
    for name in names:
        if name.constant is not None and not is_field_name(name.constant):
            shown = name.constant[:80]
            v.warning(
                name.position,
                f"specified header field name '{shown}' is invalid for the {node.name} test",
            )


def header_values(run: Run, node: Node) -> list[str]:
    """The texts that a header test looks at."""
    names = run.texts(node.texts("names"))
    return [found.text for name in names for found in run.fields(node, name)]


def _check_header(v: Validator, node: Node) -> None:
    check_names(v, node, node.texts("names"))


def address_values(run: Run, node: Node) -> list[str]:
    """The addresses, or parts of them, that an address test looks at."""
    values: list[str] = []
    for name in run.texts(node.texts("names")):
        for found in run.fields(node, name):
            for local, domain in found.addresses:
                value = address_part(run, node, local, domain)
                if value is not None:
                    values.append(value)
            if whole_address(node) and not found.addresses and found.unreadable:
                values.append(found.unreadable)
    return values


def whole_address(node: Node) -> bool:
    """Whether a test looks at whole addresses."""
    return node.part is None or node.part.part is address_all


def address_part(run: Run, node: Node, local: str | None, domain: str | None) -> str | None:
    """The part of an address that the test's tags want."""
    if node.part is None:
        return address_all(run, local, domain)
    return node.part.part(run, local, domain)


def _check_address(v: Validator, node: Node) -> None:
    check_names(v, node, node.texts("names"))
    if "mime" in node.tags:
        return
    for name in node.texts("names"):
        if name.constant is not None and name.constant.lower() in _NOT_ADDRESSES:
            v.error(
                name.position,
                f"specified header '{name.constant}' is not allowed for the address test",
            )


def exists(run: Run, node: Node) -> bool:
    """Whether there are fields of all names."""
    return all(run.fields(node, name) for name in run.texts(node.texts("names")))


def _size(run: Run, node: Node) -> bool:
    limit = node.number("limit")
    return run.message.size > limit if "over" in node.tags else run.message.size < limit


def _check_size(v: Validator, node: Node) -> None:
    if node.group("comparison") is None:
        v.error(node.position, "the size test requires either the :over or the :under tag")


def address_all(run: Run, local: str | None, domain: str | None) -> str | None:
    """The whole address."""
    if local is None:
        return "" if domain is None else f"@{domain}"
    return local if domain is None else f"{local}@{domain}"


def _localpart(run: Run, local: str | None, domain: str | None) -> str | None:
    return local


def _domain(run: Run, local: str | None, domain: str | None) -> str | None:
    return domain


NAMES: Final = Positional("names", STRINGS)

EXTENSION = Extension(
    "",
    tests=(
        TestSpec(
            "header",
            values=header_values,
            arguments=(NAMES, KEYS),
            keys="keys",
            fields=True,
            validate=_check_header,
        ),
        TestSpec(
            "address",
            values=address_values,
            arguments=(NAMES, KEYS),
            keys="keys",
            fields=True,
            parts=True,
            validate=_check_address,
        ),
        TestSpec("exists", exists, arguments=(NAMES,), fields=True, validate=_check_header),
        TestSpec(
            "size",
            _size,
            arguments=(Positional("limit", NUMBER),),
            tags=(TagSpec("over", group="comparison"), TagSpec("under", group="comparison")),
            validate=_check_size,
        ),
    ),
    comparators=(OCTET, ASCII_CASEMAP),
    match_types=(IS, CONTAINS, MATCHES),
    address_parts=(
        AddressPart("all", address_all),
        AddressPart("localpart", _localpart),
        AddressPart("domain", _domain),
    ),
)
