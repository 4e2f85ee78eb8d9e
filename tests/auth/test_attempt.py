"""One login: steps, refusals, and exactly one auth_request_finished."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pillarbox.auth import authenticator
from pillarbox.auth.attempt import Admitted, Attempt, Rejected, Step
from pillarbox.drivers.passdb.api import Entry
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import PassdbSettings, Settings
from pillarbox.wire.auth.params import AuthParams
from pillarbox.wire.sasl import client
from pillarbox.wire.sasl.exchange import Challenge

PARAMS = AuthParams(service="imap", transport="TLS")
USERS = {
    "bob": Entry("{PLAIN}secret", {"theme": "dark", "userdb_home": "/b", "allow_nets": "local"}),
    "fast": Entry("{PLAIN}secret", {"nodelay": ""}),
}


@pytest.fixture
def finished() -> Iterator[list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        seen.append({k: v for k, v in own.items() if v is not None})

    subscription = bus.subscribe(Call(take), "event=auth_request_finished")
    yield seen
    bus.unsubscribe(subscription)


def attempt(
    mechanism: str = "PLAIN", params: AuthParams = PARAMS, lines: Any = None, **changes: Any
) -> Attempt:
    settings = msgspec.structs.replace(
        Settings(),
        auth_mechanisms=("plain", "login", "scram-sha-256"),
        passdb={"memory": PassdbSettings()},
        **changes,
    )
    collected: list[Line] = [] if lines is None else lines
    made = authenticator.make(settings, Log("t", collected.append), b"s" * 32)
    made.passdbs.blocks[0].driver.users.update(USERS)  # type: ignore[attr-defined]
    return Attempt(made, mechanism, params, Scope(None, ()))


def begin(made: Attempt, initial: bytes | None) -> Step:
    return asyncio.run(made.begin(initial))


def test_admitted(finished: list[dict[str, Any]]) -> None:
    made = attempt()
    assert begin(made, b"\0BOB\0secret") == Admitted(
        {"user": "bob", "original_user": "BOB", "theme": "dark"}
    )
    assert made.request.authenticated
    assert made.request.prefetched() == {"home": "/b"}
    assert finished == [{"success": "yes"}]


@pytest.mark.parametrize(
    ("initial", "error"),
    [
        (b"\0bob\0wrong", "password mismatch"),
        (b"\0nobody\0wrong", "user unknown"),
        (b"nonsense", "malformed authentication data"),
    ],
)
def test_rejected(initial: bytes, error: str, finished: list[dict[str, Any]]) -> None:
    step = begin(attempt(), initial)
    assert isinstance(step, Rejected)
    assert step.delay
    assert not step.temporary
    assert set(step.fields) <= {"user"}
    assert finished == [{"error": error}]


def test_nodelay() -> None:
    step = begin(attempt(), b"\0fast\0wrong")
    assert isinstance(step, Rejected)
    assert not step.delay


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        (b"BOB\0bob\0secret", None),
        (b"sue\0bob\0secret", "authz_fail"),
        (b"sue\0bob\0wrong", ""),
    ],
)
def test_authzid(initial: bytes, expected: str | None) -> None:
    step = begin(attempt(), initial)
    if expected is None:
        assert isinstance(step, Admitted)
    else:
        assert isinstance(step, Rejected)
        assert step.fields.get("code", "") == expected


def scram(params: AuthParams, extra: bytes = b"") -> tuple[Attempt, list[Step]]:
    made = attempt("SCRAM-SHA-256", params)
    ours = client.scram("sha256", "bob", "secret", "cn")
    steps: list[Step] = []

    async def main() -> None:
        step = await made.begin(next(ours))
        while isinstance(step, Challenge):
            steps.append(step)
            step = await made.resume(ours.send(step.data) + (extra if len(steps) == 2 else b""))
        steps.append(step)

    asyncio.run(main())
    return made, steps


def test_the_last_word_as_a_challenge(finished: list[dict[str, Any]]) -> None:
    _, steps = scram(PARAMS)
    assert [type(step) for step in steps] == [Challenge, Challenge, Admitted]
    assert steps[2] == Admitted({"user": "bob", "theme": "dark"})
    assert finished == [{"success": "yes"}]


def test_the_last_word_with_the_success() -> None:
    _, steps = scram(msgspec.structs.replace(PARAMS, final_resp_ok=True))
    assert [type(step) for step in steps] == [Challenge, Admitted]
    last = steps[1]
    assert isinstance(last, Admitted)
    assert last.data is not None
    assert last.data.startswith(b"v=")


def test_data_after_the_last_word(finished: list[dict[str, Any]]) -> None:
    _, steps = scram(PARAMS, b"more")
    assert isinstance(steps[-1], Rejected)
    assert len(finished) == 1
    assert "error" in finished[0]


def test_certificates() -> None:
    need = {"auth_ssl_require_client_cert": True}
    assert isinstance(begin(attempt(**need), b"\0bob\0secret"), Rejected)
    certified = msgspec.structs.replace(PARAMS, valid_client_cert=True, certificate_user="bob")
    assert isinstance(begin(attempt(params=certified, **need), b"\0bob\0secret"), Admitted)
    named = attempt(params=certified, auth_ssl_username_from_cert=True)
    step = begin(named, b"\0someone\0secret")
    assert isinstance(step, Admitted)
    assert step.fields["user"] == "bob"


def test_abort_and_finish_only_once(finished: list[dict[str, Any]]) -> None:
    made = attempt("LOGIN")
    assert isinstance(begin(made, None), Challenge)
    made.abort()
    made.abort()
    assert finished == [{"error": "aborted"}]


def test_verbose_says_why_without_the_password() -> None:
    lines: list[Line] = []
    begin(attempt(lines=lines, auth_verbose=True), b"\0bob\0hunter2")
    assert any("password mismatch" in line.text for line in lines)
    assert not any("hunter2" in line.text for line in lines)
