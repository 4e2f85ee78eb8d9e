"""The auth policy server: an HTTP service that knows what happens on all servers.

It is asked for leave before a login is tried (``command=allow``; it may refuse or delay), again
when the user has proven itself (it may refuse), and told how the login ended
(``command=report``).  The password travels as a few bits of a hash, which tell the same password
tried over and over from many different ones, and no more.

The answer to ``allow`` is ``{"status": n, "msg": "…"}``: -1 refuses, 0 lets in, more than that
are seconds to wait.  No usable answer lets in, unless ``auth_policy_reject_on_fail``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from pillarbox.auth.guard import Leave
from pillarbox.auth.passdbs import Result
from pillarbox.auth.request import Request
from pillarbox.events.catalogue.auth import auth_policy_request_finished
from pillarbox.events.event import Scope
from pillarbox.runtime.http_client import HttpClient, HttpError
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand

LONGEST_DELAY: Final = 600
CONNECTIONS: Final = 100
IDLE: Final = 10.0
USER_AGENT: Final = "Pillarbox/auth-policy"

_FAIL_TYPES: Final[dict[Result, str]] = {
    "password_mismatch": "credentials",
    "scheme_not_available": "credentials",
    "user_unknown": "account",
    "pass_expired": "expired",
    "user_disabled": "disabled",
    "internal_failure": "internal",
}

Mode = Literal["allow", "report"]
Json = dict[str, object]


class _Answer(msgspec.Struct):
    """The policy server's word."""

    status: int
    msg: str = ""


@dataclass(frozen=True, slots=True)
class _End:
    """How a login ended, for a report."""

    success: bool
    refused: bool
    result: Result | None

    @property
    def fail_type(self) -> str:
        if self.success:
            return ""
        if self.refused:
            return "policy"
        return _FAIL_TYPES.get(self.result, "credentials") if self.result else "credentials"


