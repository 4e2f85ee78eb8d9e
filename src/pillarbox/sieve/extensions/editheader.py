"""editheader (RFC 5293): addheader and deleteheader.

Changes are seen by every test and action that comes later; earlier actions keep the message as it
was.  The fields named by `sieve_editheader_protected`, and always Received and Auto-Submitted,
cannot be deleted (protected ones not added either): such a command does nothing, as the RFC wants.
New values longer than `sieve_editheader_max_header_size` are not added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.sieve.core.tests import is_field_name
from pillarbox.sieve.encoded_words import header_line
from pillarbox.sieve.errors import SieveLimitError, SieveRunError
from pillarbox.sieve.message import HeaderField
from pillarbox.sieve.registry import (
    NUMBER,
    STRING,
    STRINGS,
    Asking,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator

_NEVER_DELETED: Final = frozenset({"RECEIVED", "AUTO-SUBMITTED"})
_DEFAULT_SIZE: Final = 2048


class _Edits:
    """How many changes this run has made."""

    def __init__(self) -> None:
        self.count = 0


def _listed(run: Run, *settings: str) -> set[str]:
    text = " ".join(run.environment.settings.get(name, "") for name in settings)
    return {name.upper() for name in text.replace(",", " ").split()}


def _count(run: Run) -> None:
    edits = run.state(_Edits)
    edits.count += 1
    run.spend(1 + (len(run.message.all_fields) >> 4))
    if edits.count > run.limits.header_edits:
        raise SieveLimitError(f"the header is edited more than {run.limits.header_edits} times")


def _size_limit(run: Run) -> int:
    given = run.environment.settings.get("sieve_editheader_max_header_size", "")
    number = given.rstrip("kKbB ")
    if not number.isdigit():
        return _DEFAULT_SIZE
    size = int(number) * (1024 if "k" in given.lower() else 1)
    return max(size, 1024)


def _name(run: Run, node: Node) -> str:
    name = run.text(node.text("name"))
    if not is_field_name(name):
        raise SieveRunError(f"{node.name} action: specified field name '{name[:80]}' is invalid")
    return name


def _add(run: Run, node: Node) -> None:
    name = _name(run, node)
    value = run.text(node.text("value"))
    forbidden = _listed(run, "sieve_editheader_protected", "sieve_editheader_forbid_add")
    if name.upper() in forbidden:
        run.warn(f"addheader action: the field '{name}' is protected; it is not added", node)
        return
    line = header_line(name, value)
    if len(line) - len(name) - 4 > _size_limit(run):
        run.warn(f"addheader action: the value of '{name}' is too long; it is not added", node)
        return
    _count(run)
    field = HeaderField(name.upper(), line, len(name) + 1)
    fields = run.message.all_fields
    run.message.set_fields([*fields, field] if "last" in node.tags else [field, *fields])


def _delete(run: Run, node: Node) -> Asking[None]:
    name = _name(run, node)
    forbidden = _listed(run, "sieve_editheader_protected", "sieve_editheader_forbid_delete")
    if name.upper() in (*_NEVER_DELETED, *forbidden):
        run.warn(f"deleteheader action: the field '{name}' is protected; it is not deleted", node)
        return
    found = run.message.fields(name)
    use = node.tags.get("index")
    if use is not None:
        number: int = use.value
        at = -number if "last" in node.tags else number - 1
        found = [found[at]] if number <= len(found) else []
    if "patterns" in node.arguments:
        patterns = run.texts(node.texts("patterns"))
        found = yield from _matching(run, node, found, patterns)
    if not found:
        return
    _count(run)
    gone = {id(field) for field in found}
    run.message.set_fields([f for f in run.message.all_fields if id(f) not in gone])


def _matching(
    run: Run, node: Node, fields: list[HeaderField], patterns: list[str]
) -> Asking[list[HeaderField]]:
    """The fields to delete; match variables stay as they were."""
    before = run.frame.matches
    assert node.matching is not None
    if node.matching.type.name == "count":
        every = yield from run.matching(node, [field.text for field in fields], patterns)
        found = fields if every else []
    else:
        found = []
        for field in fields:
            if (yield from run.matching(node, [field.text], patterns)):
                found.append(field)
    run.frame.matches = before
    return found


def _check_name(v: Validator, node: Node) -> None:
    name = node.text("name").constant
    if name is not None and not is_field_name(name):
        v.error(
            node.text("name").position,
            f"{node.name} command: specified field name '{name[:80]}' is invalid",
        )
    elif name is not None and node.name == "deleteheader" and name.upper() in _NEVER_DELETED:
        v.warning(
            node.text("name").position,
            f"deleteheader command: deleting the field '{name}' is not allowed; it is ignored",
        )


def _check_index(v: Validator, node: Node, use: TagUse) -> None:
    if use.value < 1:
        v.error(use.position, "the :index tag needs a number greater than zero")


EXTENSION = Extension(
    "editheader",
    commands=(
        CommandSpec(
            "addheader",
            _add,
            (Positional("name", STRING), Positional("value", STRING)),
            tags=(TagSpec("last"),),
            validate=_check_name,
        ),
        CommandSpec(
            "deleteheader",
            _delete,
            (Positional("name", STRING), Positional("patterns", STRINGS, optional=True)),
            tags=(TagSpec("index", NUMBER, validate=_check_index), TagSpec("last", needs="index")),
            keys="patterns",
            validate=_check_name,
        ),
    ),
)
