"""Events of IMAP sessions: commands, the ID exchange, and hibernation.

`imap_id_received` has fields whose names the client chooses.  Its emitter gives the parameters
as one mapping, which `id_fields` turns into fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pillarbox.events.catalogue.inherited import IMAP_COMMAND, MAIL_SESSION, MAILBOX_NAME
from pillarbox.events.catalogue.own import Error, NetInBytes, NetOutBytes
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_VALID_KEY: Final = re.compile(r"[a-z0-9_-]+\Z")


def id_fields(params: Mapping[str, str | None]) -> dict[str, str]:
    """The fields of ID parameters (RFC 2971): ``id_param_<key>``, ``id_invalid<n>`` for odd keys.

    Keys are taken in lower case.  A key with other characters than letters, digits, dash and
    underscore becomes ``id_invalid1``, ``id_invalid2`` ... with "key value" as its value.  NIL
    values (None) count as empty.
    """
    fields: dict[str, str] = {}
    invalid = 0
    for key, value in params.items():
        name = key.lower()
        if _VALID_KEY.match(name):
            fields[f"id_param_{name}"] = value or ""
        else:
            invalid += 1
            fields[f"id_invalid{invalid}"] = f"{key} {value or ''}"
    return fields


@declare(category="imap", inherits=IMAP_COMMAND)
def imap_command_finished(
    scope: Scope,
    /,
    *,
    tagged_reply_state: Annotated[
        str | None, F("How the command ended.", values=("OK", "NO", "BAD"))
    ] = None,
    tagged_reply: Annotated[str | None, F("The tagged reply, without the tag.")] = None,
    last_run_time: Annotated[
        float | None, F("When the command ran last, before what is synchronised after it.")
    ] = None,
    running_usecs: Annotated[int | None, F("Time spent running.", unit="µs")] = None,
    lock_wait_usecs: Annotated[int | None, F("Time spent waiting for locks.", unit="µs")] = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
) -> None:
    """A command after login is done and its tagged reply is sent."""


@declare(category="imap", inherits=IMAP_COMMAND)
def imap_id_received(
    scope: Scope,
    /,
    *,
    params: Annotated[
        Mapping[str, str | None] | None,
        F(
            "The parameters of the ID command.",
            expand=id_fields,
            patterns=(
                ("id_param_<param>", "Value of a parameter; its key in lower case is the name."),
                ("id_invalid<num>", "Key and value of the n-th parameter with an invalid key."),
            ),
        ),
    ] = None,
) -> None:
    """A client told what it is, before or after login."""


@declare(category="imap-hibernate", inherits={**MAILBOX_NAME, **MAIL_SESSION})
def imap_client_hibernated(scope: Scope, /, *, error: Error = None) -> None:
    """An idling client was put to sleep, or could not be."""


@declare(category="imap-hibernate", inherits=MAIL_SESSION)
def imap_client_unhibernate_retried(scope: Scope, /, *, error: Error = None) -> None:
    """Waking a client must be tried again, since all IMAP processes are busy."""


@declare(category="imap-hibernate", inherits={**MAILBOX_NAME, **MAIL_SESSION})
def imap_client_unhibernated(
    scope: Scope,
    /,
    *,
    reason: Annotated[
        str | None,
        F(
            "What woke the client: DONE, something else than DONE, or a change of its mailbox.",
            values=("idle_done", "idle_bad_reply", "mailbox_changes"),
        ),
    ] = None,
    hibernation_usecs: Annotated[int | None, F("How long the client slept.", unit="µs")] = None,
) -> None:
    """A sleeping client was woken, or could not be."""
