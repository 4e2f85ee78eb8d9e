"""Passwords in LDAP, read and tried by bind, against a real slapd."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from database_servers import free_port
from directory_server import ADMIN, ADMIN_PASSWORD, BASE, Slapd
from hypothesis import given
from hypothesis import strategies as st
from passdb_contract import PassdbContract, VerifyContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.ldap_client import dn_of, filter_of
from pillarbox.drivers.passdb.api import DatabaseError, Entry, Passdb, Server, SupportsVerify, Wrong
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings

LOG = Log("test", lambda line: None)


def make(slapd: Slapd, **more: Any) -> Any:
    given = {
        "ldap_uris": (slapd.ldap,),
        "ldap_base": f"ou=people,{BASE}",
        "ldap_auth_dn": ADMIN,
        "ldap_auth_dn_password": ADMIN_PASSWORD,
        **more,
    }
    settings = msgspec.structs.replace(Settings(), ssl_client_ca_file=str(slapd.authority.file))
    return registry.load("passdb", "ldap").make(PassdbSettings(**given), Server(settings, LOG))


def ask(passdb: Any, *users: str) -> Any:
    """The answers, or the last one's error text."""

    async def main() -> Any:
        try:
            return [await passdb.lookup(query(user)) for user in users]
        finally:
            await passdb.close()

    return asyncio.run(main())


def verify(passdb: Any, *pairs: tuple[str, str]) -> Any:
    async def main() -> Any:
        try:
            return [await passdb.verify(query(user), password) for user, password in pairs]
        finally:
            await passdb.close()

    return asyncio.run(main())


class TestLdap(PassdbContract):
    @pytest.fixture(autouse=True)
    def server(self, slapd: Slapd) -> None:
        self.slapd = slapd

    def make(self, folder: Path) -> Passdb:
        fields = {"password": "{PLAIN}x", "userdb_home": "%{ldap:homeDirectory}"}
        passdb: Passdb = make(self.slapd, ldap_fields=fields)
        return passdb


class TestLdapBind(VerifyContract):
    @pytest.fixture(autouse=True)
    def server(self, slapd: Slapd) -> None:
        self.slapd = slapd

    def make(self, folder: Path) -> Any:
        return make(self.slapd, ldap_bind=True, ldap_auth_dn="", ldap_auth_dn_password="")


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("bob", "bob"),
        ("a,b+c=d", "a\\,b\\+c\\=d"),
        ("#x", "\\#x"),
        (" x ", "\\ x\\ "),
        ('"\\<>;', '\\"\\\\\\<\\>\\;'),
        ("a\0", "a\\00"),
        ("", ""),
    ],
)
def test_values_are_escaped_in_names(value: str, escaped: str) -> None:
    assert dn_of("cn=%{user},dc=x", {"user": value}) == f"cn={escaped},dc=x"


@given(st.text(min_size=1))
def test_no_value_gets_out_of_its_place(value: str) -> None:
    """What the directory's own parser reads back is the value, in names and filters alike."""
    name = dn_of("cn=%{user},dc=x", {"user": value})
    raw = name[3:-5].encode("utf-8", "surrogatepass")
    read = re.sub(rb"\\([0-9A-Fa-f]{2}|.)", _unescaped, raw, flags=re.DOTALL)
    assert read == value.encode("utf-8", "surrogatepass")
    assert not re.search(r'(?<!\\)(?:\\\\)*[,+"<>;=]', name[3:-5])
    text = filter_of("(uid=%{user})", {"user": value})
    assert not set(text[5:-1]) & set("()*\0")
    assert re.fullmatch(r"(?:[^\\]|\\[0-9a-f]{2})*", text[5:-1], re.DOTALL)


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if len(found[1]) == 2 else found[1]


def test_fields_of_an_entry(slapd: Slapd) -> None:
    fields = {
        "password": "%{ldap:userPassword}",
        "user": "%{ldap:mail}",
        "userdb_home": "%{ldap:homeDirectory}/%{service}",
        "userdb_quota_storage_size": "%{ldap:description}",
        "userdb_dn": "%{ldap:dn}",
        "all": "%{ldap_multi:mail}",
        "kept": "%{ldap:nosuch | default('x')}",
    }
    bob, sue, nobody = ask(make(slapd, ldap_fields=fields), "bob", "sue", "nobody")
    assert bob == Entry(
        "secret",
        {
            "user": "bob@example.com",
            "userdb_home": "/b/imap",
            "userdb_quota_storage_size": "99",
            "userdb_dn": f"cn=Bob\\2C (the) *Builder*,ou=people,{BASE}",
            "all": "bob@example.com,robert@example.com",
            "kept": "x",
        },
    )
    assert sue.password.startswith("{SSHA}")
    assert "userdb_quota_storage_size" not in sue.fields
    assert nobody is None


def test_a_password_that_may_not_be_read_is_none(slapd: Slapd) -> None:
    [bob] = ask(make(slapd, ldap_auth_dn="", ldap_auth_dn_password=""), "bob")
    assert bob == Entry(None, {})


def test_fields_of_a_bind(slapd: Slapd) -> None:
    passdb = make(slapd, ldap_bind=True, ldap_fields={"userdb_home": "%{ldap:homeDirectory}"})
    assert isinstance(passdb, SupportsVerify)
    answers = verify(passdb, ("bob", "secret"), ("keyless", "x"), ("keyless", ""))
    assert answers == [
        Entry(None, {"userdb_home": "/b"}),
        Wrong("password_mismatch"),
        Wrong("password_mismatch"),
    ]
    assert ask(make(slapd, ldap_bind=True, ldap_fields={}), "bob") == [Entry(None, {})]
    assert not isinstance(make(slapd), SupportsVerify)


