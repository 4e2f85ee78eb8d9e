"""Settings of requests that the server sends to HTTP services."""

from __future__ import annotations

from typing import Annotated

from pillarbox.settings.schema.base import KIB, MIB, MINUTE, SECOND, Doc
from pillarbox.settings.schema.lmtp import LmtpSettings


class HttpClientSettings(LmtpSettings, frozen=True, kw_only=True):
    """How HTTP services are asked."""

    http_client_request_max_attempts: Annotated[
        int,
        Doc("How often a request is sent at most, where it fails and may be repeated.", least=1),
    ] = 3
    http_client_request_max_redirects: Annotated[
        int, Doc("Redirects that are followed; 0: none, a redirect is the answer.")
    ] = 0
    http_client_request_timeout: Annotated[
        float, Doc("How long one attempt may take.", kind="time")
    ] = MINUTE
    http_client_request_absolute_timeout: Annotated[
        float, Doc("How long a request may take with all its attempts; 0: any time.", kind="time")
    ] = 0.0
    http_client_connect_timeout: Annotated[
        float, Doc("How long connecting may take, the TLS handshake included.", kind="time")
    ] = 10 * SECOND
    http_client_connect_backoff_time: Annotated[
        float, Doc("Pause before the second attempt; doubles with each further one.", kind="time")
    ] = 0.1 * SECOND
    http_client_connect_backoff_max_time: Annotated[
        float, Doc("Longest pause between attempts.", kind="time")
    ] = MINUTE
    http_client_max_auto_retry_delay: Annotated[
        float,
        Doc(
            "How long to wait at most where a service says when to come back (`Retry-After`); if "
            "it says later, its refusal is the answer.",
            kind="time",
        ),
    ] = 10 * SECOND
    http_client_max_idle_time: Annotated[
        float, Doc("How long an unused connection is kept.", kind="time")
    ] = MINUTE
    http_client_max_parallel_connections: Annotated[
        int, Doc("Connections to one service at a time; further requests wait.", least=1)
    ] = 10
    http_client_response_hdr_max_field_size: Annotated[
        int, Doc("Longest header field of a response.", kind="size", least=1)
    ] = 8 * KIB
    http_client_response_max_size: Annotated[
        int, Doc("Largest body of a response.", kind="size", least=1)
    ] = 10 * MIB
    http_client_user_agent: Annotated[str, Doc("What requests say they come from.")] = "Pillarbox"
    http_client_proxy_url: Annotated[
        str, Doc("Proxy that all requests go through, as `http://proxy.example.com:3128`.")
    ] = ""
    http_client_proxy_socket_path: Annotated[
        str, Doc("UNIX socket that all requests go through instead.", kind="file")
    ] = ""
    http_client_proxy_username: Annotated[str, Doc("User name for the proxy.")] = ""
    http_client_proxy_password: Annotated[str, Doc("Password for the proxy.", kind="secret")] = ""
