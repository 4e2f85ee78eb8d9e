"""The chain of passdbs: is this user who it says it is?

Each block of the settings is asked in turn, by the rules of `auth.rules`; the fields of those
that said yes are gathered on the request.  `verify` checks a password, `scram` fetches what SCRAM
needs, `lookup` asks without credentials.  After one database has accepted the user, later ones
(``continue-ok``) are only asked for fields.

A database that checks passwords itself (`SupportsVerify`) is given the password, and asked without
one only for fields.  What it let in is cached with a hash of the password; what it did not is
asked again each time, because nobody else knows what the right one would be.

Master users are checked by the blocks with ``master`` alone, and nobody else by these.

A broken database, or a stored password that nobody can read, is an internal failure; unless
another database decides, the whole answer is then "temporary failure" and never "wrong password".

The one trick: whatever is wrong, a password is hashed.  For an unknown user the last hash that
this database gave serves as decoy, so that the time taken tells nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from pillarbox.auth.cache import AuthCache, Cached, texts
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.networks import allowed
from pillarbox.auth.rehash import Rehasher
from pillarbox.auth.request import Request
from pillarbox.auth.rules import EFFECTS, Effect, Rule, user_matches
from pillarbox.auth.scheme import SchemeError
from pillarbox.auth.schemes import hash_password
from pillarbox.drivers.passdb.api import (
    DatabaseError,
    Entry,
    NoLookup,
    Passdb,
    Query,
    SupportsVerify,
    Wrong,
)
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
_CACHED_SCHEME: Final = "SSHA512"  # fast: it never leaves the process


@dataclass(eq=False)
class PassdbBlock:
    """A block of the settings with its driver; ``id`` counts from 1."""

    id: int
    name: str
    settings: PassdbSettings
    driver: Passdb
    last_hash: str | None = None
    verifier: SupportsVerify | None = None

    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.categories = getattr(self.driver, "categories", ())
        if getattr(self.driver, "denies", False):
            self.settings = msgspec.structs.replace(self.settings, deny=True)
        if isinstance(self.driver, SupportsVerify):
            self.verifier = self.driver


@dataclass(frozen=True, slots=True)
class Outcome:
    """The chain's answer: accepted, or the result of the last database that mattered.

    ``secret`` is what `PassdbChain.fetch` was to make of the stored password; ``goes_on`` is
    said of a master if the settings want it to be known whom it wants to become.
    """

    result: Result
    secret: Any = None
    goes_on: bool = False

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
    secret: Any = None


Unlock = Callable[[str, str], Awaitable[Any]]
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
        self.rehasher: Rehasher | None = None

    @property
    def masters(self) -> bool:
        """Whether any block knows master users."""
        return any(block.settings.master for block in self.blocks)

    async def verify(self, request: Request, password: str, *, master: bool = False) -> Outcome:
        """Is this the user's password?  With ``master`` the master blocks are asked."""

        async def check(block: PassdbBlock, asked: Request, entry: Entry | None) -> _Answer:
            return await self._check_password(block, asked, entry, password)

        if not request.user:
            for block in self.blocks[:1]:
                scheme = block.settings.default_password_scheme
                await self._hasher.decoy(block.last_hash, password, scheme)
            return Outcome("user_unknown")
        return await self._run(request, check, password, master=master)

    async def fetch(self, request: Request, unlock: Unlock, *, master: bool = False) -> Outcome:
        """What a mechanism needs to check the user; accepted only once the proof is right.

        ``unlock(stored password, default scheme)`` makes it, or None where it cannot be made.
        """

        async def check(block: PassdbBlock, asked: Request, entry: Entry | None) -> _Answer:
            return await self._fetch_secret(block, asked, entry, unlock)

        if not request.user:
            return Outcome("user_unknown")
        return await self._run(request, check, master=master)

    async def scram(
        self, request: Request, hash_name: HashName, salt: bytes, *, master: bool = False
    ) -> Outcome:
        """What SCRAM needs, a `ScramSecret`; see `fetch`."""

        async def unlock(stored: str, scheme: str) -> ScramSecret | None:
            return await self._hasher.scram_secret(stored, scheme, hash_name, salt)

        return await self.fetch(request, unlock, master=master)

    async def admit(self, request: Request, *, master: bool = False) -> Outcome:
        """May a user come in who has proven itself in another way?"""
        if not request.user:
            return Outcome("user_unknown")
        return await self._run(request, _proven, master=master)

    async def lookup(self, request: Request) -> Outcome:
        """What is known of the user, without credentials."""
        if not request.user:
            return Outcome("user_unknown")
        return await self._run(request, _found)

    async def _run(
        self, request: Request, check: _Check, password: str | None = None, *, master: bool = False
    ) -> Outcome:
        standing: bool | None = None
        broken = False
        last: Result = "user_unknown"
        secret: Any = None
        for block in self.blocks:
            if block.settings.master != master or not _applies(block.settings, request, standing):
                continue
            if standing:
                answer = await self._ask(block, request, _found, None)
            else:
                answer = await self._ask(block, request, check, password)
            if answer.result in ("ok", "user_disabled", "pass_expired", "next"):
                self._take(request, answer.fields)
                secret = secret or answer.secret
            elif "nodelay" in answer.fields:
                request.fields.setdefault("nodelay", "")
            if answer.result not in ("user_unknown", "next"):
                last = answer.result
            broken = broken or answer.result == "internal_failure"
            effect = _effect(block.settings, answer.result)
            if master and answer.result == "ok" and effect.sets is not False:
                return Outcome("ok", secret, goes_on=not effect.ends)
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

    async def _ask(
        self, block: PassdbBlock, request: Request, check: _Check, password: str | None
    ) -> _Answer:
        scope = Scope(
            request.scope,
            block.categories,
            passdb=block.driver.name,
            passdb_name=block.name,
            passdb_id=block.id,
        )
        if auth_passdb_request_started.emit is not None:
            auth_passdb_request_started.emit(scope)
        try:
            if password is not None and block.verifier is not None and not block.settings.deny:
                answer = await self._verify(block, block.verifier, request, scope, password)
            else:
                answer = await self._answer(block, request, scope, check)
        except NoLookup:
            answer = _Answer("internal_failure" if block.settings.deny else "scheme_not_available")
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
        return self._keep(key, request, entry)

    def _keep(self, key: tuple[str, str], request: Request, entry: Entry | None) -> Cached[Entry]:
        strings = () if entry is None else (entry.password or "", *texts(entry.fields))
        return self._cache.put(key, request.user, entry, strings)

    async def _verify(
        self,
        block: PassdbBlock,
        verifier: SupportsVerify,
        request: Request,
        scope: Scope,
        password: str,
    ) -> _Answer:
        """The verdict of a database that checks passwords itself, or of the cache."""
        key = self._key(block, request)
        cached = None if key is None else self._cache.get(key)
        if cached is not None:
            entry = cached.value
            stored = None if entry is None else entry.password
            if stored is None or await self._hasher.verify(stored, password, _CACHED_SCHEME):
                answer = _verdict(block, request, entry)
                answer.cache = "hit"
                return answer
        found = await verifier.verify(Query(request.user, scope, request.values()), password)
        answer = _verdict(block, request, found)
        if key is not None:
            answer.cache = "miss"
            if found is None:
                self._keep(key, request, None)
            elif isinstance(found, Entry) and password:
                hashed = hash_password(_CACHED_SCHEME, password)
                self._keep(key, request, Entry(hashed, found.fields))
        return answer

    # What a database's entry means.

    async def _check_password(
        self, block: PassdbBlock, request: Request, entry: Entry | None, password: str
    ) -> _Answer:
        scheme = block.settings.default_password_scheme
        if entry is None or block.settings.deny:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _unknown(block, entry)
        fields, stored = _fields(block, request, entry)
        if "noauthenticate" in fields:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _only_fields(fields)
        if "nopassword" in fields:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _Answer(_admitted(request, fields), fields)
        if stored is None:
            await self._hasher.decoy(block.last_hash, password, scheme)
            return _Answer("password_mismatch", fields)
        block.last_hash = stored
        if not await self._hasher.verify(stored, password, scheme, request.user):
            return _Answer("password_mismatch", fields)
        if self.rehasher is not None and stored is entry.password:
            self.rehasher.seen(block.driver, request.user, stored, scheme, password, request.scope)
        return _Answer(_admitted(request, fields), fields)

    async def _fetch_secret(
        self,
        block: PassdbBlock,
        request: Request,
        entry: Entry | None,
        unlock: Unlock,
    ) -> _Answer:
        if entry is None or block.settings.deny:
            return _unknown(block, entry)
        fields, stored = _fields(block, request, entry)
        if "noauthenticate" in fields:
            return _only_fields(fields)
        if stored is None:
            return _Answer("scheme_not_available", fields)
        secret = await unlock(stored, block.settings.default_password_scheme)
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
    return _only_fields(fields) if "noauthenticate" in fields else _Answer("ok", fields)


async def _proven(block: PassdbBlock, request: Request, entry: Entry | None) -> _Answer:
    """The check of a user who needs no password any more."""
    answer = await _found(block, request, entry)
    if answer.result == "ok":
        answer.result = _admitted(request, answer.fields)
    return answer


def _verdict(block: PassdbBlock, request: Request, found: Entry | Wrong | None) -> _Answer:
    """What a verifying database's word means."""
    if found is None:
        return _Answer("user_unknown")
    if isinstance(found, Wrong):
        return _Answer(found.reason)
    fields, _ = _fields(block, request, found)
    if "noauthenticate" in fields:
        return _only_fields(fields)
    return _Answer(_admitted(request, fields), fields)


def _only_fields(fields: dict[str, str]) -> _Answer:
    """The database adds fields and leaves the decision to those after it."""
    del fields["noauthenticate"]
    return _Answer("next", fields)


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
    if settings.deny and result in ("password_mismatch", "internal_failure"):
        return EFFECTS["return-fail"]
    rule: Rule = settings.result_failure
    if result == "ok":
        rule = settings.result_success
    elif result == "internal_failure":
        rule = settings.result_internalfail
    return EFFECTS[rule]
