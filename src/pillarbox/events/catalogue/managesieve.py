"""Events of ManageSieve sessions."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import COMMAND, SIEVE_SCRIPT
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="managesieve", inherits={**SIEVE_SCRIPT, **COMMAND})
def managesieve_command_finished(
    scope: Scope,
    /,
    *,
    old_script_name: Annotated[str | None, F("RENAMESCRIPT: the name before.")] = None,
    new_script_name: Annotated[str | None, F("RENAMESCRIPT: the name after.")] = None,
    compile_errors: Annotated[
        int | None, F("Errors found in the script by PUTSCRIPT, CHECKSCRIPT or SETACTIVE.")
    ] = None,
    compile_warnings: Annotated[
        int | None, F("Warnings found in the script by PUTSCRIPT, CHECKSCRIPT or SETACTIVE.")
    ] = None,
    error: Error = None,
) -> None:
    """A ManageSieve command is done."""
