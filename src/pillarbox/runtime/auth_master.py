"""The master client of the auth service: who logged in, where users live, which there are.

Workers turn a handed-over login into a user with `AuthMasterClient.login`; LMTP and the command
line ask for users with `userdb`, `passdb` and `list_users`.  "No such user" is None, "could not
find out" is AuthTemporaryError: the two are never mixed up.  One connection carries all
questions of a process side by side; it is made at the first question and remade when it breaks.

The one trick: answers are matched by number, so a slow lookup holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pillarbox.events.catalogue.auth_client import (
    auth_client_passdb_lookup_finished,
    auth_client_passdb_lookup_started,
    auth_client_userdb_list_finished,
    auth_client_userdb_list_started,
    auth_client_userdb_lookup_finished,
    auth_client_userdb_lookup_started,
)
from pillarbox.events.catalogue.auth_master import (
    auth_master_client_login_finished,
    auth_master_client_login_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_link import AuthLink, AuthTemporaryError
from pillarbox.wire.auth import master as wire
from pillarbox.wire.auth.params import FACTS, AuthParams
from pillarbox.wire.auth.tabs import MAX_LINE

UNKNOWN_LOGIN = "unknown or expired login request"


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user: final name and the database's fields (home, uid, gid, mail_path, quota_* …)."""

    user: str
    fields: dict[str, str] = field(default_factory=dict)


