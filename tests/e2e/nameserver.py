"""A name server for tests: UDP on loopback, in a thread, with the records that it is given.

``asked`` lists the questions; ``silent`` names get no answer, ``broken`` ones SERVFAIL.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SOA = "ns.test. hostmaster.test. 1 3600 600 86400 {minimum}"


class NameServer:
    """Records are ``(name, type): (ttl, values)``, names without the last dot."""

    def __init__(self, records: dict[tuple[str, str], tuple[int, list[str]]]) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.minimum = 60
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._sock.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"stop", self._sock.getsockname())
        self._thread.join(10)
        self._sock.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._sock.recvfrom(4096)
            if data == b"stop":
                return
            query = dns.message.from_wire(data)
            response = self._answer(query)
            if response is not None:
                self._sock.sendto(response.to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.silent:
            return None
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        found = self.records.get((name, kind))
        if found is not None:
            ttl, values = found
            response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, *values))
            return response
        soa = SOA.format(minimum=self.minimum)
        zone = name.rpartition(".")[2] + "."
        response.authority.append(dns.rrset.from_text(zone, self.minimum, "IN", "SOA", soa))
        if not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response


@contextlib.contextmanager
def name_server(
    records: dict[tuple[str, str], tuple[int, list[str]]] | None = None,
) -> Iterator[NameServer]:
    """A name server for the length of a with block."""
    server = NameServer(dict(records or {}))
    try:
        yield server
    finally:
        server.close()
