"""SASL exchanges as generators that yield questions (RFC 4422).

A server mechanism knows its messages and nothing else: no database, no clock, no random numbers.
It is a generator.  It yields `Challenge` (answer: the client's bytes), `CheckPassword` (answer:
whether it is right) or `FetchScram` (answer: a `ScramSecret`), and returns `Accepted` or
`Refused`.  Whoever drives it asks the databases and may close it at any time.

The one trick: an unknown user is not told apart here.  The driver answers `FetchScram` with a
made-up secret and `CheckPassword` with False, and the exchange takes the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

HashName = Literal["sha1", "sha256"]


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
    """``malformed``: not the mechanism's syntax; ``credentials``: not proven."""

    reason: Literal["malformed", "credentials"]


Question = Challenge | CheckPassword | FetchScram
Outcome = Accepted | Refused
Exchange = Generator[Question, Any, Outcome]
MALFORMED = Refused("malformed")
CREDENTIALS = Refused("credentials")


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A server mechanism: ``start(initial response or None, server nonce)`` begins an exchange.

    ``properties`` are those that the authentication protocol announces; ``plaintext`` means that
    the password itself crosses the connection.
    """

    name: str
    properties: frozenset[str]
    start: Callable[[bytes | None, str], Exchange]

    @property
    def cleartext(self) -> bool:
        """Whether it must not be used on an open connection."""
        return "plaintext" in self.properties


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
