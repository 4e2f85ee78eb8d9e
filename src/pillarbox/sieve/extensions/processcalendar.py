"""processcalendar (RFC 9671): have invitations in a message put into the user's calendar.

Only the caller knows calendars, so the command is a question, `ProcessCalendar`; the answer is a
`CalendarOutcome`, whose texts go into the variables of ``:outcome`` and ``:reason``.  What is done
with the message afterwards is left to the script.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pillarbox.sieve.extensions.variables import assign, check_variable, split_name
from pillarbox.sieve.questions import Question
from pillarbox.sieve.registry import STRING, STRINGS, Asking, CommandSpec, Extension, TagSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator

OUTCOMES: Final = ("no_action", "added", "updated", "cancelled", "error")


@dataclass(frozen=True, slots=True)
class CalendarOutcome:
    """What became of it: one of `OUTCOMES`, and a reason for people."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProcessCalendar(Question):
    """Process the calendar data of this message (RFC 9671 section 4); a `CalendarOutcome`."""

    message: bytes
    addresses: tuple[str, ...] = ()
    organizers: str | None = None
    calendar_id: str | None = None
    allow_public: bool = False
    invites_only: bool = False
    updates_only: bool = False
    delete_cancelled: bool = False
    default: ClassVar[Any] = CalendarOutcome("no_action", "there is no calendar here")


def _said(run: Run, node: Node, tag: str) -> str | None:
    use = node.tags.get(tag)
    return None if use is None else run.text(use.text())


def _process(run: Run, node: Node) -> Asking[None]:
    tags = node.tags
    answer: CalendarOutcome = yield ProcessCalendar(
        run.message.snapshot().render(),
        tuple(run.texts(tags["addresses"].value)) if "addresses" in tags else (),
        _said(run, node, "organizers"),
        _said(run, node, "calendarid"),
        "allowpublic" in tags,
        "invitesonly" in tags,
        "updatesonly" in tags,
        "deletecancelled" in tags,
    )
    for tag, value in (("outcome", answer.outcome), ("reason", answer.reason)):
        use = tags.get(tag)
        split = split_name(use.text().constant or "") if use is not None else None
        if split is not None:
            assign(run, *split, value)


def _check_name(v: Validator, node: Node, use: TagUse) -> None:
    if not v.enabled("variables"):
        v.error(use.position, f"the tag ':{use.spec.name}' needs require \"variables\"")
        return
    problem = check_variable(v, use.text().constant or "")
    if problem is not None:
        v.error(use.position, problem)


def _check_organizers(v: Validator, node: Node, use: TagUse) -> None:
    if not v.enabled("extlists"):
        v.error(use.position, "the tag ':organizers' needs require \"extlists\"")


EXTENSION = Extension(
    "processcalendar",
    commands=(
        CommandSpec(
            "processcalendar",
            _process,
            tags=(
                TagSpec("allowpublic"),
                TagSpec("addresses", STRINGS),
                TagSpec("invitesonly", group="restriction"),
                TagSpec("updatesonly", group="restriction"),
                TagSpec("calendarid", STRING),
                TagSpec("deletecancelled"),
                TagSpec("organizers", STRING, validate=_check_organizers),
                TagSpec("outcome", STRING, constant=True, validate=_check_name),
                TagSpec("reason", STRING, constant=True, validate=_check_name),
            ),
        ),
    ),
)
