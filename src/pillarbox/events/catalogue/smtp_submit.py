"""Events of messages that we send out ourselves: forwards, replies, notices."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import MAIL_FROM
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="smtp-submit")
def smtp_submit_started(scope: Scope, /) -> None:
    """A message is about to be sent."""


@declare(category="smtp-submit", inherits=MAIL_FROM)
def smtp_submit_finished(
    scope: Scope,
    /,
    *,
    error: Error = None,
    recipients: Annotated[int | None, F("Number of recipients of the message.")] = None,
    data_size: Annotated[int | None, F("Size of the message.", unit="bytes")] = None,
) -> None:
    """A message was handed to a mail transfer agent, or could not be."""
