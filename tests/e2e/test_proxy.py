"""The PROXY protocol in front of IMAP and LMTP: who is believed, and what is made of it."""

from __future__ import annotations

import ipaddress
import ssl
import struct
import time
import zlib
from collections.abc import Iterator

import pytest
from certificates import Authority
from raw import Imap, Lmtp, connect, message
from running import PASSWORD, USERS, Running, free_port, running

pytestmark = pytest.mark.e2e

V1 = b"PROXY TCP4 192.0.2.9 198.51.100.2 4242 143\r\n"
V1_SIX = b"PROXY TCP6 2001:db8::9 2001:db8::2 4242 143\r\n"
TRUSTED = "127.0.0.1"
STRANGER = "127.0.0.2"


class Proxied(Running):
    """A server whose three kinds of listeners also stand behind a proxy."""

    proxied_imap: int
    proxied_imaps: int
    proxied_lmtp: int


def v2(remote: str, local: str, *, command: int = 1, tlvs: bytes = b"") -> bytes:
    """A version 2 header for a TCP connection."""
    ends = [ipaddress.ip_address(end) for end in (remote, local)]
    family = 0x11 if ends[0].version == 4 else 0x21
    body = b"".join(end.packed for end in ends) + struct.pack(">HH", 4242, 143) + tlvs
    head = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family])
    return head + struct.pack(">H", len(body)) + body


def tlv(kind: int, value: bytes) -> bytes:
    """A type-length-value part of a version 2 header."""
    return struct.pack(">BH", kind, len(value)) + value


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Proxied]:
    ports = [free_port() for _ in range(3)]
    options = f"""
ssl_server_cert_file = "{authority.make("mail.example.com")}"
haproxy_trusted_networks = ["{TRUSTED}/32"]
haproxy_timeout = "2 s"
"""
    blocks = f"""
[service.imap_login]
process_limit = 1
[service.imap_login.inet_listener.proxied]
port = {ports[0]}
haproxy = true
[service.imap_login.inet_listener.proxied-tls]
port = {ports[1]}
haproxy = true
ssl = true
[service.lmtp]
process_limit = 1
[service.lmtp.inet_listener.proxied]
port = {ports[2]}
haproxy = true
[service.imap]
process_limit = 1
"""
    folder = tmp_path_factory.mktemp("server")
    with running(folder, options=options, blocks=blocks, cleartext=False, make=Proxied) as one:
        assert isinstance(one, Proxied)
        one.proxied_imap, one.proxied_imaps, one.proxied_lmtp = ports
        yield one


@pytest.mark.parametrize(
    ("header", "remote", "local"),
    [
        (V1, "192.0.2.9", "198.51.100.2"),
        (V1_SIX, "2001:db8::9", "2001:db8::2"),
        (v2("192.0.2.10", "198.51.100.3"), "192.0.2.10", "198.51.100.3"),
        (v2("2001:db8::10", "2001:db8::3"), "2001:db8::10", "2001:db8::3"),
        (
            v2("192.0.2.11", "198.51.100.4", tlvs=tlv(0x02, b"ab") + tlv(0xE0, b"x" * 500)),
            "192.0.2.11",
            "198.51.100.4",
        ),
    ],
)
def test_the_client_behind_the_proxy(
    server: Proxied, authority: Authority, header: bytes, remote: str, local: str
) -> None:
    with Imap(server.proxied_imap, before=header) as client:
        assert b"LOGINDISABLED" in client.greeting  # a stranger's address: TLS first
        assert client.do(f"LOGIN {USERS[0]} {PASSWORD}").text.startswith("[PRIVACYREQUIRED]")
        client.starttls(authority.context())
        client.login()
        client.ok("SELECT INBOX")
        client.ok("LOGOUT")
    [ended] = server.wait_events("client_connection_disconnected", service="imap", remote_ip=remote)
    fields = ended["fields"]
    assert fields["local_ip"] == local
    assert (fields["remote_port"], fields["local_port"]) == (4242, 143)
    assert (fields["real_remote_ip"], fields["real_local_ip"]) == (TRUSTED, "127.0.0.1")
    [command] = server.wait_events("imap_command_finished", cmd_name="SELECT", remote_ip=remote)
    assert command["fields"]["user"] == USERS[0]


