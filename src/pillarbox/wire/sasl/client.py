"""The client's side of SASL: what proxies, tools and tests say to a server.

A client mechanism is a generator: it yields the messages to send and is sent the server's
challenges.  ``next()`` gives the initial response.  When the server says that all is well, send
its last data (or ``b""``) and expect StopIteration; `ServerNotTrusted` means that it did not
prove that it knows the password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Generator

from pillarbox.wire.sasl import digest_md5 as digest
from pillarbox.wire.sasl.exchange import HashName
from pillarbox.wire.sasl.saslprep import prepared_or_raw
from pillarbox.wire.sasl.scram import escape_name, xor

Client = Generator[bytes, bytes, None]
_SERVER_FIRST = re.compile(rb"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,8})")
MAX_ITERATIONS = 1_000_000


class ServerNotTrusted(Exception):
    """The server's messages are malformed, or its signature is wrong."""


def plain(user: str, password: str, authzid: str = "") -> Client:
    """PLAIN, RFC 4616."""
    yield "\0".join((authzid, user, password)).encode("utf-8", "surrogateescape")


def login(user: str, password: str) -> Client:
    """LOGIN without an initial response: an empty first message, then user and password."""
    yield b""
    yield user.encode()
    yield password.encode("utf-8", "surrogateescape")


def external(authzid: str = "") -> Client:
    """EXTERNAL, RFC 4422 appendix A."""
    yield authzid.encode()


def anonymous(trace: str = "") -> Client:
    """ANONYMOUS, RFC 4505."""
    yield trace.encode()


def cram_md5(user: str, password: str) -> Client:
    """CRAM-MD5, RFC 2195; the empty first message stands for no initial response."""
    challenge = yield b""
    key = password.encode("utf-8", "surrogateescape")
    yield f"{user} {hmac.digest(key, challenge, 'md5').hex()}".encode()


def digest_md5(
    user: str, password: str, nonce: str, service: str, host: str, authzid: str = ""
) -> Client:
    """DIGEST-MD5, RFC 2831: the first realm that is offered, else the domain of the user's name."""
    said = digest.parse((yield b""))
    if said is None or "nonce" not in said:
        raise ServerNotTrusted("not a digest-challenge")
    name, _, domain = user.partition("@")
    realm = said["realm"].decode("utf-8", "replace") if "realm" in said else domain
    if realm != domain or not name:
        name = user
    secret = digest.stored(name, realm, password.encode("utf-8", "surrogateescape"))
    said = {
        "nonce": said["nonce"],
        "cnonce": nonce.encode(),
        "nc": b"00000001",
        "digest-uri": f"{service}/{host}".encode(),
    }
    if authzid:
        said["authzid"] = authzid.encode()
    parts = [f"{k}=".encode() + digest.quoted(said[k]) for k in ("nonce", "cnonce", "digest-uri")]
    parts += [b"username=" + digest.quoted(name), b"realm=" + digest.quoted(realm)]
    parts += [b"authzid=" + digest.quoted(authzid)] if authzid else []
    parts += [b"charset=utf-8,qop=auth,nc=00000001"]
    parts += [b"response=" + digest.response(secret, said, b"AUTHENTICATE")]
    final = yield b",".join(parts)
    proof = (digest.parse(final) or {}).get("rspauth", b"")
    if not hmac.compare_digest(proof, digest.response(secret, said, b"")):
        raise ServerNotTrusted("the server did not prove that it knows the password")
    yield b""


def oauthbearer(user: str, token: str, host: str = "", port: int = 0) -> Client:
    """OAUTHBEARER, RFC 7628; an error of the server is answered as section 3.2.3 says."""
    where = (f"host={host}\x01" if host else "") + (f"port={port}\x01" if port else "")
    yield f"n,a={escape_name(user)},\x01{where}auth=Bearer {token}\x01\x01".encode()
    yield b"\x01"


def xoauth2(user: str, token: str) -> Client:
    """XOAUTH2: what OAUTHBEARER was before it was one."""
    yield f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
    yield b""


def scram(
    hash_name: HashName,
    user: str,
    password: str,
    nonce: str,
    authzid: str = "",
    binding: tuple[str, bytes] | None = None,
) -> Client:
    """SCRAM, RFC 5802; ``nonce`` printable ASCII without comma.

    ``binding`` is the type and the data of the channel, for the -PLUS forms.
    """
    kind, channel = ("n", b"") if binding is None else (f"p={binding[0]}", binding[1])
    header = f"{kind},{'a=' + escape_name(authzid) if authzid else ''},".encode()
    bare = f"n={escape_name(prepared_or_raw(user))},r={nonce}".encode()
    server_first = yield header + bare
    found = _SERVER_FIRST.match(server_first)
    if found is None or not found[1].startswith(nonce.encode()) or len(found[1]) == len(nonce):
        raise ServerNotTrusted("not a SCRAM server-first-message for our nonce")
    iterations = int(found[3])
    if iterations > MAX_ITERATIONS:
        raise ServerNotTrusted("too many iterations asked for")
    try:
        salt = a2b_base64(found[2], strict_mode=True)
    except ValueError as error:
        raise ServerNotTrusted("salt is not base64") from error
    salted = hashlib.pbkdf2_hmac(
        hash_name, prepared_or_raw(password).encode("utf-8", "surrogateescape"), salt, iterations
    )
    without_proof = b"c=" + b64encode(header + channel) + b",r=" + found[1]
    signed = b",".join((bare, server_first, without_proof))
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), signed, hash_name)
    server_final = yield without_proof + b",p=" + b64encode(xor(client_key, signature))
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    expected = b"v=" + b64encode(hmac.digest(server_key, signed, hash_name))
    if not hmac.compare_digest(server_final.split(b",")[0], expected):
        raise ServerNotTrusted("the server did not prove that it knows the password")
    yield b""
