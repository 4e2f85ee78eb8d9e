"""External lists (RFC 6134): `sieve_extlists_list` blocks, members in settings or in a dict."""

from __future__ import annotations

from pillarbox.drivers.dict.api import Dict, DictError, valid_key
from pillarbox.events.event import Scope
from pillarbox.mailstore.dicts import Dicts
from pillarbox.mailstore.user import MailUser
from pillarbox.settings.model import Settings

_PREFIX = "priv/"
_MOST_MEMBERS = 1000


class Lists:
    """The lists as one user sees them.  Raises DictError."""

    def __init__(self, dicts: Dicts, settings: Settings, user: MailUser, scope: Scope) -> None:
        self._dicts = dicts
        self._settings = settings
        self._user = user
        self._scope = scope

    def exists(self, name: str) -> bool:
        """Whether there is such a list."""
        return name in self._settings.sieve_extlists_list

    async def contains(self, name: str, value: str) -> bool:
        """Whether a value is a member."""
        chosen = self._settings.sieve_extlists_list.get(name)
        if chosen is None:
            return False
        wanted = value.lower()
        if any(wanted == member.lower() for member in chosen.members):
            return True
        if not chosen.dict:
            return False
        try:
            key = valid_key(_PREFIX + wanted)
        except DictError:
            return False
        dictionary = await self._dict(chosen.dict)
        return await dictionary.get(key) is not None

    async def members(self, name: str) -> tuple[str, ...]:
        """All members, a thousand at most."""
        chosen = self._settings.sieve_extlists_list.get(name)
        if chosen is None:
            return ()
        found = list(chosen.members)
        if chosen.dict:
            dictionary = await self._dict(chosen.dict)
            keys = await dictionary.iterate(_PREFIX, _MOST_MEMBERS)
            found += [key[len(_PREFIX) :] for key, _ in keys]
        return tuple(dict.fromkeys(found))[:_MOST_MEMBERS]

    async def _dict(self, block: str) -> Dict:
        return await self._dicts.get(self._settings, block, self._user, scope=self._scope)
