"""One login: a SASL exchange driven against the databases.

`Attempt.begin` and `Attempt.resume` run the mechanism's generator to its next `Challenge` or to
its end, answering its questions from the chains, and give a `Step`.  The attempt says what came
out; when to tell the client (the failure delay) is the service's business.

The end is told by auth_request_finished, once, whichever way it comes.

A master user is checked by the master databases, and then becomes the user that it named.  Guards
(`auth.guard`) are asked as soon as the user is named.

The one trick: for a user who does not exist the exchange goes on with a made-up secret, and fails
where a wrong password fails.
"""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass, field
from typing import Any, Literal

from pillarbox.auth.authenticator import Authenticator
from pillarbox.auth.guard import Leave, policy_delay, together
from pillarbox.auth.kerberos import Kerberos, KerberosError
from pillarbox.auth.passdbs import Outcome, Result
from pillarbox.auth.request import USERDB_PREFIX, Request
from pillarbox.auth.usernames import MAX_LENGTH, split_master
from pillarbox.events.catalogue.auth import auth_request_finished
from pillarbox.events.event import Scope
from pillarbox.wire.auth.params import AuthParams, split_bindings
from pillarbox.wire.sasl.exchange import (
    Accepted,
    Challenge,
    CheckAnonymous,
    CheckCertificate,
    CheckPassword,
    CheckPrincipal,
    Exchange,
    FetchScram,
    FetchSecret,
    GssAccept,
    GssUnwrap,
    GssWrap,
    Question,
    Refused,
    Surroundings,
)

