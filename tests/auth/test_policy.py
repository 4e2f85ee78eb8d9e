"""Logins under the eyes of a policy server, which is a real HTTP server here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from httpserver import Answer, HttpServer, Request, http_server, response

from pillarbox.auth import authenticator
from pillarbox.auth.attempt import Admitted, Attempt, Rejected, Step
from pillarbox.auth.authenticator import AuthConfigError
from pillarbox.auth.policy import command_url, put, truncated
from pillarbox.drivers.passdb.api import Entry
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import PassdbSettings, Settings
from pillarbox.wire.auth.params import AuthParams
from pillarbox.wire.sasl import client
from pillarbox.wire.sasl.exchange import Challenge

PARAMS = AuthParams(
    service="imap",
    transport="TLS",
    remote_ip="192.0.2.7",
    session="abc",
    client_id='"name" "x"',
    final_resp_ok=True,
)
USERS = {
    "bob": Entry("{PLAIN}secret"),
    "gone": Entry("{PLAIN}secret", {"user_disabled": ""}),
    "weak": Entry("{PLAIN-MD5}x"),  # a scheme that is not allowed: the login cannot be judged
    "old": Entry("{PLAIN}secret", {"pass_expired": ""}),
}
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def events() -> Iterator[Events]:
    seen: Events = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        seen.append((event.name, {k: v for k, v in own.items() if v is not None}))

    wanted = "event=auth_policy_request_finished OR event=auth_request_finished"
    subscription = bus.subscribe(Call(take), wanted)
    yield seen
    bus.unsubscribe(subscription)


def settings_for(url: str, **changes: Any) -> Settings:
    given = {
        "auth_policy_server_url": url,
        "auth_policy_hash_nonce": "nonce",
        "auth_mechanisms": ("plain", "scram-sha-256"),
        "passdb": {"memory": PassdbSettings()},
        "http_client_request_max_attempts": 1,
    }
    return msgspec.structs.replace(Settings(), **given | changes)


def log_in(
    server: HttpServer | str,
    user: str = "bob",
    password: str = "secret",
    lines: list[Line] | None = None,
    **changes: Any,
) -> Step:
    url = server if isinstance(server, str) else server.url
    log = Log("t", [].append if lines is None else lines.append)

    async def main() -> Step:
        made = authenticator.make(settings_for(url, **changes), log, b"s" * 32)
        made.passdbs.blocks[0].driver.users.update(USERS)  # type: ignore[attr-defined]
        attempt = Attempt(made, "PLAIN", PARAMS, Scope(None, ()))
        try:
            return await attempt.begin(f"\0{user}\0{password}".encode())
        finally:
            await made.close()

    return asyncio.run(main())


def says(*status: int, msg: str = "") -> Answer:
    """Answers of ``allow``, one after the other, the last for ever."""
    left = list(status)

    def answer(request: Request) -> bytes:
        if "report" in request.target:
            return response(200, {"status": 0})
        now = left.pop(0) if len(left) > 1 else left[0]
        return response(200, {"status": now, "msg": msg, "r_attrs": {}})

    return answer


def test_leave_and_report(events: Events) -> None:
    with http_server(says(0)) as server:
        step = log_in(server, auth_policy_server_api_header="X-API-Key: k3y")
        assert isinstance(step, Admitted)
        before, confirm, report = server.requests
    assert [r.target for r in server.requests] == ["/?command=allow"] * 2 + ["/?command=report"]
    assert {r.method for r in server.requests} == {"POST"}
    assert {r.headers["x-api-key"] for r in server.requests} == {"k3y"}
    assert {r.headers["content-type"] for r in server.requests} == {"application/json"}
    assert server.connections == 1
    digest = hashlib.sha256(b"noncebob\0secret").digest()
    asked = {
        "login": "bob",
        "pwhash": f"{int.from_bytes(digest[:2], 'big') >> 4:04x}",
        "remote": "192.0.2.7",
        "device_id": '"name" "x"',
        "protocol": "imap",
        "session_id": "abc",
        "fail_type": "",
        "tls": True,
    }
    assert before.json == confirm.json == asked
    assert report.json == {**asked, "success": True, "policy_reject": False}
    assert b"secret" not in b"".join(r.body for r in server.requests)
    allow = ("auth_policy_request_finished", {"mode": "allow", "policy_result": 0})
    finished = {"success": "yes", "policy_penalty": 0, "policy_result": "ok"}
    told = ("auth_policy_request_finished", {"mode": "report", "policy_result": 0})
    assert events == [allow, allow, ("auth_request_finished", finished), told]


def test_a_login_that_nobody_can_judge_is_reported(events: Events) -> None:
    with http_server(says(0)) as server:
        step = log_in(server, "weak")
        assert isinstance(step, Rejected)
        assert step.temporary
        _, report = server.requests
    assert (report.json["success"], report.json["policy_reject"]) == (False, False)
    assert (report.json["login"], report.json["fail_type"]) == ("weak", "internal")
    assert [name for name, _ in events][1:] == [
        "auth_request_finished",
        "auth_policy_request_finished",
    ]


def test_refused_before_any_database_is_asked(events: Events) -> None:
    with http_server(says(-1, msg="go away")) as server:
        step = log_in(server)
        assert isinstance(step, Rejected)
        assert step.fields == {"user": "bob", "reason": "go away"}
        assert step.delay
        assert not step.temporary
        _, report = server.requests
    assert (report.json["success"], report.json["policy_reject"]) == (False, True)
    assert report.json["fail_type"] == "policy"
    assert events[0] == ("auth_policy_request_finished", {"mode": "allow", "policy_result": -1})
    assert events[1][1]["policy_result"] == "refused"


def test_refused_though_the_password_is_right(events: Events) -> None:
    with http_server(says(0, -1)) as server:
        assert isinstance(log_in(server), Rejected)
        assert [r.target for r in server.requests][-1] == "/?command=report"
        assert server.requests[-1].json["policy_reject"] is True
    finished = next(fields for name, fields in events if name == "auth_request_finished")
    assert finished == {
        "error": "refused by policy", "policy_penalty": 0, "policy_result": "refused",
    }  # fmt: skip


def test_delayed(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("pillarbox.auth.attempt.asyncio.sleep", sleep)
    with http_server(says(7, 7)) as server:
        assert isinstance(log_in(server), Admitted)
    assert slept == [7]
    finished = next(fields for name, fields in events if name == "auth_request_finished")
    assert finished == {"success": "yes", "policy_penalty": 7, "policy_result": "delayed"}
    with http_server(says(10**9)) as server:
        log_in(server)
    assert slept == [7, 600]


@pytest.mark.parametrize(
    ("user", "password", "kind"),
    [
        ("bob", "wrong", "credentials"),
        ("nobody", "secret", "account"),
        ("gone", "secret", "disabled"),
        ("old", "secret", "expired"),
    ],
)
def test_why_it_failed(user: str, password: str, kind: str) -> None:
    with http_server(says(0)) as server:
        assert isinstance(log_in(server, user, password), Rejected)
        before, report = server.requests
    assert before.json["fail_type"] == ""
    assert report.json["fail_type"] == kind
    assert (report.json["success"], report.json["policy_reject"]) == (False, False)


@pytest.mark.parametrize("switch", ["check_before_auth", "check_after_auth", "report_after_auth"])
def test_each_question_can_be_left_out(switch: str) -> None:
    with http_server(says(0)) as server:
        assert isinstance(log_in(server, **{f"auth_policy_{switch}": False}), Admitted)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        response(500),
        response(200, b"no json"),
        response(200, {"stat": 0}),
        response(200, {"status": "0"}),
        response(200, []),
    ],
)
def test_no_usable_answer(answer: bytes | None, events: Events) -> None:
    lines: list[Line] = []
    with http_server(lambda _: answer) as server:
        assert isinstance(log_in(server, lines=lines), Admitted)
        assert events[0] == ("auth_policy_request_finished", {"mode": "allow"})
        assert lines[0].level == "error"
        step = log_in(server, auth_policy_reject_on_fail=True)
        assert isinstance(step, Rejected)
        assert "reason" not in step.fields


def test_nobody_there_and_nobody_answering() -> None:
    with http_server(says(0)) as server:
        pass
    assert isinstance(log_in(server), Admitted)

    def silent(request: Request) -> bytes | None:
        import time

        time.sleep(0.3)
        return None

    with http_server(silent) as server:
        assert isinstance(log_in(server, auth_policy_server_timeout=0.05), Admitted)


def test_only_logged() -> None:
    for status, what in ((-1, "refused"), (5, "delayed by 5 s")):
        lines: list[Line] = []
        with http_server(says(status)) as server:
            step = log_in(server, lines=lines, auth_policy_log_only=True)
            assert isinstance(step, Admitted)
        assert f"bob would have been {what}" in lines[0].text


def test_attributes_of_ones_own() -> None:
    attributes = {"who": "%{user}", "at/host": "%{remote_ip}", "at/how": "%{mechanism | lower}"}
    with http_server(says(0)) as server:
        log_in(server, auth_policy_request_attributes=attributes)
        assert server.requests[0].json == {
            "who": "bob", "at": {"host": "192.0.2.7", "how": "plain"}, "tls": True,
        }  # fmt: skip


def test_an_attribute_that_is_wrong_is_no_outage() -> None:
    lines: list[Line] = []
    with http_server(says(-1)) as server:
        step = log_in(server, lines=lines, auth_policy_request_attributes={"x": "%{nonsense}"})
        assert isinstance(step, Admitted)
        assert server.requests == []
    assert "nonsense" in lines[0].text


def test_a_mechanism_without_the_password() -> None:
    with http_server(says(0)) as server:

        async def main() -> Step:
            made = authenticator.make(settings_for(server.url), Log("t", [].append), b"s" * 32)
            made.passdbs.blocks[0].driver.users.update(USERS)  # type: ignore[attr-defined]
            attempt = Attempt(made, "SCRAM-SHA-256", PARAMS, Scope(None, ()))
            ours = client.scram("sha256", "bob", "secret", "cn")
            step = await attempt.begin(next(ours))
            assert isinstance(step, Challenge)
            step = await attempt.resume(ours.send(step.data))
            await made.close()
            return step

        assert isinstance(asyncio.run(main()), Admitted)
        assert {r.json["pwhash"] for r in server.requests} == {""}
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_policy_hash_nonce": ""},
        {"auth_policy_server_api_header": "nonsense"},
        {"auth_policy_server_api_header": "X: a\r\nY: b"},
    ],
)
def test_settings_that_cannot_work(changes: dict[str, str]) -> None:
    with pytest.raises(AuthConfigError, match="auth_policy_"):
        authenticator.make(settings_for("http://x/", **changes), Log("t"), b"s" * 32)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(0, "abcdef12"), (8, "ab"), (12, "0abc"), (16, "abcd"), (1, "01"), (31, "55e6f789"),
     (32, "abcdef12"), (999, "abcdef12")],
)  # fmt: skip
def test_bits_of_a_hash(bits: int, expected: str) -> None:
    assert truncated(bytes.fromhex("abcdef12"), bits) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://x", "http://x?command=allow"),
        ("http://x/?", "http://x/?command=allow"),
        ("http://x/?a=b", "http://x/?a=b&command=allow"),
        ("http://x/?a=b&", "http://x/?a=b&command=allow"),
    ],
)
def test_where_to_ask(url: str, expected: str) -> None:
    assert command_url(url, "allow") == expected


def test_objects_in_objects() -> None:
    told: dict[str, object] = {}
    for name in ("a", "b/c", "b/d/e", "a/f"):
        put(told, name, "x")
    assert told == {"a": {"f": "x"}, "b": {"c": "x", "d": {"e": "x"}}}
