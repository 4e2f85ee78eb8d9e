"""What a login proxy says to the server behind it: a dialogue that knows neither socket nor clock.

A protocol's ``login_client`` gives a generator.  It yields `Send` (nothing comes back), `READ`
(answer: the server's next response, as the protocol's reader cuts them) or `START_TLS` (go on when
the handshake is done), and returns `LoggedIn` or `Refused`.  A response that makes no sense raises
`ProtocolError`; texts of servers are for logs and for the client, never for decisions.

The error codes are those of the event proxy_session_finished, so whoever drives a dialogue needs no
table for each protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, final

AUTH_FAILED: Final = "proxy_dest_auth_failed"
AUTH_TEMP_FAILED: Final = "proxy_dest_auth_temp_failed"
REDIRECTED: Final = "proxy_dest_redirected"
REMOTE_FAILURE: Final = "proxy_dest_remote_failure"
PROTOCOL_FAILURE: Final = "proxy_dest_protocol_failure"

CODES: Final[Mapping[bytes, str]] = {
    b"AUTHENTICATIONFAILED": AUTH_FAILED,
    b"UNAVAILABLE": AUTH_TEMP_FAILED,
    b"AUTHORIZATIONFAILED": "authorization_failed",
    b"EXPIRED": "password_expired",
    b"CONTACTADMIN": "user_disabled",
    b"NOPERM": "login_disabled",
    b"PRIVACYREQUIRED": "cleartext_auth_disabled",
    b"INUSE": "temp_fail",
    b"LIMIT": "temp_fail",
    b"SERVERBUG": "temp_fail",
}
"""What the response codes of RFC 5530 mean for a login."""


class ProtocolError(Exception):
    """The server said what its protocol does not allow here; the text says what, for the log."""


@dataclass(frozen=True, slots=True)
class Send:
    """To the server."""

    data: bytes


@final
class Read:
    """The server's next response is wanted."""


@final
class StartTls:
    """TLS begins; what the server sent in clear behind its answer must not be used."""


READ: Final = Read()
START_TLS: Final = StartTls()


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom the proxy acts for; told only to servers that ask for it or know what to do with it.

    ``ttl`` is how many more proxies the session may pass, None if nobody counts; ``forward`` are
    fields of the passdb.
    """

    remote_ip: str | None = None
    remote_port: int | None = None
    local_ip: str | None = None
    local_port: int | None = None
    session: str = ""
    ttl: int | None = None
    forward: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to log in: ``user`` proves who it is, to act for ``authzid`` if that is not empty.

    ``nonce``, ``service`` (as SASL names protocols) and ``host`` are for mechanisms that want them,
    ``end_point`` for those that bind to the channel: its tls-server-end-point (RFC 5929), empty
    without TLS.  ``starttls``: TLS before anything is said.
    """

    user: str
    password: str = field(repr=False)
    authzid: str = ""
    mechanism: str = "PLAIN"
    nonce: str = ""
    starttls: bool = False
    service: str = ""
    host: str = ""
    end_point: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The server took the user.

    ``text`` is what it said, without tag and status but with a response code; ``untagged`` whole
    responses before it that the client should see too.
    """

    text: bytes = b""
    untagged: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not.  ``code`` is of RFC 5530 where there is one; ``referral`` a URL."""

    error_code: str
    text: str
    code: bytes | None = None
    referral: str | None = None


Ask = Send | Read | StartTls
Result = LoggedIn | Refused
Dialogue = Generator[Ask, bytes, Result]


class Reader(Protocol):
    """Cuts what the server sends into responses; raises ProtocolError for one that is too long."""

    def feed(self, data: bytes) -> None:
        """Add input."""

    def next(self) -> bytes | None:
        """The next response without its last line end; None until more is fed."""

    def rest(self) -> bytes:
        """Take what is not part of a response yet."""


def read() -> Generator[Ask, bytes, bytes]:
    """The server's next response."""
    response = yield READ
    return response


def printable(text: bytes) -> str:
    """A server's text for logs and clients: one line of printable ASCII, not too long."""
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in text[:300]).strip()
