"""An HTTP server for tests: on loopback, in threads, answering what a function says.

The function gets a `Request` and gives the bytes of the whole response, or None to hang up.
``requests`` are all that came, with the size that they had; ``connections`` counts connections.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request, names of header fields in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    size: int

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


Answer = Callable[[Request], bytes | None]


def response(status: int = 200, body: bytes | object = b"", **headers: str) -> bytes:
    """A response; what is not bytes becomes JSON, ``_`` in names of fields is ``-``."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = {"Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body


class HttpServer:
    """See the module; on a UNIX socket with ``path``."""

    def __init__(
        self, answer: Answer, tls: ssl.SSLContext | None = None, path: Path | None = None
    ) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._open: set[socket.socket] = set()
        if path is not None:
            self._sock = socket.socket(socket.AF_UNIX)
            self._sock.bind(str(path))
            self.port = 0
        else:
            self._sock = socket.socket()
            self._sock.bind(("127.0.0.1", 0))
            self.port = self._sock.getsockname()[1]
        self._sock.listen(50)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its root."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    def close(self) -> None:
        """Hang up on everybody."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join(10)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connections that are open."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), sock:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._open.add(sock)
            try:
                while (request := self._read(sock)) is not None:
                    self.requests.append(request)
                    answer = self.answer(request)
                    if answer is None:
                        return
                    sock.sendall(answer)
            finally:
                self._open.discard(sock)
                sock.close()

    @staticmethod
    def _read(sock: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (f.partition(":") for f in fields)}
        while len(body) < int(headers.get("content-length", "0")):
            body += sock.recv(65536)
        method, target, _ = line.split(" ")
        return Request(method, target, headers, body, len(head) + 4 + len(body))


@contextlib.contextmanager
def http_server(
    answer: Answer, tls: ssl.SSLContext | None = None, path: Path | None = None
) -> Iterator[HttpServer]:
    """A server for the length of a with block."""
    server = HttpServer(answer, tls, path)
    try:
        yield server
    finally:
        server.close()
