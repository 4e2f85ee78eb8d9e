"""What the client is told when the login at the destination failed.

The destination's own refusals keep their meaning and their words; what went wrong between the
servers is for the log, and the client only learns to try again later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pillarbox.runtime.login.verdict import AUTH_FAILED, Verdict
from pillarbox.wire.proxy.dialogue import AUTH_FAILED as DEST_AUTH_FAILED
from pillarbox.wire.proxy.dialogue import AUTH_TEMP_FAILED, Refused

UNAVAILABLE: Final = "Account is temporarily unavailable."

_REFUSALS: Final[Mapping[str, tuple[bytes | None, str]]] = {
    DEST_AUTH_FAILED: (b"AUTHENTICATIONFAILED", AUTH_FAILED.text),
    "authorization_failed": (b"AUTHORIZATIONFAILED", "Authorization failed."),
    "user_disabled": (b"AUTHENTICATIONFAILED", "Account is disabled."),
    "password_expired": (b"EXPIRED", "Password expired."),
    "login_disabled": (b"AUTHORIZATIONFAILED", "Login is disabled."),
}
_TEMPORARY: Final = (AUTH_TEMP_FAILED, "temp_fail")


def verdict_of(refused: Refused) -> Verdict:
    """The reply to the client, and why the login was aborted."""
    known = _REFUSALS.get(refused.error_code)
    if known is not None:
        return Verdict(refused.error_code, "NO", refused.code or known[0], refused.text or known[1])
    if refused.error_code in _TEMPORARY:
        code = refused.code or b"UNAVAILABLE"
        return Verdict(AUTH_TEMP_FAILED, "NO", code, refused.text or UNAVAILABLE, False)
    return Verdict(refused.error_code, "NO", b"UNAVAILABLE", UNAVAILABLE, False)
