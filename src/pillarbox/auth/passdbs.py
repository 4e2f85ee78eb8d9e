"""The chain of passdbs: is this user who it says it is?

Each block of the settings is asked in turn, by the rules of `auth.rules`; the fields of those
that said yes are gathered on the request.  `verify` checks a password, `scram` fetches what SCRAM
needs, `lookup` asks without credentials.  After one database has accepted the user, later ones
(``continue-ok``) are only asked for fields.

A broken database, or a stored password that nobody can read, is an internal failure; unless
another database decides, the whole answer is then "temporary failure" and never "wrong password".

The one trick: whatever is wrong, a password is hashed.  For an unknown user the last hash that
this database gave serves as decoy, so that the time taken tells nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from pillarbox.auth.cache import AuthCache, Cached, texts
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.networks import allowed
from pillarbox.auth.request import Request
from pillarbox.auth.rules import EFFECTS, Effect, Rule, user_matches
from pillarbox.auth.schemes import SchemeError
from pillarbox.drivers.passdb.api import DatabaseError, Entry, Passdb, Query
from pillarbox.events.catalogue.auth import (
    auth_passdb_request_finished,
    auth_passdb_request_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings
from pillarbox.settings.variables import VariableError, expand
from pillarbox.wire.sasl.exchange import HashName, ScramSecret

Result = Literal[
    "ok",
    "password_mismatch",
    "user_unknown",
    "pass_expired",
    "user_disabled",
    "scheme_not_available",
    "internal_failure",
    "next",
]
PassdbCache = AuthCache[Entry]


@dataclass(eq=False)
class PassdbBlock:
    """A block of the settings with its driver; ``id`` counts from 1."""

    id: int
    name: str
    settings: PassdbSettings
    driver: Passdb
    last_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The chain's answer: accepted, or the result of the last database that mattered."""

    result: Result
    secret: ScramSecret | None = None

    @property
    def ok(self) -> bool:
        """Whether the user is let in."""
        return self.result == "ok"


@dataclass(slots=True)
class _Answer:
    """One database's answer."""

    result: Result
    fields: dict[str, str] = field(default_factory=dict)
    cache: Literal["hit", "miss"] | None = None
    secret: ScramSecret | None = None


_Check = Callable[[PassdbBlock, Request, Entry | None], Awaitable[_Answer]]


class PassdbChain:
    """See the module."""

    def __init__(
        self, blocks: list[PassdbBlock], cache: PassdbCache, hasher: Hasher, log: Log
    ) -> None:
        self.blocks = blocks
        self._cache = cache
        self._hasher = hasher
        self._log = log

    async def verify(self, request: Request, password: str) -> Outcome:
        """Is this the user's password?"""

        async def check(block: PassdbBlock, asked: Request, entry: Entry | None) -> _Answer:
            return await self._check_password(block, asked, entry, password)

        if not request.user:
            for block in self.blocks[:1]:
                scheme = block.settings.default_password_scheme
                await self._hasher.decoy(block.last_hash, password, scheme)
            return Outcome("user_unknown")
        return await self._run(request, check)

    async def scram(self, request: Request, hash_name: HashName, salt: bytes) -> Outcome:
        """What SCRAM needs to check the user; accepted only once the proof is right."""

        async def check(block: PassdbBlock, asked: Request, entry: Entry | None) -> _Answer:
            return await self._fetch_secret(block, asked, entry, hash_name, salt)

        if not request.user:
            return Outcome("user_unknown")
        return await self._run(request, check)

    async def lookup(self, request: Request) -> Outcome:
        """What is known of the user, without credentials."""
        if not request.user:
            return Outcome("user_unknown")
        return await self._run(request, _found)

    async def _run(self, request: Request, check: _Check) -> Outcome:
        standing: bool | None = None
        broken = False
        last: Result = "user_unknown"
        secret: ScramSecret | None = None
        for block in self.blocks:
            if not _applies(block.settings, request, standing):
                continue
            answer = await self._ask(block, request, _found if standing else check)
            if answer.result in ("ok", "user_disabled", "pass_expired"):
                self._take(request, answer.fields)
                secret = secret or answer.secret
            elif "nodelay" in answer.fields:
                request.fields.setdefault("nodelay", "")
            if answer.result not in ("user_unknown", "next"):
                last = answer.result
            broken = broken or answer.result == "internal_failure"
            effect = _effect(block.settings, answer.result)
            standing = standing if effect.sets is None else effect.sets
            if effect.ends:
                break
        if standing:
            return Outcome("ok", secret)
        if last in ("user_disabled", "pass_expired"):
            return Outcome(last, secret)
        if broken:
            return Outcome("internal_failure")
        return Outcome("password_mismatch" if last == "ok" else last, secret)

    async def _ask(self, block: PassdbBlock, request: Request, check: _Check) -> _Answer:
        scope = Scope(
            request.scope, passdb=block.driver.name, passdb_name=block.name, passdb_id=block.id
        )
        if auth_passdb_request_started.emit is not None:
            auth_passdb_request_started.emit(scope)
        try:
            answer = await self._answer(block, request, scope, check)
        except (DatabaseError, VariableError) as error:
            self._log.error(scope, f"passdb {block.name}: {error}")
            answer = _Answer("internal_failure")
        except SchemeError as error:
            self._log.error(scope, f"passdb {block.name}: stored password of the user: {error}")
            answer = _Answer("internal_failure")
        if auth_passdb_request_finished.emit is not None:
            auth_passdb_request_finished.emit(scope, result=answer.result, cache=answer.cache)
        return answer

    async def _answer(
        self, block: PassdbBlock, request: Request, scope: Scope, check: _Check
    ) -> _Answer:
        """The cached answer if it is good enough, else the database's."""
        key = self._key(block, request)
        if key is None:
            entry = await block.driver.lookup(Query(request.user, scope, request.values()))
            return await check(block, request, entry)
        cached = self._cache.get(key)
        if cached is not None:
            answer = await check(block, request, cached.value)
            answer.cache = "hit"
            if answer.result != "password_mismatch" or not cached.matched:
                cached.matched = cached.matched or answer.result == "ok"
                return answer
        cached = await self._refresh(block, request, scope, key)
        answer = await check(block, request, cached.value)
        answer.cache = "miss"
        cached.matched = answer.result == "ok"
        return answer

    def _key(self, block: PassdbBlock, request: Request) -> tuple[str, str] | None:
        template = block.driver.cache_key
        if not template or not self._cache.enabled or not block.settings.use_cache:
            return None
        return block.name, expand(template, request.values())

    async def _refresh(
        self, block: PassdbBlock, request: Request, scope: Scope, key: tuple[str, str]
    ) -> Cached[Entry]:
        entry = await block.driver.lookup(Query(request.user, scope, request.values()))
        strings = () if entry is None else (entry.password or "", *texts(entry.fields))
        return self._cache.put(key, request.user, entry, strings)

    # What a database's entry means.

    async def _check_password(
        self, block: PassdbBlock, request: Request, entry: Entry | None, password: str
    ) -> _Answer:
        scheme = block.settings.default_password_scheme
        if entry is None or block.settings.deny:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _unknown(block, entry)
        fields, stored = _fields(block, request, entry)
        if "nopassword" in fields:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _Answer(_admitted(request, fields), fields)
        if stored is None:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _Answer("password_mismatch", fields)
        block.last_hash = stored
        if not await self._hasher.verify(stored, password, scheme):
            return _Answer("password_mismatch", fields)
        return _Answer(_admitted(request, fields), fields)

    async def _fetch_secret(
        self,
        block: PassdbBlock,
        request: Request,
        entry: Entry | None,
        hash_name: HashName,
        salt: bytes,
    ) -> _Answer:
        if entry is None or block.settings.deny:
            return _unknown(block, entry)
        fields, stored = _fields(block, request, entry)
        if stored is None:
            return _Answer("scheme_not_available", fields)
        secret = await self._hasher.scram_secret(
            stored, block.settings.default_password_scheme, hash_name, salt
        )
        if secret is None:
            return _Answer("scheme_not_available", fields)
        return _Answer(_admitted(request, fields), fields, secret=secret)

    @staticmethod
    def _take(request: Request, fields: dict[str, str]) -> None:
        """What an accepting database adds to the request."""
        renamed = fields.pop("user", "")
        request.fields.update(fields)
        if renamed and renamed != request.user:
            request.rename(renamed)