class PolicyGuard:
    """The guard that asks the policy server.  Raises ValueError for settings that cannot work."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        if not settings.auth_policy_hash_nonce:
            raise ValueError("auth_policy_server_url needs auth_policy_hash_nonce")
        self._headers = {"Content-Type": "application/json", **_api_header(settings)}
        self._http = HttpClient(
            log,
            msgspec.structs.replace(
                settings,
                http_client_request_absolute_timeout=settings.auth_policy_server_timeout,
                http_client_max_parallel_connections=CONNECTIONS,
                http_client_max_idle_time=IDLE,
                http_client_user_agent=USER_AGENT,
            ),
        )

    async def before(self, request: Request, password: str | None) -> Leave:
        """Ask for leave to try."""
        if not self._settings.auth_policy_check_before_auth:
            return Leave()
        leave = self._leave(await self._ask(request, "allow", password))
        return self._only_logged(request, leave)

    async def confirm(self, request: Request, password: str | None) -> Leave:
        """Ask for leave to let in who has proven itself; it is not delayed any more."""
        if not self._settings.auth_policy_check_after_auth:
            return Leave()
        leave = self._leave(await self._ask(request, "allow", password))
        if not leave.refused:
            return Leave()
        return self._only_logged(request, leave)

    async def after(
        self,
        request: Request,
        *,
        success: bool,
        refused: bool,
        password: str | None,
        result: Result | None,
    ) -> None:
        """Report the outcome."""
        if self._settings.auth_policy_report_after_auth:
            await self._ask(request, "report", password, _End(success, refused, result))

    async def close(self) -> None:
        """Close the connections to the policy server."""
        await self._http.close()

    def _leave(self, answer: _Answer | None) -> Leave:
        if answer is None:
            if not self._settings.auth_policy_reject_on_fail:
                return Leave(result="ok")
            return Leave(refused=True, result="refused")
        if answer.status < 0:
            return Leave(refused=True, result="refused", message=answer.msg or None)
        if answer.status > 0:
            return Leave(delay=min(answer.status, LONGEST_DELAY), result="delayed")
        return Leave(result="ok")

    def _only_logged(self, request: Request, leave: Leave) -> Leave:
        """The leave, or nothing but a line in the log that says what it would have been."""
        if not self._settings.auth_policy_log_only or leave.result == "ok":
            return leave
        what = "refused" if leave.refused else f"delayed by {leave.delay:.0f} s"
        self._log.info(request.scope, f"policy server: {request.user} would have been {what}")
        return Leave(result="ok")

    async def _ask(
        self, request: Request, mode: Mode, password: str | None, end: _End | None = None
    ) -> _Answer | None:
        """The policy server's answer, or None if there is no usable one."""
        scope = Scope(request.scope)
        answer: _Answer | None = None
        try:
            body = msgspec.json.encode(self._attributes(request, password, end))
            answer = await self._post(scope, mode, body)
        except (HttpError, VariableError, msgspec.MsgspecError) as error:
            self._log.error(scope, f"policy server: {mode}: {error}")
        if auth_policy_request_finished.emit is not None:
            auth_policy_request_finished.emit(
                scope, mode=mode, policy_result=None if answer is None else answer.status
            )
        return answer

    async def _post(self, scope: Scope, mode: Mode, body: bytes) -> _Answer | None:
        url = command_url(self._settings.auth_policy_server_url, mode)
        response = await self._http.request(
            scope, "POST", url, headers=self._headers, body=body, idempotent=True
        )
        if not response.ok:
            self._log.error(scope, f"policy server: {mode}: it answers {response.status}")
            return None
        if mode == "report" and not response.body:
            return None
        return msgspec.json.decode(response.body, type=_Answer)

    def _attributes(self, request: Request, password: str | None, end: _End | None) -> Json:
        """What the policy server is told.  Raises VariableError."""
        settings = self._settings
        login = request.login_user or request.user or request.original_user
        values = request.values()
        values["requested_username"] = login
        values["hashed_password"] = None if password is None else self._hash(login, password)
        values["fail_type"] = None if end is None else end.fail_type
        values["tls"] = request.params.transport == "TLS"
        told: Json = {}
        for name, template in settings.auth_policy_request_attributes.items():
            put(told, name, _clean(expand(template, values)))
        told["tls"] = request.params.transport == "TLS"
        if end is not None:
            told["success"] = end.success
            told["policy_reject"] = end.refused
        return told

    def _hash(self, login: str, password: str) -> str:
        settings = self._settings
        text = f"{settings.auth_policy_hash_nonce}{login}\0{password}"
        digest = hashlib.new(settings.auth_policy_hash_mech, _octets(text)).digest()
        return truncated(digest, settings.auth_policy_hash_truncate)


def truncated(digest: bytes, bits: int) -> str:
    """The first bits of a hash, as a number in hexadecimal digits; all of it for 0 bits."""
    if not 0 < bits < len(digest) * 8:
        return digest.hex()
    size = (bits + 7) // 8
    number = int.from_bytes(digest[:size], "big") >> (size * 8 - bits)
    return number.to_bytes(size, "big").hex()


def put(told: Json, name: str, value: str) -> None:
    """Set an attribute; each ``/`` in its name is one object deeper."""
    *path, last = name.split("/")
    inside = told
    for step in path:
        deeper = inside.setdefault(step, {})
        if not isinstance(deeper, dict):
            deeper = inside[step] = {}
        inside = deeper
    inside[last] = value


def command_url(url: str, mode: Mode) -> str:
    """Where to ask."""
    if not url.endswith(("?", "&")):
        url += "&" if "?" in url else "?"
    return f"{url}command={mode}"


def _api_header(settings: Settings) -> dict[str, str]:
    text = settings.auth_policy_server_api_header
    if not text:
        return {}
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not f"{name}{value}".isprintable():
        raise ValueError("auth_policy_server_api_header is no `Name: value`")
    return {name.strip(): value.strip()}


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _clean(text: str) -> str:
    """Text that JSON can carry."""
    return _octets(text).decode("utf-8", "replace")
