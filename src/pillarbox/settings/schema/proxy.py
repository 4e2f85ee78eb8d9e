"""Settings of sessions that are passed on to other servers."""

from __future__ import annotations

from typing import Annotated

from pillarbox.settings.schema.auth_policy import AuthPolicySettings
from pillarbox.settings.schema.base import SECOND, Doc


class ProxySettings(AuthPolicySettings, frozen=True, kw_only=True):
    """Proxying of logins and of LMTP."""

    login_proxy_timeout: Annotated[
        float,
        Doc(
            "How long a login at another server may take, from connecting to its answer; the "
            "passdb field `proxy_timeout` says otherwise for a user.",
            kind="time",
        ),
    ] = 30 * SECOND
    login_proxy_max_reconnects: Annotated[
        int,
        Doc(
            "How often a login is tried again at a server that cannot be reached or has a "
            "temporary failure, with growing pauses, within the time of `login_proxy_timeout`."
        ),
    ] = 3
    login_proxy_max_disconnect_delay: Annotated[
        float,
        Doc(
            "When a server behind the proxy goes away, its clients are disconnected one by one "
            "over this time, so that they do not all come back at once.",
            kind="time",
        ),
    ] = 0.0
    auth_proxy_self: Annotated[
        tuple[str, ...],
        Doc(
            "Further addresses of this server, such as that of its load balancer: a session that "
            "would be passed on to one of them stays here (`proxy_maybe`) or is a loop (`proxy`)."
        ),
    ] = ()
    lmtp_proxy: Annotated[
        bool,
        Doc(
            "Ask the passdb about each recipient of LMTP, and pass mail on for those whose fields "
            "say so."
        ),
    ] = False
