"""Password schemes: how a password is stored, made and compared.

A stored password is ``{SCHEME}data``, or bare data in the database's default scheme.  The data
of schemes that are digests may be base64 or hexadecimal, told by ``{SCHEME.b64}``,
``{SCHEME.hex}`` or, for the salted ones, by its length.

`verify` compares in constant time and raises SchemeError where the stored form is unknown, broken,
or too weak to be allowed: that is a broken database, not a wrong password.  Most schemes are slow
on purpose; callers on an event loop must use `auth.hasher`.

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
from typing import Final

import argon2
import bcrypt

from pillarbox.auth import sha_crypt, unix_crypt
from pillarbox.auth.scheme import Scheme, SchemeError, Stored, to_bytes
from pillarbox.auth.weak_schemes import (
    WEAK,
    check_md5_crypt,
    cram_secret,
    digest_secret,
    salted,
)
from pillarbox.wire.sasl import cram_md5, digest_md5, scram
from pillarbox.wire.sasl.exchange import FetchSecret, HashName, ScramSecret
from pillarbox.wire.sasl.saslprep import prepared_or_raw

_PREFIX: Final = re.compile(r"\{([A-Za-z0-9-]+)(?:\.([A-Za-z0-9]+))?\}")
_ENCODINGS: Final = {"b64": "b64", "base64": "b64", "hex": "hex"}
_PBKDF2: Final = re.compile(r"\$1\$([^$]{1,64})\$([0-9]{1,8})\$([0-9A-Fa-f]{40})")
SCRAM_ITERATIONS: Final = 4096
PBKDF2_ITERATIONS: Final = 600_000
SHA_CRYPT_ROUNDS: Final = 100_000
BCRYPT_COST: Final = 12
_BCRYPT_MAX: Final = 72


def split(stored: str, default_scheme: str, user: str = "") -> Stored:
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
    return Stored(name, _ENCODINGS.get(encoding, ""), data, user)


def verify(
    stored: str, password: str, default_scheme: str = "PLAIN", *, user: str = "", weak: bool = True
) -> bool:
    """Whether it is the password; ``user`` whose, ``weak`` whether weak schemes count.

    Raises SchemeError.  May take a good part of a second.
    """
    parts = _allowed(split(stored, default_scheme, user), weak)
    return SCHEMES[parts.scheme].check(parts, to_bytes(password))


def hash_password(scheme: str, password: str, user: str = "") -> str:
    """A stored form with its prefix, with a new random salt.  Raises SchemeError."""
    name, _, encoding = scheme.upper().strip("{}").partition(".")
    if name not in SCHEMES:
        raise SchemeError(f"unknown password scheme {name}")
    if not password:
        raise SchemeError("an empty password is no password")
    made = SCHEMES[name].make(to_bytes(password), user)
    if not encoding:
        return f"{{{name}}}{made}"
    raw = split(f"{{{name}}}{made}", "").raw(_NATIVE.get(name, ""))
    kind = _ENCODINGS.get(encoding.lower())
    if kind is None:
        raise SchemeError(f"unknown encoding .{encoding.lower()} of password scheme {name}")
    coded = raw.hex() if kind == "hex" else b64encode(raw).decode()
    return f"{{{name}.{kind}}}{coded}"


def is_slow(stored: str, default_scheme: str = "PLAIN") -> bool:
    """Whether verifying this belongs in a thread.  Raises SchemeError."""
    return SCHEMES[split(stored, default_scheme).scheme].slow


def is_weak(scheme: str) -> bool:
    """Whether a scheme is only read where that is allowed; False for one that is unknown."""
    known = SCHEMES.get(scheme.upper().strip("{}").partition(".")[0])
    return known is not None and known.weak


def needs_rehash(stored: str, default_scheme: str, wanted: str) -> bool:
    """Whether a password is stored otherwise than a new one would be.  Raises SchemeError."""
    parts = split(stored, default_scheme)
    if parts.scheme != wanted.upper():
        return True
    return parts.scheme == "ARGON2ID" and _ARGON2.check_needs_rehash(parts.text())


def scram_secret(
    stored: str, default_scheme: str, hash_name: HashName, salt: bytes
) -> ScramSecret | None:
    """What SCRAM needs: as stored, or made from a clear password with this salt; else None."""
    parts = split(stored, default_scheme)
    if parts.scheme in _CLEAR:
        return scram.secret(hash_name, parts.text(), salt, SCRAM_ITERATIONS)
    if parts.scheme == _SCRAM_NAMES[hash_name]:
        return _scram_stored(parts.data, hash_name)
    return None


def mechanism_secret(
    stored: str, default_scheme: str, asked: FetchSecret, *, weak: bool = True
) -> bytes | None:
    """What a mechanism asks for: as stored, or made from a clear password; else None.

    Raises SchemeError.
    """
    parts = split(stored, default_scheme)
    if parts.scheme in _CLEAR:
        password = parts.raw()
        if asked.kind == "CRAM-MD5":
            return cram_md5.states(password)
        if asked.kind == "DIGEST-MD5":
            return digest_md5.stored(asked.digest_user, asked.realm, password)
        return password
    if parts.scheme != asked.kind:
        return None
    return _STORED_SECRETS[asked.kind](_allowed(parts, weak))


def _allowed(stored: Stored, weak: bool) -> Stored:
    """The same, unless it is weak and that is not allowed."""
    is_weak = SCHEMES[stored.scheme].weak
    if stored.scheme == "CRYPT":
        is_weak = not stored.text().startswith(_STRONG_CRYPTS)
    if is_weak and not weak:
        raise SchemeError(f"weak password scheme {stored.scheme}, see auth_allow_weak_schemes")
    return stored


_CLEAR: Final = ("PLAIN", "CLEARTEXT")
_STRONG_CRYPTS: Final = ("$2", "$5$", "$6$", "$7$", "$y$", "$gy$")
_STORED_SECRETS: Final[dict[str, Callable[[Stored], bytes]]] = {
    "CRAM-MD5": cram_secret,
    "DIGEST-MD5": digest_secret,
}
_SCRAM_NAMES: Final[dict[HashName, str]] = {"sha1": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256"}


# PLAIN


def _check_plain(stored: Stored, password: bytes) -> bool:
    return hmac.compare_digest(stored.raw(), password)


def _make_plain(password: bytes, user: str) -> str:
    return password.decode("utf-8", "surrogateescape")


# ARGON2ID, ARGON2I

_ARGON2 = argon2.PasswordHasher()
_ARGON2I = argon2.PasswordHasher(type=argon2.Type.I)


def _make_argon2id(password: bytes, user: str) -> str:
    return _ARGON2.hash(password)


def _make_argon2i(password: bytes, user: str) -> str:
    return _ARGON2I.hash(password)


def _check_argon2(stored: Stored, password: bytes) -> bool:
    data = stored.text()
    if not data.startswith("$argon2"):
        raise SchemeError(f"{stored.scheme}: not an Argon2 string")
    try:
        return _ARGON2.verify(data, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError) as error:
        raise SchemeError(f"{stored.scheme}: broken hash") from error


# BLF-CRYPT


def _make_bcrypt(password: bytes, user: str) -> str:
    return bcrypt.hashpw(password[:_BCRYPT_MAX], bcrypt.gensalt(BCRYPT_COST)).decode()


def _check_bcrypt(stored: Stored, password: bytes) -> bool:
    if b"\0" in password:
        return False
    try:
        return bcrypt.checkpw(password[:_BCRYPT_MAX], stored.raw())
    except ValueError as error:
        raise SchemeError("BLF-CRYPT: broken hash") from error


# SHA256-CRYPT, SHA512-CRYPT, CRYPT


def _make_sha_crypt(kind: str) -> Callable[[bytes, str], str]:
    def make(password: bytes, user: str) -> str:
        salt = b64encode(os.urandom(12), b"./").decode()
        return sha_crypt.crypt(password, f"${kind}$rounds={SHA_CRYPT_ROUNDS}${salt}")

    return make


def _check_sha_crypt(stored: Stored, password: bytes) -> bool:
    data = stored.text()
    if b"\0" in password:
        return False
    try:
        made = sha_crypt.crypt(password, data)
    except ValueError as error:
        raise SchemeError(f"{stored.scheme}: broken hash") from error
    return hmac.compare_digest(to_bytes(made), to_bytes(data))


def _check_crypt(stored: Stored, password: bytes) -> bool:
    data = stored.text()
    if data.startswith("$2"):
        return _check_bcrypt(stored, password)
    if data.startswith("$1$"):
        return check_md5_crypt(stored, password)
    if data.startswith(("$5$", "$6$")):
        return _check_sha_crypt(stored, password)
    try:
        made = unix_crypt.crypt(password, data)
    except unix_crypt.NoCrypt as error:
        raise SchemeError(f"{stored.scheme}: broken hash") from error
    return hmac.compare_digest(to_bytes(made), to_bytes(data))


# PBKDF2: $1$salt$rounds$hex of HMAC-SHA-1


def _make_pbkdf2(password: bytes, user: str) -> str:
    salt = os.urandom(12).hex()
    digest = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), PBKDF2_ITERATIONS)
    return f"$1${salt}${PBKDF2_ITERATIONS}${digest.hex()}"


def _check_pbkdf2(stored: Stored, password: bytes) -> bool:
    found = _PBKDF2.fullmatch(stored.text())
    if found is None or int(found[2]) < 1:
        raise SchemeError("PBKDF2: not $1$salt$rounds$digest")
    digest = hashlib.pbkdf2_hmac("sha1", password, to_bytes(found[1]), int(found[2]))
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


def _make_scram(hash_name: HashName) -> Callable[[bytes, str], str]:
    def make(password: bytes, user: str) -> str:
        text = password.decode("utf-8", "surrogateescape")
        made = scram.secret(hash_name, text, os.urandom(16), SCRAM_ITERATIONS)
        keys = (made.salt, made.stored_key, made.server_key)
        return ",".join((str(made.iterations), *(b64encode(k).decode() for k in keys)))

    return make


def _check_scram(hash_name: HashName) -> Callable[[Stored, bytes], bool]:
    def check(stored: Stored, password: bytes) -> bool:
        held = _scram_stored(stored.text(), hash_name)
        text = prepared_or_raw(password.decode("utf-8", "surrogateescape"))
        made = scram.secret(hash_name, text, held.salt, held.iterations)
        return hmac.compare_digest(made.stored_key, held.stored_key)

    return check


SCHEMES: Final[dict[str, Scheme]] = {
    "PLAIN": Scheme(_make_plain, _check_plain, slow=False),
    "CLEARTEXT": Scheme(_make_plain, _check_plain, slow=False),
    "ARGON2ID": Scheme(_make_argon2id, _check_argon2),
    "ARGON2I": Scheme(_make_argon2i, _check_argon2),
    "BLF-CRYPT": Scheme(_make_bcrypt, _check_bcrypt),
    "SHA256-CRYPT": Scheme(_make_sha_crypt("5"), _check_sha_crypt),
    "SHA512-CRYPT": Scheme(_make_sha_crypt("6"), _check_sha_crypt),
    "CRYPT": Scheme(_make_sha_crypt("6"), _check_crypt),
    "SSHA": salted("sha1"),
    "SSHA256": salted("sha256"),
    "SSHA512": salted("sha512"),
    "PBKDF2": Scheme(_make_pbkdf2, _check_pbkdf2),
    "SCRAM-SHA-1": Scheme(_make_scram("sha1"), _check_scram("sha1")),
    "SCRAM-SHA-256": Scheme(_make_scram("sha256"), _check_scram("sha256")),
    **WEAK,
}
_NATIVE: Final = {
    **dict.fromkeys(("SSHA", "SSHA256", "SSHA512", "SMD5", "LDAP-MD5"), "b64"),
    **dict.fromkeys(("SHA", "SHA1", "SHA256", "SHA512"), "b64"),
    **dict.fromkeys(("PLAIN-MD5", "CRAM-MD5", "DIGEST-MD5"), "hex"),
}
"""How `make` writes the data of schemes whose data are octets."""
