"""The SASL mechanisms with which a proxy logs in, made from credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pillarbox.wire.proxy.dialogue import Credentials, ProtocolError, Refused
from pillarbox.wire.sasl import client
from pillarbox.wire.sasl.client import Client, ServerNotTrusted
from pillarbox.wire.sasl.exchange import HashName


def _scram(hash_name: HashName, c: Credentials, bound: bool = False) -> Client:
    binding = ("tls-server-end-point", c.end_point()) if bound else None
    if binding is not None and not binding[1]:
        raise ProtocolError(f"{c.mechanism} is offered without TLS")
    return client.scram(hash_name, c.user, c.password, c.nonce, c.authzid, binding)


MECHANISMS: Final[Mapping[str, Callable[[Credentials], Client]]] = {
    "PLAIN": lambda c: client.plain(c.user, c.password, c.authzid),
    "LOGIN": lambda c: client.login(c.user, c.password),
    "CRAM-MD5": lambda c: client.cram_md5(c.user, c.password),
    "DIGEST-MD5": lambda c: client.digest_md5(
        c.user, c.password, c.nonce, c.service, c.host, c.authzid
    ),
    "EXTERNAL": lambda c: client.external(c.authzid or c.user),
    "ANONYMOUS": lambda c: client.anonymous(c.user),
    "OAUTHBEARER": lambda c: client.oauthbearer(c.user, c.password),
    "XOAUTH2": lambda c: client.xoauth2(c.user, c.password),
    "SCRAM-SHA-1": lambda c: _scram("sha1", c),
    "SCRAM-SHA-256": lambda c: _scram("sha256", c),
    "SCRAM-SHA-1-PLUS": lambda c: _scram("sha1", c, bound=True),
    "SCRAM-SHA-256-PLUS": lambda c: _scram("sha256", c, bound=True),
}
SERVER_FIRST: Final = frozenset({"LOGIN", "CRAM-MD5", "DIGEST-MD5"})
"""Mechanisms in which the server speaks first: there is no initial response."""


def not_offered(mechanism: str) -> Refused:
    """The end of a dialogue with a server that does not have the mechanism."""
    code = "anonymous_auth_disabled" if mechanism == "ANONYMOUS" else "invalid_mech"
    return Refused(code, f"the server does not offer {mechanism}")


class Exchange:
    """A mechanism under way: `initial` and `respond` give what to send."""

    def __init__(self, credentials: Credentials) -> None:
        """Raises KeyError for a mechanism that a proxy cannot do, ProtocolError without TLS."""
        self.server_first = credentials.mechanism in SERVER_FIRST
        self._client = MECHANISMS[credentials.mechanism](credentials)
        self.initial = next(self._client)

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge.  Raises ProtocolError if the server cannot be trusted."""
        try:
            return self._client.send(challenge)
        except ServerNotTrusted as error:
            raise ProtocolError(str(error)) from None
        except StopIteration:
            raise ProtocolError("challenge after the end of the SASL exchange") from None
