"""encoded-character, with the examples of RFC 5228 section 2.4.2.4."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.sieve.strings import decode_encoded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$${hex:40}", "$@"),
        ("${hex: 40 }", "@"),
        ("${HEX: 40}", "@"),
        ("${hex:40", "${hex:40"),
        ("${hex:400}", "${hex:400}"),
        ("${hex:4${hex:30}}", "${hex:40}"),
        ("${unicode:40}", "@"),
        ("${ unicode:40}", "${ unicode:40}"),
        ("${UNICODE:40}", "@"),
        ("${UnICoDE:0000040}", "@"),
        ("${Unicode:40}", "@"),
        ("${Unicode:Cool}", "${Unicode:Cool}"),
        ("${hex:c3}${hex:a9}", "é"),
        ("${hex:C3 A9  21}", "é!"),
        ("${unicode:20AC 1F600}", "€😀"),
        ("${hex:}", "${hex:}"),
        ("${hex:4}", "${hex:4}"),
    ],
)
def test_decoding(text: str, expected: str) -> None:
    assert decode_encoded(text) == expected


@pytest.mark.parametrize(
    "text", ["${unicode:200000}", "${Unicode:DF01}", "${unicode:110000}", "${hex:ff}", "${hex:c3}"]
)
def test_refused(text: str, problems: Callable[..., list[str]]) -> None:
    with pytest.raises(ValueError):
        decode_encoded(text)
    source = f'require ["encoded-character", "fileinto"]; fileinto "{text}";'
    assert len(problems(source)) == 1
    assert problems(f'require "fileinto"; fileinto "{text}";') == []
