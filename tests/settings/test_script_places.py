"""Places of Sieve scripts that cannot work are told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pillarbox.settings.model import DictBlockSettings, Settings, UserdbSettings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings as Block
from pillarbox.settings.script_places import script_findings

PERSONAL = Block(path="~/sieve", active_path="~/.dovecot.sieve")


def texts(**settings: Any) -> list[str]:
    changed = msgspec.structs.replace(Settings(), **settings)
    found = script_findings(changed, lambda path, text, fatal: (path, text))
    return [f"{'.'.join(map(str, path))}: {text}" for path, text in found]


def test_the_defaults_are_good() -> None:
    assert texts(protocols=("imap", "sieve")) == []


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ({"a": PERSONAL, "b": Block(type="before", path="/x")}, None),
        ({"a": PERSONAL, "b": PERSONAL}, "sieve_script.b.type: only one block can be personal"),
        ({"a": Block()}, "sieve_script.a: driver file needs path"),
        ({"a": Block(path="%{nowhere}")}, "sieve_script.a.path: path cannot be understood"),
        ({"a": Block(driver="dict")}, "sieve_script.a: driver dict needs dict"),
        ({"a": Block(driver="dict", dict="e")}, "sieve_script.a.dict: there is no [dict.e]"),
        ({"a": Block(driver="dict", dict="d")}, None),
        ({"a": Block(driver="ldap")}, "sieve_script.a: driver ldap needs ldap"),
        ({"a": Block(driver="ldap", ldap="e")}, "sieve_script.a.ldap: there is no [userdb.e]"),
        ({"a": Block(driver="ldap", ldap="u")}, None),
        ({"b": Block(type="global", path="/x")}, "sieve_script: ManageSieve needs a block"),
    ],
)
def test_blocks(blocks: dict[str, Block], expected: str | None) -> None:
    dicts = {"d": DictBlockSettings(driver="memory")}
    userdbs = {"u": UserdbSettings(driver="ldap")}
    found = texts(protocols=("sieve",), sieve_script=blocks, dict=dicts, userdb=userdbs)
    if expected is None:
        assert found == []
    else:
        [text] = found
        assert text.startswith(expected)
