"""Which names scripts may have: RFC 5804 section 1.6, and no slash.

Control characters, line and paragraph separators are forbidden by the RFC; ``/`` is by us, because
scripts are files whose names others should recognise.  The longest name has 512 octets, which is
what 128 characters of any kind may take.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.delivery.sieve_storage.errors import InvalidName

LONGEST: Final = 512
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029/\ud800-\udfff]")


def check_name(name: str) -> None:
    """Raises InvalidName for what cannot be the name of a script."""
    if not name:
        raise InvalidName("A script's name cannot be empty.")
    if _FORBIDDEN.search(name):
        raise InvalidName("A script's name cannot have slashes or control characters.")
    if len(name.encode()) > LONGEST:
        raise InvalidName(f"A script's name cannot be longer than {LONGEST} octets.")
