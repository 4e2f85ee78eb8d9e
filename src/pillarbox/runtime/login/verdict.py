"""What a failed authentication or a refused handoff means: the reply, and the abort reason.

One table for the codes of the auth service and one for those of workers.  A verdict carries the
response code of RFC 5530, as IMAP says it; each protocol turns it into its own reply.  Nothing here
tells an unknown user from a wrong password: both are `AUTH_FAILED`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from pillarbox.runtime.auth_client import Failure
from pillarbox.runtime.handoff import HandoffReply


class Verdict(NamedTuple):
    """A reply and the value of login_aborted's field reason if nothing follows.

    ``attempt``: it counts against login_max_auth_attempts.
    """

    reason: str
    state: Literal["NO", "BAD"]
    code: bytes | None
    text: str
    attempt: bool = True


AUTH_FAILED: Final = Verdict("auth_failed", "NO", b"AUTHENTICATIONFAILED", "Authentication failed.")
TEMPORARY: Final = Verdict(
    "internal_failure", "NO", b"UNAVAILABLE", "Temporary authentication failure.", False
)
NOT_REACHABLE: Final = TEMPORARY._replace(reason="auth_process_comm_fail")
NOT_READY: Final = TEMPORARY._replace(reason="auth_process_not_ready")
CLEARTEXT: Final = Verdict(
    "cleartext_auth_disabled",
    "NO",
    b"PRIVACYREQUIRED",
    "Cleartext authentication disallowed on non-secure (SSL/TLS) connections.",
    False,
)
TLS_FIRST: Final = Verdict(
    "client_ssl_not_started", "NO", b"PRIVACYREQUIRED", "TLS is required before login.", False
)
NO_CERTIFICATE: Final = Verdict(
    "client_ssl_cert_missing", "NO", None, "A TLS client certificate is required.", False
)
INVALID_MECHANISM: Final = Verdict(
    "invalid_mech", "NO", None, "Unsupported authentication mechanism.", False
)
NO_ANONYMOUS: Final = INVALID_MECHANISM._replace(reason="anonymous_auth_disabled")
INVALID_BASE64: Final = Verdict("invalid_base64", "BAD", None, "Invalid base64 data.")
ABORTED: Final = Verdict("auth_aborted_by_client", "BAD", None, "Authentication aborted by client.")
INTERNAL: Final = Verdict(
    "internal_failure", "NO", b"UNAVAILABLE", "Internal error occurred.", False
)

_BY_CODE: Final[dict[str, Verdict]] = {
    "authz_fail": Verdict(
        "authorization_failed", "NO", b"AUTHORIZATIONFAILED", "Authorization failed."
    ),
    "user_disabled": Verdict(
        "user_disabled", "NO", b"AUTHENTICATIONFAILED", "Account is disabled."
    ),
    "pass_expired": Verdict("password_expired", "NO", b"EXPIRED", "Password expired."),
    "invalid_base64": INVALID_BASE64,
    "login_disabled": Verdict("login_disabled", "NO", b"AUTHORIZATIONFAILED", "Login is disabled."),
    "anonymous_denied": Verdict(
        "anonymous_auth_disabled", "NO", None, "Anonymous logins disabled."
    ),
}

_BY_REFUSAL: Final[dict[str, Verdict]] = {
    "connection_limit": Verdict(
        "connection_limit",
        "NO",
        b"LIMIT",
        "Maximum number of connections from user+IP exceeded (mail_max_userip_connections).",
        False,
    ),
    "process_full": Verdict(
        "process_full", "NO", b"UNAVAILABLE", "Maximum number of sessions reached.", False
    ),
    "in_use": Verdict(
        "connection_limit", "NO", b"INUSE", "The mailbox is in use by another session.", False
    ),
    "login_delay": Verdict(
        "connection_limit", "NO", b"LOGIN-DELAY", "The last login is not long enough ago.", False
    ),
    "mailbox_broken": Verdict(
        "internal_failure", "NO", b"SERVERBUG", "The mailbox cannot be opened.", False
    ),
    "authorization_failed": _BY_CODE["authz_fail"],
    "user_disabled": _BY_CODE["user_disabled"],
}


def of_failure(failure: Failure) -> Verdict:
    """What to make of the auth service's refusal."""
    if "referral" in failure.fields:
        return of_nologin(failure.fields)
    if failure.temp:
        # A refusal that the auth service itself sent has fields; without any, it is gone.
        verdict = TEMPORARY if failure.fields else NOT_REACHABLE
    else:
        verdict = _BY_CODE.get(failure.code or "", AUTH_FAILED)
    return verdict._replace(text=failure.text) if failure.text else verdict


def of_nologin(fields: dict[str, str]) -> Verdict:
    """The password was right, but the passdb says that nobody logs in here."""
    referral = "referral" in fields
    return Verdict(
        "auth_nologin_referral" if referral else "login_disabled",
        "NO",
        b"REFERRAL " + fields["referral"].encode("ascii", "replace") if referral else None,
        fields.get("reason") or "Login is disabled.",
    )


def of_refusal(reply: HandoffReply) -> Verdict:
    """What to make of a worker's refusal."""
    verdict = _BY_REFUSAL.get(reply.code, INTERNAL)
    return verdict._replace(text=reply.text) if reply.text else verdict
