"""Passdb fields and referrals as targets; which hosts are down."""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox.runtime.login.proxy.place import BadTarget
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.login.proxy.target import Target, redirected, target_of
from pillarbox.wire.imap.login_client import login
from pillarbox.wire.proxy.reader import LiteralReader

IMAP = ProxyProtocol(login, LiteralReader, 143, 993, ("imap", "imaps"), "imap")


def made(**fields: str) -> Target:
    return target_of({"host": "mx", "pass": "pw", **fields}, "bob", IMAP, 30.0)


def test_defaults() -> None:
    target = made()
    assert (target.host, target.port, target.tls, target.timeout) == ("mx", 143, False, 30.0)
    assert (target.credentials.user, target.credentials.authzid) == ("bob", "")
    assert target.master_user is None
    assert target.trusted
    assert "pw" not in repr(target)


@pytest.mark.parametrize(
    ("fields", "attribute", "value"),
    [
        ({"ssl": "yes"}, "port", 993),
        ({"ssl": "any-cert"}, "verify", False),
        ({"ssl": "yes"}, "verify", None),
        ({"ssl": "yes", "port": "1"}, "port", 1),
        ({"ssl": "starttls"}, "tls", False),
        ({"starttls": "any-cert"}, "verify", False),
        ({"proxy_timeout": "5"}, "timeout", 5.0),
        ({"proxy_timeout": "500ms"}, "timeout", 0.5),
        ({"hostip": "::1"}, "ip", "::1"),
        ({"source_ip": "192.0.2.1"}, "source_ip", "192.0.2.1"),
        ({"proxy_not_trusted": ""}, "trusted", False),
        ({"proxy_haproxy": ""}, "haproxy", True),
        ({"forward_a": "b", "forwarded": "c"}, "forward", {"a": "b"}),
        ({"master": "m"}, "master_user", "m"),
    ],
)
def test_fields(fields: dict[str, str], attribute: str, value: Any) -> None:
    assert getattr(made(**fields), attribute) == value


@pytest.mark.parametrize("fields", [{"ssl": "starttls"}, {"starttls": "yes"}])
def test_starttls(fields: dict[str, str]) -> None:
    assert made(**fields).credentials.starttls


def test_a_master_acts_for_the_user() -> None:
    credentials = made(master="m", destuser="robert").credentials
    assert (credentials.user, credentials.authzid) == ("m", "robert")


@pytest.mark.parametrize(
    "fields",
    [
        {"host": ""},
        {"host": "a b"},
        {"port": "0"},
        {"port": "x"},
        {"port": "99999"},
        {"hostip": "mx"},
        {"source_ip": "x"},
        {"proxy_timeout": "soon"},
        {"proxy_mech": "FROB"},
    ],
)
def test_bad_fields(fields: dict[str, str]) -> None:
    with pytest.raises(BadTarget):
        made(**fields)


def test_no_password_is_known_after_scram() -> None:
    with pytest.raises(BadTarget, match="no password"):
        target_of({"host": "mx"}, "bob", IMAP, 30.0)


@pytest.mark.parametrize(
    ("url", "host", "port", "user"),
    [
        ("imap://there", "there", 143, "bob"),
        ("imap://there/", "there", 143, "bob"),
        ("imap://b%40x@there:99/INBOX", "there", 99, "b@x"),
        ("imap://b;AUTH=*@[2001:db8::1]:99/", "2001:db8::1", 99, "b"),
        ("IMAPS://there", "there", 143, "bob"),
    ],
)
def test_referrals(url: str, host: str, port: int, user: str) -> None:
    target = redirected(made(hostip="192.0.2.1"), url, IMAP)
    assert (target.host, target.port, target.ip) == (host, port, None)
    assert target.credentials.user == user
    assert target.credentials.password == "pw"
    as_master = redirected(made(master="m"), url, IMAP)
    assert as_master.credentials.user == "m"


@pytest.mark.parametrize("url", ["", "there", "http://x/", "imap://", "imap://x:0/", "imap://a b/"])
def test_bad_referrals(url: str) -> None:
    with pytest.raises(BadTarget):
        redirected(made(), url, IMAP)
