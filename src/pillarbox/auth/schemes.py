"""Password schemes: how a password is stored, made and compared.

A stored password is ``{SCHEME}data``, or bare data in the database's default scheme.  The data
of schemes that are digests may be base64 or hexadecimal, told by ``{SCHEME.b64}``,
``{SCHEME.hex}`` or, for the salted ones, by its length.

`verify` compares in constant time and raises SchemeError where the stored form is unknown or
broken: that is a broken database, not a wrong password.  Most schemes are slow on purpose; `SLOW`
says which, and callers on an event loop must use `auth.hasher`.

The one trick: a scheme is a pair of functions in one table, `make` and `check`.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import argon2
import bcrypt

from pillarbox.auth import sha_crypt
from pillarbox.wire.sasl import scram
from pillarbox.wire.sasl.exchange import HashName, ScramSecret
from pillarbox.wire.sasl.saslprep import prepared_or_raw

_PREFIX: Final = re.compile(r"\{([A-Za-z0-9-]+)(?:\.([A-Za-z0-9]+))?\}")
_ENCODINGS: Final = {"b64": "b64", "base64": "b64", "hex": "hex"}
_PBKDF2: Final = re.compile(r"\$1\$([^$]{1,64})\$([0-9]{1,8})\$([0-9A-Fa-f]{40})")
SCRAM_ITERATIONS: Final = 4096
PBKDF2_ITERATIONS: Final = 600_000
SHA_CRYPT_ROUNDS: Final = 100_000
BCRYPT_COST: Final = 12
_BCRYPT_MAX: Final = 72


class SchemeError(ValueError):
    """The scheme is unknown, or the stored data are not of its form."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored password taken apart; ``encoding`` is "b64", "hex" or ""."""

    scheme: str
    encoding: str
    data: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """``make(password)`` gives the data; ``check(stored, password)`` compares."""

    make: Callable[[bytes], str]
    check: Callable[[Stored, bytes], bool]
    slow: bool = True


def split(stored: str, default_scheme: str) -> Stored:
    """Take the prefix off.  Raises SchemeError for an unknown scheme or encoding."""
    found = _PREFIX.match(stored)
    if found is None:
        name, encoding, data = default_scheme.upper(), "", stored
    else:
        name, encoding, data = found[1].upper(), (found[2] or "").lower(), stored[found.end() :]
    if name not in SCHEMES:
        raise SchemeError(f"unknown password scheme {name}")
    if encoding and encoding not in _ENCODINGS:
        raise SchemeError(f"unknown encoding .{encoding} of password scheme {name}")
    return Stored(name, _ENCODINGS.get(encoding, ""), data)


def verify(stored: str, password: str, default_scheme: str = "PLAIN") -> bool:
    """Whether it is the password.  Raises SchemeError.  May take a good part of a second."""
    parts = split(stored, default_scheme)
    return SCHEMES[parts.scheme].check(parts, _bytes(password))


def hash_password(scheme: str, password: str) -> str:
    """A stored form with its prefix, with a new random salt.  Raises SchemeError."""
    name = scheme.upper().strip("{}")
    if name not in SCHEMES:
        raise SchemeError(f"unknown password scheme {name}")
    if not password:
        raise SchemeError("an empty password is no password")
    return f"{{{name}}}{SCHEMES[name].make(_bytes(password))}"


def is_slow(stored: str, default_scheme: str = "PLAIN") -> bool:
    """Whether verifying this belongs in a thread.  Raises SchemeError."""
    return SCHEMES[split(stored, default_scheme).scheme].slow


def scram_secret(
    stored: str, default_scheme: str, hash_name: HashName, salt: bytes
) -> ScramSecret | None:
    """What SCRAM needs: as stored, or made from a clear password with this salt; else None."""
    parts = split(stored, default_scheme)
    if parts.scheme in ("PLAIN", "CLEARTEXT"):
        password = _decoded(parts).decode("utf-8", "surrogateescape")
        return scram.secret(hash_name, password, salt, SCRAM_ITERATIONS)
    if parts.scheme == _SCRAM_NAMES[hash_name]:
        return _scram_stored(parts.data, hash_name)
    return None


