"""One login: steps, refusals, and exactly one auth_request_finished."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pillarbox.auth import authenticator
from pillarbox.auth.attempt import Admitted, Attempt, Rejected, Step
from pillarbox.auth.schemes import hash_password, verify
from pillarbox.drivers.passdb.api import Entry
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import PassdbSettings, Settings
from pillarbox.wire.auth.params import AuthParams, join_bindings
from pillarbox.wire.sasl import apop, client
from pillarbox.wire.sasl.exchange import Challenge
from pillarbox.wire.sasl.mechanisms import MECHANISMS

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
    mechanism: str = "PLAIN",
    params: AuthParams = PARAMS,
    lines: Any = None,
    passdbs: dict[str, PassdbSettings] | None = None,
    keeps_logins: bool = False,
    **changes: Any,
) -> Attempt:
    settings = msgspec.structs.replace(
        Settings(),
        auth_mechanisms=tuple(MECHANISMS),
        passdb=passdbs or {"memory": PassdbSettings()},
        **changes,
    )
    collected: list[Line] = [] if lines is None else lines
    made = authenticator.make(settings, Log("t", collected.append), b"s" * 32)
    made.passdbs.blocks[-1].driver.users.update(USERS)  # type: ignore[attr-defined]
    return Attempt(made, mechanism, params, Scope(None, ()), keeps_logins=keeps_logins)


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


MASTERS = {
    "admin": Entry("{PLAIN}root", {"userdb_home": "/admin", "theme": "loud"}),
    "boss@example.com": Entry("{PLAIN}root"),
}


def with_masters(mechanism: str = "PLAIN", **changes: Any) -> Attempt:
    """Master users in a block before the ordinary ones."""
    master = PassdbSettings(driver="memory", master=True, result_success="continue")
    if "master" in changes:
        master = msgspec.structs.replace(master, **changes.pop("master"))
    made = attempt(
        mechanism,
        passdbs={"masters": master, "memory": PassdbSettings()},
        auth_master_user_separator="*",
        **changes,
    )
    made._auth.passdbs.blocks[0].driver.users.update(MASTERS)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("initial", "original"),
    [
        (b"\0bob*admin\0root", "bob*admin"),
        (b"bob\0admin\0root", "admin"),
        (b"\0BOB*Boss@Example.com\0root", "BOB*Boss@Example.com"),
    ],
)
def test_a_master_becomes_the_user(initial: bytes, original: str) -> None:
    made = with_masters()
    step = begin(made, initial)
    assert isinstance(step, Admitted)
    master = "boss@example.com" if "Boss" in original else "admin"
    assert step.fields["user"] == "bob"
    assert step.fields["original_user"] == original
    assert step.fields["auth_user"] == master
    assert step.fields["theme"] == "dark"
    assert made.request.prefetched() == {"home": "/b"}
    known = made.request.scope.all_fields()
    assert known["user"] == "bob"
    assert known["master_user"] == master
    assert known["login_user"] == "bob"


@pytest.mark.parametrize(
    ("initial", "error", "code"),
    [
        (b"\0bob*admin\0wrong", "password mismatch", None),
        (b"\0bob*nobody\0root", "user unknown", None),
        (b"\0bob*\0root", "user unknown", None),
        (b"\0admin\0root", "user unknown", None),
        (b"\0*admin\0root", "user unknown", None),
        (b"\0b b*admin\0root", "user unknown", None),
        (b"\0nobody*admin\0root", "login user: user unknown", "authz_fail"),
        (b"bob\0fast\0secret", "user unknown", None),
    ],
)
def test_a_master_who_may_not(
    initial: bytes, error: str, code: str | None, finished: list[dict[str, Any]]
) -> None:
    step = begin(with_masters(), initial)
    assert isinstance(step, Rejected)
    assert step.fields.get("code") == code
    assert finished == [{"error": error}]


def test_a_master_alone_decides_if_the_settings_say_so() -> None:
    step = begin(with_masters(master={"result_success": "return-ok"}), b"\0nobody*admin\0root")
    assert isinstance(step, Admitted)
    assert step.fields == {
        "user": "nobody",
        "original_user": "nobody*admin",
        "auth_user": "admin",
        "theme": "loud",
    }


def test_a_master_by_scram() -> None:
    made = with_masters("SCRAM-SHA-256")
    step = exchange(made, client.scram("sha256", "admin", "root", "cn", authzid="bob"))
    assert isinstance(step, Admitted)
    assert step.fields["user"] == "bob"
    assert step.fields["auth_user"] == "admin"


def exchange(made: Attempt, ours: Any) -> Step:
    """A whole exchange, each step of the client's as the server asks."""

    async def main() -> Step:
        first = next(ours)
        step = await made.begin(first or None)
        while isinstance(step, Challenge):
            step = await made.resume(ours.send(step.data))
        return step

    return asyncio.run(main())


