"""Events of the auth process: the passdb and userdb chain, policy checks, and their outcome."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import AUTH_REQUEST, PASSDB, USERDB
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Cache = Annotated[
    str | None,
    F("Whether the auth cache had the answer; absent without a cache.", values=("miss", "hit")),
]


@declare(category="auth", inherits={**AUTH_REQUEST, **PASSDB})
def auth_passdb_request_started(scope: Scope, /) -> None:
    """One passdb of the chain is about to be asked."""


@declare(category="auth", inherits={**AUTH_REQUEST, **PASSDB})
def auth_passdb_request_finished(
    scope: Scope,
    /,
    *,
    result: Annotated[
        str | None,
        F(
            "The passdb's verdict.",
            values=(
                "ok",
                "password_mismatch",
                "user_unknown",
                "pass_expired",
                "user_disabled",
                "scheme_not_available",
                "internal_failure",
                "next",
            ),
        ),
    ] = None,
    cache: _Cache = None,
) -> None:
    """One passdb of the chain has answered."""


@declare(category="auth", inherits={**AUTH_REQUEST, **USERDB})
def auth_userdb_request_started(scope: Scope, /) -> None:
    """One userdb of the chain is about to be asked, for one user or for a list of users."""


@declare(category="auth", inherits={**AUTH_REQUEST, **USERDB})
def auth_userdb_request_finished(
    scope: Scope,
    /,
    *,
    result: Annotated[
        str | None,
        F("The userdb's verdict.", values=("ok", "user_unknown", "internal_failure")),
    ] = None,
    cache: _Cache = None,
) -> None:
    """One userdb of the chain has answered, for one user or for a list of users."""


@declare(category="auth", inherits=AUTH_REQUEST)
def auth_policy_request_finished(
    scope: Scope,
    /,
    *,
    mode: Annotated[
        str | None,
        F(
            "Whether leave was asked before the login or its outcome told after it.",
            values=("allow", "report"),
        ),
    ] = None,
    policy_result: Annotated[int | None, F("Number that the policy server answered.")] = None,
) -> None:
    """The policy server has answered, or failed to."""


@declare(category="auth", inherits=AUTH_REQUEST)
def auth_request_finished(
    scope: Scope,
    /,
    *,
    error: Error = None,
    success: Annotated[str | None, F("Present when the user was let in.", values=("yes",))] = None,
    policy_penalty: Annotated[
        int | None, F("Delay that the policy server asked for.", unit="s")
    ] = None,
    policy_result: Annotated[
        str | None,
        F("What became of the policy check.", values=("ok", "delayed", "refused")),
    ] = None,
) -> None:
    """An authentication is over: the event to count logins and failed logins by."""
