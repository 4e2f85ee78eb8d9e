"""The commands after login (RFC 5804 section 2)."""

from __future__ import annotations

from typing import Final

from pillarbox.delivery.sieve_storage.compiling import Compiled
from pillarbox.delivery.sieve_storage.errors import BadScript
from pillarbox.services.managesieve.diagnostics import told
from pillarbox.services.managesieve.run import Handler, Reply, Run
from pillarbox.wire.managesieve.capability import capabilities
from pillarbox.wire.managesieve.command import Rename, Script, ScriptName, Space, Tag
from pillarbox.wire.managesieve.response import WARNINGS, lines, literal, string, with_string


def capability(run: Run) -> Reply:
    """CAPABILITY: what is true for this user."""
    session = run.session
    settings = session.ctx.settings
    found = capabilities(
        implementation=settings.managesieve_implementation_string,
        sieve=" ".join(sorted(session.storage.rules.capabilities)),
        notify=settings.managesieve_notify_capability,
        max_redirects=settings.sieve_max_redirects,
        mechanisms=[],
        owner=session.user,
        unauthenticate=True,
    )
    return Reply("Capabilities listed.", lines=found)


def noop(run: Run) -> Reply:
    """NOOP: the tag comes back."""
    assert isinstance(run.args, Tag)
    return Reply("Done.", None if run.args.text is None else with_string(b"TAG", run.args.text))


def logout(run: Run) -> Reply:
    """LOGOUT."""
    run.session.leave("Logged out")
    return Reply("Logging out.")


def unauthenticate(run: Run) -> Reply:
    """UNAUTHENTICATE: the login process, which relays the client, keeps it when we let go."""
    run.session.leave("Unauthenticated")
    return Reply("Unauthenticated.")


async def listscripts(run: Run) -> Reply:
    """LISTSCRIPTS."""
    scripts = await run.session.storage.scripts(run.scope)
    return Reply(
        "Scripts listed.",
        lines=lines(string(one.name) + (b" ACTIVE" if one.active else b"") for one in scripts),
    )


async def getscript(run: Run) -> Reply:
    """GETSCRIPT."""
    assert isinstance(run.args, ScriptName)
    script = await run.session.storage.open(run.scope, run.args.name)
    script.close()
    return Reply("Script sent.", lines=literal(script.source) + b"\r\n")


async def putscript(run: Run) -> Reply:
    """PUTSCRIPT: on disk before the reply, if it compiles."""
    assert isinstance(run.args, Script)
    args = run.args
    try:
        run.compiled = await run.session.storage.save(run.scope, args.name, args.source)
    except BadScript as error:
        run.compiled = Compiled(None, error.diagnostics)
        raise
    return _compiled(run, run.compiled, "Script stored.")


async def checkscript(run: Run) -> Reply:
    """CHECKSCRIPT: as PUTSCRIPT, but nothing is stored."""
    assert isinstance(run.args, Script)
    run.compiled = await run.session.storage.check(run.scope, "", run.args.source)
    if run.compiled.script is None:
        raise BadScript("The script has errors.", run.compiled.diagnostics)
    return _compiled(run, run.compiled, "The script is valid.")


async def setactive(run: Run) -> Reply:
    """SETACTIVE; no name: no script is active any more."""
    assert isinstance(run.args, ScriptName)
    name = run.args.name
    storage = run.session.storage
    if not name:
        await storage.deactivate(run.scope)
        return Reply("No script is active now.")
    try:
        run.compiled = await storage.activate(run.scope, name)
    except BadScript as error:
        run.compiled = Compiled(None, error.diagnostics)
        raise
    return _compiled(run, run.compiled, "Script activated.")


def _compiled(run: Run, compiled: Compiled, text: str) -> Reply:
    """OK, with the warnings if there are any."""
    if not compiled.warnings:
        return Reply(text)
    return Reply(told(compiled.diagnostics, run.session.told_diagnostics), WARNINGS)


async def deletescript(run: Run) -> Reply:
    """DELETESCRIPT."""
    assert isinstance(run.args, ScriptName)
    await run.session.storage.delete(run.scope, run.args.name)
    return Reply("Script deleted.")


async def renamescript(run: Run) -> Reply:
    """RENAMESCRIPT."""
    assert isinstance(run.args, Rename)
    await run.session.storage.rename(run.scope, run.args.old, run.args.new)
    return Reply("Script renamed.")


async def havespace(run: Run) -> Reply:
    """HAVESPACE."""
    assert isinstance(run.args, Space)
    await run.session.storage.have_space(run.scope, run.args.name, run.args.size)
    return Reply("There is room for the script.")


HANDLERS: Final[dict[str, Handler]] = {
    "CAPABILITY": capability,
    "CHECKSCRIPT": checkscript,
    "DELETESCRIPT": deletescript,
    "GETSCRIPT": getscript,
    "HAVESPACE": havespace,
    "LISTSCRIPTS": listscripts,
    "LOGOUT": logout,
    "NOOP": noop,
    "PUTSCRIPT": putscript,
    "RENAMESCRIPT": renamescript,
    "SETACTIVE": setactive,
    "UNAUTHENTICATE": unauthenticate,
}
