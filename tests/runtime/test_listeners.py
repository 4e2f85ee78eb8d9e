"""Listening sockets, peers and session ids."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pillarbox.runtime.listeners import ListenError, listen_inet, listen_unix
from pillarbox.runtime.peer import Peer, peer_of, plain_ip
from pillarbox.runtime.session_id import SESSION_ID_LENGTH, new_session_id
from pillarbox.wire.haproxy.header import ProxyHeader


def test_unix(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sock"
    listen_unix(path, 0o660).close()
    sock = listen_unix(path, 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        accepted, _ = sock.accept()
        assert peer_of(accepted) == Peer(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())
        accepted.close()
    sock.close()
    with pytest.raises(ListenError, match="sock"):
        listen_unix(path / "below")


def test_inet() -> None:
    sock = listen_inet("127.0.0.1", 0)
    port = sock.getsockname()[1]
    assert not sock.getblocking()
    with pytest.raises(ListenError, match=f"127.0.0.1:{port}: Address already in use"):
        listen_inet("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = sock.accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        peer = peer_of(accepted)
        assert peer == Peer("127.0.0.1", port, "127.0.0.1", client.getsockname()[1])
        accepted.close()
    sock.close()


def test_a_proxied_peer() -> None:
    peer = Peer("10.0.0.1", 143, "10.0.0.2", 5000)
    assert peer.proxied(ProxyHeader(2, 16)) is peer
    header = ProxyHeader(2, 28, ("::ffff:192.0.2.1", 4), ("2001:db8::1", 993))
    assert peer.proxied(header).fields() == {
        "local_ip": "2001:db8::1",
        "local_port": 993,
        "remote_ip": "192.0.2.1",
        "remote_port": 4,
        "real_local_ip": "10.0.0.1",
        "real_local_port": 143,
        "real_remote_ip": "10.0.0.2",
        "real_remote_port": 5000,
    }


def test_plain_ip() -> None:
    assert plain_ip("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_ip("fe80::1%eth0") == "fe80::1"
    assert plain_ip("::ffff:0:1") == "::ffff:0:1"


def test_session_ids_differ_and_need_no_quoting() -> None:
    ids = {new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(x) == SESSION_ID_LENGTH for x in ids)
    assert all(x.replace("-", "").replace("_", "").isalnum() for x in ids)
