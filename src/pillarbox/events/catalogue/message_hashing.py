"""Events that give hashes of messages and attachments as they are saved."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Append = Annotated[str | None, F("Whether a client appended the message, or it was delivered.")]


@declare(category="mailbox")
def message_hashing_msg_full(
    scope: Scope,
    /,
    *,
    append: _Append = None,
    attachments: Annotated[int | None, F("Number of attachments that were hashed.")] = None,
    hash: Annotated[str | None, F("Hash of the whole message.")] = None,
    size: Annotated[int | None, F("Size of the whole message.", unit="bytes")] = None,
) -> None:
    """A message was saved and hashed."""


@declare(category="mailbox")
def message_hashing_msg_part(
    scope: Scope,
    /,
    *,
    append: _Append = None,
    hash: Annotated[str | None, F("Hash of the attachment.")] = None,
    size: Annotated[int | None, F("Size of the attachment.", unit="bytes")] = None,
) -> None:
    """An attachment of a message that is saved was hashed."""
