"""Drivers by name."""

from __future__ import annotations

import sys

import pytest

from pillarbox.drivers import registry
from pillarbox.settings.model import PassdbSettings


def test_names_are_those_of_the_settings() -> None:
    assert registry.names("passdb") == ["fail", "memory", "passwd-file", "sql", "static"]
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
    with pytest.raises(registry.UnknownDriver, match="known: fail, memory"):
        registry.load("passdb", "zzzzzz")
    with pytest.raises(registry.UnknownDriver):
        registry.load("passdb", "api")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pillarbox.drivers.sql.sqlite", raising=False)
    monkeypatch.setitem(sys.modules, "pillarbox.drivers.sql.sqlite", None)
    with pytest.raises(ModuleNotFoundError):
        registry.load("sql", "sqlite")


def test_every_driver_can_be_imported() -> None:
    for family in ("passdb", "userdb", "sql"):
        for name in registry.names(family):
            assert callable(registry.load(family, name).make)
