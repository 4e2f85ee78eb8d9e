"""ID (RFC 2971): the client's parameters go into an event, ours are the setting imap_id_send.

A value ``*`` in the setting is replaced by what the server knows: ``name`` and ``version``.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import cast

from pillarbox.events.catalogue.imap import imap_id_received
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap.id import Id
from pillarbox.wire.imap.response import nstring


@cache
def _known() -> dict[str, str]:
    try:
        return {"name": "Pillarbox", "version": metadata.version("pillarbox")}
    except metadata.PackageNotFoundError:
        return {"name": "Pillarbox"}


def identify(run: Run) -> Ok:
    """ID."""
    if imap_id_received.emit is not None:
        params = cast(Id, run.args).params
        imap_id_received.emit(
            run.scope,
            params={
                name.decode("utf-8", "replace"): None
                if value is None
                else value.decode("utf-8", "replace")
                for name, value in params
            },
        )
    run.session.send(b"* ID %b\r\n" % parameters(run.session.settings.imap_id_send))
    return Ok("ID completed.")


def parameters(own: dict[str, str]) -> bytes:
    """Our own parameters as the reply's list, or NIL."""
    pairs: list[bytes] = []
    for name, value in own.items():
        if value == "*":
            value = _known().get(name, "")
        if value:
            pairs += [nstring(name.encode("utf-8")), nstring(value.encode("utf-8"))]
    return b"(%b)" % b" ".join(pairs) if pairs else b"NIL"
