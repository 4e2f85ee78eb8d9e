"""The chain of userdbs: where does this user live, and which users are there?

Blocks are asked in turn by the rules of `auth.rules`; fields of later ones are added to those of
earlier ones.  A block whose driver would say yes to any name is asked only if the user has just
logged in or a passdb knows it.  No block at all means: everybody whom a passdb knows exists, with
the ``userdb_`` fields that it gave.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from pillarbox.auth.cache import AuthCache, texts
from pillarbox.auth.passdbs import PassdbChain
from pillarbox.auth.request import Request
from pillarbox.auth.rules import EFFECTS, Effect, Rule, user_matches
from pillarbox.drivers.userdb.api import DatabaseError, Query, SupportsIterate, Userdb
from pillarbox.events.catalogue.auth import (
    auth_userdb_request_finished,
    auth_userdb_request_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import UserdbSettings
from pillarbox.settings.variables import VariableError, expand

Result = Literal["ok", "user_unknown", "internal_failure"]
UserdbCache = AuthCache[dict[str, str]]


@dataclass(eq=False)
class UserdbBlock:
    """A block of the settings with its driver; ``id`` counts from 1."""

    id: int
    name: str
    settings: UserdbSettings
    driver: Userdb


@dataclass(frozen=True, slots=True)
class Outcome:
    """The chain's answer, with the user's fields if it is ``ok``."""

    result: Result
    fields: dict[str, str]


@dataclass(slots=True)
class _Answer:
    result: Result
    fields: dict[str, str]
    cache: Literal["hit", "miss"] | None = None


class UserdbChain:
    """See the module."""

    def __init__(
        self, blocks: list[UserdbBlock], passdbs: PassdbChain, cache: UserdbCache, log: Log
    ) -> None:
        self.blocks = blocks
        self._passdbs = passdbs
        self._cache = cache
        self._log = log

    async def lookup(self, request: Request) -> Outcome:
        """The fields of the request's user, who may be renamed by a ``user`` field."""
        if not request.user:
            return Outcome("user_unknown", {})
        standing: bool | None = None
        broken = False
        fields: dict[str, str] = {}
        for block in self.blocks:
            if not _applies(block.settings, request, standing):
                continue
            answer = await self._ask(block, request)
            if answer.result == "ok":
                fields.update(answer.fields)
            broken = broken or answer.result == "internal_failure"
            effect = _effect(block.settings, answer.result)
            standing = standing if effect.sets is None else effect.sets
            if effect.ends:
                break
        if not standing:
            return Outcome("internal_failure" if broken else "user_unknown", {})
        renamed = fields.pop("user", "")
        if renamed and renamed != request.user:
            request.rename(renamed)
        return Outcome("ok", fields)

    async def _ask(self, block: UserdbBlock, request: Request) -> _Answer:
        scope = _scope(block, request)
        if auth_userdb_request_started.emit is not None:
            auth_userdb_request_started.emit(scope)
        try:
            answer = await self._answer(block, request, scope)
        except (DatabaseError, VariableError) as error:
            self._log.error(scope, f"userdb {block.name}: {error}")
            answer = _Answer("internal_failure", {})
        if auth_userdb_request_finished.emit is not None:
            auth_userdb_request_finished.emit(scope, result=answer.result, cache=answer.cache)
        return answer

    async def _answer(self, block: UserdbBlock, request: Request, scope: Scope) -> _Answer:
        if block.driver.needs_passdb and not request.authenticated:
            known = await self._passdbs.lookup(request)
            if known.result == "internal_failure":
                return _Answer("internal_failure", {})
            if known.result == "scheme_not_available":
                raise DatabaseError("no passdb can say without a password whether the user exists")
            if not known.ok:
                return _Answer("user_unknown", {})
        template = block.driver.cache_key
        if not template or not self._cache.enabled or not block.settings.use_cache:
            return _decorated(block, request, await self._lookup(block, request, scope))
        key = (block.name, expand(template, request.values()))
        cached = self._cache.get(key)
        if cached is not None:
            found, state = cached.value, "hit"
        else:
            found, state = await self._lookup(block, request, scope), "miss"
            self._cache.put(key, request.user, found, () if found is None else texts(found))
        answer = _decorated(block, request, found)
        answer.cache = "hit" if state == "hit" else "miss"
        return answer

    @staticmethod
    async def _lookup(block: UserdbBlock, request: Request, scope: Scope) -> dict[str, str] | None:
        prefetched = request.prefetched() if request.fields else None
        return await block.driver.lookup(Query(request.user, scope, request.values(), prefetched))

    async def users(self, request: Request) -> AsyncIterator[str]:
        """Every user of every block that can list its users, once each.

        Raises DatabaseError after the last name if some block could not list all of its users,
        or none can list at all.
        """
        seen: set[str] = set()
        failed: str | None = "no userdb can list its users"
        for block in self.blocks:
            driver = block.driver
            if not isinstance(driver, SupportsIterate):
                continue
            failed = None if failed and failed.startswith("no userdb") else failed
            scope = _scope(block, request)
            if auth_userdb_request_started.emit is not None:
                auth_userdb_request_started.emit(scope)
            result: Result = "ok"
            try:
                async for user in driver.iterate(Query("", scope, request.values())):
                    if user not in seen:
                        seen.add(user)
                        yield user
            except (DatabaseError, VariableError) as error:
                self._log.error(scope, f"userdb {block.name}: {error}")
                result, failed = "internal_failure", str(error)
            if auth_userdb_request_finished.emit is not None:
                auth_userdb_request_finished.emit(scope, result=result)
        if failed is not None:
            raise DatabaseError(failed)


def _scope(block: UserdbBlock, request: Request) -> Scope:
    return Scope(
        request.scope,
        getattr(block.driver, "categories", ()),
        userdb=block.driver.name,
        userdb_name=block.name,
        userdb_id=block.id,
    )


def _decorated(block: UserdbBlock, request: Request, found: dict[str, str] | None) -> _Answer:
    """The database's fields with the block's own."""
    if found is None:
        return _Answer("user_unknown", {})
    fields = dict(found)
    own = block.settings
    if own.fields or own.override_fields:
        values = request.values()
        for name, template in own.fields.items():
            if name not in fields:
                fields[name] = expand(template, values)
        for name, template in own.override_fields.items():
            fields[name] = expand(template, values)
    return _Answer("ok", fields)


def _applies(settings: UserdbSettings, request: Request, standing: bool | None) -> bool:
    if settings.skip == "found" and standing:
        return False
    if settings.skip == "notfound" and not standing:
        return False
    return user_matches(request.user, settings.username_filter)


def _effect(settings: UserdbSettings, result: Result) -> Effect:
    rule: Rule = settings.result_failure
    if result == "ok":
        rule = settings.result_success
    elif result == "internal_failure":
        rule = settings.result_internalfail
    return EFFECTS[rule]
