"""SCRAM-SHA-1 (RFC 5802) and SCRAM-SHA-256 (RFC 7677): messages, keys, and the server's side.

The client proves that it knows the password, the server that it knows its stored form, and
neither sends it.  The -PLUS forms bind the exchange to the TLS channel (RFC 5929): the client must
name a type (``p=``) whose data the login process gave.  In the other forms it must not, and if it
believes us to offer no binding (``y``) although we did, somebody between us hid it.

The one trick: the server remembers its own first message and the client's as bytes, because the
signature is over exactly what was sent, not over what it means.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pillarbox.wire.sasl.exchange import (
    BINDING,
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Exchange,
    FetchScram,
    HashName,
    Mechanism,
    ScramSecret,
    Surroundings,
    respond,
)
from pillarbox.wire.sasl.saslprep import prepared_or_raw

_GS2 = re.compile(rb"([ny]|p=[A-Za-z0-9.-]+),(?:a=([^,]*))?,", re.DOTALL)
_FIRST = re.compile(rb"n=([^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?", re.DOTALL)
_FINAL = re.compile(
    rb"(c=([A-Za-z0-9+/=]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?),p=([A-Za-z0-9+/=]*)", re.DOTALL
)
_BAD_NAME = re.compile("=(?!2C|3D)", re.IGNORECASE)
MAX_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """client-first-message, taken apart; ``bare`` is the part that is signed.

    ``binding`` is ``n``, ``y`` or ``p=`` with a type.
    """

    binding: str
    gs2_header: bytes
    bare: bytes
    user: str
    authzid: str
    nonce: str


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """client-final-message; ``without_proof`` is the part that is signed."""

    binding: bytes
    nonce: str
    proof: bytes
    without_proof: bytes


def secret(hash_name: HashName, password: str, salt: bytes, iterations: int) -> ScramSecret:
    """What to store for a password (slow on purpose: ``iterations`` rounds of HMAC)."""
    salted = hashlib.pbkdf2_hmac(
        hash_name,
        prepared_or_raw(password).encode("utf-8", "surrogateescape"),
        salt,
        iterations,
    )
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    return ScramSecret(iterations, salt, hashlib.new(hash_name, client_key).digest(), server_key)


def parse_client_first(message: bytes) -> ClientFirst | None:
    """None for what is not the grammar of RFC 5802 section 7."""
    header = _GS2.match(message)
    if header is None or len(message) > MAX_MESSAGE:
        return None
    bare = message[header.end() :]
    first = _FIRST.fullmatch(bare)
    if first is None:
        return None
    user, authzid = unescape_name(first[1]), unescape_name(header[2] or b"")
    if not user or authzid is None:
        return None
    return ClientFirst(header[1].decode(), header[0], bare, user, authzid, first[2].decode())


def parse_client_final(message: bytes) -> ClientFinal | None:
    """None for what is not the grammar."""
    final = _FINAL.fullmatch(message)
    if final is None or len(message) > MAX_MESSAGE:
        return None
    try:
        binding = a2b_base64(final[2], strict_mode=True)
        proof = a2b_base64(final[4], strict_mode=True)
    except ValueError:
        return None
    return ClientFinal(binding, final[3].decode(), proof, final[1])


def unescape_name(name: bytes) -> str | None:
    """A saslname as text: ``=2C`` is a comma, ``=3D`` an equals sign; None if malformed."""
    try:
        value = name.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in value or _BAD_NAME.search(value):
        return None
    return re.sub("=(2c|3d)", lambda m: "," if m[1].upper() == "2C" else "=", value, flags=re.I)


def escape_name(name: str) -> str:
    """Text as a saslname."""
    return name.replace("=", "=3D").replace(",", "=2C")


def xor(left: bytes, right: bytes) -> bytes:
    """Exclusive or of two strings of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def proves(hash_name: HashName, held: ScramSecret, message: bytes, proof: bytes) -> bool:
    """Whether the proof shows that the client knows the key behind ``stored_key``."""
    signature = hmac.digest(held.stored_key, message, hash_name)
    if len(proof) != len(signature):
        return False
    client_key = xor(signature, proof)
    return hmac.compare_digest(hashlib.new(hash_name, client_key).digest(), held.stored_key)


def start(hash_name: HashName, plus: bool, initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side; ``plus`` for the form with channel binding."""
    message = initial if initial is not None else (yield from respond(b""))
    first = parse_client_first(message)
    if first is None or first.binding.startswith("p=") != plus:
        return MALFORMED
    channel = bound_to(first.binding, around.bindings)
    if channel is None:
        return BINDING
    held = yield FetchScram(prepared_or_raw(first.user), hash_name, first.authzid)
    assert isinstance(held, ScramSecret)
    whole_nonce = first.nonce + around.nonce
    server_first = f"r={whole_nonce},s={b64encode(held.salt).decode()},i={held.iterations}".encode()
    final = parse_client_final((yield from respond(server_first)))
    if final is None or not final.binding.startswith(first.gs2_header):
        return MALFORMED
    if not hmac.compare_digest(final.binding, first.gs2_header + channel):
        return BINDING
    if not hmac.compare_digest(final.nonce, whole_nonce):
        return MALFORMED
    signed = b",".join((first.bare, server_first, final.without_proof))
    if not proves(hash_name, held, signed, final.proof):
        return CREDENTIALS
    return Accepted(b"v=" + b64encode(hmac.digest(held.server_key, signed, hash_name)))


def bound_to(binding: str, bindings: Mapping[str, bytes] | None) -> bytes | None:
    """The data of the channel that the client must have seen; None if it cannot be right."""
    if binding.startswith("p="):
        return (bindings or {}).get(binding[2:])
    return None if binding == "y" and bindings is not None else b""


_PROPERTIES = frozenset({"mutual-auth"})
_PLUS = _PROPERTIES | {"channel-binding"}
SHA1 = Mechanism("SCRAM-SHA-1", _PROPERTIES, partial(start, "sha1", False))
SHA256 = Mechanism("SCRAM-SHA-256", _PROPERTIES, partial(start, "sha256", False))
SHA1_PLUS = Mechanism("SCRAM-SHA-1-PLUS", _PLUS, partial(start, "sha1", True))
SHA256_PLUS = Mechanism("SCRAM-SHA-256-PLUS", _PLUS, partial(start, "sha256", True))
