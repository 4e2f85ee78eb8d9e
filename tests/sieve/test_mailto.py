"""mailto URIs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.sieve.mailto import parse


def test_everything() -> None:
    found = parse(
        "mailto:a@example.org,b%2Bc@example.org?to=d@example.org&cc=e@example.org"
        "&bcc=f@example.org&subject=A%20b&body=x%0D%0Ay&X-Own=1"
    )
    assert found.to == ["a@example.org", "b+c@example.org", "d@example.org"]
    assert (found.cc, found.bcc) == (["e@example.org"], ["f@example.org"])
    assert (found.subject, found.body) == ("A b", "x\r\ny")
    assert found.headers == [("X-Own", "1")]


@pytest.mark.parametrize("name", ["From", "date", "Message-ID", "Auto-Submitted", "Resent-To"])
def test_fields_that_must_not_come_from_outside(name: str) -> None:
    assert parse(f"mailto:a@example.org?{name}=x").headers == []


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/",
        "mailto",
        "mailto:nobody",
        "mailto:a@example.org?subject",
        "mailto:a@example.org?a%20b=c",
        "mailto:a@example.org?x%0Ay=c",
        "mailto:a b@example.org",
        "mailto:a@example.org?subject=100%",
        "mailto:a@example.org#x",
        "mailto:?to=" + ",".join(f"u{n}@example.org" for n in range(101)),
    ],
)
def test_what_is_wrong(uri: str) -> None:
    with pytest.raises(ValueError, match=r"URI|address|field|encoding"):
        parse(uri)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse("mailto:" + text)
    except ValueError:
        return
    for name, _ in found.headers:
        assert name.isascii()
        assert ":" not in name
        assert "\n" not in name
