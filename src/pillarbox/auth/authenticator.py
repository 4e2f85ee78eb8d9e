"""Everything that logins and lookups need, made from the settings: chains, caches, hashes.

One `Authenticator` lives as long as its settings; after a reload a new one is made beside it and
the old one is closed when its last request is over.  The secret from which unknown users' SCRAM
salts are derived is kept by the caller, so that a reload does not change them.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial

from pillarbox.auth import gssapi_library
from pillarbox.auth.cache import AuthCache
from pillarbox.auth.guard import Guard
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.passdbs import Outcome as PassdbOutcome
from pillarbox.auth.passdbs import PassdbBlock, PassdbChain
from pillarbox.auth.policy import PolicyGuard
from pillarbox.auth.rehash import Rehasher
from pillarbox.auth.request import Request
from pillarbox.auth.scheme import SchemeError
from pillarbox.auth.schemes import SCRAM_ITERATIONS, verify
from pillarbox.auth.userdbs import Outcome as UserdbOutcome
from pillarbox.auth.userdbs import UserdbBlock, UserdbChain
from pillarbox.auth.usernames import normalise
from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import Entry, Server
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings, UserdbSettings
from pillarbox.wire.sasl import cram_md5
from pillarbox.wire.sasl.exchange import HashName, Mechanism, ScramSecret, SecretKind
from pillarbox.wire.sasl.mechanisms import MECHANISMS
from pillarbox.wire.sasl.scram import secret

SALT_SIZE = 16


class AuthConfigError(Exception):
    """The auth settings cannot work; the text says which block and why."""


@dataclass(eq=False)
class Authenticator:
    """See the module; make it with `make`."""

    settings: Settings
    mechanisms: dict[str, Mechanism]
    passdbs: PassdbChain
    userdbs: UserdbChain
    passdb_cache: AuthCache[Entry]
    userdb_cache: AuthCache[dict[str, str]]
    hasher: Hasher
    log: Log
    salt_secret: bytes
    scram_iterations: int = SCRAM_ITERATIONS
    scram_salt_size: int = SALT_SIZE
    scram_takes_time: bool = False
    guards: list[Guard] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def identify(self, request: Request, name: str) -> bool:
        """Give the request its user; False for a name that cannot be a user's."""
        normal = normalise(name, self.settings)
        request.identify(name, normal or "")
        return normal is not None

    def identify_master(self, request: Request, name: str, login: str) -> bool:
        """Give the request a master user and whom it wants to become; False as in `identify`."""
        wanted = normalise(login, self.settings)
        known = self.identify(request, name)
        if wanted is None:
            request.identify(request.original_user, "")
            return False
        request.act_for(wanted)
        return known

    @property
    def openid_configuration(self) -> str:
        """Where clients can read how to get a token; "" if that is not known."""
        urls = (b.settings.oauth2_openid_configuration_url for b in self.passdbs.blocks)
        return next((url for url in urls if url), "")

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do what nobody waits for, at the latest before `close` returns."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def userdb(self, request: Request) -> UserdbOutcome:
        """Where the request's user lives."""
        return await self.userdbs.lookup(request)

    async def passdb(self, request: Request) -> PassdbOutcome:
        """What the passdbs say of the user, without credentials."""
        return await self.passdbs.lookup(request)

    def users(self, request: Request) -> AsyncIterator[str]:
        """All users; see `UserdbChain.users`."""
        return self.userdbs.users(request)

    def salt(self, user: str) -> bytes:
        """The SCRAM salt of a user for whom none is stored: always the same for one name."""
        return self._derived(user)[:SALT_SIZE]

    def seen_scram(self, held: ScramSecret, salt: bytes) -> None:
        """Remember what real secrets look like, so that made-up ones look the same.

        One with the salt that we gave was made for this login, which took a while.
        """
        self.scram_iterations = held.iterations
        self.scram_salt_size = len(held.salt)
        self.scram_takes_time = held.salt == salt

    async def fake_scram(self, user: str, hash_name: HashName) -> ScramSecret:
        """A secret that nobody can prove, for users who do not exist."""
        salt = (self._derived(user) * 4)[: self.scram_salt_size]
        rounds = self.scram_iterations if self.scram_takes_time else 1
        password = self._derived("\0" + user).hex()
        made = await self.hasher.run(partial(secret, hash_name, password, salt, rounds))
        return ScramSecret(self.scram_iterations, salt, made.stored_key, made.server_key)

    def fake_secret(self, user: str, kind: SecretKind) -> bytes:
        """As `fake_scram` for the mechanisms that need other secrets."""
        made = self._derived("\1" + user)[:16]
        return cram_md5.states(made) if kind == "CRAM-MD5" else made

    def _derived(self, text: str) -> bytes:
        return hmac.digest(self.salt_secret, text.encode("utf-8", "surrogateescape"), "sha512")

    def flush_cache(self, users: tuple[str, ...] = ()) -> int:
        """Forget what is cached of these users, or of all; how many answers that were."""
        return self.passdb_cache.flush(users) + self.userdb_cache.flush(users)

    async def close(self) -> None:
        """Close databases and threads."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for guard in self.guards:
            await guard.close()
        for passdb in self.passdbs.blocks:
            await passdb.driver.close()
        for userdb in self.userdbs.blocks:
            await userdb.driver.close()
        self.hasher.close()


def make(
    settings: Settings, log: Log, salt_secret: bytes, guards: Sequence[Guard] = ()
) -> Authenticator:
    """Load the drivers that the settings name.  Raises AuthConfigError."""
    if len(settings.auth_username_translation) % 2:
        raise AuthConfigError("auth_username_translation: not pairs of characters")
    server = Server(settings, log, _verify)
    limits = (
        settings.auth_cache_size // 2,
        settings.auth_cache_ttl,
        settings.auth_cache_negative_ttl,
    )
    passdb_cache: AuthCache[Entry] = AuthCache(*limits)
    userdb_cache: AuthCache[dict[str, str]] = AuthCache(*limits)
    hasher = Hasher(weak=settings.auth_allow_weak_schemes)
    passdbs = PassdbChain(_passdb_blocks(server), passdb_cache, hasher, log)
    userdbs = UserdbChain(_userdb_blocks(server), passdbs, userdb_cache, log)
    made = Authenticator(
        settings,
        _mechanisms(settings),
        passdbs,
        userdbs,
        passdb_cache,
        userdb_cache,
        hasher,
        log,
        salt_secret,
        guards=[*guards, *_policy(settings, log)],
    )
    if settings.auth_rehash_on_login:
        passdbs.rehasher = Rehasher(
            settings.auth_password_scheme,
            hasher,
            log,
            made.spawn,
            lambda user: made.flush_cache((user,)),
        )
    return made


def _policy(settings: Settings, log: Log) -> list[Guard]:
    if not settings.auth_policy_server_url:
        return []
    try:
        return [PolicyGuard(settings, log)]
    except ValueError as error:
        raise AuthConfigError(str(error)) from error


def _mechanisms(settings: Settings) -> dict[str, Mechanism]:
    names = [name.upper() for name in settings.auth_mechanisms]
    for name in names:
        if name not in MECHANISMS:
            known = ", ".join(sorted(MECHANISMS)).lower()
            raise AuthConfigError(f"auth_mechanisms: no mechanism {name.lower()}; known: {known}")
    if {"GSSAPI", "GSS-SPNEGO"} & set(names):
        try:
            gssapi_library.load()
        except gssapi_library.NoGss as error:
            raise AuthConfigError(f"auth_mechanisms: {error}") from error
    return {name: MECHANISMS[name] for name in names}


def _verify(stored: str, password: str) -> bool:
    """For drivers, which know no schemes."""
    try:
        return verify(stored, password)
    except SchemeError:
        return False


_MADE_WRONG = (registry.UnknownDriver, registry.MissingRequirement, ValueError)


def _passdb_blocks(server: Server) -> list[PassdbBlock]:
    blocks: list[PassdbBlock] = []
    for number, (name, block) in enumerate(server.settings.passdb.items(), 1):
        try:
            driver = registry.load("passdb", block.driver or name).make(block, server)
        except _MADE_WRONG as error:
            raise AuthConfigError(f"passdb {name}: {error}") from error
        blocks.append(PassdbBlock(number, name, block, driver))
    return blocks


def _userdb_blocks(server: Server) -> list[UserdbBlock]:
    named = dict(server.settings.userdb) or {
        "static": UserdbSettings(driver="static", result_success="continue-ok"),
        "prefetch": UserdbSettings(driver="prefetch"),
    }
    blocks: list[UserdbBlock] = []
    for number, (name, block) in enumerate(named.items(), 1):
        try:
            driver = registry.load("userdb", block.driver or name).make(block, server)
        except _MADE_WRONG as error:
            raise AuthConfigError(f"userdb {name}: {error}") from error
        blocks.append(UserdbBlock(number, name, block, driver))
    return blocks
