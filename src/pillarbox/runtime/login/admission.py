"""A worker's part of a login: whose client it is, and whether one more may come.

The auth service is asked for the user whom the login process authenticated, then anvil counts the
connection against mail_max_userip_connections.  A refusal is the reply to the login process; the
client is never told why a database failed.
"""

from __future__ import annotations

from typing import Final

from pillarbox.events.event import Scope
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import AuthMasterClient, LoginRejected, UserInfo
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.service import ServiceContext

_REJECTIONS: Final = {"user_disabled": "user_disabled", "pass_expired": "authorization_failed"}


class Admission:
    """What a worker asks of auth and anvil.

    ``auth`` is the socket that workers of its role may open.
    """

    def __init__(self, ctx: ServiceContext, auth: str = "auth-master") -> None:
        self._ctx = ctx
        self.auth = AuthMasterClient(ctx.base_dir / auth)
        self.anvil = AnvilClient(ctx.base_dir / "anvil", ctx.log, ctx.scope)

    async def admit(self, handoff: Handoff, scope: Scope) -> UserInfo | HandoffReply:
        """The user, counted until `leave`, and put into the scope; or why not."""
        try:
            info = await self.auth.login(
                handoff.auth_id, handoff.auth_pid, handoff.auth_cookie, scope
            )
        except LoginRejected as error:
            code = _REJECTIONS.get(error.code, "authorization_failed")
            return HandoffReply(False, code, error.text)
        except AuthTemporaryError as error:
            self._ctx.log.error(scope, f"Login failed: {error}")
            return HandoffReply(False, "internal_failure", "Internal login failure.")
        scope.set(user=info.user)
        limit = self._ctx.settings.mail_max_userip_connections
        ip = handoff.remote_ip or ""
        if await self.anvil.connect(info.user, handoff.service, ip, handoff.session, limit):
            return info
        text = (
            "Maximum number of connections from user+IP exceeded "
            f"(mail_max_userip_connections={limit})"
        )
        return HandoffReply(False, "connection_limit", text)

    def leave(self, session: str) -> None:
        """The session is over."""
        self.anvil.disconnect(session)

    async def close(self) -> None:
        """Hang up."""
        self.auth.close()
        await self.anvil.close()
