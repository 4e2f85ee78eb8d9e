"""Scripts in a dict: one key for each script, one for the name of the active one.

For the user ``ann`` these are ``priv/sieve/ann/script/NAME`` and ``priv/sieve/ann/active``.  A
block that is not personal names its script by ``name``; that one is active.

A dict has no locks, but it makes changes all or none and can refuse them where a key is missing.
So there is ``priv/sieve/ann/version/TOKEN``, with a token that was never used before: every change
takes all such keys away, sets a new one, and fails if one of them is gone, because somebody else
has made a change meanwhile; then it is tried again from the start, `TRIES` times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from secrets import token_hex
from typing import Final, TypeVar
from urllib.parse import quote

from pillarbox.drivers import registry
from pillarbox.drivers.dict.api import Change, Dict, DictError, Increment, Set, Unset
from pillarbox.drivers.dict_events import TellingDict, closed, opened
from pillarbox.drivers.script.api import (
    Admit,
    Listed,
    NoSuchScript,
    Place,
    ScriptActive,
    ScriptError,
    ScriptExists,
)
from pillarbox.events.event import Scope
from pillarbox.settings.variables import expand

T = TypeVar("T")

TRIES: Final = 20


class DictScripts:
    """See the module.

    ``block`` names the dict, ``only`` is the name of the one script of a place that nobody manages.
    """

    name = "dict"

    def __init__(self, store: Dict, user: str, only: str | None = None, block: str = "") -> None:
        self._scope = Scope(None, user=user)
        self._store = TellingDict(store, self._scope)
        self._opened = store
        self._block = block
        self._only = only
        self._prefix = f"priv/sieve/{quote(user, safe='@+=,:')}/"

    def location(self, script: str) -> str:
        """``dict:KEY``."""
        return f"dict:{self._key(script)}"

    def _key(self, script: str) -> str:
        return f"{self._prefix}script/{script}"

    async def scripts(self) -> list[Listed]:
        """All scripts, by name."""
        active = await self.active()
        start = self._key("")
        found = await self._asked(self._store.iterate(start))
        names = ((key.removeprefix(start), len(source)) for key, source in found)
        return sorted(Listed(name, size, name == active) for name, size in names)

    async def read(self, script: str) -> bytes | None:
        """A script's source, or None."""
        return await self._asked(self._store.get(self._key(script)))

    async def active(self) -> str | None:
        """The name of the active script, or None."""
        name = self._only
        if name is None:
            value = await self._asked(self._store.get(f"{self._prefix}active"))
            name = None if value is None else value.decode("utf-8", "surrogateescape")
        if name is None or await self.read(name) is None:
            return None
        return name

    async def save(self, script: str, source: bytes, admit: Admit) -> None:
        """Store a script.  Raises what ``admit`` does."""

        async def changes() -> Sequence[Change]:
            admit(await self.scripts())
            return [Set(self._key(script), source)]

        await self._change(changes)

    async def delete(self, script: str) -> None:
        """Remove a script."""

        async def changes() -> Sequence[Change]:
            await self._existing(script)
            if await self.active() == script:
                raise ScriptActive(script)
            return [Unset(self._key(script))]

        await self._change(changes)

    async def rename(self, old: str, new: str) -> None:
        """Give a script another name."""

        async def changes() -> Sequence[Change]:
            source = await self._existing(old)
            if await self.read(new) is not None:
                raise ScriptExists(new)
            made: list[Change] = [Unset(self._key(old)), Set(self._key(new), source)]
            return [*made, self._activating(new)] if await self.active() == old else made

        await self._change(changes)

    async def activate(self, script: str | None) -> None:
        """Make a script the active one, or none."""

        async def changes() -> Sequence[Change]:
            if script is None:
                return [Unset(f"{self._prefix}active")]
            await self._existing(script)
            return [self._activating(script)]

        await self._change(changes)

    async def close(self) -> None:
        """Let go of the dict."""
        await closed(self._scope, self._block, self._opened)

    def _activating(self, script: str) -> Set:
        return Set(f"{self._prefix}active", script.encode("utf-8", "surrogateescape"))

    async def _existing(self, script: str) -> bytes:
        source = await self.read(script)
        if source is None:
            raise NoSuchScript(script)
        return source

    async def _change(self, changes: Callable[[], Awaitable[Sequence[Change]]]) -> None:
        """Commit what ``changes`` makes of the present state, if that is still the state."""
        if self._only is not None:
            raise ScriptError("only personal scripts can be changed")
        for _ in range(TRIES):
            present = await self._versions()
            turn: list[Change] = [Increment(key) for key in present]
            turn += [Unset(key) for key in present]
            if await self._asked(self._store.commit([*turn, self._version(), *await changes()])):
                return
        raise ScriptError("others change the same scripts all the time")

    def _version(self) -> Set:
        return Set(f"{self._prefix}version/{token_hex(8)}", b"0")

    async def _versions(self) -> list[str]:
        """The keys of the present version; who comes first makes one."""
        while True:
            found = await self._asked(self._store.iterate(f"{self._prefix}version/"))
            if found:
                return [key for key, _ in found]
            await self._asked(self._store.commit([self._version()]))

    async def _asked(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except DictError as error:
            raise ScriptError(f"dict: {error}") from error


def make(place: Place) -> DictScripts:
    """The place in the dict that the block names.  Raises ValueError."""
    block = place.script
    chosen = place.settings.dict.get(block.dict)
    if chosen is None:
        raise ValueError(f"sieve_script {place.block}: there is no dict {block.dict!r}")
    personal = block.type == "personal"
    if not personal and not block.name:
        raise ValueError(f"sieve_script {place.block}: driver dict needs name")
    path = expand(chosen.dict_file_path, place.values)
    scope = Scope(None, user=place.values["user"])
    try:
        driver = chosen.driver or block.dict
        store = opened(
            scope, block.dict, driver, lambda: registry.load("dict", driver).make(chosen, path)
        )
    except DictError as error:
        raise ValueError(f"dict {block.dict}: {error}") from error
    only = None if personal else block.name
    return DictScripts(store, place.values["user"], only, block.dict)
