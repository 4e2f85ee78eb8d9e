"""Where redirects lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.http.redirect import InvalidUrl, Target, follow, parse_url

START = parse_url("https://a.example/dir/page?q=1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example", Target("http", "a.example", 80, "/")),
        ("HTTPS://A.example:444/x?y#z", Target("https", "a.example", 444, "/x?y")),
        ("http://[2001:db8::1]:81/", Target("http", "2001:db8::1", 81, "/")),
        ("https://me:p%40ss@a.example/", Target("https", "a.example", 443, "/", "me", "p@ss")),
    ],
)
def test_urls(url: str, expected: Target) -> None:
    assert parse_url(url) == expected


def test_a_url_without_secrets() -> None:
    assert parse_url("https://me:pass@a.example:443/x?y").url == "https://a.example/x?y"
    assert parse_url("http://[2001:db8::1]:81/").url == "http://[2001:db8::1]:81/"


@pytest.mark.parametrize(
    "url",
    [
        "", "a.example", "ftp://a.example/", "http://", "http://a:0/", "http://a:99999/",
        "http://a.example/\r\nX: y", "http://a example/", "http://[::1/", "file:///etc/passwd",
        "http://x@]:/", "http://[::1%25eth0]/",
        "http://ä.example/", "http://a%2fb/", "http://a/" + "x" * 9000,
    ],
)  # fmt: skip
def test_no_urls(url: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_url(url)


@pytest.mark.parametrize(
    ("method", "status", "becomes", "body"),
    [
        ("GET", 301, "GET", True),
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("PUT", 302, "PUT", True),
        ("POST", 303, "GET", False),
        ("HEAD", 303, "HEAD", True),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
    ],
)
def test_methods(method: str, status: int, becomes: str, body: bool) -> None:
    step = follow(method, START, status, "/other")
    assert (step.method, step.keeps_body) == (becomes, body)
    assert step.target.url == "https://a.example/other"


@pytest.mark.parametrize(
    ("location", "url", "keeps"),
    [
        ("next?r=2", "https://a.example/dir/next?r=2", True),
        ("//a.example/x", "https://a.example/x", True),
        ("https://a.example:443/x", "https://a.example/x", True),
        ("http://a.example/x", "http://a.example/x", False),
        ("https://b.example/x", "https://b.example/x", False),
        ("https://a.example:444/x", "https://a.example:444/x", False),
    ],
)
def test_places(location: str, url: str, keeps: bool) -> None:
    step = follow("GET", START, 302, location)
    assert (step.target.url, step.keeps_credentials) == (url, keeps)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[x", "http://a b/"])
def test_nowhere(location: str) -> None:
    with pytest.raises(InvalidUrl):
        follow("GET", START, 302, location)


@given(st.text())
def test_anything(location: str) -> None:
    try:
        step = follow("GET", START, 302, location)
    except InvalidUrl:
        return
    assert parse_url(step.target.url).origin == step.target.origin