class Rejected(AuthTemporaryError):
    """A refusal that trying again does not change; ``code`` and text as the protocol's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text or code)
        self.code = code
        self.text = text


class LoginRejected(Rejected):
    """The login was valid but the user may not come in."""


class LookupImpossible(Rejected):
    """No passdb can be asked without a password whether it knows the user."""


_Waiter = Callable[[wire.Answer | str], None]


class AuthMasterClient:
    """See the module."""

    def __init__(self, path: Path | str, *, timeout: float = 60.0) -> None:
        self._link = AuthLink(Path(path), self)
        self._wire = wire.MasterSide()
        self._waiting: dict[int, _Waiter] = {}
        self._last = 0
        self._ready = asyncio.Event()
        self._timeout = timeout

    async def connect(self, timeout: float = 30.0) -> None:
        """Return when questions can be asked.  Raises AuthTemporaryError after ``timeout``."""
        self._link.start()
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError as error:
            raise AuthTemporaryError("no answer from the auth service") from error

    def close(self) -> None:
        """Hang up; questions under way raise AuthTemporaryError."""
        self._link.close()

    async def login(self, auth_id: int, client_pid: int, cookie: str, scope: Scope) -> UserInfo:
        """The user that a finished request of a login connection stands for, with userdb fields.

        Each login can be fetched once.  Raises LoginRejected (the user may not log in),
        AuthTemporaryError (no such login, or it could not be found out).
        """
        child = Scope(scope)
        if auth_master_client_login_started.emit is not None:
            auth_master_client_login_started.emit(child, id=auth_id)
        error: str | None = None
        try:
            answer = await self._ask(lambda n: wire.request(n, client_pid, auth_id, cookie))
            if isinstance(answer, wire.NotFound):
                raise AuthTemporaryError(UNKNOWN_LOGIN)
            info = _found(answer)
            child.set(user=info.user)
        except BaseException as raised:
            error = str(raised) or type(raised).__name__
            raise
        else:
            return info
        finally:
            if auth_master_client_login_finished.emit is not None:
                auth_master_client_login_finished.emit(child, id=auth_id, error=error)

    async def userdb(
        self,
        user: str,
        scope: Scope,
        service: str,
        params: AuthParams | None = None,
        forward: Mapping[str, str] | None = None,
    ) -> UserInfo | None:
        """Where a user lives, or None for no such user.  Raises AuthTemporaryError.

        ``forward`` are fields that a proxy sent along.
        """
        params, facts = _known(scope, service, params, forward)
        child = Scope(scope, user=user, **facts)
        if auth_client_userdb_lookup_started.emit is not None:
            auth_client_userdb_lookup_started.emit(child)
        error: str | None = None
        try:
            answer = await self._ask(lambda n: wire.user(n, user, params))
            if isinstance(answer, wire.NotFound):
                error = "user not found"
                return None
            return _found(answer)
        except BaseException as raised:
            error = str(raised) or type(raised).__name__
            raise
        finally:
            if auth_client_userdb_lookup_finished.emit is not None:
                auth_client_userdb_lookup_finished.emit(child, error=error)

    async def passdb(
        self,
        user: str,
        scope: Scope,
        service: str,
        params: AuthParams | None = None,
        forward: Mapping[str, str] | None = None,
    ) -> UserInfo | None:
        """The passdb's fields of a user (never the password), or None.

        ``user`` of the answer is the name that the passdb gave it, else the one asked for.
        Raises AuthTemporaryError, LookupImpossible.
        """
        params, facts = _known(scope, service, params, forward)
        child = Scope(scope, user=user, **facts)
        if auth_client_passdb_lookup_started.emit is not None:
            auth_client_passdb_lookup_started.emit(child)
        error: str | None = None
        try:
            answer = await self._ask(lambda n: wire.passdb(n, user, params))
            if isinstance(answer, wire.NotFound):
                error = "user not found"
                return None
            info = _found(answer)
            return UserInfo(info.fields.get("user", user), info.fields)
        except BaseException as raised:
            error = str(raised) or type(raised).__name__
            raise
        finally:
            if auth_client_passdb_lookup_finished.emit is not None:
                auth_client_passdb_lookup_finished.emit(child, error=error)

    async def list_users(
        self,
        mask: str,
        scope: Scope,
        service: str = "pillarbox",
        params: AuthParams | None = None,
    ) -> AsyncIterator[str]:
        """The users that match ``mask`` (``*``, ``?``; "" for all), in the databases' order.

        Raises AuthTemporaryError, possibly after some users, when the list is not complete.
        """
        params, facts = _known(scope, service, params)
        child = Scope(scope, **facts)
        if auth_client_userdb_list_started.emit is not None:
            auth_client_userdb_list_started.emit(child, user_mask=mask)
        error: str | None = None
        queue: asyncio.Queue[wire.Answer | str] = asyncio.Queue()
        number = await self._send(lambda n: wire.list_users(n, mask, params), queue.put_nowait)
        try:
            while True:
                answer = await queue.get()
                if isinstance(answer, wire.Listed):
                    yield answer.user
                elif isinstance(answer, wire.ListDone) and not answer.failed:
                    return
                else:
                    raise AuthTemporaryError(answer if isinstance(answer, str) else "list failed")
        except AuthTemporaryError as raised:
            error = str(raised)
            raise
        finally:
            self._waiting.pop(number, None)
            if auth_client_userdb_list_finished.emit is not None:
                auth_client_userdb_list_finished.emit(child, user_mask=mask, error=error)

    async def cache_flush(self, users: tuple[str, ...] = ()) -> int:
        """Empty the auth cache of these users, or of all; the number of entries dropped."""
        answer = await self._ask(lambda n: wire.cache_flush(n, users))
        if isinstance(answer, wire.Flushed):
            return answer.count
        raise AuthTemporaryError("the auth service refused to flush its cache")

    # Asking.

    async def _send(self, line: Callable[[int], bytes], waiter: _Waiter) -> int:
        if not self._ready.is_set():
            await self.connect(min(self._timeout, 5.0))
        self._last = self._last % 0xFFFFFFFF + 1
        number = self._last
        self._waiting[number] = waiter
        question = line(number)
        if len(question) <= MAX_LINE:
            self._link.send(question)
        else:
            # No user has such a name, and the service would hang up on everybody.
            waiter(wire.NotFound(number))
        return number

    async def _ask(self, line: Callable[[int], bytes]) -> wire.Answer:
        future: asyncio.Future[wire.Answer | str] = asyncio.get_running_loop().create_future()

        def wake(answer: wire.Answer | str) -> None:
            if not future.done():
                future.set_result(answer)

        number = await self._send(line, wake)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await future
        except TimeoutError as error:
            raise AuthTemporaryError("the auth service does not answer") from error
        finally:
            self._waiting.pop(number, None)
        if isinstance(answer, str):
            raise AuthTemporaryError(answer)
        if isinstance(answer, wire.Failed):
            raise _rejection(answer.fields)
        return answer

    # What the link tells.

    def connected(self) -> bytes:
        """Greet on a new connection."""
        self._wire = wire.MasterSide()
        return wire.hello()

    def received(self, data: bytes) -> None:
        """Give each answer to who asked."""
        for answer in self._wire.feed(data):
            if isinstance(answer, wire.Ready):
                self._link.settled()
                self._ready.set()
            elif answer.id in self._waiting:
                self._waiting[answer.id](answer)

    def lost(self, reason: str) -> None:
        """Tell everybody who waits."""
        self._ready.clear()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            waiter(reason)


def _found(answer: wire.Answer) -> UserInfo:
    if not isinstance(answer, wire.Found):
        raise AuthTemporaryError("the auth service gave an answer of another kind")
    return UserInfo(answer.user, answer.fields)


def _rejection(fields: dict[str, str]) -> AuthTemporaryError:
    code = fields.get("code", "")
    reason = fields.get("reason", "")
    if code == wire.NO_LOOKUP:
        return LookupImpossible(code, reason)
    if code and code != "temp_fail":
        return LoginRejected(code, reason)
    return AuthTemporaryError(reason or "temporary authentication failure")


_PARAMS = tuple(name for name in FACTS if name != "service")


def _known(
    scope: Scope,
    service: str,
    params: AuthParams | None = None,
    forward: Mapping[str, str] | None = None,
) -> tuple[AuthParams, dict[str, str | int | None]]:
    """The parameters to ask with, and what events say of the connection.

    Without parameters both are what the scope knows; how the connection is secured is then only
    told if the scope says so.
    """
    if params is not None:
        return params, params.facts()
    known = {name: scope.get(name) for name in _PARAMS}
    given = {name: value for name, value in known.items() if value is not None}
    params = AuthParams(service=service, forward=dict(forward or {}), **given)  # type: ignore[arg-type]
    return params, {**params.facts(), "transport": params.transport if known["transport"] else None}
