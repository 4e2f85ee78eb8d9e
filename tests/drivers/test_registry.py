"""Drivers by name."""

from __future__ import annotations

import sys

import pytest

from pillarbox.drivers import registry
from pillarbox.settings.model import PassdbSettings


def test_names_are_those_of_the_settings() -> None:
    assert registry.names("passdb") == [
        "deny",
        "fail",
        "imap",
        "ldap",
        "lua",
        "memory",
        "oauth2",
        "pam",
        "passwd",
        "passwd-file",
        "python",
        "sql",
        "static",
    ]
    assert registry.names("sql") == ["fail", "memory", "mysql", "pgsql", "sqlite"]
    assert "prefetch" in registry.names("userdb")
    assert registry.names("nothing") == []
    assert registry.names("../x") == []


def test_load() -> None:
    module = registry.load("passdb", "static")
    assert module.make(PassdbSettings(static_password="x"), None).name == "static"
    assert registry.load("passdb", "passwd-file") is registry.load("passdb", "passwd_file")


@pytest.mark.parametrize("name", ["passwdfile", "passwd-fil"])
def test_nearest_name(name: str) -> None:
    with pytest.raises(registry.UnknownDriver, match="did you mean 'passwd-file'") as raised:
        registry.load("passdb", name)
    assert raised.value.nearest == "passwd-file"


def test_unknown_driver_lists_what_there_is() -> None:
    with pytest.raises(registry.UnknownDriver, match="known: deny, fail, imap"):
        registry.load("passdb", "zzzzzz")
    with pytest.raises(registry.UnknownDriver):
        registry.load("passdb", "api")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pillarbox.drivers.sql.sqlite", raising=False)
    monkeypatch.setitem(sys.modules, "pillarbox.drivers.sql.sqlite", None)
    with pytest.raises(ModuleNotFoundError):
        registry.load("sql", "sqlite")


@pytest.mark.parametrize(
    ("family", "name", "package"),
    [
        ("sql", "pgsql", "asyncpg"),
        ("sql", "mysql", "asyncmy"),
        ("passdb", "ldap", "ldap3"),
        ("userdb", "ldap", "ldap3"),
        ("passdb", "lua", "lupa"),
        ("userdb", "lua", "lupa"),
    ],
)
def test_an_extra_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, family: str, name: str, package: str
) -> None:
    for module in ("ldap_client", "lua_script", f"{family}.{name}"):
        monkeypatch.delitem(sys.modules, f"pillarbox.drivers.{module}", raising=False)
    for module in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(registry.MissingRequirement, match=f"needs the Python package '{package}'"):
        registry.load(family, name)


def test_every_driver_can_be_imported() -> None:
    for family in ("passdb", "userdb", "sql"):
        for name in registry.names(family):
            assert callable(registry.load(family, name).make)
