"""The events of the admin service's HTTP server, over its UNIX socket and over TCP."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from declared import Json, check, declared, like
from running import Running, free_port, running, wait_for

pytestmark = pytest.mark.e2e


class Admin(Running):
    """A server whose admin service also listens on a port, with a password."""

    admin_port: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port = free_port()
    blocks = f"[service.admin.inet_listener.admin]\nport = {port}\n"
    options = 'admin_password = "wanted"\n'
    with running(tmp_path_factory.mktemp("http"), options=options, blocks=blocks) as one:
        one.admin_port = port  # type: ignore[attr-defined]
        # Processes whose first attempt came before the stats service try again after a second.
        wait_for(lambda: b" 200 OK" in over_unix(one, request("GET", "/health")))
        yield one


def exchange(sock: socket.socket, request: bytes) -> bytes:
    """One request with ``Connection: close``; all that is answered."""
    sock.sendall(request)
    answer = b""
    while data := sock.recv(65536):
        answer += data
    return answer


def over_unix(server: Running, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(server.folder / "run" / "admin"))
        return exchange(sock, request)


def request(method: str, target: str, body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{length}\r\n"
    return head.encode() + body


LOCAL = {"remote_pid": os.getpid(), "remote_uid": os.getuid()}

REQUESTS: list[tuple[str, str, bytes, int]] = [
    ("GET", "/health?why=test", b"", 200),
    ("GET", "/metrics", b"", 200),
    ("GET", "/api/v1/events/imap_command_finished", b"", 200),
    ("GET", "/nowhere", b"", 404),
    ("DELETE", "/metrics?odd", b"", 405),
    ("POST", "/api/v1/stats/reset", b'{"names": ["imap_command"]}', 200),
    ("POST", "/api/v1/stats/reset?bad", b"no json", 400),
]


@pytest.mark.parametrize(("method", "target", "body", "status"), REQUESTS)
def test_requests(server: Running, method: str, target: str, body: bytes, status: int) -> None:
    sent = request(method, target, body)
    answer = over_unix(server, sent)
    assert int(answer.split()[1]) == status, answer
    [started] = server.wait_events("http_server_request_started", target=target)
    known = {**LOCAL, "request_id": like("[0-9a-f]+"), "method": method, "target": target}
    check(started, **known)
    [finished] = server.wait_events("http_server_request_finished", target=target)
    known["request_id"] = declared(started)["request_id"]
    net: Json = {"net_in_bytes": len(sent), "net_out_bytes": len(answer)}
    check(finished, **known, **net, status_code=status)


def test_a_connection_over_tcp(server: Any) -> None:
    sent = request("GET", "/health?tcp")
    with socket.create_connection(("127.0.0.1", server.admin_port), 30) as sock:
        port = sock.getsockname()[1]
        answer = exchange(sock, sent)
    assert answer.startswith(b"HTTP/1.1 401 ")
    known = {"local_ip": "127.0.0.1", "remote_ip": "127.0.0.1", "remote_port": port}
    net = {"net_in_bytes": len(sent), "net_out_bytes": len(answer)}
    [event] = server.wait_events("http_server_request_started", remote_port=port)
    request_id = declared(event)["request_id"]
    check(event, **known, request_id=request_id, method="GET", target="/health?tcp")
    [event] = server.wait_events("http_server_request_finished", remote_port=port)
    own = {"request_id": request_id, "method": "GET", "target": "/health?tcp"}
    check(event, **known, **own, **net, status_code=401)
    [event] = server.wait_events("client_connection_connected", remote_port=port)
    check(event, **known)
    [event] = server.wait_events("client_connection_disconnected", remote_port=port)
    check(event, **known, **net, reason="Connection closed")
