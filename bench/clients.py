"""Load clients that cost little themselves: bare sockets, no parsing beyond the tag.

`Imap` is one blocking connection.  `ping_many` drives many connections from one epoll loop, with
one system call in each direction per round trip.  `Lmtp` pipelines as an MTA does: envelope in one
write, then the message, then the next.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Sequence


class Imap:
    """One connection; `run` sends a command and reads to its tagged reply."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock)
        self._tag = 0
        self._buffer = bytearray(1 << 20)
        self.sock.recv(4096)

    def send(self, command: bytes) -> bytes:
        """Send a command; the bytes that its tagged reply begins with."""
        self._tag += 1
        tag = b"t%d" % self._tag
        self.sock.sendall(tag + b" " + command + b"\r\n")
        return tag

    def wait(self, tag: bytes) -> tuple[int, bytes]:
        """Number of bytes up to the end of the tagged reply, and its last bytes."""
        total, tail = 0, b""
        view = memoryview(self._buffer)
        mark = tag + b" "
        while True:
            got = self.sock.recv_into(view)
            if not got:
                raise ConnectionError(f"closed before {tag!r}: {tail!r}")
            total += got
            tail = (tail + bytes(view[max(0, got - 2000) : got]))[-2000:]
            if tail.endswith(b"\r\n"):
                at = tail.rfind(b"\n", 0, -2) + 1
                if tail.startswith(mark, at):
                    if tail[at + len(mark) : at + len(mark) + 2] != b"OK":
                        raise RuntimeError(tail[at:].decode(errors="replace"))
                    return total, tail

    def run(self, command: bytes) -> tuple[int, bytes]:
        """`send` and `wait`."""
        return self.wait(self.send(command))

    def timed(self, command: bytes) -> float:
        """Seconds that a command took."""
        started = time.perf_counter()
        self.run(command)
        return time.perf_counter() - started

    def login(self, user: str, password: str) -> None:
        """LOGIN."""
        self.run(f'LOGIN "{user}" "{password}"'.encode())

    def append_many(self, mailbox: str, mails: Sequence[bytes]) -> None:
        """One MULTIAPPEND (RFC 3502) with non-synchronising literals."""
        self._tag += 1
        tag = b"t%d" % self._tag
        parts = [tag + b" APPEND " + mailbox.encode()]
        for mail in mails:
            parts.append(b" {%d+}\r\n" % len(mail))
            parts.append(mail)
        parts.append(b"\r\n")
        self.sock.sendall(b"".join(parts))
        self.wait(tag)

    def close(self) -> None:
        """Drop the connection."""
        self.sock.close()


def ping_many(connections: Sequence[Imap], rounds: int) -> float:
    """Round trips per second of NOOP, with one outstanding on every connection."""
    poll = select.epoll()
    left: dict[int, tuple[socket.socket, int]] = {}
    for connection in connections:
        connection.sock.setblocking(False)
        poll.register(connection.sock.fileno(), select.EPOLLIN)
        left[connection.sock.fileno()] = (connection.sock, rounds)
    started = time.perf_counter()
    for connection in connections:
        connection.sock.send(b"n NOOP\r\n")
    active = len(connections)
    while active:
        for fd, _ in poll.poll():
            sock, remaining = left[fd]
            data = sock.recv(4096)
            if not data.endswith(b"\r\n"):
                raise ConnectionError(f"unexpected: {data!r}")
            remaining -= 1
            left[fd] = (sock, remaining)
            if remaining:
                sock.send(b"n NOOP\r\n")
            else:
                active -= 1
    elapsed = time.perf_counter() - started
    poll.close()
    for connection in connections:
        connection.sock.setblocking(True)
    return len(connections) * rounds / elapsed


class Lmtp:
    """One LMTP connection as a state machine for `deliver_many`."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.recv(4096)
        self.sock.sendall(b"LHLO bench\r\n")
        data = b""
        while not data.endswith(b"\r\n") or b"\r\n250 " not in b"\r\n" + data:
            data += self.sock.recv(4096)
        self.data = b""
        self.expect = 0


def deliver_many(
    port: int, clients: int, deliveries: Sequence[tuple[str, bytes]]
) -> tuple[float, int]:
    """Deliver all with so many clients at once; deliveries per second and how many failed."""
    poll = select.epoll()
    by_fd: dict[int, Lmtp] = {}
    queue = iter(deliveries)
    failed = 0
    started = time.perf_counter()
    for _ in range(clients):
        client = Lmtp(port)
        client.sock.setblocking(False)
        by_fd[client.sock.fileno()] = client
        poll.register(client.sock.fileno(), select.EPOLLIN)
        _begin(client, queue)
    active = clients
    while active:
        for fd, _ in poll.poll():
            client = by_fd[fd]
            client.data += client.sock.recv(65536)
            lines = client.data.count(b"\r\n")
            if lines < client.expect or not client.data.endswith(b"\r\n"):
                continue
            if client.expect == 3:
                _message(client)
                continue
            failed += not client.data.startswith(b"250")
            if not _begin(client, queue):
                active -= 1
                client.sock.close()
    elapsed = time.perf_counter() - started
    poll.close()
    return len(deliveries) / elapsed, failed


_PENDING: dict[Lmtp, bytes] = {}


def _begin(client: Lmtp, queue: object) -> bool:
    try:
        recipient, mail = next(queue)  # type: ignore[call-overload]
    except StopIteration:
        return False
    client.data = b""
    client.expect = 3
    _PENDING[client] = mail
    envelope = f"MAIL FROM:<sender@example.org>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
    client.sock.send(envelope.encode())
    return True


def _message(client: Lmtp) -> None:
    if not client.data.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2].startswith(b"354"):
        raise RuntimeError(client.data.decode(errors="replace"))
    client.data = b""
    client.expect = 1
    data = _PENDING.pop(client) + b".\r\n"
    while data:
        try:
            data = data[client.sock.send(data) :]
        except BlockingIOError:
            select.select([], [client.sock], [])