Code = Literal[
    "temp_fail",
    "authz_fail",
    "user_disabled",
    "pass_expired",
    "login_disabled",
    "invalid_base64",
    "cleartext_disabled",
]
CLEARTEXT_REFUSED = "Cleartext authentication disallowed on non-secure (SSL/TLS) connections."
_HIDDEN = frozenset(
    {
        "password",
        "nopassword",
        "nodelay",
        "nologin",
        "allow_nets",
        "allow_real_nets",
        "delay_until",
        "user_disabled",
        "pass_expired",
    }
)
_BAD: dict[str, str] = {
    "malformed": "malformed authentication data",
    "binding": "channel binding does not match",
    "ticket": "Kerberos ticket not accepted",
}
_CODES: dict[Result, Code] = {
    "internal_failure": "temp_fail",
    "user_disabled": "user_disabled",
    "pass_expired": "pass_expired",
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """The user is in; ``fields`` are for the client, ``data`` the mechanism's last word."""

    fields: dict[str, str]
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The user is not in; ``fields`` are for the client.

    ``delay`` says whether the failure delay applies; ``temporary`` whether it is no verdict.
    """

    fields: dict[str, str] = field(default_factory=dict)
    delay: bool = True
    temporary: bool = False


Step = Challenge | Admitted | Rejected


class Attempt:
    """See the module; ``request`` is what a master may ask for after `Admitted`.

    ``keeps_logins``: whoever asks is a login service, which may log in elsewhere for the user.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        mechanism: str,
        params: AuthParams,
        scope: Scope,
        *,
        keeps_logins: bool = False,
    ) -> None:
        self._auth = authenticator
        self._mechanism = mechanism.upper()
        self._keeps_logins = keeps_logins
        self.request = Request(params, scope, self._mechanism)
        self._exchange: Exchange | None = None
        self._outcome: Outcome | None = None
        self._authzid = ""
        self._password: str | None = None
        self._leaves: list[Leave] | None = None
        self._last_word: Admitted | None = None
        self._finished = False
        self._kerberos = Kerberos(
            authenticator.settings, authenticator.hasher, authenticator.log, self.request
        )

    async def begin(self, initial: bytes | None) -> Step:
        """Start the exchange."""
        mechanism = self._auth.mechanisms.get(self._mechanism)
        if mechanism is None:
            return self._reject("unsupported authentication mechanism", delay=False)
        settings = self._auth.settings
        params = self.request.params
        if (
            mechanism.cleartext
            and params.transport == "insecure"
            and not (settings.auth_allow_cleartext)
        ):
            return self._reject(
                "cleartext authentication on an insecure connection",
                "cleartext_disabled",
                reason=CLEARTEXT_REFUSED,
                delay=False,
            )
        if settings.auth_ssl_require_client_cert and not params.valid_client_cert:
            return self._reject("no valid client certificate")
        self._exchange = mechanism.start(initial, self._surroundings())
        return await self._advance(None)

    async def resume(self, data: bytes) -> Step:
        """Go on with the client's response."""
        if self._last_word is not None:
            if data:
                return self._reject("data where the mechanism had ended")
            self._finish(success=True)
            return self._last_word
        return await self._advance(data)

    def abort(self) -> None:
        """The client went away or gave up."""
        if self._exchange is not None:
            self._exchange.close()
        self._finish(error="aborted")

    def _surroundings(self) -> Surroundings:
        settings, given = self._auth.settings, self.request.params.channel_binding
        return Surroundings(
            base64.b64encode(os.urandom(18)).decode(),
            settings.hostname,
            settings.auth_realms,
            None if given is None else split_bindings(given),
            self._auth.openid_configuration,
        )

    async def _advance(self, answer: Any) -> Step:
        """Run the exchange until it needs the client or ends."""
        exchange = self._exchange
        assert exchange is not None
        while True:
            try:
                question = exchange.send(answer)
            except StopIteration as stop:
                return await self._ended(stop.value)
            if isinstance(question, Challenge):
                return question
            if isinstance(question, GssAccept | GssWrap | GssUnwrap):
                try:
                    answer = await self._kerberos.answer(question)
                except KerberosError:
                    return self._broken(exchange)
                continue
            refusal = await self._name_and_ask_guards(question)
            if refusal is not None:
                exchange.close()
                return refusal
            answer = await self._ask(question)
            if self._outcome is not None and self._outcome.result == "internal_failure":
                return self._broken(exchange)

    def _broken(self, exchange: Exchange) -> Rejected:
        """A database or a library cannot be asked now."""
        exchange.close()
        return self._reject("internal failure", "temp_fail", temporary=True)

    async def _name_and_ask_guards(self, question: Question) -> Rejected | None:
        """Who it is, and whether the guards let it try."""
        self._identify(question)
        if self._leaves is not None:
            return None
        self._leaves = [
            await guard.before(self.request, self._password) for guard in self._auth.guards
        ]
        leave = together(self._leaves)
        if leave.refused:
            return self._reject("refused by policy", reason=leave.message)
        if leave.delay > 0:
            await asyncio.sleep(leave.delay)
        return None

    def _identify(self, question: Question) -> None:
        """Give the request its user: a master too, where the name or the mechanism tells one."""
        auth, request = self._auth, self.request
        if isinstance(question, CheckAnonymous):
            auth.identify(request, auth.settings.auth_anonymous_username)
            return
        if isinstance(question, CheckPassword):
            self._password = question.password
        given = self._claimed(question)
        certified = request.params.certificate_user if request.params.valid_client_cert else None
        if isinstance(question, CheckCertificate) or auth.settings.auth_ssl_username_from_cert:
            given = certified or given
        name, login = split_master(given, auth.settings.auth_master_user_separator)
        if auth.passdbs.masters and not login and self._authzid:
            login = "" if self._is_own_name(given) else self._authzid
        if not login or not auth.passdbs.masters:
            auth.identify(request, given)
        elif auth.identify_master(request, name, login):
            self._authzid = ""
        request.call_original(given)

    def _claimed(self, question: Question) -> str:
        """Who the client says it is; it also says whom it wants to act for."""
        if isinstance(question, CheckPrincipal):
            self._authzid = self._kerberos.as_own(question.authzid)
            return self._kerberos.principal
        assert isinstance(question, CheckPassword | FetchScram | FetchSecret | CheckCertificate)
        self._authzid = question.authzid
        return "" if isinstance(question, CheckCertificate) else question.user

    def _is_own_name(self, name: str) -> bool:
        """Whether the authorization name is just another form of the user's own."""
        one, other = (Request(self.request.params, self.request.scope) for _ in range(2))
        known = self._auth.identify(one, name) and self._auth.identify(other, self._authzid)
        return known and one.user == other.user

    async def _ask(self, question: Question) -> object:
        """The databases' answer to the mechanism."""
        request, passdbs = self.request, self._auth.passdbs
        master = request.becoming
        if isinstance(question, CheckAnonymous):
            request.fields["anonymous"] = ""
            self._outcome = Outcome("ok")
            return True
        if isinstance(question, CheckPassword):
            self._outcome = await passdbs.verify(request, question.password, master=master)
            return self._proven(self._outcome)
        if isinstance(question, CheckCertificate | CheckPrincipal):
            self._outcome = await passdbs.admit(request, master=master)
            return self._proven(self._outcome)
        if isinstance(question, FetchScram):
            salt = self._auth.salt(request.user)
            self._outcome = await passdbs.scram(request, question.hash_name, salt, master=master)
            if self._outcome.secret is not None:
                self._auth.seen_scram(self._outcome.secret, salt)
                return self._outcome.secret
            return await self._auth.fake_scram(request.user or question.user, question.hash_name)
        assert isinstance(question, FetchSecret)
        return await self._fetch(question, master)

    async def _fetch(self, question: FetchSecret, master: bool) -> bytes:
        async def unlock(stored: str, scheme: str) -> bytes | None:
            return self._auth.hasher.secret(stored, scheme, question)

        self._outcome = await self._auth.passdbs.fetch(self.request, unlock, master=master)
        if self._outcome.secret is not None:
            return bytes(self._outcome.secret)
        return self._auth.fake_secret(self.request.user or question.user, question.kind)

    @staticmethod
    def _proven(outcome: Outcome) -> bool:
        """Whether the user is who it says it is, let in or not."""
        return outcome.result in ("ok", "user_disabled", "pass_expired")

    async def _ended(self, outcome: Accepted | Refused) -> Step:
        request, known = self.request, self._outcome
        if isinstance(outcome, Refused):
            return self._reject(_BAD.get(outcome.reason) or _error(known))
        if known is None or not known.ok:
            result = "internal_failure" if known is None else known.result
            return self._reject(_error(known), _CODES.get(result), temporary=known is None)
        if self._authzid and not self._is_own_name(self.request.original_user):
            return self._reject("not allowed to act for another user", "authz_fail")
        refusal = await self._become(known)
        if refusal is not None:
            return refusal
        if "nologin" in request.fields and not self._proxied:
            reason = request.fields.get("reason") or "Login is disabled for this user."
            referral = request.fields.get("referral")
            return self._reject(
                "login disabled", "login_disabled", reason=reason, referral=referral
            )
        refusal = await self._confirm()
        if refusal is not None:
            return refusal
        request.authenticated = True
        admitted = Admitted(self._client_fields(), outcome.data)
        if outcome.data is not None and not request.params.final_resp_ok:
            self._last_word = Admitted(admitted.fields)
            return Challenge(outcome.data)
        self._finish(success=True)
        return admitted

    async def _confirm(self) -> Rejected | None:
        """Whether the guards let in who has proven itself."""
        assert self._leaves is not None
        for guard in self._auth.guards:
            leave = await guard.confirm(self.request, self._password)
            if leave.refused:
                self._leaves.insert(0, leave)
                return self._reject("refused by policy", reason=leave.message)
        return None

    async def _become(self, known: Outcome) -> Rejected | None:
        """Let a master go on as the other user, if the settings want that one to be known."""
        request = self.request
        if not request.becoming:
            return None
        request.become()
        if not known.goes_on:
            return None
        other = await self._auth.passdbs.admit(request)
        if other.ok:
            return None
        broken = other.result == "internal_failure"
        return self._reject(
            f"login user: {_error(other)}", _CODES.get(other.result, "authz_fail"), temporary=broken
        )

    @property
    def _proxied(self) -> bool:
        """Whether the login service is to log in elsewhere for the user."""
        return "proxy" in self.request.fields or "proxy_maybe" in self.request.fields

    def _client_fields(self) -> dict[str, str]:
        request = self.request
        fields = {"user": request.user, **self._names(request.user)}
        for name, value in request.fields.items():
            if name not in _HIDDEN and not name.startswith(USERDB_PREFIX):
                fields[name] = value
        if not self._keeps_logins:
            fields.pop("pass", None)
        elif self._proxied and self._password is not None:
            fields.setdefault("pass", self._password)
        return fields

    def _names(self, user: str) -> dict[str, str]:
        """What else the user is called: as the client wrote it, and its master."""
        request = self.request
        names = {}
        original = request.original_user[:MAX_LENGTH]
        if original != user:
            names["original_user"] = original
        if request.master_user:
            names["auth_user"] = request.master_user
        return names

    def _reject(
        self,
        error: str,
        code: Code | None = None,
        *,
        reason: str | None = None,
        referral: str | None = None,
        delay: bool = True,
        temporary: bool = False,
    ) -> Rejected:
        request = self.request
        refused = self._leaves is not None and together(self._leaves).refused
        self._finish(error=error, refused=refused, temporary=temporary)
        if self._auth.settings.auth_verbose:
            self._auth.log.info(request.scope, f"login failed ({request.original_user}): {error}")
        fields: dict[str, str] = {}
        user = request.login_user or request.user
        if request.original_user:
            fields["user"] = user or request.original_user[:MAX_LENGTH]
        fields.update(self._names(request.login_user or request.user))
        if temporary:
            fields["temp"] = ""
        if code is not None:
            fields["code"] = code
        if reason is not None:
            fields["reason"] = reason
        if referral:
            fields["referral"] = referral
        return Rejected(fields, delay and "nodelay" not in request.fields, temporary)

    def _finish(
        self,
        *,
        success: bool = False,
        error: str | None = None,
        refused: bool = False,
        temporary: bool = False,
    ) -> None:
        if self._finished:
            return
        self._finished = True
        self._kerberos.close()
        leaves = self._leaves or []
        if auth_request_finished.emit is not None:
            auth_request_finished.emit(
                self.request.scope,
                success="yes" if success else None,
                error=error,
                policy_penalty=policy_delay(leaves),
                policy_result=together(leaves).result,
            )
        if self._leaves is not None and error != "aborted":
            result = None if self._outcome is None else self._outcome.result
            for guard in self._auth.guards:
                self._auth.spawn(
                    guard.after(
                        self.request,
                        success=success,
                        refused=refused,
                        password=self._password,
                        result="internal_failure" if temporary else result,
                    )
                )


def _error(outcome: Outcome | None) -> str:
    """What the event and the log say of a failure."""
    if outcome is None or outcome.ok:
        return "password mismatch"
    return outcome.result.replace("_", " ")