def test_a_template_of_the_dn(slapd: Slapd) -> None:
    passdb = make(slapd, ldap_bind=True, ldap_bind_userdn=f"cn=%{{user}},ou=people,{BASE}")
    pairs = [
        ("Bob, (the) *Builder*", "secret"),
        ("Bob, (the) *Builder*", "wrong"),
        (f"admin,{BASE}#", ADMIN_PASSWORD),
        ("nobody", "secret"),
        ("a\0b", "secret"),
        ("", "secret"),
        ("Sue", ""),
    ]
    answers = verify(passdb, *pairs)
    assert answers == [Entry(None), *[Wrong("password_mismatch")] * 6]


@pytest.mark.parametrize("kind", ["ldap", "ldaps", "ldapi", "starttls"])
def test_ways_to_connect(slapd: Slapd, kind: str) -> None:
    uri = slapd.ldap if kind == "starttls" else getattr(slapd, kind)
    passdb = make(slapd, ldap_uris=(uri,), ldap_starttls=kind == "starttls", ldap_bind=True)
    assert verify(passdb, ("bob", "secret")) == [Entry(None, {})]


@pytest.mark.parametrize("kind", ["ldaps", "ldap"])
def test_a_certificate_that_nobody_knows(slapd: Slapd, kind: str) -> None:
    block = PassdbSettings(ldap_uris=(getattr(slapd, kind),), ldap_base=BASE, ldap_starttls=True)
    passdb = registry.load("passdb", "ldap").make(block, Server(Settings(), LOG))
    with pytest.raises(DatabaseError):
        ask(passdb, "bob")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"ldap_auth_dn_password": "wrong"}, "ldap_auth_dn: invalidCredentials"),
        ({"ldap_base": "dc=elsewhere"}, "noSuchObject"),
        ({"ldap_filter": "(uid=%{nosuch})"}, "nosuch"),
        ({"ldap_filter": "(uid=%{user}"}, "ldap"),
        ({"ldap_fields": {"password": "%{nosuch}"}}, "nosuch"),
        ({"ldap_filter": "(objectClass=posixAccount)"}, "several"),
    ],
)
def test_what_is_wrong_is_never_an_unknown_user(
    slapd: Slapd, more: dict[str, Any], text: str
) -> None:
    with pytest.raises(DatabaseError, match=text):
        ask(make(slapd, **more), "bob")


def test_a_base_by_user(slapd: Slapd) -> None:
    base = f"ou=%{{user | domain}},{BASE}"
    passdb = make(slapd, ldap_base=base, ldap_filter="(uid=%{user | username})")
    people, elsewhere, escape = ask(passdb, "bob@people", "bob@elsewhere", f"bob@people,{BASE}#")
    assert people is not None
    assert (elsewhere, escape) == (None, None)


def test_twins_are_an_error(slapd: Slapd) -> None:
    with pytest.raises(DatabaseError, match="several"):
        ask(make(slapd), "twin")


def test_failover_and_rest(slapd: Slapd) -> None:
    dead = f"ldap://127.0.0.1:{free_port()}"
    assert ask(make(slapd, ldap_uris=(dead, slapd.ldap)), "bob", "bob")[1] is not None
    passdb = make(slapd, ldap_uris=(dead,))
    with pytest.raises(DatabaseError):
        ask(passdb, "bob")
    assert list(passdb._client._rests) == [0]


@pytest.mark.parametrize("uris", [(), ("http://x",), ("ldap.example.com",)])
def test_addresses_that_make_no_sense(slapd: Slapd, uris: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        make(slapd, ldap_uris=uris)


class Breaking:
    """Passes bytes on to slapd; ``cut`` breaks all connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.made = 0
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.port))
            self.made += 1
            self._pairs += [here, there]
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    @staticmethod
    def _pass(a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self) -> None:
        for sock in self._pairs:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        self._pairs.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


@pytest.fixture
def breaking(slapd: Slapd) -> Iterator[Breaking]:
    one = Breaking(slapd.port)
    yield one
    one.close()


def test_connections_are_kept_and_made_again(slapd: Slapd, breaking: Breaking) -> None:
    passdb = make(slapd, ldap_uris=(breaking.address,), ldap_bind=True, ldap_connection_limit=1)

    async def main() -> None:
        try:
            for _ in range(5):
                assert await passdb.verify(query("bob"), "secret")
            assert breaking.made == 2
            await asyncio.to_thread(breaking.cut)
            for _ in range(3):
                assert await passdb.verify(query("bob"), "secret")
            assert breaking.made == 4
        finally:
            await passdb.close()

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_a_silent_server_is_given_up(slapd: Slapd, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"{scheme}://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(DatabaseError):
            ask(make(slapd, ldap_uris=(uri,), ldap_timeout=0.3), "bob")


def test_cache_keys(slapd: Slapd) -> None:
    fields = {"userdb_home": "%{ldap:homeDirectory}/%{service}"}
    assert make(slapd, ldap_fields=fields).cache_key == "%{service}\t%{user}"
    by_name = make(slapd, ldap_bind=True, ldap_bind_userdn="cn=%{original_user}", ldap_fields={})
    assert by_name.cache_key == "%{original_user}"
