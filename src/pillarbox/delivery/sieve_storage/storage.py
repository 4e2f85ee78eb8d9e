"""One place of scripts, with rules and events: names, quota, compiling on save, the active script.

`ScriptStorage` is what ManageSieve, the command line and deliveries use; the driver below it only
moves bytes.  Everything that is done here is told: sieve_script_opened and _closed, _activated,
_deleted, _renamed, and sieve_storage_save_started and _finished, each with its error if it failed.

A script that does not compile is never stored or made active.  All errors are `ScriptRefused`;
what a driver says of its troubles goes to the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from pillarbox.delivery.sieve_storage.cache import Cache
from pillarbox.delivery.sieve_storage.compiling import (
    Compiled,
    Read,
    Rules,
    compile_source,
    keep,
)
from pillarbox.delivery.sieve_storage.errors import (
    AlreadyExists,
    BadScript,
    InvalidName,
    IsActive,
    NonExistent,
    ScriptRefused,
    ScriptTooLarge,
    TryLater,
)
from pillarbox.delivery.sieve_storage.names import check_name
from pillarbox.delivery.sieve_storage.quota import Quota
from pillarbox.drivers.script.api import (
    Listed,
    NoSuchScript,
    ScriptActive,
    ScriptDriver,
    ScriptError,
    ScriptExists,
    SupportsCompiled,
    SupportsWrite,
)
from pillarbox.events.catalogue.sieve import (
    sieve_script_activated,
    sieve_script_closed,
    sieve_script_deleted,
    sieve_script_opened,
    sieve_script_renamed,
    sieve_storage_save_finished,
    sieve_storage_save_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log

_CACHE: Final = Cache()

Telling = Callable[[str | None], None]


class OpenScript:
    """A script that was read; `close` it when it has been used."""

    __slots__ = ("_driver", "_open", "location", "name", "scope", "source")

    def __init__(
        self, scope: Scope, name: str, location: str, driver: ScriptDriver, source: bytes
    ) -> None:
        self.scope = scope
        self.name = name
        self.location = location
        self.source = source
        self._driver = driver
        self._open = True

    def close(self, error: str | None = None) -> None:
        """It is not used any more; ``error`` is why it could not be used."""
        if self._open and sieve_script_closed.emit is not None:
            sieve_script_closed.emit(self.scope, storage_driver=self._driver.name, error=error)
        self._open = False


class ScriptStorage:
    """See the module.  ``place`` is "personal" or "global", which says what its scripts may do.

    ``included`` reads scripts for include commands; without it these are the only ones.
    """

    def __init__(
        self,
        driver: ScriptDriver,
        quota: Quota,
        rules: Rules,
        log: Log,
        *,
        place: str = "personal",
        included: Read | None = None,
        cache: Cache = _CACHE,
    ) -> None:
        self.driver = driver
        # Asking about a protocol is slow, and deliveries are many.
        self._compiles = driver if isinstance(driver, SupportsCompiled) else None
        self.quota = quota
        self.rules = rules
        self._log = log
        self._place = place
        self._included = included
        self._cache = cache

    # Looking.

    async def scripts(self, scope: Scope) -> list[Listed]:
        """All scripts, by name.  Raises TryLater."""
        with self._failures(scope):
            return await self.driver.scripts()

    async def active(self, scope: Scope) -> str | None:
        """The name of the active script.  Raises TryLater."""
        with self._failures(scope):
            return await self.driver.active()

    async def open(self, scope: Scope, name: str) -> OpenScript:
        """Read a script.  Raises InvalidName, NonExistent, TryLater."""
        inner = self._scope(scope, name)
        with self._told(inner, self._tell_opened(inner)):
            check_name(name)
            source = await self.driver.read(name)
            if source is None:
                raise NoSuchScript(name)
        return OpenScript(inner, name, str(inner.fields["script_location"]), self.driver, source)

    async def open_active(self, scope: Scope) -> OpenScript | None:
        """Read the active script, if there is one.  Raises NonExistent, TryLater."""
        name = await self.active(scope)
        return None if name is None else await self.open(scope, name)

    async def source(self, name: str) -> bytes | None:
        """What an include of one of these scripts gets, without any event.  Raises ScriptError."""
        try:
            check_name(name)
        except InvalidName:
            return None
        return await self.driver.read(name)

    async def read(self, place: str, name: str) -> bytes | None:
        """The source of a script that an include names.  Raises ScriptError."""
        if self._included is not None:
            return await self._included(place, name)
        return await self.source(name) if place == self._place else None

    async def compiled(self, script: OpenScript) -> Compiled:
        """An open script in the form that can be run, if it has one.  Raises TryLater."""
        with self._failures(script.scope):
            return await self._cache.get(
                script.name,
                script.location,
                script.source,
                self.rules,
                self.read,
                partial(self._compiled_path, script.name),
                self._place,
            )

    # Checking.

    async def check(self, scope: Scope, name: str, source: bytes) -> Compiled:
        """What is to be said of a script that is not stored.  Raises ScriptTooLarge, TryLater."""
        if len(source) > self.quota.script_size:
            text = f"The script is larger than {self.quota.script_size} bytes."
            raise ScriptTooLarge(text)

        async def read(place: str, other: str) -> bytes | None:
            if (place, other) == (self._place, name):
                return source
            return await self.read(place, other)

        with self._failures(scope):
            return await compile_source(name, source, self.rules, read, self._place)

    async def have_space(self, scope: Scope, name: str, size: int) -> None:
        """Raises an error of quota if a script of this name and size could not be stored."""
        check_name(name)
        self.quota.check(await self.scripts(scope), name, size)

    # Changing.

    async def save(self, scope: Scope, name: str, source: bytes) -> Compiled:
        """Compile and store; it is on disk when this returns.

        Raises InvalidName, BadScript, errors of quota, TryLater.
        """
        inner = self._scope(scope, name)
        if sieve_storage_save_started.emit is not None:
            sieve_storage_save_started.emit(inner, storage_driver=self.driver.name)

        def tell(error: str | None) -> None:
            if sieve_storage_save_finished.emit is not None:
                sieve_storage_save_finished.emit(
                    inner, storage_driver=self.driver.name, error=error
                )

        with self._told(inner, tell):
            check_name(name)
            writer = self._writer()
            compiled = await self.check(inner, name, source)
            self._must_be_good(compiled)
            await writer.save(name, source, partial(self.quota.check, name=name, size=len(source)))
            self._keep(name, compiled)
        return compiled

    async def activate(self, scope: Scope, name: str) -> Compiled:
        """Make a script the active one, if it compiles.

        Raises InvalidName, NonExistent, BadScript, TryLater.
        """
        inner = self._scope(scope, name)
        with self._told(inner, self._tell_activated(inner)):
            script = await self.open(scope, name)
            compiled = await self.check(inner, name, script.source)
            script.close("The script has errors." if compiled.script is None else None)
            self._must_be_good(compiled)
            await self._writer().activate(name)
            self._keep(name, compiled)
        return compiled

    async def deactivate(self, scope: Scope) -> None:
        """No script is active any more.  Raises TryLater."""
        with self._failures(scope):
            await self._writer().activate(None)

    async def delete(self, scope: Scope, name: str) -> None:
        """Delete a script.  Raises InvalidName, NonExistent, IsActive, TryLater."""
        inner = self._scope(scope, name)

        def tell(error: str | None) -> None:
            if sieve_script_deleted.emit is not None:
                sieve_script_deleted.emit(inner, storage_driver=self.driver.name, error=error)

        with self._told(inner, tell):
            check_name(name)
            await self._writer().delete(name)

    async def rename(self, scope: Scope, old: str, new: str) -> None:
        """Rename a script; the active one stays active.

        Raises InvalidName, NonExistent, AlreadyExists, TryLater.
        """
        inner = self._scope(scope, old)

        def tell(error: str | None) -> None:
            if sieve_script_renamed.emit is not None:
                sieve_script_renamed.emit(
                    inner,
                    old_script_name=old,
                    new_script_name=new,
                    storage_driver=self.driver.name,
                    error=error,
                )

        with self._told(inner, tell):
            check_name(old)
            check_name(new)
            await self._writer().rename(old, new)

    async def close(self) -> None:
        """Let go of what the driver holds."""
        await self.driver.close()

    # Inside.

    def _compiled_path(self, name: str) -> Path | None:
        return None if self._compiles is None else self._compiles.compiled_path(name)

    def _keep(self, name: str, compiled: Compiled) -> None:
        if compiled.script is not None:
            keep(self._compiled_path(name), compiled.script, self.rules)

    def _must_be_good(self, compiled: Compiled) -> None:
        if compiled.script is None:
            raise BadScript("The script has errors.", compiled.diagnostics)

    def _writer(self) -> SupportsWrite:
        if not isinstance(self.driver, SupportsWrite):
            raise ScriptRefused("These scripts cannot be changed.")
        return self.driver

    def _scope(self, scope: Scope, name: str) -> Scope:
        location = self.driver.location(name)
        return Scope(scope, script_name=name, script_location=location)

    def _tell_opened(self, scope: Scope) -> Telling:
        def tell(error: str | None) -> None:
            if sieve_script_opened.emit is not None:
                sieve_script_opened.emit(scope, storage_driver=self.driver.name, error=error)

        return tell

    def _tell_activated(self, scope: Scope) -> Telling:
        def tell(error: str | None) -> None:
            if sieve_script_activated.emit is not None:
                sieve_script_activated.emit(scope, storage_driver=self.driver.name, error=error)

        return tell

    @contextlib.contextmanager
    def _told(self, scope: Scope, tell: Telling) -> Iterator[None]:
        """Emit the event of what is done, whichever way it ends."""
        try:
            with self._failures(scope):
                yield
        except ScriptRefused as error:
            tell(error.text)
            raise
        tell(None)

    @contextlib.contextmanager
    def _failures(self, scope: Scope) -> Iterator[None]:
        """Errors of drivers become those of requests."""
        try:
            yield
        except NoSuchScript:
            raise NonExistent("There is no script by that name.") from None
        except ScriptExists:
            raise AlreadyExists("A script of that name exists already.") from None
        except ScriptActive:
            raise IsActive("The active script cannot be deleted.") from None
        except ScriptError as error:
            self._log.error(scope, f"Sieve scripts cannot be accessed: {error}")
            raise TryLater from None
