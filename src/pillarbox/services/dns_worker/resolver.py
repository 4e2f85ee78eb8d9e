"""Asking name servers, with dnspython.

A host's IPv4 and IPv6 addresses are asked for side by side.  They are given in the order to try
them: those that this machine has a route to first (RFC 6724 section 6, rule 1), IPv6 before IPv4
among them.  If only one of the two questions is answered, that is the answer, for a moment.

A name with a dot in it is taken as it is; the search list of resolv.conf is for single words.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename

from pillarbox.services.dns_worker.answer import Answer
from pillarbox.settings.nameservers import DNS_PORT, server_address

PARTIAL_TTL: Final = 5.0
NO_SERVERS: Final = Answer(error="no name server is known", code="SERVFAIL")
INVALID: Final = Answer(error="not a host name", code="INVALID")


class Resolver:
    """Name servers by address, or those that the system is set up with."""

    def __init__(self, nameservers: Sequence[str], timeout: float) -> None:
        self._resolver: dns.asyncresolver.Resolver | None = None
        try:
            resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration:
            return
        if nameservers:
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(*server_address(text)) for text in nameservers
            ]
        resolver.lifetime = timeout
        resolver.timeout = min(resolver.timeout, timeout)
        self._resolver = resolver

    async def addresses(self, name: str) -> Answer:
        """The addresses of a name."""
        four, six = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"))
        found = [answer for answer in (six, four) if answer.values]
        if not found:
            # A failure says less than "there is none" only if there is none of either kind.
            return four if four.code not in ("NXDOMAIN", "NODATA") else six
        values = [value for answer in found for value in answer.values]
        both = four.code in (None, "NODATA") and six.code in (None, "NODATA")
        ttl = min(answer.ttl for answer in found)
        return Answer(
            tuple(sorted(values, key=_unroutable)), ttl if both else min(ttl, PARTIAL_TTL)
        )

    async def name(self, ip: str) -> Answer:
        """The name of an address."""
        try:
            question = dns.reversename.from_address(ip)
        except (dns.exception.SyntaxError, ValueError):
            return INVALID
        return await self._ask(question, "PTR")

    async def _ask(self, name: str | dns.name.Name, kind: str) -> Answer:
        if self._resolver is None:
            return NO_SERVERS
        alone = isinstance(name, str) and "." not in name
        try:
            answer = await self._resolver.resolve(
                name, kind, raise_on_no_answer=False, search=alone
            )
        except dns.resolver.NXDOMAIN as error:
            return Answer(ttl=_nxdomain_ttl(error), error="no such name", code="NXDOMAIN")
        except dns.exception.Timeout:
            return Answer(error="name servers do not answer in time", code="TIMEOUT")
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, UnicodeError):
            return INVALID
        except (dns.exception.DNSException, OSError):
            return Answer(error="name servers cannot answer", code="SERVFAIL")
        ttl = float(answer.chaining_result.minimum_ttl)
        if answer.rrset is None:
            return Answer(ttl=ttl, error="the name has no such record", code="NODATA")
        return Answer(tuple(str(record).rstrip(".") for record in answer.rrset), ttl)


def _nxdomain_ttl(error: dns.resolver.NXDOMAIN) -> float:
    """How long it is true, by the zone's SOA record (RFC 2308 section 5); 0 without one."""
    lives: list[float] = []
    for response in error.kwargs.get("responses", {}).values():
        if not any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority):
            return 0.0
        lives.append(float(response.resolve_chaining().minimum_ttl))
    return min(lives, default=0.0)


def _unroutable(ip: str) -> bool:
    """Whether there is no route to an address; nothing is sent to find out."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ip, DNS_PORT))
    except OSError:
        return True
    return False