@pytest.mark.parametrize("header", [V1, v2("192.0.2.20", "198.51.100.2")])
def test_tls_behind_the_header_in_one_go(
    server: Proxied, authority: Authority, header: bytes
) -> None:
    """The ClientHello follows the header in the same packet and reaches the TLS library."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.context().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with connect(server.proxied_imaps) as sock:
        sock.sendall(header + outgoing.read())
        while True:
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
        sock.sendall(outgoing.read())
        while True:
            try:
                greeting = tls.read(4096)
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))
    assert greeting.startswith(b"* OK")
    assert b"LOGINDISABLED" not in greeting


def test_a_header_that_says_tls_counts_as_tls(server: Proxied) -> None:
    """PP2_TYPE_SSL: the proxy has ended TLS, so a password may follow in clear."""
    ssl_tlv = tlv(0x20, struct.pack(">BI", 1, 1) + tlv(0x21, b"TLSv1.3"))
    header = v2("192.0.2.30", "198.51.100.2", tlvs=ssl_tlv)
    with Imap(server.proxied_imap, before=header) as client:
        assert b"LOGINDISABLED" not in client.greeting
        client.login()


def test_a_checksum_is_checked(server: Proxied) -> None:
    bare = v2("192.0.2.40", "198.51.100.2", tlvs=tlv(0x03, b"\0\0\0\0"))
    crc = struct.pack(">I", crc32c(bare))
    good = v2("192.0.2.40", "198.51.100.2", tlvs=tlv(0x03, crc))
    with Imap(server.proxied_imap, before=good) as client:
        assert client.greeting.startswith(b"* OK")
    assert zlib.crc32(bare) != crc32c(bare)


def crc32c(data: bytes) -> int:
    """CRC-32C, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def test_a_check_of_the_proxy_itself(server: Proxied) -> None:
    """LOCAL and UNKNOWN: the connection is the proxy's own."""
    for header in (v2("192.0.2.50", "198.51.100.2", command=0), b"PROXY UNKNOWN\r\n"):
        with Imap(server.proxied_imap, before=header) as client:
            client.ok("NOOP")
            client.ok("LOGOUT")
    assert not server.events("client_connection_connected", remote_ip="192.0.2.50")


def test_headers_in_pieces(server: Proxied) -> None:
    for header in (V1, v2("192.0.2.60", "198.51.100.2")):
        sock = connect(server.proxied_imap)
        with sock:
            sock.setsockopt(6, 1, 1)  # TCP_NODELAY
            for at in range(len(header)):
                sock.sendall(header[at : at + 1])
            assert sock.recv(100).startswith(b"* OK")


def test_lmtp(server: Proxied) -> None:
    for number, header in enumerate((V1, v2("2001:db8::77", "2001:db8::2"))):
        with Lmtp(server.proxied_lmtp, before=header) as client:
            assert client.envelope(USERS[1])[0].startswith("250")
            assert client.data(message(f"by proxy {number}")).startswith("250")
    server.wait_events("mail_delivery_finished", rcpt_to=USERS[1], count=2)
    seen = {
        e["fields"]["remote_ip"]
        for e in server.events("smtp_server_transaction_finished")
        if e["fields"].get("real_remote_ip") == TRUSTED
    }
    assert {"192.0.2.9", "2001:db8::77"} <= seen
    with Imap(server.imap_port) as imap:
        imap.login(USERS[1]).ok("SELECT INBOX")
        assert b"192.0.2.9" in imap.fetch_body(1, "BODY.PEEK[HEADER.FIELDS (RECEIVED)]")


def test_untrusted_sources_are_refused(server: Proxied) -> None:
    for port in (server.proxied_imap, server.proxied_imaps, server.proxied_lmtp):
        with connect(port, source=STRANGER) as sock:
            sock.sendall(b"PROXY TCP4 203.0.113.1 198.51.100.2 4242 143\r\n")
            assert closed(sock)
    assert not server.events("client_connection_connected", remote_ip="203.0.113.1")
    server.wait_log("not in haproxy_trusted_networks")


GARBAGE = [
    b"a1 LOGIN alice secret\r\n",
    b"LHLO x\r\n",
    b"PROXY\r\n",
    b"PROXY TCP4 1.2.3.4\r\n",
    b"PROXY TCP4 999.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2" + b" " * 200,
    b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + b"\0" * 12,
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + b"\0" * 3000,
    b"\r\n\r\n\0\r\nQUIT\n\x2f\x11\0\x0c" + b"\0" * 12,
    v2("192.0.2.99", "198.51.100.2", tlvs=tlv(0x03, b"bad!")),
    bytes(range(256)) * 8,
]


def test_garbage_is_closed_without_a_word(server: Proxied) -> None:
    before = len(server.events("client_connection_connected"))
    for data in GARBAGE:
        for port in (server.proxied_imap, server.proxied_lmtp):
            with connect(port) as sock:
                sock.sendall(data)
                assert closed(sock), data
    assert len(server.events("client_connection_connected")) == before
    with Imap(server.proxied_imap, before=V1) as client:
        client.ok("NOOP")


def test_who_says_nothing_is_closed_after_haproxy_timeout(server: Proxied) -> None:
    socks = [connect(server.proxied_imap) for _ in range(3)]
    socks[1].sendall(b"PROX")
    socks[2].sendall(v2("192.0.2.1", "192.0.2.2")[:20])
    begun = time.monotonic()
    for sock in socks:
        assert closed(sock)
        sock.close()
    assert time.monotonic() - begun < 20
    server.wait_log("haproxy_timeout")


def test_a_header_where_none_is_expected_is_no_command(server: Proxied) -> None:
    with Imap(server.imap_port) as client:
        client.send(V1)
        assert b"BAD" in client.response()
        client.ok("NOOP")
    assert not server.events("client_connection_connected", remote_ip="203.0.113.1")


def closed(sock: object) -> bool:
    """Whether the server closed, saying nothing."""
    try:
        return sock.recv(100) == b""  # type: ignore[attr-defined]
    except ConnectionError:
        return True
