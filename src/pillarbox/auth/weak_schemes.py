"""Password schemes that protect nobody whose database is stolen: read only where that is allowed.

Unsalted digests, everything with MD5, and the secrets of CRAM-MD5 and DIGEST-MD5, which are as good
as the password for these mechanisms.  Data of digests are hexadecimal or base64, told by suffix or
else by length.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from pillarbox.auth import md5_crypt
from pillarbox.auth.scheme import Scheme, SchemeError, Stored, to_bytes
from pillarbox.wire.sasl import cram_md5, digest_md5

_MD5_CRYPT: Final = re.compile(r"\$1\$[^$]{0,8}\$[./0-9A-Za-z]{22}")
_TRUNCATED: Final = re.compile("([0-9]{1,4})-(.*)", re.DOTALL)


# SHA, SHA1, SHA256, SHA512, PLAIN-MD5, LDAP-MD5: unsalted


def _digest(name: str, encoding: str) -> Scheme:
    size = hashlib.new(name).digest_size

    def make(password: bytes, user: str) -> str:
        digest = hashlib.new(name, password).digest()
        return digest.hex() if encoding == "hex" else b64encode(digest).decode()

    def check(stored: Stored, password: bytes) -> bool:
        raw = stored.raw("hex" if len(stored.data) == 2 * size else "b64")
        if len(raw) != size:
            raise SchemeError(f"{stored.scheme}: digest of the wrong size")
        return hmac.compare_digest(hashlib.new(name, password).digest(), raw)

    return Scheme(make, check, slow=False, weak=True)


def salted(name: str, weak: bool = False) -> Scheme:
    """Digest of password and salt, followed by the salt."""
    size = hashlib.new(name).digest_size

    def make(password: bytes, user: str) -> str:
        salt = os.urandom(16)
        return b64encode(hashlib.new(name, password + salt).digest() + salt).decode()

    def check(stored: Stored, password: bytes) -> bool:
        raw = stored.raw("b64")
        if len(raw) <= size:
            raise SchemeError(f"{stored.scheme}: too short for digest and salt")
        return hmac.compare_digest(hashlib.new(name, password + raw[size:]).digest(), raw[:size])

    return Scheme(make, check, slow=False, weak=weak)


# MD5-CRYPT


def _make_md5_crypt(password: bytes, user: str) -> str:
    return md5_crypt.crypt(password, f"$1${b64encode(os.urandom(6), b'./').decode()}")


def check_md5_crypt(stored: Stored, password: bytes) -> bool:
    """Compare with ``$1$salt$digest``.  Raises SchemeError."""
    data = stored.text()
    if not _MD5_CRYPT.fullmatch(data):
        raise SchemeError(f"{stored.scheme}: broken hash")
    made = md5_crypt.crypt(password, data)
    return hmac.compare_digest(to_bytes(made), to_bytes(data))


# CRAM-MD5, DIGEST-MD5: what the mechanisms of these names need


def cram_secret(stored: Stored) -> bytes:
    """The two MD5 states.  Raises SchemeError."""
    return _sized(stored, cram_md5.SIZE)


def digest_secret(stored: Stored) -> bytes:
    """The hash of user, realm and password.  Raises SchemeError."""
    return _sized(stored, 16)


def _sized(stored: Stored, size: int) -> bytes:
    raw = stored.raw("hex")
    if len(raw) != size:
        raise SchemeError(f"{stored.scheme}: data of the wrong size")
    return raw


def _make_cram(password: bytes, user: str) -> str:
    return cram_md5.states(password).hex()


def _check_cram(stored: Stored, password: bytes) -> bool:
    return hmac.compare_digest(cram_md5.states(password), cram_secret(stored))


def _make_digest(password: bytes, user: str) -> str:
    if not user:
        raise SchemeError("DIGEST-MD5 hashes the user's name: give it")
    name, _, realm = user.partition("@")
    return digest_md5.stored(name, realm, password).hex()


def _check_digest(stored: Stored, password: bytes) -> bool:
    name, _, realm = stored.user.partition("@")
    return hmac.compare_digest(digest_md5.stored(name, realm, password), digest_secret(stored))


# PLAIN-TRUNC: only the first octets count


def _make_truncated(password: bytes, user: str) -> str:
    return f"{len(password)}-{password.decode('utf-8', 'surrogateescape')}"


def _check_truncated(stored: Stored, password: bytes) -> bool:
    found = _TRUNCATED.fullmatch(stored.text())
    if found is None or int(found[1]) < 1:
        raise SchemeError("PLAIN-TRUNC: not length-password")
    size = int(found[1])
    return hmac.compare_digest(to_bytes(found[2])[:size], password[:size])


def _weak(
    make: Callable[[bytes, str], str], check: Callable[[Stored, bytes], bool], slow: bool = False
) -> Scheme:
    return Scheme(make, check, slow, weak=True)


WEAK: Final[dict[str, Scheme]] = {
    "SHA": _digest("sha1", "b64"),
    "SHA1": _digest("sha1", "b64"),
    "SHA256": _digest("sha256", "b64"),
    "SHA512": _digest("sha512", "b64"),
    "SMD5": salted("md5", weak=True),
    "PLAIN-MD5": _digest("md5", "hex"),
    "LDAP-MD5": _digest("md5", "b64"),
    "MD5-CRYPT": _weak(_make_md5_crypt, check_md5_crypt, slow=True),
    "MD5": _weak(_make_md5_crypt, check_md5_crypt, slow=True),
    "CRAM-MD5": _weak(_make_cram, _check_cram),
    "DIGEST-MD5": _weak(_make_digest, _check_digest),
    "PLAIN-TRUNC": _weak(_make_truncated, _check_truncated),
}
