"""Settings of the auth policy server and of penalties."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.dns import DnsSettings


def _attributes() -> dict[str, str]:
    return {
        "login": "%{requested_username}",
        "pwhash": "%{hashed_password}",
        "remote": "%{remote_ip}",
        "device_id": "%{client_id}",
        "protocol": "%{protocol}",
        "session_id": "%{session}",
        "fail_type": "%{fail_type}",
    }


class AuthPolicySettings(DnsSettings, frozen=True, kw_only=True):
    """Who is asked before and told after a login."""

    auth_policy_server_url: Annotated[
        str,
        Doc("URL of the policy server; `?command=allow` or `report` is added. Empty: none."),
    ] = ""
    auth_policy_server_api_header: Annotated[
        str,
        Doc("Header field that is sent along, as `X-API-Key: …` or `Authorization: Basic …`.",
            kind="secret"),
    ] = ""  # fmt: skip
    auth_policy_server_timeout: Annotated[
        float, Doc("How long the policy server may take for an answer.", kind="time")
    ] = 2 * SECOND
    auth_policy_hash_mech: Annotated[
        Literal["md5", "sha1", "sha256", "sha384", "sha512"],
        Doc("Hash through which passwords are sent."),
    ] = "sha256"
    auth_policy_hash_nonce: Annotated[
        str,
        Doc("Random text that goes into the hash, the same on all servers; must be set.",
            kind="secret"),
    ] = ""  # fmt: skip
    auth_policy_hash_truncate: Annotated[
        int,
        Doc(
            "How many bits of the hash are sent: enough to tell a password that is tried over and "
            "over from guessing, and not to find it. 0: all."
        ),
    ] = 12
    auth_policy_request_attributes: Annotated[
        dict[str, str],
        Doc("What is sent, by name; a `/` in a name makes an object within the object."),
    ] = msgspec.field(default_factory=_attributes)
    auth_policy_reject_on_fail: Annotated[
        bool, Doc("Refuse logins while the policy server does not answer.")
    ] = False
    auth_policy_check_before_auth: Annotated[bool, Doc("Ask before the databases are asked.")] = (
        True
    )
    auth_policy_check_after_auth: Annotated[
        bool, Doc("Ask again when the user has proven itself.")
    ] = True
    auth_policy_report_after_auth: Annotated[bool, Doc("Report the outcome of each login.")] = True
    auth_policy_log_only: Annotated[
        bool, Doc("Ask, write to the log what would be done, and do nothing.")
    ] = False
