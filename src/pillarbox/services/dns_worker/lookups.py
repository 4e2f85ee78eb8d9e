"""Where an answer comes from: the hosts file, the cache, name servers, in this order.

``localhost`` is this machine even where nothing says so (RFC 6761 section 6.3).  Questions for
the same thing at the same time are one question to the name servers, and no more than `AT_ONCE`
are put to them at a time: datagrams that are too many get lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from pillarbox.runtime.dns_client import Kind
from pillarbox.services.dns_worker.answer import Answer
from pillarbox.services.dns_worker.cache import Cache, Key
from pillarbox.services.dns_worker.hosts import HostsFile
from pillarbox.settings.model import Settings

LOCALHOST = ("::1", "127.0.0.1")
AT_ONCE = 100


class NameServers(Protocol):
    """Who is asked for what is not known here."""

    async def addresses(self, name: str) -> Answer:
        """The addresses of a name."""

    async def name(self, ip: str) -> Answer:
        """The name of an address."""


def _name_servers(settings: Settings) -> NameServers:
    from pillarbox.services.dns_worker.resolver import Resolver

    return Resolver(settings.dns_nameservers, settings.dns_request_timeout)


class Lookups:
    """See the module.  The resolver is made when it is needed first, since it is not small."""

    def __init__(
        self,
        settings: Settings,
        make: Callable[[Settings], NameServers] = _name_servers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._clock = clock
        self._running: dict[Key, asyncio.Task[Answer]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Take new settings; what was remembered is forgotten."""
        self._settings = settings
        self._hosts = HostsFile(settings.dns_hosts_file)
        self._name_servers: NameServers | None = None
        self._cache = Cache(
            settings.dns_cache_max_entries,
            settings.dns_cache_max_ttl,
            settings.dns_cache_negative_ttl,
        )

    async def find(self, kind: Kind, text: str) -> tuple[Answer, bool]:
        """The answer, and whether it was at hand from an earlier question."""
        text = text.lower().rstrip(".")
        known = self._known(kind, text)
        if known is not None:
            return known, False
        key = (kind, text)
        cached = self._cache.get(key, self._clock())
        if cached is not None:
            return cached, True
        task = self._running.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(kind, text))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # Whoever asked first may go away; the others still want to know.
        return await asyncio.shield(task), False

    def _known(self, kind: Kind, text: str) -> Answer | None:
        hosts = self._hosts.read()
        if kind == "name":
            name = hosts.names.get(text)
            return None if name is None else Answer((name,))
        found = hosts.addresses.get(text)
        if found is None and (text == "localhost" or text.endswith(".localhost")):
            found = LOCALHOST
        return None if found is None else Answer(found)

    async def _ask(self, kind: Kind, text: str) -> Answer:
        if self._name_servers is None:
            self._name_servers = self._make(self._settings)
        servers = self._name_servers
        async with self._turns:
            answer = await (servers.addresses(text) if kind == "addresses" else servers.name(text))
        self._cache.put((kind, text), answer, self._clock())
        return answer
