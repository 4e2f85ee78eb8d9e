"""The PROXY protocol header, whole, byte by byte, and made up at random."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.haproxy.header import (
    SIGNATURE_V2,
    HeaderError,
    NeedMore,
    ProxyHeader,
    ProxySsl,
    crc32c,
    parse,
)


def v2(
    command: int = 0x21, family: int = 0x11, addresses: bytes | None = None, tlvs: bytes = b""
) -> bytes:
    """A version 2 header."""
    if addresses is None:
        addresses = bytes((192, 0, 2, 1, 198, 51, 100, 2)) + struct.pack("!HH", 40000, 143)
    body = addresses + tlvs
    return SIGNATURE_V2 + struct.pack("!BBH", command, family, len(body)) + body


def tlv(kind: int, value: bytes) -> bytes:
    """One type-length-value record."""
    return struct.pack("!BH", kind, len(value)) + value


SSL_TLV = tlv(
    0x20,
    bytes((0x07,))
    + bytes(4)
    + tlv(0x21, b"TLSv1.3")
    + tlv(0x23, b"TLS_AES_128_GCM_SHA256")
    + tlv(0x22, b"bob"),
)

GOOD = [
    (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 143\r\n",
        ("192.0.2.1", 40000),
        ("198.51.100.2", 143),
    ),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", ("2001:db8::1", 1), ("2001:db8::2", 65535)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", None, None),
    (v2(), ("192.0.2.1", 40000), ("198.51.100.2", 143)),
    (v2(command=0x20), None, None),
    (v2(command=0x20, family=0, addresses=b""), None, None),
    (v2(family=0, addresses=b"", tlvs=tlv(0x04, b"")), None, None),
    (v2(family=0x31, addresses=bytes(216)), None, None),
    (
        v2(
            family=0x21,
            addresses=socket.inet_pton(socket.AF_INET6, "2001:db8::1")
            + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
            + struct.pack("!HH", 9, 10),
        ),
        ("2001:db8::1", 9),
        ("2001:db8::2", 10),
    ),
]


@pytest.mark.parametrize(("data", "source", "destination"), GOOD)
def test_addresses(
    data: bytes, source: tuple[str, int] | None, destination: tuple[str, int] | None
) -> None:
    header = parse(data + b"a1 NOOP\r\n")
    assert header.length == len(data)
    assert (header.source, header.destination) == (source, destination)


@pytest.mark.parametrize("data", [data for data, _, _ in GOOD] + [v2(tlvs=SSL_TLV)])
def test_every_beginning_needs_more(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(NeedMore):
            parse(data[:end])
    assert parse(data).length == len(data)


BAD = [
    (b"a1 LOGIN bob secret\r\n", 0),
    (b"PROXX TCP4", 4),
    (b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", 6),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", 35),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", 39),
    (b"PROXY TCP4 2001:db8::1 198.51.100.2 1 2\r\n", 11),
    (b"PROXY TCP6 fe80::1%1 fe80::2 1 2\r\n", 11),
    (b"PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n", 21),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", 34),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", 34),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", 34),
    (b"PROXY TCP4 192.0.2.1\n", 20),
    (b"PROXY TCP4 " + b"1" * 100, 107),
    (SIGNATURE_V2 + b"\x31\x11\0\0", 12),
    (SIGNATURE_V2 + b"\x22", 12),
    (v2(family=0x13), 13),
    (v2(family=0x41), 13),
    (v2(addresses=b"1234567"), 14),
    (v2(family=0x21), 14),
    (v2(family=0x31), 14),
    (v2(tlvs=b"\x01\x00"), 28),
    (v2(tlvs=b"\x01\x00\x05abc"), 29),
    (v2(tlvs=bytes(5000)), 14),
    (v2(tlvs=tlv(0x03, b"abcd")), 31),
    (b"\r\n\r\n\0\r\nQUIX\n", 10),
]


@pytest.mark.parametrize(("data", "at"), BAD)
def test_what_is_no_header_is_refused_where_it_goes_wrong(data: bytes, at: int) -> None:
    with pytest.raises(HeaderError) as caught:
        parse(data)
    assert caught.value.at == at


@pytest.mark.parametrize(("data", "at"), BAD)
def test_a_wrong_header_never_becomes_a_right_one_on_the_way(data: bytes, at: int) -> None:
    for end in range(len(data)):
        try:
            parse(data[:end])
        except (NeedMore, HeaderError):
            continue
        pytest.fail(f"accepted {data[:end]!r}")


def test_tls_of_the_client() -> None:
    header = parse(v2(tlvs=SSL_TLV + tlv(0x02, b"mail.example.com") + tlv(0x01, b"imap")))
    assert header.ssl == ProxySsl("TLSv1.3", "TLS_AES_128_GCM_SHA256", "bob", True)
    assert (header.authority, header.alpn) == ("mail.example.com", b"imap")


@pytest.mark.parametrize(
    ("flags", "verify", "expected"),
    [(0, 0, None), (1, 0, False), (3, 1, False), (3, 0, True), (5, 0, True)],
)
def test_a_certificate_counts_only_if_sent_and_verified(
    flags: int, verify: int, expected: bool | None
) -> None:
    header = parse(v2(tlvs=tlv(0x20, bytes((flags,)) + struct.pack("!I", verify))))
    assert (header.ssl.verified if header.ssl is not None else None) is expected


def test_checksum() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    without = v2(tlvs=tlv(0x03, bytes(4)))
    data = without[:-4] + struct.pack("!I", crc32c(without))
    assert parse(data).source == ("192.0.2.1", 40000)


@given(
    st.ip_addresses(),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.booleans(),
)
def test_round_trip(address: object, port: int, other: int, binary: bool) -> None:
    text = str(address)
    six = ":" in text
    if binary:
        packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, text)
        addresses = packed + packed + struct.pack("!HH", port, other)
        data = v2(family=0x21 if six else 0x11, addresses=addresses)
    else:
        data = f"PROXY TCP{6 if six else 4} {text} {text} {port} {other}\r\n".encode()
    header = parse(data)
    assert isinstance(header, ProxyHeader)
    assert header.source is not None
    assert header.destination is not None
    assert ipaddress.ip_address(header.source[0]) == address
    assert header.source[0] == header.destination[0]
    assert (header.source[1], header.destination[1]) == (port, other)


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", SIGNATURE_V2]))
def test_anything_is_a_header_or_needs_more_or_is_wrong(data: bytes, start: bytes) -> None:
    try:
        header = parse(start + data)
    except (NeedMore, HeaderError):
        return
    assert 0 < header.length <= len(start + data)
