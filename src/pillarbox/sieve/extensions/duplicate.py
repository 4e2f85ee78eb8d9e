"""duplicate (RFC 7352): whether a message with the same id came before.

The id is the Message-ID, the header named by ``:header``, or ``:uniqueid``; without one the test is
false.  The caller is asked whether it knows the id; what is to be remembered goes into the result,
for it counts only if the script ends well.  Asked twice in one run, the answer is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.sieve.core.tests import is_field_name
from pillarbox.sieve.durations import setting_seconds
from pillarbox.sieve.questions import DuplicateCheck
from pillarbox.sieve.registry import NUMBER, STRING, Asking, Extension, TagSpec, TestSpec
from pillarbox.sieve.result import DuplicateMark

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator

DEFAULT_PERIOD: Final = 12 * 3600
MAX_PERIOD: Final = 2 * 86_400


class Answers:
    """What this run was told already; a bench forgets it where a delivery would have ended."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], bool] = {}


def _unique_id(run: Run, node: Node) -> str:
    given = node.tags.get("uniqueid")
    if given is not None:
        return run.text(given.text())
    header = node.tags.get("header")
    name = "message-id" if header is None else run.text(header.text())
    fields = run.message.fields(name)
    return fields[0].text if fields else ""


def _period(run: Run, node: Node) -> int:
    settings = run.environment.settings
    use = node.tags.get("seconds")
    if use is None:
        return setting_seconds(settings, "sieve_duplicate_default_period", DEFAULT_PERIOD)
    most = setting_seconds(settings, "sieve_duplicate_max_period", MAX_PERIOD)
    return min(int(use.value), most)


def _duplicate(run: Run, node: Node) -> Asking[bool]:
    unique_id = _unique_id(run, node)
    if not unique_id:
        return False
    use = node.tags.get("handle")
    handle = "" if use is None else run.text(use.text())
    key = (handle, unique_id)
    known = run.state(Answers).known
    if key not in known:
        known[key] = bool((yield DuplicateCheck(handle, unique_id)))
        last = "last" in node.tags
        if last or not known[key]:
            run.result.duplicates.append(DuplicateMark(handle, unique_id, _period(run, node), last))
    return known[key]


def _check_header(v: Validator, node: Node, use: TagUse) -> None:
    name = use.text().constant
    if name is not None and not is_field_name(name):
        v.warning(use.position, f"invalid header name '{name[:80]}' for the duplicate test")


EXTENSION = Extension(
    "duplicate",
    tests=(
        TestSpec(
            "duplicate",
            _duplicate,
            tags=(
                TagSpec("handle", STRING),
                TagSpec("header", STRING, group="source of the id", validate=_check_header),
                TagSpec("uniqueid", STRING, group="source of the id"),
                TagSpec("seconds", NUMBER),
                TagSpec("last"),
            ),
        ),
    ),
)
