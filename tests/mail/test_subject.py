"""Base subjects (RFC 5256 section 2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.subject import base_subject


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("", ("", False)),
        ("hello", ("hello", False)),
        ("  hello \t there ", ("hello there", False)),
        ("Re: hello", ("hello", True)),
        ("RE : Re: FW: Fwd: hello", ("hello", True)),
        ("Re[2]: hello", ("hello", True)),
        ("[list] hello", ("hello", False)),
        ("[list] Re: [list] hello", ("hello", True)),
        ("[list] [other] Re [x]: hello", ("hello", True)),
        ("hello (fwd)", ("hello", True)),
        ("hello (fwd) (FWD) ", ("hello", True)),
        ("[fwd: hello]", ("hello", True)),
        ("[Fwd: Re: hello (fwd)]", ("hello", True)),
        ("[only]", ("[only]", False)),
        ("Re: [only]", ("[only]", True)),
        ("Re:", ("", True)),
        ("Regarding: x", ("Regarding: x", False)),
        ("AW: x", ("AW: x", False)),
    ],
)
def test_base_subject(subject: str, expected: tuple[str, bool]) -> None:
    assert base_subject(subject) == expected


@given(st.text(st.sampled_from("reRE fwd:[]()x\t"), max_size=40))
def test_settles(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject(base)[0] == base
    assert base == base.strip()


def test_hostile_length_is_cut() -> None:
    base_subject("[a]" * 100_000)
    base_subject("[fwd:" * 100_000 + "]" * 100_000)
