"""Logins under a policy server, and all that lies beneath: HTTP requests and name lookups.

The policy server has a name that only the tests' name server knows, so one login shows the chain
from the login down to the DNS.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from declared import COUNT, PORT, POSITIVE, SESSION, TEXT, Json, check
from httpserver import HttpServer, Request, http_server, response
from nameserver import NameServer, name_server
from raw import Imap
from running import PASSWORD, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE = USERS[0]
RECORDS = {("policy.test", "A"): (300, ["127.0.0.1"])}
OPTIONS = """
dns_nameservers = ["{dns}"]
dns_hosts_file = ""
auth_policy_server_url = "http://policy.test:{port}/check?of=mail"
auth_policy_hash_nonce = "salt"
http_client_connect_backoff_time = "1 ms"
http_client_request_max_redirects = 2
ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"
auth_master_user_separator = "*"
"""
BLOCKS = """
[local_name."mail.example.com"]
ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"
[passdb.masters]
driver = "static"
static_password = "root"
username_filter = ["admin"]
master = true
"""


class Policy:
    """The policy server's mind: status by user, and special answers for the next requests."""

    def __init__(self) -> None:
        self.status: dict[str, int] = {}
        self.next: list[Callable[[Request], bytes | None]] = []

    def __call__(self, request: Request) -> bytes | None:
        if self.next:
            return self.next.pop(0)(request)
        return response(200, {"status": self.status.get(request.json["login"], 0), "msg": ""})


class Stage:
    """A mail server, a policy server and a name server."""

    def __init__(
        self,
        mail: Running,
        policy: Policy,
        http: HttpServer,
        dns: NameServer,
        authority: Authority,
    ) -> None:
        self.mail, self.policy, self.http, self.dns = mail, policy, http, dns
        self.authority = authority

    def login(self, user: str, password: str = PASSWORD) -> bool:
        try:
            self.mail.imap(user, password).logout()
        except imaplib.IMAP4.error:
            return False
        return True


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    policy = Policy()
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(http_server(policy))
        dns = stack.enter_context(name_server(RECORDS))
        authority = Authority(tmp_path_factory.mktemp("ca"))
        authority.make("mail.example.com")
        options = OPTIONS.format(dns=dns.address, port=http.port, authority=authority)
        blocks = BLOCKS.format(authority=authority)
        folder: Path = tmp_path_factory.mktemp("policy")
        mail = stack.enter_context(running(folder, options=options, blocks=blocks))
        # Processes whose first attempt came before the stats service try again after a second.
        one = Stage(mail, policy, http, dns, authority)
        wait_for(lambda: one.login(USERS[2]) and bool(mail.events("dns_worker_request_finished")))
        wait_for(lambda: bool(mail.events("http_request_finished")))
        yield one


def auth_fields(user: str) -> Json:
    """What all events of the login's auth request carry."""
    address = {"local_ip": "127.0.0.1", "remote_ip": "127.0.0.1"}
    ports = {"local_port": PORT, "remote_port": PORT}
    real = {f"real_{name}": value for name, value in {**address, **ports}.items()}
    return {
        "user": user, "original_user": user, "translated_user": user, "mechanism": "PLAIN",
        "service": "imap", "session": SESSION, "transport": "secured", **address, **ports, **real,
    }  # fmt: skip


def http_fields(stage: Stage, command: str) -> Json:
    return {
        "method": "POST",
        "target": f"/check?of=mail&command={command}",
        "dest_host": "policy.test",
        "dest_ip": "127.0.0.1",
        "dest_port": stage.http.port,
        "attempts": 1,
        "redirects": 0,
    }


def session_of(stage: Stage, user: str, count: int = 1) -> str:
    events = stage.mail.wait_events("auth_request_finished", count, user=user)
    return str(events[-1]["fields"]["session"])


