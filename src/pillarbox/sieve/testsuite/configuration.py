"""Settings, by their Dovecot names, as limits and environment of the scripts under test.

``test_config_set`` changes settings by name.  Most of them extensions read themselves from
`Environment.settings`; those that are limits or belong to the environment are translated here.
Values that make no sense leave the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from pillarbox.sieve.environment import Environment
from pillarbox.sieve.limits import DEFAULT, Limits
from pillarbox.sieve.registry import default_capabilities, extensions

TESTSUITE: Final = "vnd.dovecot.testsuite"

ITEMS: Final = {"name": "Pillarbox", "location": "MS", "phase": "post", "host": "testsuite.invalid"}
"""Environment items (RFC 5183): tests look at stored mail, after it was delivered."""

_UNITS: Final = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: str) -> int | None:
    """A size like ``2k`` in octets, or None."""
    digits = text.strip().lower().rstrip("bkmgi")
    unit = text.strip().lower()[len(digits) :].rstrip("ib") or ""
    return int(digits) * _UNITS[unit] if digits.isdigit() and unit in _UNITS else None


def _redirects(text: str) -> int | None:
    return None if text.strip() == "unlimited" else size(text)


_LIMITS: Final[dict[str, tuple[str, Callable[[str], int | None]]]] = {
    "sieve_max_script_size": ("script_size", size),
    "sieve_max_actions": ("actions", size),
    "sieve_max_redirects": ("redirects", _redirects),
    "sieve_include_max_includes": ("includes", size),
    "sieve_include_max_nesting_depth": ("include_depth", size),
    "sieve_variables_max_variable_count": ("variables", size),
    "sieve_variables_max_variable_size": ("variable_length", size),
    "sieve_variables_max_scope_size": ("variables", size),
    "sieve_variables_max_value_size": ("variable_length", size),
}


def limits_of(settings: Mapping[str, str]) -> Limits:
    """The limits that these settings mean."""
    changes: dict[str, Any] = {}
    for name, (attribute, convert) in _LIMITS.items():
        if name in settings:
            value = convert(settings[name])
            if value is not None or attribute == "redirects":
                changes[attribute] = value
    return replace(DEFAULT, **changes)


def environment_of(settings: Mapping[str, str], before: Environment) -> Environment:
    """The environment with these settings."""
    address = settings.get("sieve_user_email", "").strip("<> ")
    return replace(
        before,
        items=ITEMS,
        settings=dict(settings),
        recipient_delimiter=settings.get("recipient_delimiter", "+"),
        addresses=(address,) if address else (),
        postmaster=settings.get("postmaster_address", "postmaster@example.com"),
    )


def capabilities_of(settings: Mapping[str, str]) -> frozenset[str]:
    """What the scripts under test may require: ``sieve_extensions``, or with ``+`` and ``-``
    changes to what is allowed otherwise, which here are all extensions but the testsuite."""
    everything = frozenset(extensions()) - {TESTSUITE}
    given = settings.get("sieve_extensions", "").split()
    if not given:
        return everything
    if not any(word[0] in "+-" for word in given):
        return everything & frozenset(given)
    allowed = set(default_capabilities())
    for word in given:
        if word.startswith("-"):
            allowed.discard(word[1:])
        else:
            allowed.add(word.lstrip("+"))
    return everything & allowed
