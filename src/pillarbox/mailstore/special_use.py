r"""Special uses that users may give to mailboxes (RFC 6154).

``\All`` and ``\Flagged`` are not among them: they are for mailboxes that show mail of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pillarbox.mailstore.errors import UnsupportedUse

_USES: Final = {
    use.lower(): use for use in ("\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash")
}


def special_uses(wanted: Iterable[str]) -> tuple[str, ...]:
    """Special uses as they are written.  Raises UnsupportedUse."""
    found: dict[str, None] = {}
    for use in wanted:
        known = _USES.get(use.lower())
        if known is None:
            raise UnsupportedUse(f"Special use {use} is not supported.")
        found[known] = None
    return tuple(found)
