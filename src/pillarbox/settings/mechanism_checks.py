"""Checks of auth_mechanisms: names, and whether stored passwords can serve them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pillarbox.settings.errors import nearest
from pillarbox.settings.model import Settings
from pillarbox.wire.sasl.mechanisms import MECHANISMS

NAMES: Final = frozenset(name.lower() for name in MECHANISMS)
_OWN_SCHEMES: Final = {"cram-md5": "CRAM-MD5", "digest-md5": "DIGEST-MD5", "apop": "PLAIN"}
"""Mechanisms that need the password in clear or stored in one scheme."""


def mechanism_findings(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Texts about auth_mechanisms, and whether each is fatal."""
    for name in settings.auth_mechanisms:
        if name.lower() not in NAMES:
            yield f"there is no mechanism {name}{nearest(name, NAMES)}", True
    scheme = settings.auth_password_scheme.upper()
    unserved = [name for name in settings.auth_mechanisms if not _served(name.lower(), scheme)]
    if unserved:
        text = (
            f"{unserved[0]} cannot log in whoever's password is stored as {scheme} "
            "(auth_password_scheme); clients that try it first will fail"
        )
        yield text, False
    if len(settings.auth_username_translation) % 2:
        yield "auth_username_translation is not made of pairs of characters", True


def _served(name: str, scheme: str) -> bool:
    """Whether a password stored like this can be used by the mechanism."""
    if scheme in ("PLAIN", "CLEARTEXT"):
        return True
    if name.startswith("scram"):
        return scheme.startswith("SCRAM")
    return _OWN_SCHEMES.get(name, scheme) == scheme
