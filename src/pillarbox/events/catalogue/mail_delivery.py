"""Events of local delivery: one pair per message and recipient, whatever brought the message."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import SMTP_RECIPIENT
from pillarbox.events.catalogue.own import DataSize, Error, MessageId
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Subject = Annotated[str | None, F("Subject in UTF-8, cut at 80 bytes.")]
_From = Annotated[str | None, F("Address in the From header.")]
_Size = Annotated[int | None, F("Size of the message as it is stored.", unit="bytes")]
_VSize = Annotated[int | None, F("Size of the message with CRLF line ends.", unit="bytes")]


@declare(category="local-delivery", inherits=SMTP_RECIPIENT)
def mail_delivery_started(
    scope: Scope,
    /,
    *,
    message_id: MessageId = None,
    message_subject: _Subject = None,
    message_from: _From = None,
    message_size: _Size = None,
    message_vsize: _VSize = None,
    data_size: DataSize = None,
) -> None:
    """A message is about to be delivered to one recipient."""


@declare(category="local-delivery", inherits=SMTP_RECIPIENT)
def mail_delivery_finished(
    scope: Scope,
    /,
    *,
    error: Error = None,
    message_id: MessageId = None,
    message_subject: _Subject = None,
    message_from: _From = None,
    message_size: _Size = None,
    message_vsize: _VSize = None,
    data_size: DataSize = None,
) -> None:
    """A message was delivered to one recipient, or could not be."""
