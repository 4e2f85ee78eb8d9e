"""``pillarbox pw``: hash a password for a user database, or test one against a stored form.

The password is asked for (or read from standard input) unless it is given; given on the command
line it can be seen by others on the machine, so that is for tests.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pillarbox.auth.scheme import SchemeError
from pillarbox.auth.schemes import SCHEMES, verify
from pillarbox.cli.failure import DATA, NO_PERMISSION, CommandFailed
from pillarbox.cli.password import hashed, new_password

app = typer.Typer(add_completion=False)


@app.command()
def pw(
    scheme: Annotated[
        str, typer.Option("--scheme", "-s", help="Password scheme; see --list.")
    ] = "ARGON2ID",
    password: Annotated[
        str | None, typer.Option("--password", "-p", help="The password; otherwise asked for.")
    ] = None,
    test: Annotated[
        str | None,
        typer.Option("--test", "-t", metavar="STORED", help="Verify against this stored form."),
    ] = None,
    user: Annotated[
        str, typer.Option("--user", "-u", help="Whose it is: DIGEST-MD5 hashes the name too.")
    ] = "",
    show_list: Annotated[bool, typer.Option("--list", "-l", help="List the schemes.")] = False,
) -> None:
    """Hash a password, or verify one against a hash."""
    if show_list:
        typer.echo(" ".join(name for name, known in SCHEMES.items() if not known.weak))
        weak = " ".join(name for name, known in SCHEMES.items() if known.weak)
        typer.echo(f"weak, see auth_allow_weak_schemes: {weak}")
        return
    if test is None:
        typer.echo(hashed(scheme, password if password is not None else new_password(), user))
        return
    given = password if password is not None else new_password("Password: ")
    try:
        right = verify(test, given, scheme, user=user)
    except SchemeError as error:
        raise CommandFailed(str(error), DATA) from None
    if not right:
        raise CommandFailed("the password does not match", NO_PERMISSION)
    typer.echo(f"{test} (verified)")
