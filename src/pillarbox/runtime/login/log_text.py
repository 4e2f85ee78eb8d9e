"""The lines about logins in the log, made of ``login_log_format_elements``.

Each element is a template such as ``rip=%{remote_ip}``; one whose variables are all empty is left
out.  ``Login: user=<bob>, method=PLAIN, rip=192.0.2.1, ...`` tells a success, and
``Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<bob>, ...`` an end
without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pillarbox.settings.variables import expand, variables_of

Values = Mapping[str, str | None]


class LoginText:
    """The elements, looked at once."""

    def __init__(self, elements: Sequence[str]) -> None:
        """Raises VariableError for an element that is no template."""
        self._elements = [(element, variables_of(element)) for element in elements]

    def login(self, values: Values) -> str:
        """The line about a login."""
        return f"Login: {self._join(values)}"

    def proxying(self, where: str, values: Values) -> str:
        """The line about a session that another server serves from now on."""
        return f"Proxying to {where}: {self._join(values)}"

    def disconnected(self, reason: str, detail: str, values: Values) -> str:
        """The line about a connection that ended before login."""
        return f"Disconnected: {reason} ({detail}): {self._join(values)}"

    def _join(self, values: Values) -> str:
        texts = []
        for element, names in self._elements:
            if not names or any(values.get(name) for name in names):
                known = {name: values.get(name) or "" for name in names}
                texts.append(expand(element, known))
        return ", ".join(texts)


def describe_abort(reason: str, attempts: int, seconds: int, connected: int) -> str:
    """What went before an end without login, in words."""
    if reason == "no_auth_attempts":
        return f"no auth attempts in {connected} secs"
    if reason == "tls_handshake_not_finished":
        return f"disconnected before TLS was on, waited {connected} secs"
    if reason == "auth_failed":
        return f"auth failed, {attempts} attempts in {seconds} secs"
    words = _WORDS.get(reason, reason.replace("_", " "))
    if attempts:
        return f"{words}, {attempts} attempts in {seconds} secs"
    return f"{words}, waited {connected} secs"


_WORDS: Mapping[str, str] = {
    "auth_aborted_by_client": "auth aborted by client",
    "auth_process_comm_fail": "auth process is not reachable",
    "auth_process_not_ready": "disconnected before auth was ready",
    "auth_waiting_client": "client did not finish SASL",
    "cleartext_auth_disabled": "tried to use disallowed cleartext auth",
    "client_ssl_cert_missing": "client sent no certificate",
    "client_ssl_not_started": "client did not start TLS",
    "connection_limit": "maximum number of connections of user and IP exceeded",
    "internal_failure": "internal failure",
    "invalid_mech": "tried to use an unsupported auth mechanism",
    "login_disabled": "login disabled",
    "process_full": "all workers are full",
    "proxy_dest_auth_failed": "the server behind the proxy refused the login",
    "proxy_dest_auth_temp_failed": "the server behind the proxy cannot tell now",
    "proxy_dest_connect_failed": "the server behind the proxy cannot be reached",
    "proxy_dest_internal_failure": "the proxy cannot pass the session on",
    "proxy_dest_protocol_failure": "the server behind the proxy is not understood",
    "proxy_dest_redirected": "the server behind the proxy refers to another that is no use",
    "proxy_dest_remote_failure": "the server behind the proxy failed",
    "shutting_down": "server shutting down",
}