_SCRAM_NAMES: Final[dict[HashName, str]] = {"sha1": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256"}


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")


def _decoded(stored: Stored) -> bytes:
    """The data as bytes, by their encoding.  Raises SchemeError."""
    try:
        if stored.encoding == "hex":
            return binascii.unhexlify(stored.data)
        if stored.encoding == "b64":
            return binascii.a2b_base64(stored.data, strict_mode=True)
    except ValueError as error:
        raise SchemeError(f"{stored.scheme}: data are not {stored.encoding}") from error
    return _bytes(stored.data)


def _text(stored: Stored) -> str:
    return _decoded(stored).decode("utf-8", "surrogateescape")


# PLAIN


def _check_plain(stored: Stored, password: bytes) -> bool:
    return hmac.compare_digest(_decoded(stored), password)


def _make_plain(password: bytes) -> str:
    return password.decode("utf-8", "surrogateescape")


# ARGON2ID

_ARGON2 = argon2.PasswordHasher()


def _make_argon2(password: bytes) -> str:
    return _ARGON2.hash(password)


def _check_argon2(stored: Stored, password: bytes) -> bool:
    data = _text(stored)
    if not data.startswith("$argon2"):
        raise SchemeError("ARGON2ID: not an Argon2 string")
    try:
        return _ARGON2.verify(data, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError) as error:
        raise SchemeError("ARGON2ID: broken hash") from error


# BLF-CRYPT


def _make_bcrypt(password: bytes) -> str:
    return bcrypt.hashpw(password[:_BCRYPT_MAX], bcrypt.gensalt(BCRYPT_COST)).decode()


def _check_bcrypt(stored: Stored, password: bytes) -> bool:
    if b"\0" in password:
        return False
    try:
        return bcrypt.checkpw(password[:_BCRYPT_MAX], _decoded(stored))
    except ValueError as error:
        raise SchemeError("BLF-CRYPT: broken hash") from error


# SHA256-CRYPT, SHA512-CRYPT, CRYPT


def _make_sha_crypt(kind: str) -> Callable[[bytes], str]:
    def make(password: bytes) -> str:
        salt = b64encode(os.urandom(12), b"./").decode()
        return sha_crypt.crypt(password, f"${kind}$rounds={SHA_CRYPT_ROUNDS}${salt}")

    return make


def _check_sha_crypt(stored: Stored, password: bytes) -> bool:
    data = _text(stored)
    if b"\0" in password:
        return False
    try:
        made = sha_crypt.crypt(password, data)
    except ValueError as error:
        raise SchemeError(f"{stored.scheme}: broken hash") from error
    return hmac.compare_digest(_bytes(made), _bytes(data))


def _check_crypt(stored: Stored, password: bytes) -> bool:
    if _text(stored).startswith("$2"):
        return _check_bcrypt(stored, password)
    return _check_sha_crypt(stored, password)


# SSHA, SSHA256, SSHA512


def _make_salted(name: str) -> Callable[[bytes], str]:
    def make(password: bytes) -> str:
        salt = os.urandom(16)
        return b64encode(hashlib.new(name, password + salt).digest() + salt).decode()

    return make


def _check_salted(name: str) -> Callable[[Stored, bytes], bool]:
    size = hashlib.new(name).digest_size

    def check(stored: Stored, password: bytes) -> bool:
        encoding = stored.encoding or "b64"
        raw = _decoded(Stored(stored.scheme, encoding, stored.data))
        if len(raw) <= size:
            raise SchemeError(f"{stored.scheme}: too short for digest and salt")
        return hmac.compare_digest(hashlib.new(name, password + raw[size:]).digest(), raw[:size])

    return check


# PBKDF2: $1$salt$rounds$hex of HMAC-SHA-1


def _make_pbkdf2(password: bytes) -> str:
    salt = os.urandom(12).hex()
    digest = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), PBKDF2_ITERATIONS)
    return f"$1${salt}${PBKDF2_ITERATIONS}${digest.hex()}"


