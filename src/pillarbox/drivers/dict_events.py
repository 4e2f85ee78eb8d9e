"""Dicts that tell what is done with them: ``dict_created``, ``dict_lookup_finished`` and so on.

The drivers of the family move octets only.  Whoever opens one does it by `opened` and lets go of it
by `closed`; what is asked and changed goes through a `TellingDict`, made for the piece of work that
asks, so that the events stand in its scope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pillarbox.drivers.dict.api import Change, Dict, DictError
from pillarbox.events.catalogue.dict import (
    dict_created,
    dict_destroyed,
    dict_iteration_finished,
    dict_lookup_finished,
    dict_transaction_finished,
)
from pillarbox.events.event import Scope


def opened(scope: Scope, name: str, driver: str, make: Callable[[], Dict]) -> Dict:
    """What ``make`` opens, and that it did; ``name`` is the block's.  Raises what ``make`` does."""
    child = Scope(scope)
    error: str | None = None
    try:
        return make()
    except Exception as raised:
        error = str(raised) or type(raised).__name__
        raise
    finally:
        if dict_created.emit is not None:
            dict_created.emit(child, dict_name=name or None, driver=driver, error=error)


async def closed(scope: Scope, name: str, dictionary: Dict) -> None:
    """Close a dict that was `opened`.  Raises DictError."""
    child = Scope(scope)
    error: str | None = None
    try:
        await dictionary.close()
    except DictError as raised:
        error = str(raised)
        raise
    finally:
        if dict_destroyed.emit is not None:
            driver = dictionary.name
            dict_destroyed.emit(child, dict_name=name or None, driver=driver, error=error)


class TellingDict:
    """A dict for one piece of work; closing it is left to whoever opened the one inside."""

    __slots__ = ("_inner", "_scope", "name")

    def __init__(self, inner: Dict, scope: Scope) -> None:
        self.name = inner.name
        self._inner = inner
        self._scope = scope

    async def get(self, key: str) -> bytes | None:
        """As the driver's."""
        child = Scope(self._scope)
        value: bytes | None = None
        error: str | None = None
        try:
            value = await self._inner.get(key)
        except DictError as raised:
            error = str(raised)
            raise
        finally:
            if dict_lookup_finished.emit is not None:
                missing = "yes" if value is None and error is None else None
                dict_lookup_finished.emit(
                    child, key=key, key_not_found=missing, driver=self.name, error=error
                )
        return value

    async def iterate(self, prefix: str, limit: int = 0) -> list[tuple[str, bytes]]:
        """As the driver's."""
        child = Scope(self._scope)
        found: list[tuple[str, bytes]] = []
        error: str | None = None
        try:
            found = await self._inner.iterate(prefix, limit)
        except DictError as raised:
            error = str(raised)
            raise
        finally:
            if dict_iteration_finished.emit is not None:
                dict_iteration_finished.emit(
                    child,
                    rows=len(found),
                    key=prefix,
                    key_not_found="yes" if not found and error is None else None,
                    driver=self.name,
                    error=error,
                )
        return found

    async def commit(self, changes: Sequence[Change]) -> bool:
        """As the driver's."""
        child = Scope(self._scope)
        done = False
        failure: DictError | None = None
        try:
            done = await self._inner.commit(changes)
        except DictError as raised:
            failure = raised
            raise
        finally:
            if dict_transaction_finished.emit is not None:
                uncertain = failure is not None and failure.uncertain
                dict_transaction_finished.emit(
                    child,
                    rollback=None if done or uncertain else "yes",
                    write_uncertain="yes" if uncertain else None,
                    driver=self.name,
                    error=None if failure is None else str(failure),
                )
        return done

    async def close(self) -> None:
        """Close the one inside; that it is closed is told by `closed`."""
        await self._inner.close()
