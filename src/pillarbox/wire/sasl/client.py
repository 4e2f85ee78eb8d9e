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


def scram(hash_name: HashName, user: str, password: str, nonce: str, authzid: str = "") -> Client:
    """SCRAM, RFC 5802, without channel binding; ``nonce`` printable ASCII without comma."""
    header = f"n,{'a=' + escape_name(authzid) if authzid else ''},".encode()
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
    without_proof = b"c=" + b64encode(header) + b",r=" + found[1]
    signed = b",".join((bare, server_first, without_proof))
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), signed, hash_name)
    server_final = yield without_proof + b",p=" + b64encode(xor(client_key, signature))
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    expected = b"v=" + b64encode(hmac.digest(server_key, signed, hash_name))
    if not hmac.compare_digest(server_final.split(b",")[0], expected):
        raise ServerNotTrusted("the server did not prove that it knows the password")
    yield b""
