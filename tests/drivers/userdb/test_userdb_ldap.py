"""Users in LDAP, against a real slapd."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from directory_server import BASE, Slapd
from userdb_contract import UserdbContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.userdb.api import DatabaseError, Server, Userdb
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings, UserdbSettings

SERVER = Server(Settings(), Log("test", lambda line: None))
FIELDS = {
    "home": "%{ldap:homeDirectory}",
    "uid": "%{ldap:uidNumber}",
    "gid": "%{ldap:gidNumber}",
    "quota_storage_size": "%{ldap:description}",
}


def make(slapd: Slapd, **more: Any) -> Any:
    given = {"ldap_uris": (slapd.ldap,), "ldap_base": f"ou=people,{BASE}", **more}
    return registry.load("userdb", "ldap").make(UserdbSettings(**given), SERVER)


class TestLdap(UserdbContract):
    @pytest.fixture(autouse=True)
    def server(self, slapd: Slapd) -> None:
        self.slapd = slapd

    async def make(self, folder: Path) -> Userdb:
        only = "(|(uid=bob)(uid=sue))"
        userdb: Userdb = make(self.slapd, ldap_fields=FIELDS, ldap_iterate_filter=only)
        return userdb


def users(userdb: Any) -> list[str]:
    async def main() -> list[str]:
        try:
            return [user async for user in userdb.iterate(query(""))]
        finally:
            await userdb.close()

    return asyncio.run(main())


def test_lists_come_in_pages(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.drivers.ldap_client.PAGE", 2)
    assert users(make(slapd)) == ["bob", "sue", "keyless", "twin", "twin"]
    named = make(slapd, ldap_iterate_fields={"user": "%{ldap:mail}"})
    assert users(named)[0] == "bob@example.com"


def test_a_list_that_cannot_be_made(slapd: Slapd) -> None:
    with pytest.raises(DatabaseError):
        users(make(slapd, ldap_base="dc=elsewhere"))
    with pytest.raises(ValueError):
        make(slapd, ldap_iterate_fields={})
