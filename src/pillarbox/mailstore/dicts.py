"""The dicts of one process that are open: those of the settings, and files of users' own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pillarbox.drivers import registry
from pillarbox.drivers.dict.api import Dict, DictError
from pillarbox.drivers.dict_events import TellingDict, closed, opened
from pillarbox.events.event import Scope
from pillarbox.settings.model import DictBlockSettings, Settings
from pillarbox.settings.variables import expand

if TYPE_CHECKING:
    from pillarbox.mailstore.user import MailUser

OPEN_DICTS: Final = 64


def user_values(name: str, fields: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The variables of a user for paths.  Raises VariableError."""
    username, _, domain = name.partition("@")
    values = {"user": name, "username": username, "domain": domain}
    values["home"] = fields.get("home") or expand(settings.mail_home, values)
    return values


class Dicts:
    """The most recently used ones stay open."""

    def __init__(self, most: int = OPEN_DICTS) -> None:
        self._most = most
        self._open: OrderedDict[tuple[str, str, str], Dict] = OrderedDict()

    async def get(
        self, settings: Settings, block: str, user: MailUser, own: str = "", *, scope: Scope
    ) -> Dict:
        """The dict of that block for a user; "" is the file ``own``, a path with variables.

        ``scope`` is that of the work that asks.  Raises DictError.
        """
        if block and block not in settings.dict:
            raise DictError(f"there is no dict {block!r} in the settings")
        chosen = settings.dict[block] if block else DictBlockSettings(driver="file")
        driver = chosen.driver or block
        try:
            values = user_values(user.name, user.fields, settings)
            values["mail_path"] = str(user.mail_path)
            path = expand(chosen.dict_file_path if block else own, values)
            key = (block, driver, path)
            found = self._open.get(key)
            if found is None:
                found = opened(
                    scope, block, driver, lambda: registry.load("dict", driver).make(chosen, path)
                )
                self._open[key] = found
        except (ValueError, registry.UnknownDriver, registry.MissingRequirement) as error:
            raise DictError(f"dict {block!r}: {error}") from error
        self._open.move_to_end(key)
        if len(self._open) > self._most:
            await self._close(last=False)
        return TellingDict(found, scope)

    async def close(self) -> None:
        """Close them all."""
        while self._open:
            await self._close(last=True)

    async def _close(self, *, last: bool) -> None:
        (block, _, _), dictionary = self._open.popitem(last=last)
        await closed(Scope(), block, dictionary)
