"""Checking a token here: is it a JWT (RFC 7519), and is its signature that of a key we know?

Only signatures are looked at; what the token says is for `drivers.oauth2_claims`.  "Not signed by
anybody we know" is a verdict about the token, "the keys cannot be read" is DatabaseError.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from pillarbox.drivers.oauth2_keys import KeySource
from pillarbox.events.event import Scope

ALGORITHMS: Final = (
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
    "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
)  # fmt: skip
MAX_HEADER: Final = 4096


class NoJwt(Exception):
    """Not a JWT at all: somebody else may know what it is."""


class NotSigned(Exception):
    """A JWT that we cannot trust; the text says why, for the log."""


def _registry() -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_header_length = MAX_HEADER
    return registry


_REGISTRY: Final = _registry()


async def read(scope: Scope, token: str, keys: Sequence[KeySource]) -> dict[str, Any]:
    """What a token says that is signed with one of the keys.

    Raises NoJwt, NotSigned, DatabaseError.
    """
    try:
        parts = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header = parts.headers()
        claims = json.loads(parts.payload)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise NoJwt from error
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(claims, dict) or not isinstance(alg, str):
        raise NoJwt
    azp = claims.get("azp")
    if alg not in ALGORITHMS:
        raise NotSigned("by an algorithm that is not accepted")
    if not isinstance(kid, str | None) or not isinstance(azp, str | None):
        raise NotSigned("with a key that has no name")
    for source in keys:
        key = await source.find(scope, azp, alg, kid)
        if key is None:
            continue
        try:
            if jws.validate_compact(parts, key, registry=_REGISTRY):
                return claims
        except (JoseError, ValueError):
            pass
        raise NotSigned("with a wrong signature")
    raise NotSigned("with a key that is not known")
