"""Events of push notifications."""

from __future__ import annotations

from pillarbox.events.catalogue.inherited import MAILBOX_NAME, SESSION
from pillarbox.events.event import Scope, declare


@declare(category="push-notification", inherits={**MAILBOX_NAME, **SESSION})
def push_notification_finished(scope: Scope, /) -> None:
    """A notification of a change was sent."""
