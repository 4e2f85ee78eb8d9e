"""Password schemes: what others stored can be verified, what we make too, broken data are told."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.auth import schemes, unix_crypt
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.scheme import SchemeError
from pillarbox.auth.schemes import (
    SCHEMES,
    hash_password,
    is_slow,
    mechanism_secret,
    needs_rehash,
    scram_secret,
    verify,
)
from pillarbox.auth.weak_schemes import WEAK
from pillarbox.wire.sasl import cram_md5, digest_md5
from pillarbox.wire.sasl.exchange import FetchSecret, SecretKind


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real schemes, cheap parameters."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(schemes, "_ARGON2", cheap)
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=argon2.Type.I)
    monkeypatch.setattr(schemes, "_ARGON2I", cheap)
    monkeypatch.setattr(schemes, "BCRYPT_COST", 4)
    monkeypatch.setattr(schemes, "PBKDF2_ITERATIONS", 10)
    monkeypatch.setattr(schemes, "SHA_CRYPT_ROUNDS", 1000)


BOB = "bob@example.com"


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("password", ["secret", "sécret ☃", "x" * 100, "a:b{c}"])
def test_round_trip(scheme: str, password: str) -> None:
    stored = hash_password(scheme, password, BOB)
    assert stored.startswith(f"{{{scheme}}}")
    assert verify(stored, password, user=BOB)
    if len(password) < 72 and scheme != "PLAIN-TRUNC":
        assert not verify(stored, password + "x", user=BOB)
    assert not verify(stored, "X" + password, user=BOB)
    assert not verify(stored, "", user=BOB)
    bare = stored.split("}", 1)[1]
    assert verify(bare, password, scheme, user=BOB)


@pytest.mark.parametrize("scheme", sorted(schemes._NATIVE))
@pytest.mark.parametrize("encoding", ["hex", "b64"])
def test_encodings(scheme: str, encoding: str) -> None:
    stored = hash_password(f"{scheme}.{encoding}", "secret", BOB)
    assert stored.startswith(f"{{{scheme}.{encoding}}}")
    assert verify(stored, "secret", user=BOB)
    assert not verify(stored, "wrong", user=BOB)


SALTED = set(SCHEMES) - {"PLAIN", "CLEARTEXT", "PLAIN-TRUNC", "CRAM-MD5", "DIGEST-MD5"}
SALTED -= {"SHA", "SHA1", "SHA256", "SHA512", "PLAIN-MD5", "LDAP-MD5"}


@pytest.mark.parametrize("scheme", sorted(SALTED))
def test_salts_differ(scheme: str) -> None:
    assert hash_password(scheme, "secret") != hash_password(scheme, "secret")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


KNOWN = [
    ("secret", "pass", False),
    ("secret", "secret", True),
    ("{plain}secret", "secret", True),
    ("{PLAIN.b64}c2VjcmV0", "secret", True),
    ("{PLAIN.base64}c2VjcmV0", "secret", True),
    ("{PLAIN.hex}736563726574", "secret", True),
    ("{SSHA}" + b64(hashlib.sha1(b"secretsalt").digest() + b"salt"), "secret", True),
    ("{SSHA256.hex}" + hashlib.sha256(b"secretsalt").hexdigest() + b"salt".hex(), "secret", True),
    ("{SSHA512}" + b64(hashlib.sha512(b"secretsalt").digest() + b"salt"), "secret", True),
    ("{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", True),
    ("{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", True),
    ("{CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*V", False),
    ("{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", True),
    ("{MD5-CRYPT}$1$rasmusle$rISCgZzpwk3UhDidwXvin0", "rasmuslerdorf", True),
    ("{CRYPT}$1$rasmusle$rISCgZzpwk3UhDidwXvin0", "rasmuslerdorF", False),
    ("{MD5}$1$rasmusle$rISCgZzpwk3UhDidwXvin0", "rasmuslerdorf", True),
    ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret", True),
    ("{SHA1}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4", "secret", True),
    ("{SHA256}" + b64(hashlib.sha256(b"secret").digest()), "secret", True),
    ("{SHA512.hex}" + hashlib.sha512(b"secret").hexdigest(), "secreT", False),
    ("{SMD5}" + b64(hashlib.md5(b"secretsalt").digest() + b"salt"), "secret", True),
    ("{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69", "secret", True),
    ("{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==", "secret", True),
    ("{PLAIN-TRUNC}4-secret", "secr", True),
    ("{PLAIN-TRUNC}4-secret", "sec", False),
    (
        "{CRAM-MD5}9186d855e11eba527a7a52ca82b313e180d62234f0acc9051b527243d41e2740",
        "password",
        True,
    ),
]


@pytest.mark.parametrize(("stored", "password", "right"), KNOWN)
def test_known(stored: str, password: str, right: bool) -> None:
    assert verify(stored, password) is right


def test_pbkdf2_vector_of_rfc6070() -> None:
    made = hashlib.pbkdf2_hmac("sha1", b"password", b"salt", 2).hex()
    assert made == "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"
    assert verify(f"{{PBKDF2}}$1$salt$2${made}", "password")
    assert verify(f"{{PBKDF2}}$1$salt$2${made.upper()}", "password")


@pytest.mark.parametrize(
    "stored",
    [
        "{NOSUCH}x",
        "{PLAIN.rot13}x",
        "{PLAIN.b64}!!!",
        "{PLAIN.hex}xyz",
        "{SSHA}AAAA",
        "{SSHA}" + b64(b"x" * 20),
        "{ARGON2ID}nonsense",
        "{ARGON2ID}$argon2id$v=19$m=1$broken",
        "{BLF-CRYPT}nonsense",
        "{SHA512-CRYPT}nonsense",
        "{CRYPT}$1$abc$def",
        "{PBKDF2}$1$salt$0$" + "0" * 40,
        "{PBKDF2}x",
        "{SHA}AAAA",
        "{CRAM-MD5}00",
        "{DIGEST-MD5}xyz",
        "{PLAIN-TRUNC}secret",
        "{PLAIN-TRUNC}0-secret",
        "{CRYPT}*",
        "{SCRAM-SHA-256}4096,AAAA,BBBB",
        "{SCRAM-SHA-256}0,AAAA,BBBB,CCCC",
        "{SCRAM-SHA-256}4096,!,B,C",
        "{SCRAM-SHA-256}4096,AAAA,AAAA,AAAA",
    ],
)
def test_broken_data_are_not_a_wrong_password(stored: str) -> None:
    with pytest.raises(SchemeError):
        verify(stored, "secret")


def test_bad_requests() -> None:
    with pytest.raises(SchemeError):
        hash_password("NOSUCH", "x")
    with pytest.raises(SchemeError):
        hash_password("SSHA", "")


@given(st.text(), st.text())
def test_verify_never_raises_anything_else(stored: str, password: str) -> None:
    for scheme in ("PLAIN", "SSHA", "SSHA512", "SCRAM-SHA-256", "CRYPT", "ARGON2ID", "BLF-CRYPT"):
        try:
            assert verify(stored, password, scheme) in (True, False)
        except SchemeError:
            pass


def test_scram_secrets() -> None:
    stored = hash_password("SCRAM-SHA-256", "secret")
    held = scram_secret(stored, "PLAIN", "sha256", b"unused")
    assert held is not None
    assert held.salt != b"unused"
    assert scram_secret(stored, "PLAIN", "sha1", b"salt") is None
    made = scram_secret("secret", "PLAIN", "sha256", held.salt)
    assert made == held
    assert scram_secret("{SSHA}AAAA", "PLAIN", "sha256", b"salt") is None
    with pytest.raises(SchemeError):
        scram_secret("{NOSUCH}x", "PLAIN", "sha256", b"salt")


def test_hasher_is_off_the_loop_for_slow_schemes() -> None:
    async def main() -> None:
        hasher = Hasher(2)
        stored = hash_password("SHA512-CRYPT", "secret")
        assert is_slow(stored)
        assert not is_slow("{SSHA}x")
        found = await asyncio.gather(
            *(hasher.verify(stored, password, "PLAIN") for password in ("secret", "wrong") * 3)
        )
        assert found == [True, False] * 3
        with pytest.raises(SchemeError):
            await hasher.verify("{ARGON2ID}x", "secret", "PLAIN")
        await hasher.decoy(None, "x", "ARGON2ID")
        await hasher.decoy("{NOSUCH}x", "x", "ARGON2ID")
        assert await hasher.scram_secret("secret", "PLAIN", "sha1", b"salt") is not None
        hasher.close()

    asyncio.run(main())


@pytest.mark.parametrize("scheme", sorted(WEAK))
def test_weak_schemes_only_where_they_are_allowed(scheme: str) -> None:
    stored = hash_password(scheme, "secret", BOB)

    async def check(weak: bool) -> bool:
        hasher = Hasher(1, weak=weak)
        try:
            return await hasher.verify(stored, "secret", "PLAIN", BOB)
        finally:
            hasher.close()

    assert asyncio.run(check(True))
    with pytest.raises(SchemeError, match="auth_allow_weak_schemes"):
        asyncio.run(check(False))


def test_crypt_is_as_weak_as_what_it_holds() -> None:
    weak = "{CRYPT}$1$rasmusle$rISCgZzpwk3UhDidwXvin0"
    with pytest.raises(SchemeError, match="weak"):
        verify(weak, "rasmuslerdorf", weak=False)
    strong = "{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
    assert verify(strong, "Hello world!", weak=False)


@pytest.mark.skipif(unix_crypt._library() is None, reason="no libcrypt")
def test_the_systems_crypt() -> None:
    assert verify("{CRYPT}rl.3StKT.4T8M", "rasmuslerdorf")
    assert not verify("{CRYPT}rl.3StKT.4T8M", "Rasmuslerdorf")
    yescrypt = unix_crypt.crypt(b"secret", "$y$j75$saltsalt")
    assert verify("{CRYPT}" + yescrypt, "secret", weak=False)
    assert not verify("{CRYPT}" + yescrypt, "Secret", weak=False)
    for password in (b"", b"x", b"secret", b"x" * 100):
        theirs = unix_crypt.crypt(password, "$1$saltsalt$")
        assert verify("{MD5-CRYPT}" + theirs, password.decode())
    with pytest.raises(unix_crypt.NoCrypt):
        unix_crypt.crypt(b"a\0b", "$y$j75$saltsalt")


def test_digest_md5_is_bound_to_the_name() -> None:
    stored = hash_password("DIGEST-MD5", "secret", BOB)
    assert not verify(stored, "secret", user="sue@example.com")
    with pytest.raises(SchemeError):
        hash_password("DIGEST-MD5", "secret")


@pytest.mark.parametrize("kind", ["CRAM-MD5", "DIGEST-MD5", "PLAIN"])
def test_secrets_of_mechanisms(kind: SecretKind) -> None:
    asked = FetchSecret(BOB, kind, "", "example.com", "bob")
    expected = {
        "CRAM-MD5": cram_md5.states(b"secret"),
        "DIGEST-MD5": digest_md5.stored("bob", "example.com", b"secret"),
        "PLAIN": b"secret",
    }[kind]
    assert mechanism_secret("secret", "PLAIN", asked) == expected
    stored = hash_password(kind, "secret", BOB)
    assert mechanism_secret(stored, "PLAIN", asked) == expected
    assert mechanism_secret("{SSHA}AAAA", "PLAIN", asked) is None
    if kind != "PLAIN":
        with pytest.raises(SchemeError, match="weak"):
            mechanism_secret(stored, "PLAIN", asked, weak=False)


def test_what_needs_rehashing() -> None:
    assert needs_rehash("secret", "PLAIN", "ARGON2ID")
    assert needs_rehash("{SSHA}x", "PLAIN", "argon2id")
    made = hash_password("ARGON2ID", "secret")
    assert not needs_rehash(made, "PLAIN", "ARGON2ID")
    dearer = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash("secret")
    assert needs_rehash("{ARGON2ID}" + dearer, "PLAIN", "ARGON2ID")
