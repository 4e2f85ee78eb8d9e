"""``pillarbox auth``: try out, against the running server, what it makes of users and passwords.

``test`` asks whether a password is right, over the socket that mail transfer agents use;
``login`` goes the whole way of a mail client's login, master request included; ``lookup`` shows
where a user lives, ``list`` which users there are, ``cache flush`` makes the service forget what
it keeps of databases' answers, and ``penalty`` tells who guessed.  They ask the running server, so
what they show is what clients get.
Exit status: 77 for a refused login, 67 for an unknown user, 75 for a temporary failure.
"""

from __future__ import annotations

import asyncio
import getpass
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from pillarbox.cli import penalty
from pillarbox.cli.failure import NO_PERMISSION, NO_USER, TEMPORARY, USAGE, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.cli.telling import telling
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import (
    AuthClient,
    AuthMasterClient,
    AuthTemporaryError,
    Challenge,
    Failure,
    Success,
    UserInfo,
)
from pillarbox.runtime.auth_master import LookupImpossible
from pillarbox.settings.model import Settings
from pillarbox.wire.auth.params import AuthParams, from_wire
from pillarbox.wire.auth.tabs import pairs
from pillarbox.wire.sasl import client as sasl

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Try out logins and user look-ups."
)
_T = TypeVar("_T")
CONNECT_SECONDS = 5.0
_MECHANISMS: dict[str, Callable[[str, str, str], sasl.Client]] = {
    "PLAIN": sasl.plain,
    "LOGIN": lambda user, password, authzid: sasl.login(user, password),
    "SCRAM-SHA-1": lambda user, password, authzid: sasl.scram(
        "sha1", user, password, _nonce(), authzid
    ),
    "SCRAM-SHA-256": lambda user, password, authzid: sasl.scram(
        "sha256", user, password, _nonce(), authzid
    ),
    "CRAM-MD5": lambda user, password, authzid: sasl.cram_md5(user, password),
    "DIGEST-MD5": lambda user, password, authzid: sasl.digest_md5(
        user, password, _nonce(), "pillarbox", "localhost", authzid
    ),
    "OAUTHBEARER": lambda user, password, authzid: sasl.oauthbearer(user, password),
    "XOAUTH2": lambda user, password, authzid: sasl.xoauth2(user, password),
    "ANONYMOUS": lambda user, password, authzid: sasl.anonymous(user),
}
"""Client mechanisms by name, made of user, password or token, and whom to act for."""

UserArgument = Annotated[str, typer.Argument(metavar="USER")]
PasswordArgument = Annotated[
    str | None, typer.Argument(metavar="PASSWORD", help="Otherwise asked for.")
]
MasterOption = Annotated[
    str,
    typer.Option(
        "--master", "-M", metavar="MASTER", help="Log in as USER with this master user's password."
    ),
]
MechanismOption = Annotated[str, typer.Option("--mechanism", "-m", help="SASL mechanism.")]
InfoOption = Annotated[
    list[str] | None,
    typer.Option(
        "--info",
        "-x",
        metavar="NAME=VALUE",
        help="What the login should seem to come with: service, rip, lip, rport, lport, session, "
        "secured, local_name …",
    ),
]


