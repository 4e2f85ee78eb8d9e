"""What the settings make of the language: limits, capabilities, and what extensions read.

The engine knows settings as text by their names and limits as one value; here they are made from
`Settings`, once for each set of them (`Language`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from pillarbox.settings.model import Settings
from pillarbox.sieve.limits import DEFAULT, Limits
from pillarbox.sieve.registry import default_capabilities, extensions

Location = Literal["personal", "global"]

_TESTSUITE: Final = "vnd.dovecot.testsuite"
_DIRECT: Final = (
    "recipient_delimiter",
    "sieve_duplicate_default_period",
    "sieve_duplicate_max_period",
    "sieve_editheader_forbid_add",
    "sieve_editheader_forbid_delete",
    "sieve_editheader_max_header_size",
    "sieve_editheader_protected",
    "sieve_spamtest_max_header",
    "sieve_spamtest_max_value",
    "sieve_spamtest_status_header",
    "sieve_spamtest_status_type",
    "sieve_vacation_default_period",
    "sieve_vacation_default_subject",
    "sieve_vacation_dont_check_recipient",
    "sieve_vacation_max_period",
    "sieve_vacation_min_period",
    "sieve_vacation_send_from_recipient",
    "sieve_virustest_max_header",
    "sieve_virustest_max_value",
    "sieve_virustest_status_header",
    "sieve_virustest_status_type",
)


def limits_of(settings: Settings) -> Limits:
    """How much a script may be and do."""
    return replace(
        DEFAULT,
        script_size=settings.sieve_max_script_size or DEFAULT.script_size,
        actions=settings.sieve_max_actions,
        redirects=settings.sieve_max_redirects,
        includes=settings.sieve_include_max_includes,
        include_depth=settings.sieve_include_max_nesting_depth,
        variables=settings.sieve_variables_max_variable_count,
        variable_length=settings.sieve_variables_max_variable_size,
    )


def capabilities_of(settings: Settings, location: Location = "personal") -> frozenset[str]:
    """What a script of that place may require."""
    allowed = _changed(set(default_capabilities()), settings.sieve_extensions)
    if location == "global":
        allowed |= {name.lstrip("+") for name in settings.sieve_global_extensions}
    return frozenset(allowed & (extensions().keys() - {_TESTSUITE}))


def _changed(allowed: set[str], words: tuple[str, ...]) -> set[str]:
    if words and not any(word[:1] in "+-" for word in words):
        return set(words)
    for word in words:
        if word.startswith("-"):
            allowed.discard(word[1:])
        else:
            allowed.add(word.lstrip("+"))
    return allowed


def texts_of(settings: Settings) -> Mapping[str, str]:
    """The settings that extensions read, as text."""
    found = {name: _text(getattr(settings, name)) for name in _DIRECT}
    for value, words in settings.sieve_spamtest_text_value.items():
        found[f"sieve_spamtest_text_value{value}"] = words
    for value, words in settings.sieve_virustest_text_value.items():
        found[f"sieve_virustest_text_value{value}"] = words
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value))
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


class Language:
    """All of it, for one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = limits_of(settings)
        self.capabilities: Mapping[Location, frozenset[str]] = {
            "personal": capabilities_of(settings, "personal"),
            "global": capabilities_of(settings, "global"),
        }
        self.texts = texts_of(settings)
