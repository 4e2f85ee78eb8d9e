"""One managesieve_login process: a login process whose connections speak ManageSieve."""

from __future__ import annotations

from pillarbox.runtime.login import server
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.managesieve_login.connection import ManageSieveLogin
from pillarbox.wire.managesieve.capability import capabilities
from pillarbox.wire.managesieve.login_client import login
from pillarbox.wire.proxy import xclient
from pillarbox.wire.proxy.reader import LiteralReader


class LoginServer(server.LoginServer):
    """What the connections of this process share."""

    proxy_protocol = ProxyProtocol(login, LiteralReader, 4190, 0, ("sieve",), "sieve")

    def __init__(self, ctx: ServiceContext) -> None:
        super().__init__(ctx, "sieve", ctx.settings.managesieve_worker_routing, "managesieve")
        self._extensions = announced(
            self.settings.managesieve_sieve_capability, self.settings.sieve_extensions
        )

    def connection(self, listener: BoundListener) -> ManageSieveLogin:
        """A connection that was accepted on this listener."""
        return ManageSieveLogin(self, listener)

    def capabilities(self, tls: bool, secured: bool, trusted: bool) -> bytes:
        """The answer to CAPABILITY on a connection in this state, but for its OK."""
        return capabilities(
            implementation=self.settings.managesieve_implementation_string,
            sieve=self._extensions,
            notify=self.settings.managesieve_notify_capability,
            max_redirects=self.settings.sieve_max_redirects,
            mechanisms=self.policy.mechanisms(secured, tls),
            starttls=self.tls is not None and not tls,
            xclient=xclient.NAMES if trusted else (),
        )


def announced(usual: str, words: tuple[str, ...]) -> str:
    """The extensions of managesieve_sieve_capability, changed as sieve_extensions says."""
    if words and not any(word[:1] in "+-" for word in words):
        return " ".join(words)
    names = dict.fromkeys(usual.split())
    for word in words:
        if word.startswith("-"):
            names.pop(word[1:], None)
        else:
            names[word.lstrip("+")] = None
    return " ".join(names)
