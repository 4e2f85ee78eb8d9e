"""Settings that are well typed and still cannot work."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pillarbox.settings.check import check
from pillarbox.settings.model import (
    EventExporterSettings,
    GroupBySettings,
    InetListenerSettings,
    LocalNameSettings,
    MetricSettings,
    PassdbSettings,
    ServiceSettings,
    Settings,
    UserdbSettings,
)

GOOD: dict[str, Any] = {
    "ssl": "no",
    "passdb": {"static": PassdbSettings()},
    "userdb": {"static": UserdbSettings()},
    "default_login_user": "",
    "default_internal_user": "",
    "default_internal_group": "",
    "mail_uid": str(os.getuid()),
}


NO_RELAY = "the protocol submission needs submission_relay_host"
ONLY_PASSED_ON = "without submission_relay_host only users who are passed on"
PASSES_ON = PassdbSettings(driver="pam", fields={"proxy": "", "host": "mx"})


@pytest.mark.parametrize(
    ("passdb", "said", "fatal"),
    [
        ({}, NO_RELAY, True),
        ({"pam": PassdbSettings()}, NO_RELAY, True),
        ({"a": PASSES_ON}, "", False),
        ({"a": PASSES_ON, "pam": PassdbSettings()}, ONLY_PASSED_ON, False),
        ({"a": PASSES_ON, "bad": PassdbSettings(driver="passwd-file", deny=True)}, "", False),
        ({"sql": PassdbSettings()}, ONLY_PASSED_ON, False),
        ({"a": PassdbSettings(driver="pam", fields={"proxy_maybe": ""})}, ONLY_PASSED_ON, False),
    ],
)
def test_who_needs_a_relay(passdb: dict[str, PassdbSettings], said: str, fatal: bool) -> None:
    settings = Settings(protocols=("submission",), passdb=passdb)
    found = [one for one in check(settings) if one.path == ("submission_relay_host",)]
    assert [(one.text.startswith(said), one.fatal) for one in found] == [(True, fatal)] * bool(said)


def found(**changes: Any) -> list[tuple[str, str, bool]]:
    settings = msgspec.structs.replace(Settings(), **{**GOOD, **changes})
    return [(".".join(map(str, f.path)), f.text, f.fatal) for f in check(settings)]


def one(**changes: Any) -> tuple[str, str, bool]:
    findings = found(**changes)
    assert len(findings) == 1, findings
    return findings[0]


def test_good_settings_have_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"base_dir": "run"}, "base_dir", "absolute path"),
        ({"protocols": ("pop2",)}, "protocols", "no protocol pop2 (did you mean pop3?)"),
        ({"pop3_delete_type": "flag"}, "pop3_delete_type", "needs pop3_deleted_flag"),
        ({"pop3_deleted_flag": "\\Gone"}, "pop3_deleted_flag", "no IMAP flag"),
        ({"pop3_uidl_format": "%{filename}"}, "pop3_uidl_format", "filename"),
        ({"pop3_logout_format": "%{nothing}"}, "pop3_logout_format", "nothing"),
        ({"base_dir": "/" + "x" * 99}, "base_dir", "too long"),
        ({"log_path": "/no/such/folder/log"}, "log_path", "no folder /no/such/folder"),
        ({"recipient_delimiter": "+@"}, "recipient_delimiter", "cannot be an @"),
        ({"mail_fsync": "never"}, "mail_fsync", "may be lost"),
        ({"auth_mechanisms": ("plan",)}, "auth_mechanisms", "did you mean plain"),
        (
            {"auth_mechanisms": ("plain", "SCRAM-SHA-256")},
            "auth_mechanisms",
            "SCRAM-SHA-256 cannot log in whoever's password is stored as ARGON2ID",
        ),
        ({"protocols": ("imaps",)}, "protocols", "did you mean imap"),
        ({"login_trusted_networks": ("x",)}, "login_trusted_networks", "is no network"),
        ({"passdb": {}}, "passdb", "nobody can log in"),
        ({"passdb": {"sql": PassdbSettings()}}, "passdb.sql", "sqlite_path is missing"),
        ({"passdb": {"lua": PassdbSettings()}}, "passdb.lua", "lua_file is missing"),
        (
            {"userdb": {"python": UserdbSettings(python_file="/nonexistent.py")}},
            "userdb.python.python_file",
            "cannot be read",
        ),
        (
            {"passdb": {"x": PassdbSettings(driver="passwd-file")}},
            "passdb.x",
            "passwd_file_path is missing",
        ),
        (
            {"userdb": {"x": UserdbSettings(driver="passwd-file", passwd_file_path="/no/file")}},
            "userdb.x.passwd_file_path",
            "does not exist yet",
        ),
        ({"mail_path": "%{hom}/mail"}, "mail_path", "did you mean home"),
        ({"auth_username_format": "%{home}"}, "auth_username_format", "no variable home"),
        ({"metric": {"a": MetricSettings()}}, "metric.a", "filter is missing"),
        ({"metric": {"a-b": MetricSettings(filter="event=*")}}, "metric.a-b", "no name for a"),
        (
            {"metric": {"a": MetricSettings(filter="event=*", exporter="x")}},
            "metric.a.exporter",
            "no [event_exporter.x]",
        ),
        (
            {
                "metric": {
                    "a": MetricSettings(
                        filter="event=*", group_by=(GroupBySettings(field="x", method="linear"),)
                    )
                }
            },
            "metric.a.group_by.0",
            "linear_max must be above",
        ),
        (
            {"event_exporter": {"a": EventExporterSettings(driver="http-post")}},
            "event_exporter.a",
            "driver http-post needs http_post_url",
        ),
        ({"ssl": "required"}, "ssl", "needs ssl_server_cert_file"),
        ({"ssl": "yes"}, "ssl_server_cert_file", "no TLS is offered"),
        (
            {"protocols": ("imap", "submission")},
            "submission_relay_host",
            "the protocol submission needs submission_relay_host",
        ),
        (
            {"submission_host": "smtp://mx.example.com"},
            "submission_host",
            "submission_host is `host`, `host:port` or `[address]:port`",
        ),
        (
            {"submission_relay_user": "me"},
            "submission_relay_user",
            "submission_relay_user needs submission_relay_password",
        ),
        (
            {"submission_user": "me"},
            "submission_user",
            "submission_user needs submission_password",
        ),
    ],
)
def test_one_finding(changes: dict[str, Any], path: str, text: str) -> None:
    where, what, _ = one(**changes)
    assert where == path
    assert text in what


@pytest.mark.parametrize("host", ["mx", "mx.example.com:25", "[::1]:25", "::1", "192.0.2.1"])
def test_hosts_with_and_without_ports(host: str) -> None:
    assert found(submission_host=host) == found()


def test_root_needs_users_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "would run as root" in one(mail_uid="")[1]
    for name in ("default_login_user", "default_internal_user", "mail_uid"):
        assert one(**{name: "no-such-user"}) == (
            name,
            f"{name}: the system has no user no-such-user",
            True,
        )
    assert "no group no-such" in one(mail_gid="no-such")[1]
    service = {"imap": ServiceSettings(user="no-such-user")}
    assert one(service=service)[0] == "service.imap.user"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert found(mail_uid="no-such-user", default_login_user="no-such-user") == []


def _services(**listeners: InetListenerSettings) -> dict[str, ServiceSettings]:
    return {"imap_login": ServiceSettings(inet_listener=listeners)}


def test_listeners() -> None:
    twice = _services(a=InetListenerSettings(port=143), b=InetListenerSettings(port=143))
    findings = found(service=twice)
    assert [f[0] for f in findings] == ["service.imap_login.inet_listener.b.port"] * 2
    assert "already that of listener imap_login/a" in findings[0][1]
    closed = _services(a=InetListenerSettings(port=0), b=InetListenerSettings(port=0))
    assert found(service=closed) == []
    apart = _services(
        a=InetListenerSettings(port=143, address=("127.0.0.1",)),
        b=InetListenerSettings(port=143, address=("::1",)),
    )
    assert found(service=apart) == []
    assert "no port 70000" in one(service=_services(a=InetListenerSettings(port=70000)))[1]
    odd = _services(a=InetListenerSettings(port=1, address=("mail",)))
    assert "no IP address" in one(service=odd)[1]
    proxied = _services(a=InetListenerSettings(port=1, haproxy=True))
    assert "haproxy_trusted_networks" in one(service=proxied)[1]


def test_a_users_file_that_everybody_can_read(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("")
    path.chmod(0o644)
    block = {"u": PassdbSettings(driver="passwd-file", passwd_file_path=str(path))}
    where, text, fatal = one(passdb=block)
    assert where == "passdb.u.passwd_file_path"
    assert "everybody" in text
    assert not fatal
    path.chmod(0o600)
    assert found(passdb=block) == []


def _certificate(folder: Path, name: str, days: int = 90) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=365))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(cert_path), str(key_path)


def test_certificates_and_keys(tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path, "one")
    _, other = _certificate(tmp_path, "two")
    old, old_key = _certificate(tmp_path, "old", -1)
    soon, soon_key = _certificate(tmp_path, "soon", 2)

    def tls(cert: str, key: str) -> dict[str, Any]:
        return {"ssl": "required", "ssl_server_cert_file": cert, "ssl_server_key_file": key}

    assert found(**tls(cert, key)) == []
    where, text, fatal = one(**tls(cert, other))
    assert (where, fatal) == ("ssl_server_key_file", True)
    assert "does not belong to" in text
    assert "ran out on" in one(**tls(old, old_key))[1]
    assert "runs out on" in one(**tls(soon, soon_key))[1]
    assert "cannot be read: No such file" in one(**tls("/no/cert", key))[1]
    assert "cannot be read: No such file" in one(**tls(cert, "/no/key"))[1]
    assert "holds no certificate" in one(**tls(key, key))[1]
    assert "holds no private key" in one(**tls(cert, ""))[1]
    names = {"*.example.org": LocalNameSettings(ssl_server_cert_file=cert)}
    assert one(**tls(cert, key), local_name=names)[0] == (
        "local_name.*.example.org.ssl_server_key_file"
    )
    assert "needs ssl_server_ca_file" in one(**tls(cert, key), ssl_request_client_cert=True)[1]
    ca = {"ssl_request_client_cert": True, "ssl_server_ca_file": "/no/ca"}
    assert one(**tls(cert, key), **ca)[0] == "ssl_server_ca_file"
