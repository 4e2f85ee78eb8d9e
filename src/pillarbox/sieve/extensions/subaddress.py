"""subaddress (RFC 5233): ``:user`` and ``:detail`` of a local part like ``user+detail``.

What parts them is the environment's ``recipient_delimiter``: any one of its characters, the first
that stands in the local part.  Without one there is no detail, and nothing can match it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.registry import AddressPart, Extension

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run


def split_local(local: str, delimiters: str) -> tuple[str, str | None]:
    """User and detail."""
    places = [at for character in delimiters if (at := local.find(character)) >= 0]
    if not places:
        return local, None
    at = min(places)
    return local[:at], local[at + 1 :]


def _user(run: Run, local: str | None, domain: str | None) -> str | None:
    return None if local is None else split_local(local, run.environment.recipient_delimiter)[0]


def _detail(run: Run, local: str | None, domain: str | None) -> str | None:
    return None if local is None else split_local(local, run.environment.recipient_delimiter)[1]


EXTENSION = Extension(
    "subaddress", address_parts=(AddressPart("user", _user), AddressPart("detail", _detail))
)
