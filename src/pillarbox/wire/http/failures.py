"""Codes of requests that got no usable response, where a status code stands otherwise.

They are above those of HTTP, so that one number says what became of a request.
"""

from __future__ import annotations

from enum import IntEnum


class Failure(IntEnum):
    """Why there is no response."""

    ABORTED = 9000
    INVALID_URL = 9001
    HOST_LOOKUP_FAILED = 9002
    CONNECT_FAILED = 9003
    INVALID_REDIRECT = 9004
    CONNECTION_LOST = 9005
    BROKEN_PAYLOAD = 9006
    BAD_RESPONSE = 9007
    TIMED_OUT = 9008