def _check_pbkdf2(stored: Stored, password: bytes) -> bool:
    found = _PBKDF2.fullmatch(_text(stored))
    if found is None or int(found[2]) < 1:
        raise SchemeError("PBKDF2: not $1$salt$rounds$digest")
    digest = hashlib.pbkdf2_hmac("sha1", password, _bytes(found[1]), int(found[2]))
    return hmac.compare_digest(digest, bytes.fromhex(found[3]))


# SCRAM-SHA-1, SCRAM-SHA-256: iterations,salt,StoredKey,ServerKey in base64


def _scram_stored(data: str, hash_name: HashName) -> ScramSecret:
    name = _SCRAM_NAMES[hash_name]
    parts = data.split(",")
    if len(parts) != 4 or not re.fullmatch("[1-9][0-9]{0,7}", parts[0]):
        raise SchemeError(f"{name}: not iterations,salt,stored key,server key")
    try:
        salt, stored, server = (binascii.a2b_base64(p, strict_mode=True) for p in parts[1:])
    except ValueError as error:
        raise SchemeError(f"{name}: not base64") from error
    size = hashlib.new(hash_name).digest_size
    if len(stored) != size or len(server) != size or not salt:
        raise SchemeError(f"{name}: keys of the wrong size")
    return ScramSecret(int(parts[0]), salt, stored, server)


def _make_scram(hash_name: HashName) -> Callable[[bytes], str]:
    def make(password: bytes) -> str:
        text = password.decode("utf-8", "surrogateescape")
        made = scram.secret(hash_name, text, os.urandom(16), SCRAM_ITERATIONS)
        keys = (made.salt, made.stored_key, made.server_key)
        return ",".join((str(made.iterations), *(b64encode(k).decode() for k in keys)))

    return make


def _check_scram(hash_name: HashName) -> Callable[[Stored, bytes], bool]:
    def check(stored: Stored, password: bytes) -> bool:
        held = _scram_stored(_text(stored), hash_name)
        text = prepared_or_raw(password.decode("utf-8", "surrogateescape"))
        made = scram.secret(hash_name, text, held.salt, held.iterations)
        return hmac.compare_digest(made.stored_key, held.stored_key)

    return check


SCHEMES: Final[dict[str, Scheme]] = {
    "PLAIN": Scheme(_make_plain, _check_plain, slow=False),
    "CLEARTEXT": Scheme(_make_plain, _check_plain, slow=False),
    "ARGON2ID": Scheme(_make_argon2, _check_argon2),
    "BLF-CRYPT": Scheme(_make_bcrypt, _check_bcrypt),
    "SHA256-CRYPT": Scheme(_make_sha_crypt("5"), _check_sha_crypt),
    "SHA512-CRYPT": Scheme(_make_sha_crypt("6"), _check_sha_crypt),
    "CRYPT": Scheme(_make_sha_crypt("6"), _check_crypt),
    "SSHA": Scheme(_make_salted("sha1"), _check_salted("sha1"), slow=False),
    "SSHA256": Scheme(_make_salted("sha256"), _check_salted("sha256"), slow=False),
    "SSHA512": Scheme(_make_salted("sha512"), _check_salted("sha512"), slow=False),
    "PBKDF2": Scheme(_make_pbkdf2, _check_pbkdf2),
    "SCRAM-SHA-1": Scheme(_make_scram("sha1"), _check_scram("sha1")),
    "SCRAM-SHA-256": Scheme(_make_scram("sha256"), _check_scram("sha256")),
}
