"""Passwords that PAM checks: for system users, and whatever else PAM modules know.

PAM says nothing of a user without a password, so this passdb cannot be asked about users to whom
mail comes; a userdb must know them.  Most modules, ``pam_unix`` among them, want the auth service
to run as root (``[service.auth] user = "root"``).
"""

from __future__ import annotations

from pillarbox.drivers.blocking import Blocking
from pillarbox.drivers.pam_client import Pam, PamError
from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Query, Server, Wrong
from pillarbox.settings.model import PassdbSettings
from pillarbox.settings.variables import VariableError, expand, variables_of


class PamPassdb:
    """See the module."""

    name = "pam"

    def __init__(self, block: PassdbSettings, pam: Pam) -> None:
        self._block = block
        self._pam = pam
        self._calls = Blocking("pam", block.pam_max_requests, block.pam_timeout)
        names = sorted({"user", *variables_of(block.pam_service_name)})
        self.cache_key = "\t".join(f"%{{{name}}}" for name in names)

    async def lookup(self, query: Query) -> Entry | None:
        """PAM knows nobody without a password."""
        raise NoLookup

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        """Ask PAM; a module may rename the user."""
        block = self._block
        remote = query.values.get("remote_ip")
        try:
            service = expand(block.pam_service_name, query.values)
            answer = await self._calls.run(
                lambda: self._pam.check(
                    service,
                    query.user,
                    password,
                    folder=block.pam_service_dir,
                    remote=None if remote is None else str(remote),
                    session=block.pam_session,
                )
            )
        except (PamError, VariableError) as error:
            raise DatabaseError(f"pam: {error}") from error
        if answer.verdict == "user_unknown":
            return None
        if answer.verdict != "ok":
            return Wrong(answer.verdict)
        return Entry(None, {"user": answer.user} if answer.user != query.user else {})

    async def close(self) -> None:
        """Nothing is open."""


def make(block: PassdbSettings, server: Server) -> PamPassdb:
    """The passdb of a settings block.  Raises ValueError where there is no PAM."""
    try:
        return PamPassdb(block, Pam())
    except OSError as error:
        raise ValueError(str(error)) from error
