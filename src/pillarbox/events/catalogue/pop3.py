"""Events of POP3 sessions."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import COMMAND, MAIL_SESSION
from pillarbox.events.catalogue.own import NetInBytes, NetOutBytes
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="pop3", inherits={**COMMAND, **MAIL_SESSION})
def pop3_command_finished(
    scope: Scope,
    /,
    *,
    reply: Annotated[
        str | None, F("Whether the answer was +OK or -ERR.", values=("OK", "FAIL"))
    ] = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
) -> None:
    """A command after login is done and answered."""
