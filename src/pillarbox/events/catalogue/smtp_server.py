"""Events of the SMTP and LMTP servers: commands, transactions, and their recipients."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import (
    DESTINATION,
    SMTP_COMMAND,
    SMTP_RECIPIENT,
    SMTP_TRANSACTION,
)
from pillarbox.events.catalogue.own import DataSize, EnhancedCode, Error, StatusCode
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="smtp-server", inherits=SMTP_COMMAND)
def smtp_server_command_started(scope: Scope, /) -> None:
    """A command has come in."""


@declare(category="smtp-server", inherits=SMTP_COMMAND)
def smtp_server_command_finished(
    scope: Scope,
    /,
    *,
    status_code: StatusCode = None,
    enhanced_code: EnhancedCode = None,
    error: Error = None,
) -> None:
    """A command has been answered (what is told is its first reply), or was cut off."""


@declare(category="smtp-server", inherits=SMTP_TRANSACTION)
def smtp_server_transaction_started(scope: Scope, /, *, data_size: DataSize = None) -> None:
    """MAIL was accepted: a transaction has begun."""


@declare(category="smtp-server", inherits=SMTP_TRANSACTION)
def smtp_server_transaction_finished(
    scope: Scope,
    /,
    *,
    status_code: StatusCode = None,
    enhanced_code: EnhancedCode = None,
    error: Error = None,
    recipients: Annotated[int | None, F("Number of recipients named.")] = None,
    recipients_aborted: Annotated[
        int | None, F("Recipients whose fate was open when the transaction was cut off.")
    ] = None,
    recipients_denied: Annotated[int | None, F("Recipients refused at RCPT.")] = None,
    recipients_failed: Annotated[
        int | None, F("Recipients that failed anywhere, refusals at RCPT included.")
    ] = None,
    recipients_succeeded: Annotated[
        int | None, F("Recipients for whom the message was accepted.")
    ] = None,
    is_reset: Annotated[
        str | None,
        F("Present when the client took the transaction back; no failure.", values=("yes",)),
    ] = None,
    data_size: DataSize = None,
) -> None:
    """A transaction is over, delivered, taken back or failed (the first failure is told)."""


@declare(
    category="smtp-server",
    inherits={
        "dest_host": DESTINATION["dest_host"],
        "dest_ip": DESTINATION["dest_ip"],
        **SMTP_RECIPIENT,
    },
)
def smtp_server_transaction_rcpt_finished(
    scope: Scope,
    /,
    *,
    status_code: StatusCode = None,
    enhanced_code: EnhancedCode = None,
    error: Error = None,
    data_size: DataSize = None,
) -> None:
    """One recipient is settled: refused at RCPT, or the end of the message was answered."""
