"""Events of Sieve: scripts stored, opened and run, and the actions that they led to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pillarbox.events.catalogue.inherited import SIEVE_LOCATION, SIEVE_MESSAGE, SIEVE_SCRIPT
from pillarbox.events.catalogue.own import Error, MessageId
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_StorageDriver = Annotated[
    str | None, F("Driver of the script storage.", values=("file", "ldap", "dict"))
]
_Binary = Annotated[str | None, F("Path of the compiled script, if it is in a file.")]


@declare(category="sieve-execute", inherits=SIEVE_MESSAGE)
def sieve_action_finished(
    scope: Scope,
    /,
    *,
    action_name: Annotated[
        str | None,
        F(
            "Name of the action.",
            values=(
                "discard",
                "fileinto",
                "keep",
                "notify",
                "pipe",
                "redirect",
                "reject",
                "report",
                "vacation",
            ),
        ),
    ] = None,
    action_script_location: Annotated[
        str | None, F("Where in the scripts the action stands: script name and line.")
    ] = None,
    redirect_target: Annotated[str | None, F("redirect: where to.")] = None,
    notify_target: Annotated[Sequence[str] | None, F("notify: who is told.")] = None,
    report_target: Annotated[str | None, F("report: where to.")] = None,
    report_type: Annotated[str | None, F("report: kind of feedback.")] = None,
    fileinto_mailbox: Annotated[str | None, F("fileinto, keep: into which mailbox.")] = None,
    pipe_program: Annotated[str | None, F("pipe: which program.")] = None,
    message_id: MessageId = None,
) -> None:
    """An action of a script was carried out."""


@declare(category="sieve-runtime", inherits={**SIEVE_SCRIPT, **SIEVE_LOCATION, **SIEVE_MESSAGE})
def sieve_runtime_script_started(
    scope: Scope,
    /,
    *,
    binary_path: _Binary = None,
    error: Error = None,
    message_id: MessageId = None,
) -> None:
    """A script is about to be run for a message."""


@declare(category="sieve-runtime", inherits={**SIEVE_SCRIPT, **SIEVE_LOCATION, **SIEVE_MESSAGE})
def sieve_runtime_script_finished(
    scope: Scope,
    /,
    *,
    binary_path: _Binary = None,
    error: Error = None,
    message_id: MessageId = None,
) -> None:
    """A script has been run for a message."""


@declare(category="sieve-storage", inherits=SIEVE_LOCATION)
def sieve_script_opened(
    scope: Scope, /, *, storage_driver: _StorageDriver = None, error: Error = None
) -> None:
    """A stored script was opened for reading."""


@declare(category="sieve-storage", inherits=SIEVE_LOCATION)
def sieve_script_closed(
    scope: Scope, /, *, storage_driver: _StorageDriver = None, error: Error = None
) -> None:
    """A stored script was closed again."""


@declare(category="sieve-storage", inherits=SIEVE_LOCATION)
def sieve_script_deleted(
    scope: Scope, /, *, storage_driver: _StorageDriver = None, error: Error = None
) -> None:
    """A stored script was deleted."""


@declare(category="sieve-storage", inherits=SIEVE_LOCATION)
def sieve_script_activated(
    scope: Scope, /, *, storage_driver: _StorageDriver = None, error: Error = None
) -> None:
    """A stored script was made the active one."""


@declare(category="sieve-storage", inherits=SIEVE_LOCATION)
def sieve_script_renamed(
    scope: Scope,
    /,
    *,
    old_script_name: Annotated[str | None, F("The name before.")] = None,
    new_script_name: Annotated[str | None, F("The name after.")] = None,
    storage_driver: _StorageDriver = None,
    error: Error = None,
) -> None:
    """A stored script was renamed."""


@declare(category="sieve-storage", inherits={**SIEVE_SCRIPT, **SIEVE_LOCATION})
def sieve_storage_save_started(
    scope: Scope, /, *, storage_driver: _StorageDriver = None, error: Error = None
) -> None:
    """A script is about to be stored."""


@declare(category="sieve-storage", inherits={**SIEVE_SCRIPT, **SIEVE_LOCATION})
def sieve_storage_save_finished(
    scope: Scope, /, *, storage_driver: _StorageDriver = None, error: Error = None
) -> None:
    """A script was stored, or could not be."""
