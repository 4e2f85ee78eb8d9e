"""No service's connection may shadow what the base keeps for itself."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import pillarbox.services
from pillarbox.runtime.connection import Connection

MODULES = [
    module.name
    for module in pkgutil.walk_packages(pillarbox.services.__path__, "pillarbox.services.")
    if not module.ispkg
]


def subclasses(base: type) -> list[type]:
    return [found for sub in base.__subclasses__() for found in (sub, *subclasses(sub))]


@pytest.mark.parametrize("module", MODULES)
def test_private_names_of_the_base_are_not_taken(module: str) -> None:
    importlib.import_module(module)
    own = {name for name in vars(Connection) if name.startswith("_") and name[1] != "_"}
    for subclass in subclasses(Connection):
        if subclass.__module__ == module:
            assert not own & set(vars(subclass)), subclass
            assert "__dict__" not in vars(subclass), f"{subclass} has no __slots__"
