"""All that can be said against settings before a server starts with them.

`settings.check` looks at the settings themselves; here come the checks that need the parser of
event filters and the registry of drivers, which settings may not import.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.drivers import registry
from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.filter import Filter
from pillarbox.settings.check import Finding, check
from pillarbox.settings.errors import Problem, nearest
from pillarbox.settings.load import Loaded
from pillarbox.settings.model import PassdbSettings, Settings, UserdbSettings
from pillarbox.settings.positions import Path as KeyPath


def verify(loaded: Loaded) -> tuple[list[Problem], list[Problem]]:
    """Errors, which keep a server from starting, and warnings; each with file and line."""
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for finding in findings(loaded.settings):
        problem = loaded.problem(finding.path, finding.text)
        (errors if finding.fatal else warnings).append(problem)
    return errors, warnings


def findings(settings: Settings) -> list[Finding]:
    """What is wrong with settings, whatever file they came from."""
    return [*check(settings), *_drivers(settings), *_filters(settings)]


def _drivers(settings: Settings) -> Iterator[Finding]:
    yield from _driver("storage", ("mail_driver",), settings.mail_driver)
    for name, passdb in settings.passdb.items():
        yield from _database("passdb", name, passdb)
    for name, userdb in settings.userdb.items():
        yield from _database("userdb", name, userdb)


def _database(family: str, name: str, block: PassdbSettings | UserdbSettings) -> Iterator[Finding]:
    driver = block.driver or name
    path = (family, name, "driver")
    yield from _driver(family, path, driver)
    if driver == "sql":
        yield from _driver("sql", (family, name, "sql_driver"), block.sql_driver)


def _driver(family: str, path: KeyPath, name: str) -> Iterator[Finding]:
    known = registry.names(family)
    if name.replace("_", "-") not in known:
        hint = nearest(name, known) or f"; there are {', '.join(known)}"
        yield Finding(path, f"there is no {family} driver {name}{hint}")


def _filters(settings: Settings) -> Iterator[Finding]:
    yield from _filter(("log_debug",), settings.log_debug)
    for name, metric in settings.metric.items():
        yield from _filter(("metric", name, "filter"), metric.filter)


def _filter(path: KeyPath, text: str) -> Iterator[Finding]:
    try:
        parsed = Filter.parse(text)
    except FilterError as error:
        yield Finding(path, f"{path[-1]} is no event filter: {error}")
        return
    for warning in parsed.warnings():
        yield Finding(path, f"{path[-1]}: {warning}", fatal=False)
