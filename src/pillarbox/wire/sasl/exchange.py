"""SASL exchanges as generators that yield questions (RFC 4422).

A server mechanism knows its messages and nothing else: no database, no clock, no random numbers.
It is a generator.  It yields `Challenge` (answer: the client's bytes), a ``Check…`` (answer:
whether it is right), `FetchScram` (answer: a `ScramSecret`) or `FetchSecret` (answer: bytes), and
returns `Accepted` or `Refused`.  Whoever drives it asks the databases and may close it at any time.

The one trick: an unknown user is not told apart here.  The driver answers what is to be fetched
with a made-up secret and what is to be checked with False, and the exchange takes the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

HashName = Literal["sha1", "sha256"]
SecretKind = Literal["CRAM-MD5", "DIGEST-MD5", "PLAIN"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a mechanism must be told of the server and the connection.

    ``nonce`` is printable ASCII without comma, new for each exchange; ``bindings`` are the data of
    the channel by the type of binding (RFC 5929), None where the client was offered none.
    """

    nonce: str
    host: str = "localhost"
    realms: tuple[str, ...] = ()
    bindings: Mapping[str, bytes] | None = None
    openid_configuration: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """To the client; the answer is its response, ``bytes``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Is this the user's password?  The answer is a bool.

    ``authzid`` is whom the user wants to act for, "" for itself.
    """

    user: str
    password: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class FetchScram:
    """What does the database hold for SCRAM with this hash?  The answer is a `ScramSecret`."""

    user: str
    hash_name: HashName
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class FetchSecret:
    """What does the database hold for this mechanism?  The answer is bytes.

    ``CRAM-MD5`` asks for the two MD5 states of `wire.sasl.cram_md5`, ``DIGEST-MD5`` for the hash of
    user, ``realm`` and password, ``PLAIN`` for the password itself; ``digest_user`` is the name as
    DIGEST-MD5 hashes it.
    """

    user: str
    kind: SecretKind
    authzid: str = ""
    realm: str = ""
    digest_user: str = ""


@dataclass(frozen=True, slots=True)
class CheckCertificate:
    """Does the client's certificate say who it is, and may that user come in?  A bool."""

    authzid: str = ""


@dataclass(frozen=True, slots=True)
class CheckAnonymous:
    """May somebody come in who does not say who it is?  The answer is a bool."""

    trace: str = ""


@dataclass(frozen=True, slots=True)
class GssAccept:
    """What does the library say to the client's token?  A `GssReply`, or None: not accepted."""

    token: bytes


@dataclass(frozen=True, slots=True)
class GssWrap:
    """The data as the library protects them, ``bytes``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GssUnwrap:
    """What the library finds in protected data, ``bytes``, or None."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GssReply:
    """A token for the client, perhaps empty, and whether the context stands."""

    token: bytes
    done: bool


@dataclass(frozen=True, slots=True)
class CheckPrincipal:
    """May the one whom the ticket names come in?  The answer is a bool."""

    authzid: str = ""


@dataclass(frozen=True, slots=True)
class ScramSecret:
    """RFC 5802 section 3: what a server stores instead of the password."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client proved itself; ``data`` is the mechanism's last word to it, if it has one."""

    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """``malformed``: not the mechanism's syntax; ``credentials``: not proven.

    ``binding``: proven perhaps, but not for this channel, or somebody in between hid that the
    server can bind to it; ``ticket``: a ticket that is not valid.
    """

    reason: Literal["malformed", "credentials", "binding", "ticket"]


Question = (
    Challenge
    | CheckPassword
    | FetchScram
    | FetchSecret
    | CheckCertificate
    | CheckAnonymous
    | CheckPrincipal
    | GssAccept
    | GssWrap
    | GssUnwrap
)
Outcome = Accepted | Refused
Exchange = Generator[Question, Any, Outcome]
MALFORMED = Refused("malformed")
CREDENTIALS = Refused("credentials")
BINDING = Refused("binding")
TICKET = Refused("ticket")


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A server mechanism: ``start(initial response or None, surroundings)`` begins an exchange.

    ``properties`` are those that the authentication protocol announces; ``plaintext`` means that
    the password itself crosses the connection.
    """

    name: str
    properties: frozenset[str]
    start: Callable[[bytes | None, Surroundings], Exchange]

    @property
    def cleartext(self) -> bool:
        """Whether it must not be used on an open connection."""
        return "plaintext" in self.properties

    @property
    def binds(self) -> bool:
        """Whether it is only for channels that can be bound to."""
        return "channel-binding" in self.properties


def respond(data: bytes) -> Generator[Question, Any, bytes]:
    """Ask the client; the value is its response."""
    response = yield Challenge(data)
    assert isinstance(response, bytes)
    return response


def text(data: bytes) -> str | None:
    """UTF-8 without NUL, or None."""
    try:
        value = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in value else value
