"""``pillarbox user``: the people who have mail here.

The commands edit the first passdb that can be written (see `user_database`), also while the server
runs; it sees the change at the next login.  ``list`` asks every userdb (see
`user_list`).  Names are normalised as logins are (`auth_username_format`), so that whoever was
added can also log in.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from pillarbox.auth.schemes import is_weak, split
from pillarbox.auth.usernames import normalise
from pillarbox.cli.failure import DATA, NO_USER, TEMPORARY, USAGE, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.cli.password import hashed, new_password
from pillarbox.cli.user_database import Users, user_database
from pillarbox.cli.user_list import listed
from pillarbox.drivers.passdb.api import NoSuchUser, Record, UserExists
from pillarbox.settings.model import Settings
from pillarbox.settings.units import format_size, parse_size

app = typer.Typer(no_args_is_help=True, help="Users: add, list, show, delete, change passwords.")

T = TypeVar("T")

NameArgument = Annotated[str, typer.Argument(metavar="USER", help="Login name.")]
SchemeOption = Annotated[
    str | None,
    typer.Option("--scheme", help="Password scheme; otherwise the setting auth_password_scheme."),
]
HashOption = Annotated[
    str | None,
    typer.Option("--hash", metavar="{SCHEME}HASH", help="A password that is hashed already."),
]


@app.command()
def add(
    user: NameArgument,
    home: Annotated[str | None, typer.Option("--home", help="Home folder.")] = None,
    uid: Annotated[
        str | None, typer.Option("--uid", help="System user that owns the mail.")
    ] = None,
    gid: Annotated[str | None, typer.Option("--gid", help="System group of the mail.")] = None,
    quota: Annotated[str | None, typer.Option("--quota", help="Such as 2GB.")] = None,
    scheme: SchemeOption = None,
    hash_: HashOption = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    settings = settings_of(config, override)
    name = login_name(settings, user)
    fields = {"home": home, "uid": uid, "gid": gid, "quota_storage_size": _quota(quota)}
    given = {k: v for k, v in fields.items() if v is not None}
    stored = _stored(settings, name, scheme, hash_)

    async def work() -> None:
        async with user_database(settings, create=True) as users:
            await users.add(name, stored, given)

    _run(name, work())
    typer.echo(f"Added {name}.")


@app.command("list")
def list_users(
    mask: Annotated[str, typer.Argument(metavar="MASK", help="Names to list, with * and ?.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="With all fields, as JSON.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List the users that the userdbs know, one to a line."""
    found = asyncio.run(listed(settings_of(config, override), mask, fields=as_json))
    if as_json:
        shown = [{"user": user, **fields} for user, fields in found.users.items()]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for user in found.users:
            typer.echo(user)
    if found.failure is not None:
        raise CommandFailed(f"there may be more users: {found.failure}", TEMPORARY)


@app.command()
def show(user: NameArgument, config: ConfigOption = None, override: OverrideOption = None) -> None:
    """Show what is stored for a user, except the password."""
    settings = settings_of(config, override)
    name = login_name(settings, user)

    async def work() -> Record:
        async with user_database(settings) as users:
            return await _record(users, name)

    record = _run(name, work())
    rows = {"user": record.user, "password scheme": _scheme(record), **record.fields}
    size = rows.get("quota_storage_size", "")
    if size.isdecimal():
        rows["quota_storage_size"] = f"{size} ({format_size(int(size))})"
    width = max(map(len, rows))
    for key, value in rows.items():
        typer.echo(f"{key:<{width}}  {value}")


@app.command()
def passwd(
    user: NameArgument,
    scheme: SchemeOption = None,
    hash_: HashOption = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Change a password; it is asked for, or read from standard input."""
    settings = settings_of(config, override)
    name = login_name(settings, user)

    async def exists() -> None:
        async with user_database(settings) as users:
            await _record(users, name)

    _run(name, exists())
    stored = _stored(settings, name, scheme, hash_)

    async def work() -> None:
        async with user_database(settings) as users:
            await users.update(name, password=stored)

    _run(name, work())
    typer.echo(f"Changed the password of {name}.")


@app.command()
def delete(
    user: NameArgument, config: ConfigOption = None, override: OverrideOption = None
) -> None:
    """Remove a user, who can no longer log in or get mail; stored mail stays on disk."""
    settings = settings_of(config, override)
    name = login_name(settings, user)

    async def work() -> None:
        async with user_database(settings) as users:
            await users.delete(name)

    _run(name, work())
    typer.echo(f"Deleted {name}; the mail stays on disk.")


def login_name(settings: Settings, user: str) -> str:
    """The name as a login would have it.  Raises CommandFailed for one that nobody can use."""
    name = normalise(user, settings)
    if name is None:
        text = f"nobody can log in as {user!r}: see auth_username_chars and auth_username_format"
        raise CommandFailed(text, DATA)
    return name


def _stored(settings: Settings, user: str, scheme: str | None, hash_: str | None) -> str:
    """The password to store: given as a hash, or asked for and hashed."""
    if hash_ is None:
        wanted = scheme or settings.auth_password_scheme
        if is_weak(wanted) and not settings.auth_allow_weak_schemes:
            text = f"{wanted} is weak: nobody can log in with it without auth_allow_weak_schemes"
            raise CommandFailed(text, USAGE)
        return hashed(wanted, new_password(), user)
    if not re.fullmatch(r"\{[A-Za-z0-9.\-]+\}.+", hash_):
        raise CommandFailed("--hash begins with its scheme, as in {SHA512-CRYPT}$6$...", USAGE)
    return hash_


def _quota(written: str | None) -> str | None:
    if written is None:
        return None
    try:
        return str(parse_size(written))
    except ValueError as error:
        raise CommandFailed(f"--quota: {error}", USAGE) from None


def _scheme(record: Record) -> str:
    return split(record.password, "PLAIN").scheme if record.password else "none: cannot log in"


async def _record(users: Users, name: str) -> Record:
    found = next((r for r in await users.records() if r.user == name), None)
    if found is None:
        raise NoSuchUser(name)
    return found


def _run(name: str, work: Coroutine[Any, Any, T]) -> T:
    """Run it; what can be wrong about a user becomes a sentence."""
    try:
        return asyncio.run(work)
    except UserExists:
        raise CommandFailed(f"there is already a user {name}") from None
    except NoSuchUser:
        raise CommandFailed(f"there is no user {name}", NO_USER) from None
    except ValueError as error:
        raise CommandFailed(str(error), DATA) from None
