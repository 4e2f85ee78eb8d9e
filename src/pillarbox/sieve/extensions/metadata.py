"""mboxmetadata and servermetadata (RFC 5490 sections 4 and 5): tests on annotations.

Annotation names are checked as far as RFC 5464 says what they look like; an annotation that is not
there matches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.questions import Metadata
from pillarbox.sieve.registry import (
    KEYS,
    STRING,
    STRINGS,
    Asking,
    Extension,
    Positional,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, Text
    from pillarbox.sieve.validator import Validator


def is_annotation(name: str) -> bool:
    """Whether an annotation may have this name (RFC 5464 section 3.2)."""
    return (
        name.lower().startswith(("/private/", "/shared/"))
        and name.isascii()
        and not name.endswith("/")
        and "//" not in name
        and not any(c in "*%" or ord(c) < 32 for c in name)
    )


def _check_names(v: Validator, node: Node, names: tuple[Text, ...]) -> None:
    for name in names:
        if name.constant is not None and not is_annotation(name.constant):
            v.warning(
                name.position,
                f"{node.name} test: specified annotation name '{name.constant[:256]}' is invalid",
            )


def _check_one(v: Validator, node: Node) -> None:
    _check_names(v, node, (node.text("annotation"),))


def _check_many(v: Validator, node: Node) -> None:
    _check_names(v, node, node.texts("annotations"))


def _mailbox(run: Run, node: Node) -> str | None:
    return run.text(node.text("mailbox")) if "mailbox" in node.arguments else None


def _values(run: Run, node: Node) -> Asking[list[str]]:
    annotation = run.text(node.text("annotation"))
    if not is_annotation(annotation):
        return []
    value: str | None = yield Metadata(_mailbox(run, node), annotation)
    return [] if value is None else [value]


def _exists(run: Run, node: Node) -> Asking[bool]:
    mailbox = _mailbox(run, node)
    for annotation in run.texts(node.texts("annotations")):
        if not is_annotation(annotation):
            return False
        if (yield Metadata(mailbox, annotation)) is None:
            return False
    return True


_MAILBOX = Positional("mailbox", STRING)
_ANNOTATION = Positional("annotation", STRING)
_ANNOTATIONS = Positional("annotations", STRINGS)


def _extension(capability: str, prefix: str, before: tuple[Positional, ...]) -> Extension:
    return Extension(
        capability,
        tests=(
            TestSpec(
                prefix,
                values=_values,
                arguments=(*before, _ANNOTATION, KEYS),
                keys="keys",
                validate=_check_one,
            ),
            TestSpec(
                f"{prefix}exists",
                _exists,
                arguments=(*before, _ANNOTATIONS),
                validate=_check_many,
            ),
        ),
    )


EXTENSIONS = (
    _extension("mboxmetadata", "metadata", (_MAILBOX,)),
    _extension("servermetadata", "servermetadata", ()),
)