@pytest.mark.parametrize("password", ["secret", "wrong"])
@pytest.mark.parametrize("user", ["bob", "nobody"])
@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "DIGEST-MD5"])
def test_challenge_and_response(
    mechanism: str, user: str, password: str, finished: list[dict[str, Any]]
) -> None:
    ours = {
        "CRAM-MD5": client.cram_md5(user, password),
        "DIGEST-MD5": client.digest_md5(user, password, "cn", "imap", "localhost"),
    }[mechanism]
    step = exchange(attempt(mechanism), ours)
    if (user, password) == ("bob", "secret"):
        assert isinstance(step, Admitted)
        assert finished == [{"success": "yes"}]
    else:
        assert isinstance(step, Rejected)
        assert step.fields == {"user": user}
        assert finished == [{"error": "user unknown" if user == "nobody" else "password mismatch"}]


def test_digest_md5_completes_the_name_with_the_realm() -> None:
    made = attempt("DIGEST-MD5", auth_realms=("example.com", "example.net"))
    blocks = made._auth.passdbs.blocks
    blocks[-1].driver.users["sue@example.com"] = Entry("secret")  # type: ignore[attr-defined]
    step = exchange(made, client.digest_md5("sue", "secret", "cn", "imap", "localhost"))
    assert isinstance(step, Admitted)
    assert step.fields["user"] == "sue@example.com"


def test_apop() -> None:
    stamp = b"<1.2@localhost>"
    right = apop.digest(stamp, b"secret")
    assert isinstance(begin(attempt("APOP"), stamp + b"\0bob\0" + right), Admitted)
    wrong = apop.digest(stamp, b"wrong")
    assert isinstance(begin(attempt("APOP"), stamp + b"\0bob\0" + wrong), Rejected)
    assert isinstance(begin(attempt("APOP"), stamp + b"\0nobody\0" + right), Rejected)


CERTIFIED = msgspec.structs.replace(PARAMS, valid_client_cert=True, certificate_user="bob")


@pytest.mark.parametrize(
    ("params", "authzid", "error"),
    [
        (CERTIFIED, b"", None),
        (CERTIFIED, b"Bob", None),
        (CERTIFIED, b"fast", "not allowed to act for another user"),
        (PARAMS, b"bob", "user unknown"),
        (msgspec.structs.replace(PARAMS, certificate_user="bob"), b"", "user unknown"),
        (msgspec.structs.replace(CERTIFIED, certificate_user="nobody"), b"", "user unknown"),
        (msgspec.structs.replace(CERTIFIED, remote_ip="192.0.2.1"), b"", "password mismatch"),
    ],
)
def test_external(
    params: AuthParams, authzid: bytes, error: str | None, finished: list[dict[str, Any]]
) -> None:
    step = begin(attempt("EXTERNAL", params), authzid)
    if error is None:
        assert isinstance(step, Admitted)
        assert step.fields["user"] == "bob"
    else:
        assert isinstance(step, Rejected)
        assert finished == [{"error": error}]


def test_anonymous() -> None:
    step = begin(attempt("ANONYMOUS", auth_anonymous_username="Guest"), b"me@example.org")
    assert step == Admitted({"user": "guest", "original_user": "Guest", "anonymous": ""})


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_tokens(mechanism: str) -> None:
    make = {"OAUTHBEARER": client.oauthbearer, "XOAUTH2": client.xoauth2}[mechanism]
    assert isinstance(exchange(attempt(mechanism), make("bob", "secret")), Admitted)
    assert isinstance(exchange(attempt(mechanism), make("bob", "wrong")), Rejected)
    clear = msgspec.structs.replace(PARAMS, transport="insecure")
    refused = begin(attempt(mechanism, clear), b"")
    assert isinstance(refused, Rejected)
    assert refused.fields["code"] == "cleartext_disabled"