def test_a_login_down_to_the_wire(stage: Stage) -> None:
    before = len(stage.http.requests)
    assert stage.login(ALICE)
    wait_for(lambda: len(stage.http.requests) == before + 3)
    first, second, report = stage.http.requests[before:]
    session = session_of(stage, ALICE)
    allowed = stage.mail.wait_events(
        "auth_policy_request_finished", 2, user=ALICE, mode="allow", session=session
    )
    for event in allowed:
        check(event, **auth_fields(ALICE), mode="allow", policy_result=0)
    [told] = stage.mail.wait_events("auth_policy_request_finished", user=ALICE, mode="report")
    check(told, **auth_fields(ALICE), mode="report", policy_result=0)
    [finished] = stage.mail.events("auth_request_finished", user=ALICE)
    outcome = {"success": "yes", "policy_result": "ok", "policy_penalty": 0}
    check(finished, **auth_fields(ALICE), **outcome)
    requests = stage.mail.wait_events("http_request_finished", 3, user=ALICE, session=session)
    expected = ((first, "allow"), (second, "allow"), (report, "report"))
    for event, (request, command) in zip(requests, expected):
        net = {"net_out_bytes": request.size, "net_in_bytes": POSITIVE}
        check(event, **http_fields(stage, command), **net, status_code=200)
    assert report.json["success"] is True
    assert (first.json["login"], first.json["remote"]) == (ALICE, "127.0.0.1")
    assert PASSWORD.encode() not in b"".join(r.body for r in (first, second, report))


def test_a_master_over_tls_with_all_that_can_be_known(stage: Stage) -> None:
    user = USERS[1]
    tls, name = stage.authority.context(), "mail.example.com"
    with Imap(stage.mail.imaps_port, tls=tls, name=name) as client:
        client.ok('ID ("name" "probe")')
        client.ok(f'LOGIN "{user}*admin" root')
        port = client.sock.getsockname()[1]
    known = auth_fields(user) | {
        "transport": "TLS",
        "client_id": '"name" "probe"',
        "local_name": name,
        "remote_port": port,
        "real_remote_port": port,
        "original_user": f"{user}*admin",
        "translated_user": TEXT,
        "login_user": user,
        "master_user": "admin",
    }
    before, confirm, report = stage.mail.wait_events(
        "auth_policy_request_finished", 3, remote_port=port
    )
    check(before, **known | {"user": "admin"}, mode="allow", policy_result=0)
    check(confirm, **known, mode="allow", policy_result=0)
    check(report, **known, mode="report", policy_result=0)
    asked = [r.json for r in stage.http.requests if r.json["device_id"] == '"name" "probe"']
    assert [(told["login"], told["tls"]) for told in asked] == [(user, True)] * 3


def test_refused(stage: Stage) -> None:
    user = USERS[1]
    stage.policy.status[user] = -1
    try:
        assert not stage.login(user)
    finally:
        stage.policy.status.clear()
    refused = {"mode": "allow", "policy_result": -1}
    [event] = stage.mail.wait_events("auth_policy_request_finished", **refused)
    check(event, **auth_fields(user), **refused)
    session = event["fields"]["session"]
    [finished] = stage.mail.wait_events("auth_request_finished", session=session)
    outcome = {"error": "refused by policy", "policy_result": "refused", "policy_penalty": 0}
    check(finished, **auth_fields(user), **outcome)
    assert not stage.mail.events("auth_passdb_request_started", session=session)
    stage.mail.hang_up()
    [aborted] = stage.mail.wait_events("login_aborted", session=session)
    assert aborted["fields"]["reason"] == "auth_failed"


def test_delayed(stage: Stage) -> None:
    stage.policy.status[ALICE] = 1
    try:
        assert stage.login(ALICE)
    finally:
        stage.policy.status.clear()
    [finished] = stage.mail.wait_events("auth_request_finished", policy_result="delayed")
    outcome = {"success": "yes", "policy_result": "delayed", "policy_penalty": 1}
    check(finished, **auth_fields(ALICE), **outcome)
    assert finished["fields"]["duration"] >= 1_000_000


