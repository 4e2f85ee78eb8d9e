"""From the name that a client typed to the name that databases are asked for.

In order: characters are translated (``auth_username_translation``), the default domain is added to
a name without one, the characters are checked, the name is brought into the form of
``auth_username_format`` (lower case by default).  A name that may not be is None: it is then
treated like that of an unknown user.
"""

from __future__ import annotations

from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand

MAX_LENGTH = 512


def split_master(name: str, separator: str) -> tuple[str, str]:
    """Master and login user of ``login*master``; a name that is no such thing, and ""."""
    if not separator or separator not in name:
        return name, ""
    login, _, master = name.partition(separator)
    return master, login


def normalise(name: str, settings: Settings) -> str | None:
    """The normal form, or None for a name that cannot be a user's."""
    pairs = settings.auth_username_translation
    if pairs:
        name = name.translate(str.maketrans(pairs[0::2], pairs[1::2]))
    if settings.auth_default_domain and "@" not in name:
        name = f"{name}@{settings.auth_default_domain}"
    allowed = settings.auth_username_chars
    if not name or len(name) > MAX_LENGTH or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return None
    if allowed and not set(name) <= set(allowed):
        return None
    if not settings.auth_username_format:
        return name
    try:
        return expand(settings.auth_username_format, {"user": name}) or None
    except VariableError:
        return None