def test_bound_to_the_channel(finished: list[dict[str, Any]]) -> None:
    bound = msgspec.structs.replace(
        PARAMS, channel_binding=join_bindings({"tls-server-end-point": b"\0digest"})
    )
    right = ("tls-server-end-point", b"\0digest")
    step = exchange(
        attempt("SCRAM-SHA-256-PLUS", bound),
        client.scram("sha256", "bob", "secret", "cn", binding=right),
    )
    assert isinstance(step, Admitted)
    for binding in (("tls-server-end-point", b"another"), ("tls-unique", b"\0digest")):
        step = exchange(
            attempt("SCRAM-SHA-256-PLUS", bound),
            client.scram("sha256", "bob", "secret", "cn", binding=binding),
        )
        assert isinstance(step, Rejected)
    errors = [fields.get("error") for fields in finished]
    assert errors == [None, *["channel binding does not match"] * 2]


def test_translated_names() -> None:
    made = attempt(auth_username_translation="#@%@", auth_username_chars="")
    blocks = made._auth.passdbs.blocks
    blocks[-1].driver.users["sue@example.com"] = Entry("secret")  # type: ignore[attr-defined]
    step = begin(made, b"\0sue%Example.com\0secret")
    assert isinstance(step, Admitted)
    assert step.fields["user"] == "sue@example.com"
    assert made.request.scope.all_fields()["translated_user"] == "sue@example.com"
    with pytest.raises(authenticator.AuthConfigError):
        attempt(auth_username_translation="#@%")


@pytest.mark.parametrize(
    "name", [b"bo\x01b", b"bo\tb", b"bo\x7fb", b"x" * 600, "b\u00f6b".encode()]
)
def test_names_that_cannot_be(name: bytes, finished: list[dict[str, Any]]) -> None:
    assert isinstance(begin(attempt(), b"\0" + name + b"\0secret"), Rejected)
    assert finished == [{"error": "user unknown"}]


def test_what_a_proxy_gets() -> None:
    """The password, only for a login service, only if the passdb says so and gives none."""
    fields = {"proxy": "", "host": "192.0.2.5", "nologin": ""}
    for keeps, given, expected in (
        (True, fields, "secret"),
        (True, {**fields, "pass": "other"}, "other"),
        (False, {**fields, "pass": "other"}, None),
        (False, fields, None),
    ):
        made = attempt(keeps_logins=keeps)
        blocks = made._auth.passdbs.blocks
        blocks[-1].driver.users["moved"] = Entry("secret", dict(given))  # type: ignore[attr-defined]
        step = begin(made, b"\0moved\0secret")
        assert isinstance(step, Admitted)
        assert step.fields["host"] == "192.0.2.5"
        assert step.fields.get("pass") == expected


def test_a_password_is_stored_anew() -> None:
    made = attempt(auth_rehash_on_login=True, auth_password_scheme="SSHA256")
    driver: Any = made._auth.passdbs.blocks[0].driver

    async def main() -> None:
        assert isinstance(await made.begin(b"\0bob\0secret"), Admitted)
        await made._auth.close()

    asyncio.run(main())
    stored = driver.users["bob"].password
    assert stored.startswith("{SSHA256}")
    assert verify(stored, "secret")
    assert driver.users["bob"].fields["theme"] == "dark"


def test_weak_schemes_need_leave(finished: list[dict[str, Any]]) -> None:
    for allowed in (False, True):
        made = attempt(auth_allow_weak_schemes=allowed)
        blocks = made._auth.passdbs.blocks
        stored = hash_password("PLAIN-MD5", "secret")
        blocks[-1].driver.users["old"] = Entry(stored)  # type: ignore[attr-defined]
        assert isinstance(begin(made, b"\0old\0secret"), Admitted if allowed else Rejected)
    assert finished == [{"error": "internal failure"}, {"success": "yes"}]
