"""What a failed login means in SMTP: codes of RFC 4954 section 6 and RFC 5248."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pillarbox.runtime.login.verdict import Verdict
from pillarbox.wire.smtp.reply import Reply, reply

_BY_CODE: Final[Mapping[bytes, tuple[int, str]]] = {
    b"AUTHENTICATIONFAILED": (535, "5.7.8"),
    b"AUTHORIZATIONFAILED": (535, "5.7.1"),
    b"EXPIRED": (432, "4.7.12"),
    b"UNAVAILABLE": (454, "4.7.0"),
    b"LIMIT": (454, "4.7.0"),
    b"SERVERBUG": (454, "4.7.0"),
}
_BY_REASON: Final[Mapping[str, tuple[int, str]]] = {
    "client_ssl_not_started": (530, "5.7.0"),
    "cleartext_auth_disabled": (538, "5.7.11"),
    "user_disabled": (535, "5.7.13"),
    "invalid_mech": (504, "5.5.4"),
    "anonymous_auth_disabled": (504, "5.5.4"),
    "invalid_base64": (501, "5.5.2"),
    "auth_aborted_by_client": (501, "5.7.0"),
}


def reply_of(verdict: Verdict) -> Reply:
    """The reply to AUTH."""
    found = _BY_REASON.get(verdict.reason)
    if found is None:
        found = _BY_CODE.get((verdict.code or b"").partition(b" ")[0], (535, "5.7.8"))
    return reply(*found, verdict.text)


def farewell_of(text: str, code: bytes | None) -> Reply:
    """The reply with which the connection is closed."""
    if code == b"UNAVAILABLE":
        return reply(421, "4.3.2", text)
    return reply(421, "4.4.2" if "inactivity" in text else "4.7.0", text)
