"""Addresses of name servers."""

from __future__ import annotations

import msgspec
import pytest

from pillarbox.settings.check import check
from pillarbox.settings.model import Settings
from pillarbox.settings.nameservers import server_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
    ],
)
def test_server_addresses(text: str, expected: tuple[str, int]) -> None:
    assert server_address(text) == expected


@pytest.mark.parametrize("text", ["", "ns.test", "192.0.2.1:x", "[::1]x"])
def test_no_server_addresses(text: str) -> None:
    with pytest.raises(ValueError):
        server_address(text)


def test_they_are_checked() -> None:
    def findings(**changes: object) -> list[str]:
        settings = msgspec.structs.replace(Settings(), **changes)
        return [f.text for f in check(settings) if f.path[0] in changes]

    assert findings(dns_nameservers=("192.0.2.1", "[::1]:53")) == []
    assert findings(dns_nameservers=("ns.example.com",)) == [
        "'ns.example.com' is no address of a name server"
    ]


def test_a_policy_server_needs_a_nonce() -> None:
    url = {"auth_policy_server_url": "http://policy.example/"}
    found = [f.text for f in check(msgspec.structs.replace(Settings(), **url))]
    assert "auth_policy_server_url needs auth_policy_hash_nonce" in found
    both = msgspec.structs.replace(Settings(), **url, auth_policy_hash_nonce="x")
    assert not [f for f in check(both) if f.path[0].startswith("auth_policy")]
