"""The PROXY header that we send is the one that we read."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.haproxy.header import parse
from pillarbox.wire.haproxy.render import render

ends = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))


def plain(address: str) -> str:
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


@given(ends, ends)
def test_round_trip(source: tuple[str, int], destination: tuple[str, int]) -> None:
    data = render(source, destination)
    header = parse(data + b"more")
    assert header.length == len(data)
    for end, given_end in ((header.source, source), (header.destination, destination)):
        assert end is not None
        assert (plain(end[0]), end[1]) == (plain(given_end[0]), given_end[1])


def test_without_ends_the_proxy_speaks_for_itself() -> None:
    for one, other in ((None, None), (("192.0.2.1", 1), None), (None, ("192.0.2.1", 1))):
        header = parse(render(one, other))
        assert header.source is None
        assert header.destination is None
