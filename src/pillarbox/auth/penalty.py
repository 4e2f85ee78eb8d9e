"""Penalty for guessing: logins of an address or a user with many wrong passwords wait first.

Anvil counts, so that all processes see the same and a restart of auth forgets nothing.  The first
few failures are free; then the wait is a second, doubled with each further failure up to
``auth_penalty_max_delay``.  A right password forgives the user, not the address: whoever has an
account of its own must not guess those of others in between.

An address is a network of 64 bits in IPv6.  This very host and ``login_trusted_networks`` have no
penalty by address, because a webmail speaks for everybody; what they say of the real client has.
"""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from pillarbox.auth.guard import Leave
from pillarbox.auth.passdbs import Result
from pillarbox.auth.request import Request
from pillarbox.runtime.anvil_client import AnvilClient

FREE: Final = 4
_LONGEST_SHIFT: Final = 30


class Penalty:
    """The guard that slows guessing down; ``secret`` hides passwords in checksums."""

    def __init__(self, anvil: AnvilClient, secret: bytes, max_delay: float, expire: float) -> None:
        self._anvil = anvil
        self._secret = secret
        self._max_delay = max_delay
        self._expire = expire

    async def before(self, request: Request, password: str | None) -> Leave:
        """How long this login must wait."""
        keys = penalised(request)
        if not keys:
            return Leave()
        failures = await self._anvil.failures(keys, self._expire)
        return Leave(delay=delay(failures, self._max_delay))

    async def confirm(self, request: Request, password: str | None) -> Leave:
        """Whoever has proven itself is no guesser."""
        return Leave()

    async def after(
        self,
        request: Request,
        *,
        success: bool,
        refused: bool,
        password: str | None,
        result: Result | None,
    ) -> None:
        """Count a failure, or forgive the user."""
        keys = penalised(request)
        if success:
            self._anvil.forgive([key for key in keys if key.startswith(_USER)])
        elif not refused and result != "internal_failure":
            self._anvil.failed(keys, self._checksum(request, password), self._expire)

    async def close(self) -> None:
        """The client of anvil is not ours."""

    def _checksum(self, request: Request, password: str | None) -> bytes:
        if password is None:
            return b""
        told = f"{request.user}\0{password}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, told, "sha256")[:8]


_USER: Final = "user:"


def penalised(request: Request) -> list[str]:
    """The keys under which this login's failures are counted."""
    params = request.params
    if params.no_penalty:
        return []
    keys = []
    if request.user:
        keys.append(f"{_USER}{request.user}")
    if params.remote_ip is not None and params.remote_ip != params.local_ip:
        keys.append(f"ip:{_network(params.remote_ip)}")
    return keys


def delay(failures: int, longest: float) -> float:
    """The wait after so many failures, in seconds."""
    if failures < FREE:
        return 0.0
    return min(float(2 ** min(failures - FREE, _LONGEST_SHIFT)), longest)


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, 64), strict=False).network_address)
    return address
