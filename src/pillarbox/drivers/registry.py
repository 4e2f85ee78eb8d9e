"""Drivers by name: ``load("passdb", "passwd-file")`` gives ``drivers.passdb.passwd_file``.

A driver is a module of its family's folder; the name in the settings is the module's name, with
``-`` for ``_``.  Nothing is imported until somebody asks, so a server that keeps its users in a
file never imports a database client.  What a driver module must offer (a ``make`` function, as a
rule) is said by its family's ``api.py``.

The one trick: the list of names comes from the folder, not from a table, so that adding a driver
is adding a file.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import pkgutil
from types import ModuleType

_PACKAGE = "pillarbox.drivers"
_NOT_DRIVERS = frozenset({"api"})


class UnknownDriver(Exception):
    """No driver of this name; the text says which name comes nearest."""

    def __init__(self, family: str, name: str, known: list[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
        super().__init__(f"no {family} driver {name!r}{hint if known else ''}")
        self.family = family
        self.name = name
        self.nearest = near[0] if near else None


class MissingRequirement(Exception):
    """The driver exists, but a package that it needs is not installed."""

    def __init__(self, family: str, name: str, package: str) -> None:
        super().__init__(f"{family} driver {name!r} needs the Python package {package!r}")
        self.package = package


def names(family: str) -> list[str]:
    """The names of a family's drivers as written in settings, sorted; [] for no such family."""
    return list(_names(family))


@functools.cache
def _names(family: str) -> tuple[str, ...]:
    if not family.isidentifier():
        return ()
    try:
        package = importlib.import_module(f"{_PACKAGE}.{family}")
    except ModuleNotFoundError:
        return ()
    if not hasattr(package, "__path__"):
        return ()
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(
        sorted(n.replace("_", "-") for n in found if n not in _NOT_DRIVERS and n[0] != "_")
    )


def load(family: str, name: str) -> ModuleType:
    """The driver's module.  Raises UnknownDriver, or MissingRequirement for a missing extra."""
    wanted = name.replace("_", "-")
    if wanted not in _names(family):
        raise UnknownDriver(family, name, names(family))
    try:
        return importlib.import_module(f"{_PACKAGE}.{family}.{wanted.replace('-', '_')}")
    except ModuleNotFoundError as error:
        package = (error.name or "?").split(".")[0]
        if package == "pillarbox":
            raise
        raise MissingRequirement(family, name, package) from error
