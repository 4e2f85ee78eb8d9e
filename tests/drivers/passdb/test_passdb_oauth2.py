"""The oauth2 passdb: against a provider of our own that may fail, and against a real one."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e"))

from httpserver import HttpServer, Request, http_server, response
from oidc_provider import CLIENT, OidcProvider, needs_provider, oidc_provider

from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import (
    DatabaseError,
    Entry,
    NoLookup,
    Query,
    Server,
    SupportsVerify,
    Wrong,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import PassdbSettings, Settings

pytest.importorskip("joserfc")

MISMATCH = Wrong("password_mismatch")
BOB = "bob@example.com"


def verify(
    user: str = BOB,
    token: str = "t0ken",
    mechanism: str = "OAUTHBEARER",
    lines: list[Line] | None = None,
    settings: dict[str, Any] | None = None,
    **block: Any,
) -> Entry | Wrong | None:
    log = Log("t", [].append if lines is None else lines.append, "debug")
    whole = msgspec.structs.replace(
        Settings(), http_client_request_max_attempts=1, **(settings or {})
    )

    async def main() -> Entry | Wrong | None:
        made = registry.load("passdb", "oauth2").make(PassdbSettings(**block), Server(whole, log))
        assert isinstance(made, SupportsVerify)
        try:
            query = Query(user, Scope(None), {"user": user, "mechanism": mechanism})
            return await made.verify(query, token)
        finally:
            await made.close()

    return asyncio.run(main())


def provider(answers: dict[str, Any]) -> Callable[[Request], bytes | None]:
    """Answers by path: an object, a status, bytes, or None to hang up."""

    def answer(request: Request) -> bytes | None:
        told = answers[urlsplit(request.target).path]
        if told is None or isinstance(told, bytes):
            return told
        return response(told) if isinstance(told, int) else response(200, told)

    return answer


@pytest.fixture
def claims() -> dict[str, Any]:
    return {"email": "Bob@Example.com", "sub": "4711", "scope": "mail openid"}


@pytest.fixture
def server(claims: dict[str, Any]) -> Iterator[HttpServer]:
    answers = {"/info": claims, "/grant": {"access_token": "fr3sh"}, "/broken": 500}
    with http_server(provider(answers)) as one:
        yield one


def info(server: HttpServer, mode: str, path: str = "info") -> dict[str, str]:
    return {"oauth2_introspection_mode": mode, "oauth2_introspection_url": server.url + path}


def test_with_the_token_as_authorization(server: HttpServer) -> None:
    assert verify(**info(server, "auth")) == Entry(None)
    [request] = server.requests
    assert (request.method, request.headers["authorization"]) == ("GET", "Bearer t0ken")


def test_with_the_token_in_the_url(server: HttpServer) -> None:
    assert verify(token="t0/ken=", **info(server, "get", "info?token=")) == Entry(None)
    assert server.requests[0].target == "/info?token=t0%2Fken%3D"


def test_introspection_of_rfc_7662(server: HttpServer) -> None:
    client = {"oauth2_client_id": "me:1", "oauth2_client_secret": "s&cret"}
    assert verify(**info(server, "post"), **client) == MISMATCH  # It names no audience.
    [request] = server.requests
    assert request.method == "POST"
    assert parse_qs(request.body.decode()) == {
        "token": ["t0ken"],
        "token_type_hint": ["access_token"],
    }
    basic = base64.b64encode(b"me%3A1:s%26cret").decode()
    assert request.headers["authorization"] == f"Basic {basic}"


def test_name_and_password_in_the_url(server: HttpServer, claims: dict[str, Any]) -> None:
    url = server.url.replace("//", "//me:pass@") + "info"
    mode = {"oauth2_introspection_mode": "post", "oauth2_introspection_url": url}
    assert verify(**mode) == Entry(None)
    assert server.requests[0].headers["authorization"] == "Basic bWU6cGFzcw=="


def test_token_info_first(server: HttpServer, claims: dict[str, Any]) -> None:
    url = {"oauth2_tokeninfo_url": server.url + "info?access_token="}
    assert verify(**url) == Entry(None)
    assert verify(**url, **info(server, "auth")) == Entry(None)
    assert len(server.requests) == 2
    assert verify(**url, **info(server, "auth"), oauth2_force_introspection=True) == Entry(None)
    assert len(server.requests) == 4
    assert server.requests[-2].target == "/info?access_token=t0ken"


def test_fields(server: HttpServer) -> None:
    fields = {
        "userdb_quota": "%{oauth2:sub}",
        "pass": "%{oauth2:access_token}",
        "proxy_mech": "%{mechanism}",
    }
    assert verify(**info(server, "auth"), oauth2_fields=fields) == Entry(
        None, {"userdb_quota": "4711", "pass": "t0ken", "proxy_mech": "OAUTHBEARER"}
    )
    with pytest.raises(DatabaseError):
        verify(**info(server, "auth"), oauth2_fields={"x": "%{nonsense}"})


@pytest.mark.parametrize(
    ("change", "block", "expected"),
    [
        ({}, {"oauth2_username_attribute": "sub"}, MISMATCH),
        ({}, {"oauth2_username_attribute": "missing"}, MISMATCH),
        ({"email": "eve@example.com"}, {}, MISMATCH),
        ({"email": ["bob@example.com"]}, {}, MISMATCH),
        ({"email": ""}, {}, MISMATCH),
        ({}, {"oauth2_username_validation_format": "%{user}"}, MISMATCH),
        ({}, {"oauth2_scope": ("mail",)}, Entry(None)),
        ({}, {"oauth2_scope": ("other",)}, MISMATCH),
        ({}, {"oauth2_issuers": ("https://x",)}, MISMATCH),
        ({"iss": "https://x"}, {"oauth2_issuers": ("https://x",)}, Entry(None)),
        ({"aud": "me"}, {"oauth2_client_id": "me"}, Entry(None)),
        ({"aud": "you"}, {"oauth2_client_id": "me"}, MISMATCH),
        ({"aud": "you"}, {"oauth2_client_id": "me", "oauth2_audience": ("you",)}, Entry(None)),
        ({"exp": 1}, {}, MISMATCH),
        ({"active": False}, {}, MISMATCH),
        ({}, {"oauth2_active_attribute": "enabled"}, Wrong("user_disabled")),
        (
            {"enabled": True},
            {"oauth2_active_attribute": "enabled", "oauth2_active_value": "true"},
            Entry(None),
        ),
        (
            {"enabled": False},
            {"oauth2_active_attribute": "enabled", "oauth2_active_value": "true"},
            Wrong("user_disabled"),
        ),
    ],
)
def test_whose_it_is_and_whether_it_is_good(
    server: HttpServer,
    claims: dict[str, Any],
    change: dict[str, Any],
    block: dict[str, Any],
    expected: Any,
) -> None:
    claims.update(change)
    assert verify(**info(server, "auth"), **block) == expected


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_token_that_the_provider_does_not_know(status: int) -> None:
    lines: list[Line] = []
    with http_server(provider({"/info": status})) as server:
        assert verify(**info(server, "get", "info?token="), lines=lines) == MISMATCH
    assert {line.level for line in lines} == {"debug"}
    assert "token refused: the provider says so" in lines[-1].text
    assert not any("t0ken" in line.text for line in lines)


@pytest.mark.parametrize(
    "answer", [500, 503, 302, 429, None, response(200, b"no json"), response(200, [])]
)
def test_a_provider_that_cannot_answer(answer: Any) -> None:
    with (
        http_server(provider({"/info": answer})) as server,
        pytest.raises(DatabaseError) as caught,
    ):
        verify(**info(server, "auth"))
    assert "t0ken" not in str(caught.value)


def test_a_provider_that_does_not_know_us() -> None:
    with http_server(provider({"/info": 401})) as server, pytest.raises(DatabaseError):
        verify(**info(server, "post"), oauth2_client_id="me")


def test_the_password_grant(server: HttpServer) -> None:
    block = {
        **info(server, "auth"),
        "oauth2_grant_url": server.url + "grant",
        "oauth2_scope": ("mail", "other"),
    }
    fields = {"pass": "%{oauth2:access_token}"}
    got = verify(token="hunter2", mechanism="PLAIN", oauth2_fields=fields, **block)
    assert got == Entry(None, {"pass": "fr3sh"})
    grant, asked = server.requests
    assert parse_qs(grant.body.decode()) == {
        "grant_type": ["password"],
        "username": [BOB],
        "password": ["hunter2"],
        "scope": ["mail other"],
    }
    assert asked.headers["authorization"] == "Bearer fr3sh"
    assert verify(mechanism="PLAIN", **info(server, "auth")) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response(400, {"error": "invalid_grant"}), MISMATCH),
        (response(400, {"error": "invalid_client"}), None),
        (response(401, {"error": "invalid_client"}), None),
        (response(400, b""), None),
        (response(200, {"token": "x"}), None),
        (response(500), None),
    ],
)
def test_grants_that_fail(answer: bytes, expected: Wrong | None) -> None:
    with http_server(provider({"/grant": answer})) as server:
        block = {**info(server, "auth"), "oauth2_grant_url": server.url + "grant"}
        if expected is None:
            with pytest.raises(DatabaseError):
                verify(mechanism="LOGIN", **block)
        else:
            assert verify(mechanism="LOGIN", **block) == expected


def test_discovery_names_what_is_not_set() -> None:
    answers: dict[str, Any] = {"/info": {"email": BOB}}
    with http_server(provider(answers)) as server:
        url = {"oauth2_openid_configuration_url": server.url + ".well-known"}
        answers["/.well-known"] = {
            "userinfo_endpoint": server.url + "info",
            "introspection_endpoint": server.url + "info",
        }
        for mode in ("auth", "post"):
            assert verify(oauth2_introspection_mode=mode, **url) == Entry(None)
        # Not a JWT: asked where discovery says.
        assert verify(oauth2_introspection_mode="local", **url) == Entry(None)
        answers["/.well-known"] = {}
        assert verify(oauth2_introspection_mode="local", **url) == MISMATCH
        with pytest.raises(DatabaseError):
            verify(oauth2_introspection_mode="auth", **url)
        answers["/.well-known"] = 404
        with pytest.raises(DatabaseError):
            verify(oauth2_introspection_mode="auth", **url)


def test_without_a_token_nobody_is_known() -> None:
    async def main() -> None:
        block = PassdbSettings(oauth2_tokeninfo_url="http://x/?")
        made = registry.load("passdb", "oauth2").make(block, Server(Settings(), Log("t")))
        with pytest.raises(NoLookup):
            await made.lookup(Query(BOB, Scope(None), {}))
        await made.close()
        assert made.cache_key == ""

    asyncio.run(main())


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"oauth2_introspection_mode": "local"},
        {"oauth2_introspection_mode": "local", "oauth2_local_validation_dict": "none"},
    ],
)
def test_blocks_that_can_check_nothing(block: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"oauth2_"):
        verify(**block)


def test_a_jwt_of_a_folder(tmp_path: Path) -> None:
    from joserfc import jwk, jws

    key = jwk.ECKey.generate_key("P-256", {"kid": "one"})
    path = tmp_path / "default" / "ES256" / "one"
    path.parent.mkdir(parents=True)
    path.write_bytes(key.as_pem(private=False))
    block = {"oauth2_introspection_mode": "local", "oauth2_local_validation_folder": str(tmp_path)}
    head = {"alg": "ES256", "kid": "one"}
    good = jws.serialize_compact(head, json.dumps({"email": BOB}), key)
    assert verify(token=good, **block) == Entry(None)
    assert verify(token=good, user="eve@example.com", **block) == MISMATCH
    assert verify(token=good + "x", **block) == MISMATCH
    expired = jws.serialize_compact(head, json.dumps({"email": BOB, "exp": 1}), key)
    assert verify(token=expired, **block) == MISMATCH
    path.write_text("nonsense")
    with pytest.raises(DatabaseError):
        verify(token=good, **block)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider(tmp_path_factory.mktemp("oidc")) as one:
        yield one


@needs_provider
def test_a_real_providers_userinfo(real: OidcProvider) -> None:
    block = {
        "oauth2_introspection_mode": "auth",
        "oauth2_openid_configuration_url": real.discovery,
    }
    token = real.tokens(BOB).access
    assert verify(token=token, **block) == Entry(None)
    assert verify(token=token, user="eve@example.com", **block) == MISMATCH
    assert verify(token=token + "x", **block) == MISMATCH
    assert verify(token=real.tokens(BOB, "openid").access, **block) == MISMATCH  # has no email
    by_sub = {**block, "oauth2_username_attribute": "sub"}
    assert verify(token=real.tokens(BOB, "openid").access, **by_sub) == Entry(None)
    real.revoke(BOB)
    assert verify(token=token, **block) == MISMATCH


@needs_provider
def test_a_real_providers_signatures(real: OidcProvider) -> None:
    block = {
        "oauth2_introspection_mode": "local",
        "oauth2_openid_configuration_url": real.discovery,
        "oauth2_username_attribute": "sub",
    }
    tokens = real.tokens(BOB)
    assert verify(token=tokens.id, **block) == Entry(None)
    assert verify(token=tokens.id, oauth2_client_id=CLIENT, **block) == Entry(None)
    assert verify(token=tokens.id, oauth2_client_id="another", **block) == MISMATCH
    assert verify(token=tokens.id, oauth2_issuers=("http://another",), **block) == MISMATCH
    assert verify(token=tokens.id, user="eve@example.com", **block) == MISMATCH
    assert verify(token=tokens.id[:-8] + "AAAAAAAA", **block) == MISMATCH
    # An access token is none of that: the provider is asked.
    assert verify(token=tokens.access, **block) == Entry(None)
