"""Password schemes: what others stored can be verified, what we make too, broken data are told."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.auth import schemes
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.schemes import (
    SCHEMES,
    SchemeError,
    hash_password,
    is_slow,
    scram_secret,
    verify,
)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real schemes, cheap parameters."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(schemes, "_ARGON2", cheap)
    monkeypatch.setattr(schemes, "BCRYPT_COST", 4)
    monkeypatch.setattr(schemes, "PBKDF2_ITERATIONS", 10)
    monkeypatch.setattr(schemes, "SHA_CRYPT_ROUNDS", 1000)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("password", ["secret", "sécret ☃", "x" * 100, "a:b{c}"])
def test_round_trip(scheme: str, password: str) -> None:
    stored = hash_password(scheme, password)
    assert stored.startswith(f"{{{scheme}}}")
    assert verify(stored, password)
    if len(password) < 72:
        assert not verify(stored, password + "x")
    assert not verify(stored, "X" + password)
    assert not verify(stored, "")
    bare = stored.split("}", 1)[1]
    assert verify(bare, password, scheme)


@pytest.mark.parametrize("scheme", sorted(set(SCHEMES) - {"PLAIN", "CLEARTEXT"}))
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
