"""Feed octets as a token, as what a token says, and as where a redirect leads.

Whatever comes, a token is no JWT, or is not signed; attributes give a verdict; a redirect leads to
an http or https URL or nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

from joserfc import jwk

from pillarbox.drivers.oauth2_claims import Rules, as_text, refusal
from pillarbox.drivers.oauth2_jwt import NoJwt, NotSigned, read
from pillarbox.drivers.oauth2_keys import ProviderKeys, key_path
from pillarbox.events.event import Scope
from pillarbox.wire.http.redirect import InvalidUrl, follow, parse_url

KEY = jwk.ECKey.generate_key("P-256", {"kid": "one"})
START = parse_url("https://issuer.example/dir/keys?x=1")
RULES = Rules(("issuer",), ("mail",), ("read",))
LOOP = asyncio.new_event_loop()


async def _fetch(scope: Scope) -> dict[str, Any]:
    return {"keys": [KEY.as_dict(private=False)]}


KEYS = ProviderKeys(_fetch, 3600, lambda: 0.0)


def one(data: bytes) -> None:
    """One input: the first octet where to cut, the rest in three roles."""
    cut, text = (data[0] if data else 0), data[1:].decode("utf-8", "replace")
    parts = (text[:cut].encode(), text[cut:].encode(), b"signature")
    framed = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    for token in (text, framed):
        try:
            LOOP.run_until_complete(read(Scope(None), token, [KEYS]))
        except (NoJwt, NotSigned):
            continue
        raise AssertionError(f"accepted: {token!r}")
    path = key_path(text[:cut], "ES256", text[cut:])
    if path is not None and (path.count("/") != 2 or "/." in f"/{path}"):
        raise AssertionError(path)
    try:
        claims = json.loads(text)
    except (ValueError, RecursionError):
        claims = None
    if isinstance(claims, dict):
        refusal(claims, RULES, 0.0)
        for value in claims.values():
            as_text(value)
    try:
        step = follow("GET", START, 302, text)
    except InvalidUrl:
        return
    if step.target.scheme not in ("http", "https") or parse_url(step.target.url).url != (
        step.target.url
    ):
        raise AssertionError(step)


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