@app.command("test")
def try_password(
    user: UserArgument,
    password: PasswordArgument = None,
    mechanism: MechanismOption = "PLAIN",
    master: MasterOption = "",
    info: InfoOption = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Say whether a password is right, and which fields the passdb gives."""
    settings = settings_of(config, override)
    params = _params(info)
    secret = password if password is not None else _ask()
    who = (master, user) if master else (user, "")

    async def work(scope: Scope) -> Success:
        client = AuthClient(Path(settings.base_dir) / "auth-client", params.service)
        try:
            return await _authenticate(client, mechanism, who, secret, params, scope)
        finally:
            client.close()

    reply = asyncio.run(_told(settings, work))
    typer.echo(f"passdb: {reply.user} auth succeeded")
    _show(reply.fields)


@app.command()
def login(
    user: UserArgument,
    password: PasswordArgument = None,
    mechanism: MechanismOption = "PLAIN",
    master: MasterOption = "",
    info: InfoOption = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Log in as a mail client does: passdb, then the worker's request for the userdb fields."""
    settings = settings_of(config, override)
    folder = Path(settings.base_dir)
    params = _params(info)
    secret = password if password is not None else _ask()
    who = (master, user) if master else (user, "")

    async def work(scope: Scope) -> tuple[Success, UserInfo]:
        client = AuthClient(folder / "auth-login", params.service)
        worker = AuthMasterClient(folder / "auth-master")
        try:
            reply = await _authenticate(client, mechanism, who, secret, params, scope)
            found = await worker.login(reply.id, client.pid, client.cookie, scope)
        finally:
            client.close()
            worker.close()
        return reply, found

    reply, found = asyncio.run(_told(settings, work))
    typer.echo(f"passdb: {reply.user} auth succeeded")
    _show(reply.fields)
    typer.echo(f"userdb: {found.user}")
    _show(found.fields)


@app.command()
def lookup(
    user: UserArgument,
    field: Annotated[
        str | None, typer.Option("--field", "-f", help="Show only this field's value.")
    ] = None,
    passdb: Annotated[
        bool, typer.Option("--passdb", help="Ask the passdb, without a password.")
    ] = False,
    info: InfoOption = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Show what the userdb, or the passdb, says of a user."""
    settings = settings_of(config, override)
    params = _params(info)

    async def work(scope: Scope) -> UserInfo | None:
        master = AuthMasterClient(Path(settings.base_dir) / "auth-master")
        ask = master.passdb if passdb else master.userdb
        try:
            return await ask(user, scope, params.service, params)
        except LookupImpossible:
            text = f"{user} cannot be looked up: the passdb only checks passwords (auth test)"
            raise CommandFailed(text) from None
        finally:
            master.close()

    found = asyncio.run(_told(settings, work))
    if found is None:
        raise CommandFailed(f"no such user: {user}", NO_USER)
    if field is None:
        typer.echo(f"{'passdb' if passdb else 'userdb'}: {found.user}")
        _show(found.fields)
    elif field in found.fields:
        typer.echo(found.fields[field])
    else:
        raise CommandFailed(f"{found.user} has no field {field}")


@app.command("list")
def list_users(
    mask: Annotated[str, typer.Argument(metavar="MASK", help="Names to list, with * and ?.")] = "*",
    info: InfoOption = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List the users that the running server's userdbs know."""
    settings = settings_of(config, override)
    params = _params(info)

    async def work(scope: Scope) -> None:
        master = AuthMasterClient(Path(settings.base_dir) / "auth-master")
        try:
            async for user in master.list_users(mask, scope, params.service, params):
                typer.echo(user)
        finally:
            master.close()

    asyncio.run(_told(settings, work))


app.add_typer(penalty.app, name="penalty")
cache = typer.Typer(no_args_is_help=True, help="The auth cache of the running server.")
app.add_typer(cache, name="cache")


@cache.command()
def flush(
    users: Annotated[
        list[str] | None, typer.Argument(metavar="USER...", help="Whose entries; none: all.")
    ] = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Forget cached answers, so that databases are asked again."""
    settings = settings_of(config, override)

    async def work(scope: Scope) -> int:
        master = AuthMasterClient(Path(settings.base_dir) / "auth-master")
        try:
            return await master.cache_flush(tuple(users or ()))
        finally:
            master.close()

    count = asyncio.run(_told(settings, work))
    typer.echo(f"{count} cache {'entry' if count == 1 else 'entries'} flushed")


async def _told(settings: Settings, work: Callable[[Scope], Awaitable[_T]]) -> _T:
    """Do it with its events told, and say in a sentence why it could not be done."""
    try:
        async with telling(settings) as ctx:
            return await work(ctx.scope)
    except AuthTemporaryError as error:
        raise CommandFailed(f"{error} (does the server run?)", TEMPORARY) from None


async def _authenticate(
    client: AuthClient,
    mechanism: str,
    who: tuple[str, str],
    password: str,
    params: AuthParams,
    scope: Scope,
) -> Success:
    """The whole exchange; ``who`` is the user, and whom it wants to act for.

    Raises CommandFailed, AuthTemporaryError.
    """
    name = mechanism.upper()
    if name not in _MECHANISMS:
        known = ", ".join(_MECHANISMS).lower()
        raise CommandFailed(f"no mechanism {mechanism}; there are {known}", USAGE)
    await client.connect(CONNECT_SECONDS)
    user, authzid = who
    exchange = _MECHANISMS[name](user, password, authzid)
    first = next(exchange)
    request = client.begin(name, first or None, params, scope)
    while isinstance(reply := await request.result(), Challenge):
        try:
            request.respond(exchange.send(reply.data))
        except (sasl.ServerNotTrusted, StopIteration) as error:
            request.abort()
            raise CommandFailed(f"the exchange broke: {error}", TEMPORARY) from None
    if isinstance(reply, Failure):
        said = ", ".join(filter(None, (reply.code, reply.text)))
        status = TEMPORARY if reply.temp else NO_PERMISSION
        raise CommandFailed(f"auth failed for {user}{f' ({said})' if said else ''}", status)
    return reply


def _params(info: list[str] | None) -> AuthParams:
    """The parameters of the login; a secured local connection unless told otherwise."""
    given = {"service": "pillarbox", "secured": "", **pairs(info or ())}
    if given["secured"] in ("no", "insecure"):
        del given["secured"]
    return from_wire(given)


def _show(fields: dict[str, str]) -> None:
    for name, value in fields.items():
        typer.echo(f"  {name}: {value}" if value else f"  {name}")


def _ask() -> str:
    """The password, from a terminal without showing it, else the first line of input."""
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\r\n")


def _nonce() -> str:
    return secrets.token_urlsafe(18)
