"""The PROXY protocol header, versions 1 (text) and 2 (binary), as a proxy sends it before a
connection's own bytes.

`parse` is pure: it gets all bytes from the start of the connection and returns the header, whose
``length`` says where the connection's own bytes begin, or raises `NeedMore` or `HeaderError`.
While it raises NeedMore, every byte it was given belongs to the header; the caller may therefore
peek at a socket, take what is certainly the header's, and leave the rest for TLS.

Both versions follow the PROXY protocol specification of HAProxy (2.1, 2.2).  ``UNKNOWN`` and
``LOCAL`` give a header without addresses: the connection speaks for the proxy itself.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from typing import Final, NoReturn

SIGNATURE_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
SIGNATURE_V1: Final = b"PROXY "
MAX_V1: Final = 107
MAX_V2: Final = 16 + 4096

TLV_ALPN: Final = 0x01
TLV_AUTHORITY: Final = 0x02
TLV_CRC32C: Final = 0x03
TLV_SSL: Final = 0x20
SUB_SSL_VERSION: Final = 0x21
SUB_SSL_CN: Final = 0x22
SUB_SSL_CIPHER: Final = 0x23

_CLIENT_SSL: Final = 0x01


class NeedMore(Exception):
    """The header is not complete yet; all bytes so far belong to it."""


class HeaderError(Exception):
    """These bytes are no PROXY header; ``at`` is the offset of the first wrong one."""

    def __init__(self, at: int, expected: str) -> None:
        super().__init__(f"at byte {at}: expected {expected}")
        self.at = at
        self.expected = expected


@dataclass(frozen=True, slots=True)
class ProxySsl:
    """What the proxy says of the client's TLS: ``verified`` only if it sent a valid certificate."""

    version: str | None = None
    cipher: str | None = None
    common_name: str | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A parsed header of ``length`` bytes.

    ``source`` and ``destination`` are (address, port) or None when the proxy speaks for itself
    or for a UNIX socket.  ``ssl`` is None unless the client reached the proxy over TLS.
    """

    version: int
    length: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    authority: str | None = None
    alpn: bytes | None = None
    ssl: ProxySsl | None = None
    tlvs: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)


def parse(data: bytes) -> ProxyHeader:
    """The header that ``data`` begins with.  Raises NeedMore or HeaderError."""
    if data[:1] == b"P" or not data:
        return _parse_v1(data)
    if data[:12] == SIGNATURE_V2[: len(data[:12])]:
        return _parse_v2(data)
    raise HeaderError(_mismatch(data, SIGNATURE_V2), "a PROXY header")


def _wrong(at: int, expected: str) -> NoReturn:
    raise HeaderError(at, expected)


def _mismatch(data: bytes, wanted: bytes) -> int:
    pairs = enumerate(zip(data, wanted, strict=False))
    return next((i for i, (a, b) in pairs if a != b), 0)


def _parse_v1(data: bytes) -> ProxyHeader:
    start = data[: len(SIGNATURE_V1)]
    if start != SIGNATURE_V1[: len(start)]:
        _wrong(_mismatch(data, SIGNATURE_V1), "'PROXY '")
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            _wrong(MAX_V1, "CRLF")
        if b"\n" in data or b"\0" in data:
            _wrong(min(i for i in (data.find(b"\n"), data.find(b"\0")) if i >= 0), "CRLF")
        raise NeedMore
    words = data[:end].split(b" ")
    length = end + 2
    if words[1] == b"UNKNOWN":
        return ProxyHeader(1, length)
    if words[1] not in (b"TCP4", b"TCP6"):
        _wrong(6, "TCP4, TCP6 or UNKNOWN")
    if len(words) != 6:
        _wrong(end, "two addresses and two ports")
    family = 4 if words[1] == b"TCP4" else 6
    at = 11
    source, at = _v1_address(words[2], family, at)
    destination, at = _v1_address(words[3], family, at)
    source_port, at = _v1_port(words[4], at)
    destination_port, at = _v1_port(words[5], at)
    return ProxyHeader(1, length, (source, source_port), (destination, destination_port))


def _v1_address(word: bytes, family: int, at: int) -> tuple[str, int]:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        _wrong(at, f"an IPv{family} address")
    if address.version != family or b"%" in word:
        _wrong(at, f"an IPv{family} address")
    return str(address), at + len(word) + 1


def _v1_port(word: bytes, at: int) -> tuple[int, int]:
    leading_zero = word[:1] == b"0" and len(word) > 1
    if not word.isdigit() or len(word) > 5 or leading_zero or int(word) > 65535:
        _wrong(at, "a port")
    return int(word), at + len(word) + 1


def _parse_v2(data: bytes) -> ProxyHeader:
    if len(data) < 16:
        if len(data) > 12 and data[12] not in (0x20, 0x21):
            _wrong(12, "version 2 and command LOCAL or PROXY")
        raise NeedMore
    command, family, size = struct.unpack_from("!BBH", data, 12)
    if command not in (0x20, 0x21):
        _wrong(12, "version 2 and command LOCAL or PROXY")
    length = 16 + size
    if length > MAX_V2:
        _wrong(14, f"at most {MAX_V2 - 16} bytes")
    if len(data) < length:
        raise NeedMore
    body = data[16:length]
    if command == 0x20:
        return ProxyHeader(2, length)
    source, destination, used = _v2_addresses(family, body)
    tlvs = _tlvs(body, used, 16)
    found = dict(tlvs)
    if TLV_CRC32C in found:
        _check_crc(data[:length], found[TLV_CRC32C])
    authority = found.get(TLV_AUTHORITY)
    return ProxyHeader(
        2,
        length,
        source,
        destination,
        None if authority is None else authority.decode("utf-8", "replace"),
        found.get(TLV_ALPN),
        _ssl(found.get(TLV_SSL)),
        tlvs,
    )


_Address = tuple[str, int] | None


def _v2_addresses(family: int, body: bytes) -> tuple[_Address, _Address, int]:
    kind = family >> 4
    if kind == 0:
        return None, None, 0
    if family & 0x0F not in (1, 2) or kind > 3:
        _wrong(13, "an address family and a protocol that exist")
    if kind == 3:
        if len(body) < 216:
            _wrong(14, "at least 216 bytes of UNIX addresses")
        return None, None, 216
    size, af = (4, socket.AF_INET) if kind == 1 else (16, socket.AF_INET6)
    if len(body) < 2 * size + 4:
        _wrong(14, f"at least {2 * size + 4} bytes of addresses")
    source, destination, source_port, destination_port = struct.unpack_from(
        f"!{size}s{size}sHH", body
    )
    return (
        (socket.inet_ntop(af, source), source_port),
        (socket.inet_ntop(af, destination), destination_port),
        2 * size + 4,
    )


def _tlvs(body: bytes, at: int, base: int) -> tuple[tuple[int, bytes], ...]:
    """The type-length-value records from ``at`` to the end of ``body``."""
    records = []
    while at < len(body):
        if len(body) - at < 3:
            _wrong(base + at, "a TLV of at least 3 bytes")
        kind, size = struct.unpack_from("!BH", body, at)
        if at + 3 + size > len(body):
            _wrong(base + at + 1, "a TLV within the header")
        records.append((kind, body[at + 3 : at + 3 + size]))
        at += 3 + size
    return tuple(records)


def _ssl(value: bytes | None) -> ProxySsl | None:
    if value is None or len(value) < 5 or not value[0] & _CLIENT_SSL:
        return None
    verify = struct.unpack_from("!I", value, 1)[0]
    parts = {kind: v.decode("utf-8", "replace") for kind, v in _tlvs(value, 5, 0)}
    has_certificate = bool(value[0] & 0x06)
    return ProxySsl(
        parts.get(SUB_SSL_VERSION),
        parts.get(SUB_SSL_CIPHER),
        parts.get(SUB_SSL_CN),
        verify == 0 and has_certificate,
    )


def _check_crc(header: bytes, value: bytes) -> None:
    """Specification 2.2.3: the checksum is that of the header with the value's bytes zeroed."""
    if len(value) != 4:
        _wrong(14, "a CRC32c of 4 bytes")
    at = header.find(bytes((TLV_CRC32C, 0, 4)) + value, 16) + 3
    zeroed = header[:at] + bytes(4) + header[at + 4 :]
    if crc32c(zeroed) != int.from_bytes(value, "big"):
        _wrong(at, "the right CRC32c")


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 4960 appendix B) of ``data``."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
