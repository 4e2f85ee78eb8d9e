"""Session ids: the short text that ties log lines, events and processes to one session.

An id is 16 characters of the URL-safe base64 alphabet: 6 bytes of the wall clock in microseconds,
so that ids sort roughly by age and a restart cannot repeat one, and 6 random bytes, so that two
processes never make the same.  It needs no quoting in logs, in the authentication protocol or in
IMAP, and is never a secret: nothing is granted to who knows one.
"""

from __future__ import annotations

import os
import time
from base64 import urlsafe_b64encode

SESSION_ID_LENGTH = 16


def new_session_id() -> str:
    """A new id of 16 characters from ``A-Z a-z 0-9 - _``."""
    clock = (time.time_ns() // 1000) & 0xFFFFFFFFFFFF
    return urlsafe_b64encode(clock.to_bytes(6, "big") + os.urandom(6)).decode("ascii")
