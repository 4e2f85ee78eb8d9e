"""OAUTHBEARER and XOAUTH2 over IMAP with the tokens of a real OpenID Connect provider."""

from __future__ import annotations

import imaplib
import json
from collections.abc import Iterator

import pytest
from oidc_provider import CLIENT, OidcProvider, needs_provider, oidc_provider
from running import USERS, Running, running, wait_for

pytestmark = [pytest.mark.e2e, needs_provider]

ALICE, BOB = USERS[:2]
BLOCKS = """
[passdb.sso]
driver = "oauth2"
mechanisms_filter = ["oauthbearer", "xoauth2"]
oauth2_openid_configuration_url = "{provider}"
oauth2_introspection_mode = "local"
oauth2_client_id = "{client}"
oauth2_username_attribute = "sub"
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider(tmp_path_factory.mktemp("oidc")) as one:
        yield one


class Sso(Running):
    """A server that offers the mechanisms of OAuth2."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        text = self.config.read_text()
        self.config.write_text(text.replace('["plain",', '["oauthbearer", "xoauth2", "plain",'))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, provider: OidcProvider) -> Iterator[Running]:
    blocks = BLOCKS.format(provider=provider.discovery, client=CLIENT)
    with running(tmp_path_factory.mktemp("oauth2"), make=Sso, blocks=blocks) as one:
        # Processes whose first attempt came before the stats service try again after a second.
        token = provider.tokens(USERS[2]).id
        wait_for(lambda: bool(logs_in(one, "XOAUTH2", USERS[2], token) and one.events()))
        yield one


def message(mechanism: str, user: str, token: str) -> bytes:
    if mechanism == "XOAUTH2":
        return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
    return f"n,a={user},\x01host=localhost\x01auth=Bearer {token}\x01\x01".encode()


def attempt(server: Running, mechanism: str, user: str, token: str) -> list[bytes]:
    """Log in; what the server sent as challenges.  Raises IMAP4.error if it says no."""
    challenges: list[bytes] = []

    def respond(challenge: bytes) -> bytes:
        challenges.append(challenge)
        return message(mechanism, user, token) if len(challenges) == 1 else b"\x01"

    with imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=30) as client:
        assert f"AUTH={mechanism}" in client.capabilities
        try:
            client.authenticate(mechanism, respond)
            assert client.select("INBOX")[0] == "OK"
        except imaplib.IMAP4.error as error:
            error.add_note(json.dumps([c.decode() for c in challenges]))
            raise
    return challenges


def logs_in(server: Running, mechanism: str, user: str, token: str) -> bool:
    try:
        attempt(server, mechanism, user, token)
    except imaplib.IMAP4.error:
        return False
    return True


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_log_in(server: Running, provider: OidcProvider, mechanism: str) -> None:
    token = provider.tokens(ALICE).id
    assert attempt(server, mechanism, ALICE, token) == [b""]
    wanted = {"user": ALICE, "mechanism": mechanism, "passdb": "oauth2"}
    [event] = server.wait_events("auth_passdb_request_finished", **wanted)
    fields = event["fields"]
    assert (fields["passdb"], fields["passdb_name"], fields["result"]) == ("oauth2", "sso", "ok")


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_refused(server: Running, provider: OidcProvider, mechanism: str) -> None:
    token = provider.tokens(ALICE).id
    for user, given in ((BOB, token), (ALICE, token[:-8] + "AAAAAAAA")):
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED") as caught:
            attempt(server, mechanism, user, given)
        told = json.loads(json.loads(caught.value.__notes__[0])[1])
        assert told["status"] == "invalid_token"
        assert told["openid-configuration"] == provider.discovery
    finished = server.wait_events("auth_passdb_request_finished", user=BOB, mechanism=mechanism)
    assert finished[-1]["fields"]["result"] == "password_mismatch"


def test_passwords_still_work_for_others(server: Running) -> None:
    server.imap(ALICE).logout()


def test_requests_to_the_provider_are_seen_without_tokens(server: Running) -> None:
    """Discovery and keys, once, whoever logs in."""
    seen = server.wait_events("http_request_finished", 2)
    assert [e["fields"]["target"] for e in seen] == ["/.well-known/openid-configuration", "/jwks"]
    assert {e["fields"]["status_code"] for e in seen} == {200}
    assert {"http-client", "auth"} <= set(seen[0]["categories"]) | {"auth"}


def test_a_provider_that_is_gone_is_no_wrong_password(
    tmp_path_factory: pytest.TempPathFactory, provider: OidcProvider
) -> None:
    token = provider.tokens(ALICE).id
    folder = tmp_path_factory.mktemp("gone")
    blocks = BLOCKS.format(provider="http://127.0.0.1:1/", client=CLIENT)
    with (
        running(folder, make=Sso, blocks=blocks) as server,
        pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"),
    ):
        attempt(server, "XOAUTH2", ALICE, token)
