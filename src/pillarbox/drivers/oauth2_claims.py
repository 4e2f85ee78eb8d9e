"""What the attributes of a token say: whose it is, and whether it is good here.

Pure: attributes in, a verdict out.  Times (``exp``, ``nbf``, ``iat``), issuer, audience and scope
are looked at wherever the token or the provider tells them; what the settings ask for must be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Claims = Mapping[str, object]

LEEWAY: Final = 60
"""Seconds that clocks may differ."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must be; empty: it does not matter."""

    issuers: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()


def refusal(claims: Claims, rules: Rules, now: float) -> str | None:
    """Why a token is not good here, in a few words for the log; None if it is."""
    if claims.get("active") is False:
        return "not active"
    return (
        _times(claims, now)
        or _issuer(claims, rules.issuers)
        or _audience(claims, rules.audience)
        or _scope(claims, rules.scope)
    )


def as_text(value: object) -> str | None:
    """An attribute as text; None for one that is none, or has parts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def enabled(claims: Claims, attribute: str, value: str) -> bool:
    """Whether the account is, by an attribute that must be there, with that value if one is set."""
    if not attribute:
        return True
    if attribute not in claims:
        return False
    return not value or as_text(claims[attribute]) == value


def _times(claims: Claims, now: float) -> str | None:
    times: dict[str, float] = {}
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{name} is no time"
        times[name] = value
    if times.get("exp", now) < now - LEEWAY:
        return "expired"
    if times.get("nbf", now) > now + LEEWAY:
        return "not valid yet"
    return "from the future" if times.get("iat", now) > now + LEEWAY else None


def _issuer(claims: Claims, issuers: tuple[str, ...]) -> str | None:
    return "issued by somebody else" if issuers and claims.get("iss") not in issuers else None


def _audience(claims: Claims, audience: tuple[str, ...]) -> str | None:
    if not audience:
        return None
    meant = {*_listed(claims.get("aud")), *_listed(claims.get("azp"))}
    meant |= set(_listed(claims.get("client_id")))
    return None if meant & set(audience) else "meant for somebody else"


def _scope(claims: Claims, scope: tuple[str, ...]) -> str | None:
    if not scope:
        return None
    has = {*_words(claims.get("scope")), *_words(claims.get("scp"))}
    return None if has & set(scope) else "without the scope"


def _listed(value: object) -> list[str]:
    """A text, or a list of texts."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _words(value: object) -> list[str]:
    return value.split() if isinstance(value, str) else _listed(value)
