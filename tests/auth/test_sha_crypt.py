"""SHA-crypt: the specification's vectors, and library and own code against each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.auth import sha_crypt

VECTORS = [
    (
        "$5$saltstring",
        "Hello world!",
        "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
    ),
    (
        "$6$saltstring",
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYE"
        "dFCoEOfaS35inz1",
    ),
    (
        "$6$rounds=10000$saltstringsaltstring",
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8"
        "vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
    (
        "$6$rounds=10$roundstoolow",
        "the minimum number is still observed",
        "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF"
        "4ZEQpyUNGc0dqbpBYYBaHHrsX.",
    ),
]


@pytest.mark.parametrize(("setting", "password", "expected"), VECTORS)
def test_vectors(setting: str, password: str, expected: str) -> None:
    assert sha_crypt.crypt_slowly(password.encode(), setting) == expected
    assert sha_crypt.crypt_slowly(password.encode(), expected) == expected
    assert sha_crypt.crypt(password.encode(), expected) == expected


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from("56"),
    st.binary(max_size=140).filter(lambda b: b"\0" not in b),
    st.text("abcXYZ019./", min_size=1, max_size=16),
)
def test_library_and_own_code_agree(kind: str, password: bytes, salt: str) -> None:
    setting = f"${kind}$rounds=1000${salt}"
    assert sha_crypt.crypt(password, setting) == sha_crypt.crypt_slowly(password, setting)


@pytest.mark.parametrize("setting", ["", "$1$salt", "$7$salt$x", "plain", "$6"])
def test_not_a_setting(setting: str) -> None:
    with pytest.raises(ValueError):
        sha_crypt.crypt(b"x", setting)
    with pytest.raises(ValueError):
        sha_crypt.crypt_slowly(b"x", setting)


def test_nul_is_refused() -> None:
    with pytest.raises(ValueError):
        sha_crypt.crypt(b"a\0b", "$6$salt")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha_crypt, "_found", [None])
    setting, password, expected = VECTORS[0]
    assert sha_crypt.crypt(password.encode(), setting) == expected
