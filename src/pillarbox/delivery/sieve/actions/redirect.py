"""redirect: send the message on to somebody else (RFC 5228 section 4.2).

Mail that this user's scripts redirected before is not redirected again: that is a loop, and the
message is kept.  The same message goes to the same address once in sieve_redirect_duplicate_period,
so that a delivery which is tried again after a failure does not send it twice.
"""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.deliver_by import by_parameter
from pillarbox.delivery.sieve.actions.doing import (
    ActionFailed,
    Tools,
    action_scope,
    check_sent,
    original,
    sender_of,
)
from pillarbox.delivery.sieve.case import Case
from pillarbox.drivers.dict.api import DictError
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.sieve.message import Message
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import REDIRECTED_FROM, redirected
from pillarbox.sieve.result import Redirect

_OURS = frozenset({"RETURN-PATH"})  # written by the last delivery, which this is not


async def redirect(case: Case, step: Step, tools: Tools) -> None:
    """Send it on.  Raises ActionFailed."""
    action = step.action
    assert isinstance(action, Redirect)
    message = original(step)
    for field in message.fields(REDIRECTED_FROM):
        if field.text.strip().lower() == case.address.lower():
            raise ActionFailed(f"not forwarding to <{action.address}>: the message is in a loop")
    addresses: tuple[str, ...] = (action.address,)
    if "list" in action.options:
        try:
            addresses = await tools.lists.members(action.address)
        except DictError as error:
            raise ActionFailed(f"list '{action.address}': {error}", temporary=True) from None
        if not addresses:
            raise ActionFailed(f"list '{action.address}' has no members")
    data = outgoing(message, case.address)
    for address in addresses:
        await _to(case, action, tools, address, data, message)


def outgoing(message: Message, owner: str) -> bytes:
    """The message as it is sent on."""
    kept = [field for field in message.all_fields if field.name not in _OURS]
    if len(kept) != len(message.all_fields):
        message.set_fields(kept)
    return redirected(message.snapshot().render(), owner)


async def _to(
    case: Case, action: Redirect, tools: Tools, address: str, data: bytes, message: Message
) -> None:
    scope = action_scope(case)
    key = (case.fingerprint, _resent(message), address.lower())
    with tools.memory.working("redirect", *key) as alone:
        if not alone or await _known(case, tools, key):
            case.say(action, f"not forwarding to <{address}>: it was forwarded there before")
            return
        options = action.options
        sent = await tools.sender.send(
            scope,
            _envelope_sender(case),
            (address,),
            data,
            notify=options.get("notify"),
            ret=options.get("ret"),
            by_time=by_parameter(options, case.now),
        )
        check_sent(sent, f"forward to <{address}>")
        await _remember(case, tools, key)
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name="redirect",
            action_script_location=action.location,
            redirect_target=address,
            message_id=case.message_id,
        )
    case.say(action, f"forwarded to <{address}>")


def _envelope_sender(case: Case) -> str:
    if case.envelope.sender == "":
        return ""
    return sender_of(case, case.settings.sieve_redirect_envelope_from)


def _resent(message: Message) -> str:
    """What makes a message with the same id another one: that it was sent again, or by a list."""
    fields = [*message.fields("resent-message-id")[:1], *message.fields("list-id")[:1]]
    return "\0".join(field.text for field in fields)


async def _known(case: Case, tools: Tools, key: tuple[str, ...]) -> bool:
    try:
        return await tools.memory.knows("redirect", *key)
    except DictError as error:
        case.log.error(case.scope, f"sieve: redirect: {error}")
        return False


async def _remember(case: Case, tools: Tools, key: tuple[str, ...]) -> None:
    period = int(case.settings.sieve_redirect_duplicate_period)
    try:
        await tools.memory.remember(period, "redirect", *key)
    except DictError as error:
        case.log.error(case.scope, f"sieve: redirect: {error}")
