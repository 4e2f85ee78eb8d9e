"""Checks of `sieve_script` blocks: what they need, and that there is one place to manage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from pillarbox.settings.errors import nearest
from pillarbox.settings.model import Settings
from pillarbox.settings.positions import Path as KeyPath
from pillarbox.settings.schema.sieve_script import SieveScriptSettings
from pillarbox.settings.variables import VariableError, expand

F = TypeVar("F")

_USER: Final = {
    "user": "user@example.org",
    "username": "user",
    "domain": "example.org",
    "home": "/home/user",
}


def script_findings(settings: Settings, finding: Callable[[KeyPath, str, bool], F]) -> Iterator[F]:
    """What is wrong with the places of scripts, each as ``finding(path, text, fatal)``."""
    for name, block in settings.sieve_script.items():
        for option, text in _block(settings, block):
            yield finding(("sieve_script", name, *option), text, True)
    personal = [name for name, one in settings.sieve_script.items() if one.type == "personal"]
    if "sieve" in settings.protocols and not personal:
        yield finding(("sieve_script",), "ManageSieve needs a block of type personal", True)
    for name in personal[1:]:
        text = f"only one block can be personal, and {personal[0]} is"
        yield finding(("sieve_script", name, "type"), text, True)


def _block(settings: Settings, block: SieveScriptSettings) -> Iterator[tuple[KeyPath, str]]:
    if block.driver == "file" and not block.path:
        yield (), "driver file needs path"
    if block.driver == "dict":
        if not block.dict:
            yield (), "driver dict needs dict"
        elif block.dict not in settings.dict:
            hint = nearest(block.dict, settings.dict)
            yield ("dict",), f"there is no [dict.{block.dict}]{hint}"
    if block.driver == "ldap":
        if not block.ldap:
            yield (), "driver ldap needs ldap"
        elif block.ldap not in settings.userdb:
            yield (
                ("ldap",),
                f"there is no [userdb.{block.ldap}]{nearest(block.ldap, settings.userdb)}",
            )
    for option in ("path", "active_path", "bin_path"):
        try:
            expand(getattr(block, option), _USER)
        except VariableError as error:
            yield (option,), f"{option} cannot be understood: {error}"
