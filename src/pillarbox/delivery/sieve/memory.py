"""What is remembered between messages: who was answered, what was seen, what was sent on.

Everything is a key with an expiry in a dict: the one that sieve_dict names, or else a file of the
user's own.  Keys are digests, so nobody who reads the dict learns who wrote to whom, and any text
can be one.

Between looking and remembering others may look.  What must not be done twice, such as answering
somebody, `Memory.working` keeps from being done at the same time in this process.  What must not be
seen as new twice is claimed: a claim is the key itself with a value of its own, so that of all who
want one, in any process, a single one gets it.  It lasts for minutes at most, so that a crash loses
nothing but time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from typing import Final

from pillarbox.drivers.dict.api import Add, Change, Dict, Set, Unset
from pillarbox.events.event import Scope
from pillarbox.mailstore.dicts import Dicts
from pillarbox.mailstore.user import MailUser
from pillarbox.settings.model import Settings

FILE: Final = "%{home}/.sieve-memory"
CLAIM_SECONDS: Final = 300  # longer than any delivery takes

_REMEMBERED: Final = b"1"
_TOKEN_OCTETS: Final = 16

What = tuple[str, ...]


class Claim(Enum):
    """What became of a claim."""

    OURS = "ours"
    OTHERS = "others"
    NONE = "there is nothing to be claimed: it is remembered"


class Memory:
    """The memory of one user; all methods raise DictError."""

    def __init__(
        self, dicts: Dicts, settings: Settings, user: MailUser, busy: set[str], scope: Scope
    ) -> None:
        self._dicts = dicts
        self._settings = settings
        self._user = user
        self._busy = busy
        self._scope = scope

    @cached_property
    def _token(self) -> bytes:
        """What our claims look like; most deliveries claim nothing."""
        return b"claimed " + secrets.token_hex(_TOKEN_OCTETS).encode()

    async def knows(self, kind: str, *what: str) -> bool:
        """Whether this was remembered and has not expired."""
        dictionary = await self._dict()
        return await dictionary.get(self._key(kind, *what)) == _REMEMBERED

    async def remember(self, seconds: int, kind: str, *what: str) -> None:
        """Remember this for so long; durable on return."""
        if seconds > 0:
            dictionary = await self._dict()
            await dictionary.commit([Set(self._key(kind, *what), _REMEMBERED, seconds)])

    async def claim(self, kind: str, *what: str) -> Claim:
        """Claim this, unless it was remembered or another one has claimed it."""
        dictionary = await self._dict()
        key = self._key(kind, *what)
        if await dictionary.commit([Add(key, self._token, CLAIM_SECONDS)]):
            return Claim.OURS
        value = await dictionary.get(key)
        if value == self._token:
            return Claim.OURS
        return Claim.NONE if value == _REMEMBERED else Claim.OTHERS

    async def settle(
        self, kind: str, remembered: Iterable[tuple[What, int]], others: Iterable[What]
    ) -> None:
        """Remember some things, each for so many seconds, and withdraw claims of others."""
        dictionary = await self._dict()
        changes: list[Change] = [
            Set(self._key(kind, *what), _REMEMBERED, seconds) for what, seconds in remembered
        ]
        for what in others:
            key = self._key(kind, *what)
            if await dictionary.get(key) == self._token:
                changes.append(Unset(key))
        if changes:
            await dictionary.commit(changes)

    @contextmanager
    def working(self, kind: str, *what: str) -> Iterator[bool]:
        """While this is being done; False if it is being done for another message already."""
        key = self._key(kind, *what)
        if key in self._busy:
            yield False
            return
        self._busy.add(key)
        try:
            yield True
        finally:
            self._busy.discard(key)

    async def _dict(self) -> Dict:
        block = self._settings.sieve_dict
        return await self._dicts.get(self._settings, block, self._user, FILE, scope=self._scope)

    def _key(self, kind: str, *what: str) -> str:
        text = "\0".join((self._user.name, *what))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return f"priv/sieve/{kind}/{digest}"
