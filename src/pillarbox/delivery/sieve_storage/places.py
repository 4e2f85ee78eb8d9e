"""The places of a user's scripts: what the `sieve_script` blocks mean for one user.

Storages are opened when they are first asked for.  Blocks of one type come in the order of their
precedence, then in that of the file.  Included scripts are looked for in the personal place, or in
all global ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.delivery.sieve.language import Location, capabilities_of, limits_of
from pillarbox.delivery.sieve_storage.compiling import Rules
from pillarbox.delivery.sieve_storage.errors import TryLater
from pillarbox.delivery.sieve_storage.quota import quota_of
from pillarbox.delivery.sieve_storage.storage import ScriptStorage
from pillarbox.drivers import registry
from pillarbox.drivers.script.api import Place, ScriptDriver
from pillarbox.events.event import Scope
from pillarbox.mailstore.dicts import user_values
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.settings.schema.sieve_script import ScriptType, SieveScriptSettings


def blocks_of(settings: Settings, kind: ScriptType) -> list[tuple[str, SieveScriptSettings]]:
    """The blocks of one type, with their names, in order."""
    found = [(name, one) for name, one in settings.sieve_script.items() if one.type == kind]
    return sorted(found, key=lambda item: item[1].precedence)


_last_rules: tuple[Settings, dict[Location, Rules]] | None = None


def _rules_of(settings: Settings) -> dict[Location, Rules]:
    """The rules that settings make, made once for those that are in use."""
    global _last_rules
    if _last_rules is None or _last_rules[0] is not settings:
        limits, everywhere = limits_of(settings), capabilities_of(settings, "global")
        own = Rules(capabilities_of(settings, "personal"), limits, everywhere)
        _last_rules = (settings, {"personal": own, "global": Rules(everywhere, limits, everywhere)})
    return _last_rules[1]


class Places:
    """All places of one user's scripts.

    ``fields`` are those of the userdb.
    """

    def __init__(
        self, name: str, fields: Mapping[str, str], settings: Settings, log: Log, scope: Scope
    ) -> None:
        self._name = name
        self._fields = fields
        self._settings = settings
        self._log = log
        self._scope = scope
        self._open: dict[ScriptType, list[ScriptStorage]] = {}

    def personal(self) -> ScriptStorage | None:
        """The scripts that the user manages; None where there is no such place.

        Raises TryLater.
        """
        found = self.of("personal")
        return found[0] if found else None

    def of(self, kind: ScriptType) -> list[ScriptStorage]:
        """The storages of one type.  Raises TryLater for settings that make no sense."""
        storages = self._open.get(kind)
        if storages is None:
            storages = [self._storage(*block) for block in blocks_of(self._settings, kind)]
            self._open[kind] = storages
        return storages

    def _storage(self, block: str, script: SieveScriptSettings) -> ScriptStorage:
        try:
            values = user_values(self._name, self._fields, self._settings)
            driver: ScriptDriver = registry.load("script", script.driver).make(
                Place(block, script, self._settings, values)
            )
            quota = quota_of(self._fields, self._settings)
        except (ValueError, registry.UnknownDriver, registry.MissingRequirement) as error:
            self._log.error(self._scope, f"sieve_script {block}: {error}")
            raise TryLater from None
        place: Location = "personal" if script.type == "personal" else "global"
        rules = _rules_of(self._settings)[place]
        return ScriptStorage(driver, quota, rules, self._log, place=place, included=self._included)

    async def _included(self, place: str, name: str) -> bytes | None:
        """The first script of this name in the personal place, or in the global ones."""
        for storage in self.of("personal" if place == "personal" else "global"):
            source = await storage.source(name)
            if source is not None:
                return source
        return None

    async def close(self) -> None:
        """Close what was opened."""
        for storages in self._open.values():
            for storage in storages:
                await storage.close()
        self._open.clear()
