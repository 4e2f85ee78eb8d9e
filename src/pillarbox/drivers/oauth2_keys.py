"""Keys that signatures of tokens are checked with: from a folder, a dict, or the provider.

A folder and a dict hold one key for each party (``azp``), algorithm and key number (``kid``), under
``azp/ALG/kid``, with ``default`` for a part that a token does not have; in a dict the key begins
with ``shared/``.  The parts come from a token that nobody has checked yet: ``/`` and ``%`` in them
are written ``%2f`` and ``%25``, and none may begin with a dot.

The provider's keys (a JWK set) are fetched when they are needed first, when they have grown old,
and, at most once a minute, when a token names one that is not among them.

A key is for one algorithm only, and shared secrets are never taken from a provider: else a public
key could be passed off as a secret that everybody knows.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

from joserfc import jwk
from joserfc.errors import JoseError

from pillarbox.drivers.dict.api import Dict, DictError
from pillarbox.drivers.passdb.api import DatabaseError
from pillarbox.events.event import Scope

SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
KEY_TYPES: Final[dict[str, Any]] = {"HS": "oct", "RS": "RSA", "PS": "RSA", "ES": "EC"}
MAX_PART: Final = 200
MAX_KEY: Final = 64 * 1024
MIN_REFRESH: Final = 60.0

Key = jwk.Key
Fetch = Callable[[Scope], Awaitable[dict[str, Any]]]


class KeySource(Protocol):
    """Where keys are."""

    async def find(self, scope: Scope, azp: str | None, alg: str, kid: str | None) -> Key | None:
        """The key, or None if there is none.  Raises DatabaseError."""


class KeyFolder:
    """Keys in files; they are read each time, so that a new one is seen at once."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    async def find(self, scope: Scope, azp: str | None, alg: str, kid: str | None) -> Key | None:
        """The key in ``azp/ALG/kid``."""
        path = key_path(azp, alg, kid)
        if path is None:
            return None
        try:
            return key_of(_content(self._folder / path), alg)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DatabaseError(f"oauth2: key {path}: {error.strerror}") from error


class KeyDict:
    """Keys in a dict."""

    def __init__(self, store: Dict) -> None:
        self._store = store

    async def find(self, scope: Scope, azp: str | None, alg: str, kid: str | None) -> Key | None:
        """The value of ``shared/azp/ALG/kid``."""
        path = key_path(azp, alg, kid)
        if path is None:
            return None
        try:
            data = await self._store.get(f"shared/{path}")
        except DictError as error:
            raise DatabaseError(f"oauth2: key {path}: {error}") from error
        return None if data is None else key_of(data, alg)


class ProviderKeys:
    """The provider's JWK set, fetched by ``fetch``; old keys serve while it cannot be fetched."""

    def __init__(
        self, fetch: Fetch, ttl: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._ttl = ttl
        self._clock = clock
        self._keys: list[Key] = []
        self._tried: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, scope: Scope, azp: str | None, alg: str, kid: str | None) -> Key | None:
        """The key of that number that can be used with the algorithm."""
        if alg in SYMMETRIC:
            return None
        await self._refresh(scope, self._ttl)
        found = self._chosen(alg, kid)
        if found is None:
            await self._refresh(scope, min(MIN_REFRESH, self._ttl))
            found = self._chosen(alg, kid)
        return found

    def _chosen(self, alg: str, kid: str | None) -> Key | None:
        fitting = [
            key
            for key in self._keys
            if key.key_type == KEY_TYPES[alg[:2]]
            and key.get("alg", alg) == alg
            and key.get("use", "sig") == "sig"
            and (kid is None or key.kid == kid)
        ]
        # Without a number there must be no choice.
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None

    async def _refresh(self, scope: Scope, age: float) -> None:
        """Fetch the keys unless that was tried less than ``age`` seconds ago."""
        async with self._lock:
            now = self._clock()
            if self._tried is not None and now - self._tried < age:
                return
            try:
                found = await self._fetch(scope)
            except DatabaseError:
                if not self._keys:
                    raise
                self._tried = now
                return
            self._tried = now
            self._keys = [key for item in found.get("keys") or () if (key := _of_set(item))]


def _of_set(item: dict[str, Any]) -> Key | None:
    """A key of a set, or None for one of a kind that nobody here knows."""
    try:
        return jwk.import_key(item)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _content(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_KEY)


def key_path(azp: str | None, alg: str, kid: str | None) -> str | None:
    """``azp/ALG/kid``, or None for parts that can be no names."""
    parts = [_escaped(azp or "default"), alg.upper(), _escaped(kid or "default")]
    return "/".join(part for part in parts if part) if all(parts) else None


def key_of(data: bytes, alg: str) -> Key:
    """A key as it stands in a file or dict.  Raises DatabaseError."""
    try:
        text = data.strip()
        if text.startswith(b"{"):
            key = jwk.import_key(json.loads(text))
            if key.key_type != KEY_TYPES[alg[:2]]:
                raise ValueError("a key of another kind")
            return key
        if alg in SYMMETRIC:
            return jwk.OctKey.import_key(base64.b64decode(text, validate=True))
        found: Key = jwk.import_key(text, KEY_TYPES[alg[:2]])
        return found
    except (JoseError, binascii.Error, ValueError, TypeError, KeyError) as error:
        raise DatabaseError(f"oauth2: a key for {alg} cannot be read") from error


def _escaped(part: str) -> str | None:
    if not 0 < len(part) <= MAX_PART or part.startswith(".") or not part.isprintable():
        return None
    return part.replace("%", "%25").replace("/", "%2f")
