"""A real OpenID Connect provider for tests (oidc-provider-mock), as a process on loopback.

It is one of tests: whoever says who they are gets tokens.  It makes opaque access tokens, which
its userinfo endpoint knows, and signed ID tokens, which are JWTs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running import free_port, wait_for

CLIENT = "pillarbox-test"
REDIRECT = "http://127.0.0.1:1/back"

needs_provider = pytest.mark.skipif(
    importlib.util.find_spec("oidc_provider_mock") is None, reason="no oidc-provider-mock"
)


@dataclass(frozen=True)
class Tokens:
    """What a user got."""

    access: str
    id: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class OidcProvider:
    """The provider at a URL."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.discovery = f"{self.url}/.well-known/openid-configuration"
        self._opener = urllib.request.build_opener(_NoRedirect)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._opener.open(self.discovery, timeout=5).status == 200
        except OSError:
            return False

    def tokens(self, user: str, scope: str = "openid email") -> Tokens:
        """Tokens of a user, by the authorization code flow."""
        query = urllib.parse.urlencode(
            {
                "client_id": CLIENT,
                "redirect_uri": REDIRECT,
                "response_type": "code",
                "scope": scope,
            }
        )
        form = urllib.parse.urlencode({"sub": user}).encode()
        try:
            self._opener.open(f"{self.url}/oauth2/authorize?{query}", form, timeout=30)
        except urllib.error.HTTPError as answer:
            place = answer.headers["Location"]
            answer.close()
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(place).query)["code"][0]
        form = urllib.parse.urlencode(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": REDIRECT,
                "client_id": CLIENT,
                "client_secret": "any",
            }
        ).encode()
        with self._opener.open(f"{self.url}/oauth2/token", form, timeout=30) as response:
            got = json.load(response)
        return Tokens(got["access_token"], got["id_token"])

    def revoke(self, user: str) -> None:
        """From now on the user's access tokens are no good."""
        user = urllib.parse.quote(user)
        request = urllib.request.Request(f"{self.url}/users/{user}/revoke-tokens", method="POST")
        self._opener.open(request, timeout=30).close()


@contextlib.contextmanager
def oidc_provider(folder: Path) -> Iterator[OidcProvider]:
    """A provider for the length of a with block."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    with open(folder / "provider.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    provider = OidcProvider(port)
    try:
        wait_for(provider.ready, lambda: (folder / "provider.log").read_text()[-2000:])
        yield provider
    finally:
        process.kill()
        process.wait()
