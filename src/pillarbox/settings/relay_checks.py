"""Whether the protocol submission lacks its relay: users who are passed on need none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pillarbox.settings.model import Settings

_MAY_PASS_ON: Final = frozenset({"passwd-file", "sql", "ldap", "lua", "python", "oauth2"})
"""Passdb drivers whose answers differ from user to user and may ask for a proxy."""


def relay_findings(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Texts about submission_relay_host, and whether each is fatal."""
    if "submission" not in settings.protocols or settings.submission_relay_host:
        return
    blocks = {
        name: block
        for name, block in settings.passdb.items()
        if not block.deny and not block.master
    }
    fields = [{*block.fields, *block.override_fields} for block in blocks.values()]
    if fields and all("proxy" in names for names in fields):
        return
    drivers = {block.driver or name for name, block in blocks.items()}
    if drivers & _MAY_PASS_ON or any(names & {"proxy", "proxy_maybe"} for names in fields):
        text = "without submission_relay_host only users who are passed on (proxy) can send mail"
        yield text, False
    else:
        yield "the protocol submission needs submission_relay_host", True
