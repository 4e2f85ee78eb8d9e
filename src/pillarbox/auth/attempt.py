"""One login: a SASL exchange driven against the databases.

`Attempt.begin` and `Attempt.resume` run the mechanism's generator to its next `Challenge` or to
its end, answering its questions from the chains, and give a `Step`.  The attempt says what came
out; when to tell the client (the failure delay) is the service's business.

The end is told by auth_request_finished, once, whichever way it comes.

The one trick: for a user who does not exist the exchange goes on with a made-up secret, and fails
where a wrong password fails.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from typing import Any, Literal

from pillarbox.auth.authenticator import Authenticator
from pillarbox.auth.passdbs import Outcome, Result
from pillarbox.auth.request import USERDB_PREFIX, Request
from pillarbox.auth.usernames import MAX_LENGTH
from pillarbox.events.catalogue.auth import auth_request_finished
from pillarbox.events.event import Scope
from pillarbox.wire.auth.params import AuthParams
from pillarbox.wire.sasl.exchange import (
    Accepted,
    Challenge,
    CheckPassword,
    Exchange,
    FetchScram,
    Question,
    Refused,
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
        "user_disabled",
        "pass_expired",
    }
)
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
    """See the module; ``request`` is what a master may ask for after `Admitted`."""

    def __init__(
        self, authenticator: Authenticator, mechanism: str, params: AuthParams, scope: Scope
    ) -> None:
        self._auth = authenticator
        self._mechanism = mechanism.upper()
        self.request = Request(params, scope, self._mechanism)
        self._exchange: Exchange | None = None
        self._outcome: Outcome | None = None
        self._authzid = ""
        self._last_word: Admitted | None = None
        self._finished = False

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
        nonce = base64.b64encode(os.urandom(18)).decode()
        self._exchange = mechanism.start(initial, nonce)
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

    async def _advance(self, answer: Any) -> Step:
        """Run the exchange until it needs the client or ends."""
        exchange = self._exchange
        assert exchange is not None
        while True:
            try:
                question = exchange.send(answer)
            except StopIteration as stop:
                return self._ended(stop.value)
            if isinstance(question, Challenge):
                return question
            answer = await self._ask(question)
            if self._outcome is not None and self._outcome.result == "internal_failure":
                exchange.close()
                return self._reject("internal failure", "temp_fail", temporary=True)

    async def _ask(self, question: Question) -> object:
        """The databases' answer to the mechanism."""
        assert isinstance(question, CheckPassword | FetchScram)
        request = self.request
        self._auth.identify(request, self._name(question.user))
        self._authzid = question.authzid
        if isinstance(question, CheckPassword):
            self._outcome = await self._auth.passdbs.verify(request, question.password)
            return self._outcome.ok or self._outcome.result in ("user_disabled", "pass_expired")
        salt = self._auth.salt(request.user)
        self._outcome = await self._auth.passdbs.scram(request, question.hash_name, salt)
        if self._outcome.secret is not None:
            self._auth.seen_scram(self._outcome.secret)
            return self._outcome.secret
        return self._auth.fake_scram(request.user or question.user, question.hash_name)

    def _name(self, given: str) -> str:
        """The name to log in with: the certificate's, where the settings say so."""
        certified = self.request.params.certificate_user
        if self._auth.settings.auth_ssl_username_from_cert and certified:
            return certified
        return given

    def _ended(self, outcome: Accepted | Refused) -> Step:
        request, known = self.request, self._outcome
        if isinstance(outcome, Refused):
            if outcome.reason == "malformed":
                return self._reject("malformed authentication data")
            return self._reject(_error(known))
        if known is None or not known.ok:
            result = "internal_failure" if known is None else known.result
            return self._reject(_error(known), _CODES.get(result), temporary=known is None)
        if self._authzid and not self._may_act_for(self._authzid):
            return self._reject("not allowed to act for another user", "authz_fail")
        if "nologin" in request.fields:
            reason = request.fields.get("reason") or "Login is disabled for this user."
            referral = request.fields.get("referral")
            return self._reject(
                "login disabled", "login_disabled", reason=reason, referral=referral
            )
        request.authenticated = True
        admitted = Admitted(self._client_fields(), outcome.data)
        if outcome.data is not None and not request.params.final_resp_ok:
            self._last_word = Admitted(admitted.fields)
            return Challenge(outcome.data)
        self._finish(success=True)
        return admitted

    def _may_act_for(self, authzid: str) -> bool:
        """Everybody may act for themselves alone (there are no master users yet)."""
        other = Request(self.request.params, self.request.scope)
        return self._auth.identify(other, authzid) and other.user == self.request.user

    def _client_fields(self) -> dict[str, str]:
        request = self.request
        fields = {"user": request.user}
        if request.original_user != request.user:
            fields["original_user"] = request.original_user
        for name, value in request.fields.items():
            if name not in _HIDDEN and not name.startswith(USERDB_PREFIX):
                fields[name] = value
        return fields

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
        self._finish(error=error)
        if self._auth.settings.auth_verbose:
            self._auth.log.info(request.scope, f"login failed ({request.original_user}): {error}")
        fields: dict[str, str] = {}
        original = request.original_user[:MAX_LENGTH]
        if original:
            fields["user"] = request.user or original
        if original != request.user:
            fields["original_user"] = original
        if temporary:
            fields["temp"] = ""
        if code is not None:
            fields["code"] = code
        if reason is not None:
            fields["reason"] = reason
        if referral:
            fields["referral"] = referral
        return Rejected(fields, delay and "nodelay" not in request.fields, temporary)

    def _finish(self, *, success: bool = False, error: str | None = None) -> None:
        if self._finished:
            return
        self._finished = True
        if auth_request_finished.emit is not None:
            auth_request_finished.emit(
                self.request.scope, success="yes" if success else None, error=error
            )


def _error(outcome: Outcome | None) -> str:
    """What the event and the log say of a failure."""
    if outcome is None or outcome.ok:
        return "password mismatch"
    return outcome.result.replace("_", " ")