async def _found(block: PassdbBlock, request: Request, entry: Entry | None) -> _Answer:
    """The check of a lookup without credentials."""
    if entry is None or block.settings.deny:
        return _unknown(block, entry)
    fields, _ = _fields(block, request, entry)
    return _Answer("ok", fields)


def _unknown(block: PassdbBlock, entry: Entry | None) -> _Answer:
    """No such user; in a deny block that is as it should be, and being found is not."""
    if not block.settings.deny:
        return _Answer("user_unknown")
    return _Answer("next") if entry is None else _Answer("password_mismatch")


def _fields(
    block: PassdbBlock, request: Request, entry: Entry
) -> tuple[dict[str, str], str | None]:
    """The entry's fields with the block's own, and the stored password."""
    fields = dict(entry.fields)
    own = block.settings
    if own.fields or own.override_fields:
        values = request.values()
        for name, template in own.fields.items():
            if name not in fields:
                fields[name] = expand(template, values)
        for name, template in own.override_fields.items():
            fields[name] = expand(template, values)
    password = fields.pop("password", None)
    return fields, entry.password if password is None else password


def _admitted(request: Request, fields: dict[str, str]) -> Result:
    """The result for a user whose password is right."""
    params = request.params
    if "allow_nets" in fields and not allowed(fields["allow_nets"], params.remote_ip):
        return "password_mismatch"
    if "allow_real_nets" in fields:
        real = params.real_remote_ip or params.remote_ip
        if not allowed(fields["allow_real_nets"], real):
            return "password_mismatch"
    if "user_disabled" in fields:
        return "user_disabled"
    return "pass_expired" if "pass_expired" in fields else "ok"


def _applies(settings: PassdbSettings, request: Request, standing: bool | None) -> bool:
    if settings.skip == "authenticated" and standing:
        return False
    if settings.skip == "unauthenticated" and not standing:
        return False
    mechanisms = settings.mechanisms_filter
    if mechanisms and (request.mechanism or "NONE") not in {m.upper() for m in mechanisms}:
        return False
    return user_matches(request.user, settings.username_filter)


def _effect(settings: PassdbSettings, result: Result) -> Effect:
    if result == "next":
        return EFFECTS["continue"]
    if result in ("user_disabled", "pass_expired"):
        return EFFECTS["return-fail"]
    if settings.deny and result == "password_mismatch":
        return EFFECTS["return-fail"]
    rule: Rule = settings.result_failure
    if result == "ok":
        rule = settings.result_success
    elif result == "internal_failure":
        rule = settings.result_internalfail
    return EFFECTS[rule]
