"""FILTER and UID FILTER: run a Sieve script for messages of the selected mailbox.

The scripts are compiled first: if that fails nothing is done and NO is the answer, with the errors
in an untagged FILTER.  Then each message that the search finds is filtered, and answered with
FILTERED.  What changed in the mailbox is told like any other change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, cast

from pillarbox.mailstore.search import search as find
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap.filter import Filter, filter_problem, filtered
from pillarbox.wire.imap.response import No
from pillarbox.wire.imap.search import replace_saved

if TYPE_CHECKING:
    from pillarbox.delivery.sieve.execution import Ready
    from pillarbox.delivery.sieve_storage.places import Places
    from pillarbox.sieve.errors import Diagnostic


async def filter_messages(run: Run) -> Ok:
    """FILTER and UID FILTER."""
    session = run.session
    args = cast(Filter, run.args)
    selected = session.require_selected()
    if selected.readonly:
        raise No("Mailbox is read-only.")
    scripts = await _scripts(run, args)
    key = replace_saved(args.search.key, selected.saved_set())
    found = await find(selected.view, run.scope, key)
    stored = session.worker.sieve.stored(session.user, session.settings)
    uids = selected.view.uids[found].tolist()
    for position, uid in zip(found.tolist(), uids, strict=True):
        outcome = await stored.apply(selected.view, uid, scripts, run.scope, {})
        if outcome is not None:
            errors, warnings = _text(outcome.errors), _text(outcome.warnings)
            told = uid if args.search.uid else None
            session.send(filtered(run.tag, position + 1, told, errors, warnings))
        await session.breathe()
    return Ok("Filter completed.")


async def _scripts(run: Run, args: Filter) -> list[Ready]:
    """The scripts to run, compiled.  Raises No."""
    from pillarbox.delivery.sieve.execution import Ready
    from pillarbox.delivery.sieve_storage.errors import ScriptRefused

    session = run.session
    places = await session.worker.sieve.places(session.user, session.settings)
    scripts: list[Ready] = []
    try:
        async for one in _made_ready(run, args, places):
            if not isinstance(one, Ready):
                session.send(filter_problem(run.tag, "ERRORS", _text(map(str, one))))
                raise No("The Sieve script has errors.")
            scripts.append(one)
    except ScriptRefused as error:
        raise No(error.text, error.code.encode("ascii") if error.code else None) from None
    if not scripts:
        raise No("There is no Sieve script to run.", b"NONEXISTENT")
    return scripts


async def _made_ready(
    run: Run, args: Filter, places: Places
) -> AsyncIterator[Ready | Sequence[Diagnostic]]:
    from pillarbox.delivery.sieve.execution import Ready
    from pillarbox.delivery.sieve.sequence import at_delivery, find_own
    from pillarbox.delivery.sieve.stored import ready
    from pillarbox.delivery.sieve_storage.errors import NonExistent

    name = args.argument.decode("utf-8", "replace")
    personal = places.personal()
    if args.kind == "DELIVERY":
        own = await find_own(places, run.scope)
        async for opened in at_delivery(places, own, run.scope):
            opened.script.close()
            yield await ready(opened.storage, run.scope, opened.script.name)
    elif args.kind == "GLOBAL":
        for storage in places.of("global"):
            try:
                yield await ready(storage, run.scope, name)
            except NonExistent:
                continue
            return
    elif personal is None:
        raise NonExistent("There is no place for scripts of your own.")
    elif args.kind == "PERSONAL":
        yield await ready(personal, run.scope, name)
    else:
        compiled = await personal.check(run.scope, "script", args.argument)
        if compiled.script is None:
            yield compiled.diagnostics
        else:
            yield Ready(compiled.script, None, "script", None)


def _text(lines: object) -> bytes:
    """Lines for people, each ended by CRLF; empty if there are none."""
    return b"".join(f"{line}\r\n".encode() for line in cast(Sequence[str], lines))
