"""Scripts in a directory, against a real slapd."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from directory_server import ADMIN, ADMIN_PASSWORD, BASE, Slapd

from pillarbox.drivers.script import ldap
from pillarbox.drivers.script.api import Listed, Place, ScriptError, SupportsWrite
from pillarbox.settings.model import Settings, UserdbSettings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No client of another test."""
    ldap._CLIENTS.clear()
    yield
    clients = [client for _, client in ldap._CLIENTS.values()]
    ldap._CLIENTS.clear()
    for client in clients:
        asyncio.run(client.close())


def place(uri: str, user: str, attribute: str = "description", **more: Any) -> Place:
    userdb = UserdbSettings(
        driver="ldap",
        ldap_uris=(uri,),
        ldap_base=f"ou=people,{BASE}",
        ldap_auth_dn=ADMIN,
        ldap_auth_dn_password=ADMIN_PASSWORD,
        ldap_filter="(uid=%{user})",
        ldap_timeout=2.0,
    )
    settings = msgspec.structs.replace(Settings(), userdb={"people": userdb})
    block = {"driver": "ldap", "ldap": "people", "ldap_script_attribute": attribute, **more}
    return Place("personal", SieveScriptSettings(**block), settings, {"user": user})


def test_the_script_of_a_user(slapd: Slapd) -> None:
    async def go() -> None:
        bob = ldap.make(place(slapd.ldap, "bob"))
        assert await bob.active() == "active"
        assert await bob.read("active") == b"99"
        assert await bob.read("other") is None
        assert await bob.scripts() == [Listed("active", 2, True)]
        assert bob.location("active") == f"ldap:description@{slapd.ldap}"
        assert not isinstance(bob, SupportsWrite)
        for user in ("sue", "nobody"):
            scripts = ldap.make(place(slapd.ldap, user))
            assert await scripts.active() is None
            assert await scripts.scripts() == []
        assert len(ldap._CLIENTS) == 1
        named = ldap.make(place(slapd.ldap, "bob", name="rules"))
        assert await named.read("rules") == b"99"
        other = ldap.make(place(slapd.ldap, "bob", ldap_filter="(mail=robert@example.com)"))
        assert await other.read("active") == b"99"
        await other.close()

    asyncio.run(go())


def test_a_directory_that_cannot_be_asked(slapd: Slapd) -> None:
    async def go() -> None:
        with pytest.raises(ScriptError):
            await ldap.make(place("ldap://127.0.0.1:1", "bob")).read("active")
        with pytest.raises(ScriptError, match="several entries"):
            await ldap.make(place(slapd.ldap, "twin")).active()

    asyncio.run(go())


def test_blocks_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="there is no userdb 'x'"):
        ldap.make(place("ldap://localhost", "bob", ldap="x"))
    with pytest.raises(ValueError, match="ldap_uris"):
        ldap.make(place("nonsense", "bob"))
