"""Modified UTF-7: the RFC's example, strictness, round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap import utf7

NAMES = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("INBOX", b"INBOX"),
        ("~peter/mail/日本語/台北", b"~peter/mail/&ZeVnLIqe-/&U,BTFw-"),
        ("a&b", b"a&-b"),
        ("&é", b"&-&AOk-"),
        ("😀", b"&2D3eAA-"),
        ("", b""),
    ],
)
def test_examples(name: str, raw: bytes) -> None:
    assert utf7.encode(name) == raw
    assert utf7.decode(raw) == name


@given(NAMES)
def test_round_trip(name: str) -> None:
    assert utf7.decode(utf7.encode(name)) == name


@given(st.binary(max_size=40) | NAMES.map(utf7.encode))
def test_whatever_decodes_has_one_spelling(raw: bytes) -> None:
    try:
        name = utf7.decode(raw)
    except utf7.Utf7Error:
        return
    assert utf7.encode(name) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"&",
        b"&AOk",
        b"&AGE-",
        b"&AOk-&AOk-",
        b"&AOl-x&-&AGEA6Q-",
        b"&2D0-",
        b"&A-",
        b"caf\xc3\xa9",
        b"a\x00b",
        b"&AO k-",
    ],
)
def test_refuses(raw: bytes) -> None:
    with pytest.raises(utf7.Utf7Error):
        utf7.decode(raw)


def test_refuses_lone_surrogates() -> None:
    with pytest.raises(utf7.Utf7Error):
        utf7.encode("a\ud800")
