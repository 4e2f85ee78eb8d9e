"""The LDAP client's connections, which several threads make and one closes."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pillarbox.drivers.ldap_client import LdapClient
from pillarbox.drivers.passdb.api import Server
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings

TOGETHER = 8


class Connection:
    """One that is always there; looking whether it is closed lets other threads go first."""

    def __init__(self, server: Any, *_: Any, **__: Any) -> None:
        self.server = server
        self.socket = SimpleNamespace(close=self._hang_up)
        self.hung_up = False

    @property
    def closed(self) -> bool:
        time.sleep(0.001)
        return self.hung_up

    def open(self, read_server_info: bool) -> None:
        pass

    def bind(self, read_server_info: bool) -> bool:
        return True

    def unbind(self) -> None:
        raise TypeError("another thread uses it")

    def _hang_up(self) -> None:
        self.hung_up = True


def test_every_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Connection] = []

    def make(*words: Any, **more: Any) -> Connection:
        made.append(Connection(*words, **more))
        return made[-1]

    monkeypatch.setattr("pillarbox.drivers.ldap_client.ldap3.Connection", make)
    block = PassdbSettings(
        ldap_uris=("ldap://127.0.0.1",), ldap_connection_limit=TOGETHER, ldap_base="dc=x"
    )

    async def main() -> None:
        client = LdapClient(block, Server(Settings(), Log("test", lambda line: None)), {})
        await asyncio.gather(*(client._run(client._connect_to_search) for _ in range(TOGETHER)))
        await client.close()

    asyncio.run(main())
    assert len(made) == TOGETHER
    assert all(one.hung_up for one in made)
