"""What is remembered between messages: who was answered, what was seen, what was sent on.

Everything is a key with an expiry in a dict: the one that sieve_dict names, or else a file of the
user's own.  Keys are digests, so nobody who reads the dict learns who wrote to whom, and any text
can be one.

Between looking and remembering others may look: `Memory.busy` has what this process is doing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pillarbox.drivers.dict.api import Dict, Set
from pillarbox.mailstore.dicts import Dicts
from pillarbox.mailstore.user import MailUser
from pillarbox.settings.model import Settings
from pillarbox.sieve.result import DuplicateMark

FILE: Final = "%{home}/.sieve-memory"


class Memory:
    """The memory of one user; all methods raise DictError."""

    def __init__(self, dicts: Dicts, settings: Settings, user: MailUser, busy: set[str]) -> None:
        self._dicts = dicts
        self._settings = settings
        self._user = user
        self._busy = busy

    async def knows(self, kind: str, *what: str) -> bool:
        """Whether this was remembered and has not expired."""
        dictionary = await self._dict()
        return await dictionary.get(self._key(kind, *what)) is not None

    async def remember(self, seconds: int, kind: str, *what: str) -> None:
        """Remember this for so long; durable on return."""
        if seconds > 0:
            dictionary = await self._dict()
            await dictionary.commit([Set(self._key(kind, *what), b"1", seconds)])

    async def remember_seen(self, marks: Sequence[DuplicateMark]) -> None:
        """Remember what the duplicate tests of a run that ended well have seen."""
        sets = [
            Set(self._key("duplicate", mark.handle, mark.unique_id), b"1", mark.seconds)
            for mark in marks
            if mark.seconds > 0
        ]
        if sets:
            dictionary = await self._dict()
            await dictionary.commit(sets)

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
        return await self._dicts.get(self._settings, block, self._user, FILE)

    def _key(self, kind: str, *what: str) -> str:
        text = "\0".join((self._user.name, *what))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return f"priv/sieve/{kind}/{digest}"
