"""Exceptions in words: what happened, and where in the code.

`describe` is for reasons that people read (the system's own words for an error of the system, and
OpenSSL's without its numbers); `place` adds file and line of a bug to a log line that has no room
for a traceback.
"""

from __future__ import annotations

import ssl


def describe(error: BaseException) -> str:
    """An error's text, never empty."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def place(error: BaseException) -> str:
    """`` (file:line)`` of where it was raised, or nothing."""
    where = error.__traceback__
    if where is None:
        return ""
    while where.tb_next is not None:
        where = where.tb_next
    return f" ({where.tb_frame.f_code.co_filename}:{where.tb_lineno})"
