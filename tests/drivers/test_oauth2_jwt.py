"""Tokens that are checked by their signature: keys in folders, dicts and sets, and forgeries."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.drivers.dict.api import Set
from pillarbox.drivers.dict.memory import MemoryDict
from pillarbox.drivers.oauth2_jwt import ALGORITHMS, NoJwt, NotSigned, read
from pillarbox.drivers.oauth2_keys import KeyDict, KeyFolder, KeySource, ProviderKeys, key_path
from pillarbox.drivers.passdb.api import DatabaseError
from pillarbox.events.event import Scope

joserfc = pytest.importorskip("joserfc")
from joserfc import jwk, jws  # noqa: E402

RSA = jwk.RSAKey.generate_key(2048, {"kid": "r1"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "r1"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "e1"})
OCT = jwk.OctKey.import_key(b"a secret of thirty-two octets ...", {"kid": "o1"})
CLAIMS = {"email": "bob@example.com", "azp": "issuer"}
SCOPE = Scope(None)


def token(key: Any = RSA, alg: str = "RS256", claims: Any = CLAIMS, **header: Any) -> str:
    registry = jws.JWSRegistry(algorithms=ALGORITHMS)
    named = {"alg": alg, "kid": key.kid, "typ": "JWT", **header}
    named = {name: value for name, value in named.items() if value is not None}
    return jws.serialize_compact(named, json.dumps(claims), key, registry=registry)


def check(given: str, *sources: KeySource) -> dict[str, Any]:
    return asyncio.run(read(SCOPE, given, sources))


def provider(*keys: Any, ttl: float = 3600.0, clock: Any = None) -> ProviderKeys:
    async def fetch(scope: Scope) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in keys]}

    return ProviderKeys(fetch, ttl, clock or (lambda: 0.0))


def put(folder: Path, alg: str, kid: str, data: bytes, azp: str = "issuer") -> None:
    path = folder / azp / alg / kid
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256")]
)
def test_keys_of_the_provider(key: Any, alg: str) -> None:
    assert check(token(key, alg), provider(EC, RSA)) == CLAIMS


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256")])
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_keys_in_a_folder(key: Any, alg: str, form: str, tmp_path: Path) -> None:
    data = (
        key.as_pem(private=False)
        if form == "pem"
        else json.dumps(key.as_dict(private=False)).encode()
    )
    put(tmp_path, alg, key.kid, data)
    folder = KeyFolder(str(tmp_path))
    assert check(token(key, alg), folder) == CLAIMS
    put(tmp_path, alg, "default", data, "default")
    assert check(token(key, alg, {"sub": "x"}, kid=None), folder) == {"sub": "x"}
    with pytest.raises(NotSigned, match="not known"):
        check(token(key, alg, kid="other"), folder)


def test_shared_secrets(tmp_path: Path) -> None:
    put(tmp_path, "HS256", "o1", base64.b64encode(OCT.raw_value) + b"\n")
    assert check(token(OCT, "HS256"), KeyFolder(str(tmp_path))) == CLAIMS
    wrong = jwk.OctKey.import_key(b"another secret of the same length", {"kid": "o1"})
    with pytest.raises(NotSigned, match="wrong signature"):
        check(token(wrong, "HS256"), KeyFolder(str(tmp_path)))


def test_keys_in_a_dict() -> None:
    store = MemoryDict()

    async def main() -> dict[str, Any]:
        await store.commit([Set("shared/issuer/RS256/r1", RSA.as_pem(private=False))])
        return await read(SCOPE, token(), [KeyDict(store)])

    assert asyncio.run(main()) == CLAIMS


def test_the_first_that_has_the_key_decides(tmp_path: Path) -> None:
    folder = KeyFolder(str(tmp_path))
    assert check(token(), folder, provider(RSA)) == CLAIMS
    put(tmp_path, "RS256", "r1", OTHER.as_pem(private=False))
    with pytest.raises(NotSigned):
        check(token(), folder, provider(RSA))


def test_forgeries() -> None:
    good = token()
    head, body, signature = good.split(".")
    changed = base64.urlsafe_b64encode(b'{"email": "eve@example.com"}').rstrip(b"=").decode()
    for forged in (
        f"{head}.{changed}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        token(OTHER),
    ):
        with pytest.raises(NotSigned, match="wrong signature"):
            check(forged, provider(RSA))
    unsigned = base64.urlsafe_b64encode(b'{"alg": "none", "kid": "r1"}').rstrip(b"=").decode()
    with pytest.raises(NotSigned, match="algorithm"):
        check(f"{unsigned}.{body}.", provider(RSA))


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    """Whoever signs with what everybody knows gets nowhere."""
    public = RSA.as_pem(private=False)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        secret = jwk.OctKey.import_key(public.replace(b"-----", b"====="), {"kid": "r1"})
    forged = token(secret, "HS256")
    put(tmp_path, "RS256", "r1", public)
    with pytest.raises(NotSigned, match="not known"):
        check(forged, KeyFolder(str(tmp_path)), provider(RSA))


def test_a_key_of_another_kind(tmp_path: Path) -> None:
    put(tmp_path, "RS256", "r1", json.dumps(EC.as_dict(private=False)).encode())
    with pytest.raises(DatabaseError):
        check(token(), KeyFolder(str(tmp_path)))
    for data in (b"", b"nonsense", b"{", b"{}", b"\xff\xfe"):
        put(tmp_path, "RS256", "r1", data)
        with pytest.raises(DatabaseError):
            check(token(), KeyFolder(str(tmp_path)))


@pytest.mark.parametrize("given", ["", "opaque", "a.b.c", "....", "é.x.y", "e30.e30.e30"])
def test_what_is_no_jwt(given: str) -> None:
    with pytest.raises(NoJwt):
        check(given, provider(RSA))


@given(st.text())
def test_anything(given: str) -> None:
    with pytest.raises((NoJwt, NotSigned)):
        check(given, provider(RSA))


@pytest.mark.parametrize(
    ("azp", "kid", "expected"),
    [
        (None, None, "default/RS256/default"),
        ("a", "b", "a/RS256/b"),
        ("a/b", "c%d", "a%2fb/RS256/c%25d"),
        ("..", "b", None),
        ("a", "../../etc/passwd", None),
        ("a", "b\0c", None),
        ("a", "b" * 201, None),
        ("a", "", "a/RS256/default"),
    ],
)
def test_where_a_key_is(azp: str | None, kid: str | None, expected: str | None) -> None:
    assert key_path(azp, "rs256", kid) == expected


@given(st.text(), st.text())
def test_no_key_lies_outside(azp: str, kid: str) -> None:
    path = key_path(azp, "RS256", kid)
    assert path is None or (path.count("/") == 2 and "/." not in f"/{path}")


def test_new_keys_of_the_provider() -> None:
    now, keys, fetched = [0.0], [RSA], [0]

    async def fetch(scope: Scope) -> dict[str, Any]:
        fetched[0] += 1
        if not keys:
            raise DatabaseError("the provider is down")
        return {"keys": [key.as_dict(private=False) for key in keys] + [{"kty": "odd"}, 7]}

    async def main() -> None:
        source = ProviderKeys(fetch, 1000, lambda: now[0])
        find = lambda alg, kid: source.find(SCOPE, None, alg, kid)  # noqa: E731
        assert await find("RS256", "r1") is not None
        assert await find("ES256", "e1") is None
        assert fetched == [1]  # A minute has not passed: whoever makes numbers up costs nothing.
        keys[:] = [EC]
        now[0] = 60.0
        assert await find("ES256", "e1") is not None
        assert await find("RS256", "r1") is None
        keys.clear()
        now[0] = 1060.0
        assert await find("ES256", "e1") is not None  # The old ones serve.
        assert fetched == [3]
        empty = ProviderKeys(fetch, 1000, lambda: now[0])
        for _ in range(2):
            with pytest.raises(DatabaseError):
                await empty.find(SCOPE, None, "RS256", "r1")

    asyncio.run(main())


def test_a_token_that_names_no_key() -> None:
    bare = token(kid=None)
    assert check(bare, provider(RSA, EC)) == CLAIMS
    with pytest.raises(NotSigned, match="not known"):
        check(bare, provider(RSA, jwk.RSAKey.generate_key(2048, {"kid": "r2"})))