def test_no_answer_and_another_attempt(stage: Stage) -> None:
    stage.policy.next = [lambda _: response(503), lambda _: None]
    assert stage.login(ALICE)
    busy, lost = stage.mail.wait_events("http_request_retried", 2)
    known = http_fields(stage, "allow")
    net = {"net_out_bytes": POSITIVE, "net_in_bytes": POSITIVE}
    check(busy, **known | {"attempts": 1}, **net, status_code=503)
    check(lost, **known | {"attempts": 2}, **net, status_code=9005)
    [finished] = stage.mail.wait_events("http_request_finished", attempts=3)
    check(finished, **known | {"attempts": 3}, **net, status_code=200)


def test_redirected(stage: Stage) -> None:
    place = f"http://127.0.0.1:{stage.http.port}/elsewhere?x=1"
    stage.policy.next = [lambda _: response(307, b"", Location=place)]
    assert stage.login(ALICE)
    [event] = stage.mail.wait_events("http_request_redirected")
    net = {"net_out_bytes": POSITIVE, "net_in_bytes": POSITIVE}
    check(event, **http_fields(stage, "allow") | {"redirects": 1}, **net, status_code=307)
    [finished] = stage.mail.wait_events("http_request_finished", redirects=1)
    there = {"target": "/elsewhere?x=1", "dest_host": "127.0.0.1", "attempts": 2, "redirects": 1}
    check(finished, **http_fields(stage, "allow") | there, **net, status_code=200)
    assert stage.http.requests[-3].json["login"] == ALICE


def test_lookups(stage: Stage) -> None:
    """The first of all logins asked the name server; later ones need not."""
    wait_for(lambda: len(stage.mail.events("dns_worker_request_finished")) >= 1)
    first = stage.mail.events("dns_worker_request_finished")[0]
    check(first, cached="no")
    assert first["categories"] == ["dns-worker", "service:dns-worker"]
    asked = stage.mail.wait_events("dns_request_finished")[0]
    check(asked)
    assert "dns-client" in asked["categories"]
    assert asked["fields"]["dest_host"] == "policy.test"
    check(stage.mail.wait_events("dns_request_started")[0])
    check(stage.mail.wait_events("dns_worker_request_started")[0])
    before = len(stage.dns.asked)
    stage.http.hang_up()  # The next request needs a connection, and thus an address.
    assert stage.login(ALICE)
    stage.mail.wait_events("dns_worker_request_finished", cached="yes")
    check(stage.mail.events("dns_worker_request_finished", cached="yes")[0], cached="yes")
    assert len(stage.dns.asked) == before


def test_a_name_that_is_gone(stage: Stage) -> None:
    """Mail goes on; a reload forgets what was remembered."""
    record = stage.dns.records.pop(("policy.test", "A"))
    try:
        assert stage.mail.cli("reload").returncode == 0
        stage.http.hang_up()
        assert stage.login(ALICE)
    finally:
        stage.dns.records["policy.test", "A"] = record
    why = {"error": "no such name", "error_code": "NXDOMAIN"}
    event = stage.mail.wait_events("dns_worker_request_finished", error_code="NXDOMAIN")[0]
    check(event, cached="no", **why)
    check(stage.mail.wait_events("dns_request_finished", error_code="NXDOMAIN")[0], **why)
    event = stage.mail.wait_events("http_request_finished", status_code=9002)[0]
    known = {**http_fields(stage, "allow"), "dest_ip": None, "attempts": 3}
    check(event, **known, status_code=9002, net_in_bytes=0, net_out_bytes=0)
    event = next(
        event
        for event in stage.mail.wait_events("auth_policy_request_finished")
        if "policy_result" not in event["fields"]
    )
    check(event, **auth_fields(ALICE), mode=event["fields"]["mode"])
    assert event["fields"]["duration"] == COUNT
    stage.mail.wait_log("policy server: allow: looking up policy.test: no such name")
    assert stage.mail.cli("reload").returncode == 0


def test_the_socket_is_the_servers_own(stage: Stage) -> None:
    path = stage.mail.folder / "run" / "dns-client"
    assert path.stat().st_mode & 0o777 in (0o660, 0o600)
    assert path.stat().st_uid == os.getuid()
