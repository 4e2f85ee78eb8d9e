"""The login proxy: a Pillarbox in front of another one, and of servers that play a transcript."""

from __future__ import annotations

import json
import poplib
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from declared import COUNT, PORT, POSITIVE, SESSION, TEXT, check
from proxying import Front, Played, dead_port
from raw import Imap, message
from running import PASSWORD, USERS, Running, free_port, wait_for
from test_pop3 import PopServer

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
CLIENT = "127.0.0.5"
HEADER, HEADERS = free_port(), free_port()
GREETING = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] hi"
POP_LOGIN = """
S: +OK hi
C: CAPA
S: +OK
S: SASL PLAIN
S: .
C: AUTH PLAIN .*
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.make("mail.example.com")
    return authority


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[PopServer]:
    """The server that has the mail."""
    server = PopServer(
        tmp_path_factory.mktemp("backend"),
        options=(
            f'ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"\n'
            'login_trusted_networks = ["127.0.0.1/32"]\n'
            'haproxy_trusted_networks = ["127.0.0.1/32"]\n'
        ),
        blocks="".join(
            f"[service.imap_login.inet_listener.{name}]\nport = {port}\nhaproxy = true\n{more}"
            for name, port, more in (("header", HEADER, ""), ("headers", HEADERS, "ssl = true\n"))
        ),
    )
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def front(
    tmp_path_factory: pytest.TempPathFactory, backend: PopServer, authority: Authority
) -> Iterator[Front]:
    """The proxy in front of it."""
    here = "proxy hostip=127.0.0.1"
    to_imap = f"{here} host=mail.example.com port={backend.imap_port}"
    to_imaps = f"{here} port={backend.imaps_port}"
    server = Front(
        tmp_path_factory.mktemp("front"),
        options=(
            f'ssl_client_ca_file = "{authority.file}"\n'
            'login_trusted_networks = ["127.0.0.6/32"]\n'
            "login_proxy_max_reconnects = 1\n"
        ),
        blocks=(
            '[passdb.elsewhere]\ndriver = "imap"\nimap_host = "127.0.0.1"\n'
            f"imap_port = {backend.imap_port}\n"
            f'imap_ssl = "starttls"\nimap_user = "{CAROL}"\n'
            'username_filter = ["*@elsewhere.example"]\n'
        ),
        users=(),
        passed_on={
            ALICE: to_imap,
            BOB: f"{here} host=mail.example.com port={backend.pop3_port}",
            "tls@example.com": f"{to_imaps} host=mail.example.com ssl=yes destuser={CAROL}",
            "any@example.com": f"{to_imaps} host=other.example.net ssl=any-cert destuser={CAROL}",
            "name@example.com": f"{to_imaps} host=other.example.net ssl=yes destuser={CAROL}",
            "starttls@example.com": f"{to_imap} starttls=yes destuser={CAROL}",
            "pop@example.com": (
                f"{here} host=mail.example.com port={backend.pop3_port} starttls=yes destuser={BOB}"
            ),
            "scram@example.com": (
                f"{to_imap} destuser={CAROL} pass={PASSWORD} proxy_mech=scram-sha-256"
            ),
            "source@example.com": f"{to_imap} destuser={CAROL} source_ip=127.0.0.9",
            "silent@example.com": f"{to_imap} destuser={CAROL} proxy_not_trusted",
            "header@example.com": (
                f"{here} port={HEADER} destuser={CAROL} proxy_haproxy proxy_not_trusted"
            ),
            "headers@example.com": (
                f"{here} host=mail.example.com port={HEADERS} destuser={CAROL} ssl=yes "
                "proxy_haproxy proxy_not_trusted"
            ),
            "dead@example.com": f"{here} port={dead_port()}",
            "nowhere@example.com": "proxy",
        },
    )
    try:
        yield server.start()
    finally:
        server.stop()


def session_events(server: Running, user: str, count: int = 1) -> list[dict[str, object]]:
    return server.wait_events("proxy_session_finished", count, user=user)


def test_an_imap_session_and_all_its_events(front: Front, backend: PopServer) -> None:
    with Imap(front.imap_port, source=CLIENT) as client:
        reply = client.ok(f"LOGIN {ALICE} {PASSWORD}")
        assert "IDLE" in reply.text
        assert client.append("INBOX", message("through the proxy")).state == "OK"
        client.ok("SELECT INBOX")
        assert b"through the proxy" in client.fetch_body(1)
        client.ok("LOGOUT")
        assert client.rest() == b""
    ends = {
        "user": ALICE,
        "service": "imap",
        "local_ip": "127.0.0.1",
        "local_port": front.imap_port,
        "remote_ip": CLIENT,
        "remote_port": PORT,
        "dest_host": "mail.example.com",
        "dest_ip": "127.0.0.1",
        "dest_port": backend.imap_port,
    }
    [started] = front.wait_events("proxy_session_started", user=ALICE)
    check(started, None, **ends)
    [established] = front.wait_events("proxy_session_established", user=ALICE)
    check(established, None, **ends, source_port=PORT, reconnect_attempts=0)
    [finished] = session_events(front, ALICE)
    check(
        finished,
        None,
        **ends,
        source_port=PORT,
        reconnect_attempts=0,
        disconnect_side="server",
        disconnect_reason="",
        idle_usecs=COUNT,
        net_in_bytes=POSITIVE,
        net_out_bytes=POSITIVE,
    )
    [connection] = front.wait_events("server_connection_disconnected", user=ALICE)
    check(
        connection,
        None,
        dest_host="mail.example.com",
        dest_ip="127.0.0.1",
        dest_port=backend.imap_port,
        reason=TEXT,
    )
    appended = backend.wait_events("imap_command_finished", user=ALICE, cmd_name="APPEND")
    fields = appended[0]["fields"]
    assert (fields["remote_ip"], fields["local_port"]) == (CLIENT, front.imap_port)
    assert fields["session"] == finished["fields"]["session"] == SESSION


def test_a_pop3_session(front: Front, backend: PopServer) -> None:
    backend.deliver(message("popped"), BOB)
    client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
    client.user(BOB)
    assert client.pass_(PASSWORD).startswith(b"+OK")
    assert b"Subject: popped" in client.retr(1)[1]
    client.quit()
    [finished] = session_events(front, BOB)
    assert finished["fields"]["dest_port"] == backend.pop3_port
    [command, *_] = backend.wait_events("pop3_command_finished", user=BOB)
    assert command["fields"]["session"] == finished["fields"]["session"]
    assert command["fields"]["remote_ip"] == "127.0.0.1"
    assert command["fields"]["local_port"] == front.pop3_port


@pytest.mark.parametrize("user", ["tls", "any", "starttls", "scram", "source", "silent"])
def test_ways_to_the_destination(front: Front, backend: PopServer, user: str) -> None:
    with Imap(front.imap_port, source=CLIENT) as client:
        client.login(f"{user}@example.com").ok("SELECT INBOX")
        client.ok("LOGOUT")
    [finished] = session_events(front, f"{user}@example.com")
    assert "error_code" not in finished["fields"]
    session = finished["fields"]["session"]
    if user == "source":
        assert finished["fields"]["source_ip"] == "127.0.0.9"
    if user == "silent":
        assert not backend.events("imap_command_finished", session=session)
    elif user != "source":
        commands = backend.wait_events("imap_command_finished", session=session)
        assert commands[0]["fields"]["remote_ip"] == CLIENT


@pytest.mark.parametrize("user", ["header@example.com", "headers@example.com"])
def test_a_header_tells_of_the_client(front: Front, backend: PopServer, user: str) -> None:
    with Imap(front.imap_port, source=CLIENT) as client:
        client.login(user).ok("SELECT INBOX")
        port = client.sock.getsockname()[1]
    commands = backend.wait_events("imap_command_finished", remote_port=port)
    assert commands[0]["fields"]["remote_ip"] == CLIENT
    assert commands[0]["fields"]["local_port"] == front.imap_port


def test_pop3_over_starttls(front: Front) -> None:
    client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
    client.user("pop@example.com")
    client.pass_(PASSWORD)
    client.stat()
    client.quit()


def refusal(port: int, user: str, password: str = PASSWORD) -> str:
    with Imap(port) as client:
        reply = client.do(f"LOGIN {user} {password}")
        assert reply.state == "NO"
        return reply.text


def test_a_certificate_of_another_name_is_refused(front: Front) -> None:
    assert "[UNAVAILABLE]" in refusal(front.imap_port, "name@example.com")
    [finished] = session_events(front, "name@example.com")
    assert finished["fields"]["error_code"] == "proxy_dest_remote_failure"
    assert "certificate" in finished["fields"]["error"]


def test_a_wrong_password_never_reaches_the_destination(front: Front, backend: PopServer) -> None:
    before = len(backend.events("auth_request_finished"))
    assert "[AUTHENTICATIONFAILED]" in refusal(front.imap_port, ALICE, "wrong")
    assert len(backend.events("auth_request_finished")) == before


def test_who_cannot_be_reached_and_who_is_not_named(front: Front) -> None:
    for user, code in (
        ("dead@example.com", "proxy_dest_connect_failed"),
        ("nowhere@example.com", "proxy_dest_internal_failure"),
    ):
        text = refusal(front.imap_port, user)
        assert text == "[UNAVAILABLE] Account is temporarily unavailable."
        front.wait_events("login_aborted", user=user, reason=code)
    [finished] = session_events(front, "dead@example.com")
    assert finished["fields"]["error_code"] == "proxy_dest_connect_failed"
    assert finished["fields"]["disconnect_side"] == "proxy"
    front.wait_log("the passdb field host is missing")


REFUSALS = {
    "auth": ("[AUTHENTICATIONFAILED] no", "proxy_dest_auth_failed", "[AUTHENTICATIONFAILED] no"),
    "bare": ("no such luck", "proxy_dest_auth_failed", "[AUTHENTICATIONFAILED] no such luck"),
    "temp": ("[UNAVAILABLE] later", "proxy_dest_auth_temp_failed", "[UNAVAILABLE] later"),
    "limit": ("[LIMIT] too many", "temp_fail", "[LIMIT] too many"),
    "authz": ("[AUTHORIZATIONFAILED] no", "authorization_failed", "[AUTHORIZATIONFAILED] no"),
    "disabled": ("[CONTACTADMIN] ask", "user_disabled", "[CONTACTADMIN] ask"),
    "expired": ("[EXPIRED] old", "password_expired", "[EXPIRED] old"),
    "closed": ("[NOPERM] no", "login_disabled", "[NOPERM] no"),
    "clear": ("[PRIVACYREQUIRED] tls", "cleartext_auth_disabled", "[UNAVAILABLE]"),
    "lost": ("[REFERRAL gopher://x/] there", "proxy_dest_redirected", "[UNAVAILABLE]"),
}
OTHER = {
    "base64": (
        f"{GREETING}\nC: I ID .*\nC: A AUTHENTICATE PLAIN .*\nS: A BAD what is this",
        "invalid_base64",
        "",
    ),
    "cleartext": (
        "S: * OK [CAPABILITY IMAP4rev1 AUTH=LOGIN LOGINDISABLED] hi",
        "cleartext_auth_disabled",
        "",
    ),
    "mechanism": (GREETING, "invalid_mech", "proxy_mech=SCRAM-SHA-1 proxy_not_trusted"),
    "anonymous": (GREETING, "anonymous_auth_disabled", "proxy_mech=ANONYMOUS proxy_not_trusted"),
    "garbage": ("S: 220 ESMTP", "proxy_dest_protocol_failure", ""),
    "bye": ("S: * BYE [UNAVAILABLE] not now", "proxy_dest_remote_failure", ""),
    "gone": (f"{GREETING}\nC: I ID .*\nX", "proxy_dest_remote_failure", ""),
    "notls": (
        f"{GREETING}\nC: S STARTTLS\nS: S BAD no",
        "proxy_dest_remote_failure",
        "starttls=any-cert",
    ),
    "injected": (
        f"{GREETING}\nC: S STARTTLS\nS: S OK go|* OK evil",
        "proxy_dest_protocol_failure",
        "starttls=any-cert",
    ),
}


def through(front: Front, played: Played, name: str, extra: str = "") -> str:
    """The name of a user who is passed on to a played server."""
    user = f"{name}@played.example"
    front.pass_on(user, f"{played.fields} {extra}")
    return user


LOGIN = f"{GREETING}\nC: I ID .*\nC: A AUTHENTICATE PLAIN .*\n"


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_destination_refuses_keeps_its_meaning(front: Front, name: str) -> None:
    said, code, wanted = REFUSALS[name]
    with Played(f"{LOGIN}S: A NO {said}") as played:
        user = through(front, played, name)
        assert refusal(front.imap_port, user).startswith(wanted)
    [finished] = session_events(front, user)
    assert finished["fields"]["error_code"] == code
    assert finished["fields"]["disconnect_side"] == "proxy"
    reason = "proxy_dest_auth_temp_failed" if code == "temp_fail" else code
    front.wait_events("login_aborted", user=user, reason=reason)


@pytest.mark.parametrize("name", OTHER)
def test_what_goes_wrong_between_the_servers_is_not_told(front: Front, name: str) -> None:
    script, code, extra = OTHER[name]
    with Played(script) as played:
        user = through(front, played, name, extra)
        assert refusal(front.imap_port, user).startswith("[UNAVAILABLE] Account is temp")
    [finished] = session_events(front, user)
    assert finished["fields"]["error_code"] == code
    front.wait_events("login_aborted", user=user, reason=code)


def test_a_master_user_logs_in_for_the_user(front: Front) -> None:
    with Played(f"{LOGIN}S: A OK [CAPABILITY X] in") as played:
        extra = "master=proxy destuser=al pass=pw forward_color=blue"
        user = through(front, played, "mastered", extra)
        with Imap(front.imap_port, source=CLIENT) as client:
            assert client.ok(f"LOGIN {user} {PASSWORD}").text == "[CAPABILITY X] in"
        [finished] = session_events(front, user)
        assert finished["fields"]["master_user"] == "proxy"
        assert finished["fields"]["disconnect_side"] == "client"
    told, command = played.said[:2]
    assert b64decode(command.split()[-1]) == b"al\0proxy\0pw"
    for pair in (
        f'"x-originating-ip" "{CLIENT}"',
        f'"x-connected-port" "{front.imap_port}"',
        '"x-proxy-ttl" "4"',
        '"x-forward-color" "blue"',
        '"x-session-id" "',
    ):
        assert pair in told


def refer(port: int) -> str:
    url = f"imap://{CAROL.replace('@', '%40')}@127.0.0.1:{port}/"
    return f"{LOGIN}S: A NO [REFERRAL {url}] try there"


def test_a_referral_is_followed(front: Front, backend: PopServer) -> None:
    with Played(refer(backend.imap_port)) as played:
        user = through(front, played, "moved")
        with Imap(front.imap_port) as client:
            client.login(user).ok("SELECT INBOX")
            client.ok("LOGOUT")
    first, second = session_events(front, user, 2)
    assert first["fields"]["error_code"] == "proxy_dest_redirected"
    assert second["fields"]["dest_port"] == backend.imap_port
    assert "error_code" not in second["fields"]


def test_referrals_in_a_circle_are_not_followed(front: Front) -> None:
    with Played("S: * OK") as played:
        played.play(refer(played.port))
        user = through(front, played, "circle")
        assert "[UNAVAILABLE]" in refusal(front.imap_port, user)
    front.wait_events("login_aborted", user=user, reason="proxy_dest_redirected")
    front.wait_log("referrals go round in circles")
    assert played.accepted == 1


def test_a_server_that_hangs_up_is_tried_again(front: Front) -> None:
    with Played(f"{GREETING}\nC: I ID .*\nX") as played:
        user = through(front, played, "again")
        assert "[UNAVAILABLE]" in refusal(front.imap_port, user)
    [finished] = session_events(front, user)
    assert finished["fields"]["reconnect_attempts"] == 1
    assert played.accepted == 2


def test_a_temporary_failure_is_tried_again(front: Front) -> None:
    busy = f"{LOGIN}S: A NO [UNAVAILABLE] later"
    with Played(f"{LOGIN}S: A OK in", first=busy) as played:
        user = through(front, played, "patient")
        with Imap(front.imap_port) as client:
            client.login(user)
    assert played.accepted == 2
    [established] = front.wait_events("proxy_session_established", user=user)
    assert established["fields"]["reconnect_attempts"] == 1
    with Played(busy) as played:
        user = through(front, played, "unlucky")
        assert refusal(front.imap_port, user) == "[UNAVAILABLE] later"
    assert played.accepted == 2
    [finished] = session_events(front, user)
    assert finished["fields"]["reconnect_attempts"] == 1
    assert finished["fields"]["error_code"] == "proxy_dest_auth_temp_failed"


def test_a_host_that_is_down_is_down_for_all_processes(front: Front) -> None:
    """IMAP finds it down; while IMAP tries it again, POP3 in another process does not."""
    port = dead_port()
    fields = f"proxy host=127.0.0.1 port={port}"
    for user in ("finds@down.example", "tries@down.example", "waits@down.example"):
        front.pass_on(user, fields)
    assert "[UNAVAILABLE]" in refusal(front.imap_port, "finds@down.example")

    def told() -> str:
        done = front.cli("proxy", "hosts")
        assert done.returncode == 0, done.stderr
        return next((t for t in done.stdout.decode().splitlines() if f":{port} " in t), "")

    wait_for(lambda: told().endswith("s ago"), told)
    with Played(f"{LOGIN}C: never", port=port) as played, Imap(front.imap_port) as client:
        client.start(f"LOGIN tries@down.example {PASSWORD}")
        wait_for(lambda: len(played.said) >= 2)
        assert told().endswith("tried now")
        pop = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
        pop.user("waits@down.example")
        with pytest.raises(poplib.error_proto, match="SYS/TEMP"):
            pop.pass_(PASSWORD)
        pop.close()
        assert played.accepted == 1
        [finished] = session_events(front, "waits@down.example")
        assert finished["fields"]["error"] == "the host is down"
        played.play(f"{LOGIN}S: A OK in")
        client.close()
        session_events(front, "tries@down.example")
        with Imap(front.imap_port) as again:
            again.login("tries@down.example")
        assert told() == ""


def test_a_silent_server_is_given_up(front: Front) -> None:
    with Played("C: never") as played:
        user = through(front, played, "mute", "proxy_timeout=300ms")
        assert "[UNAVAILABLE]" in refusal(front.imap_port, user)
    [finished] = session_events(front, user)
    assert finished["fields"]["error_code"] == "proxy_dest_remote_failure"
    assert "0.3 s" in finished["fields"]["error"]


def test_the_client_leaves_while_the_destination_thinks(front: Front) -> None:
    with Played(f"{LOGIN}C: never") as played:
        user = through(front, played, "hasty")
        client = Imap(front.imap_port)
        client.start(f"LOGIN {user} {PASSWORD}")
        wait_for(lambda: len(played.said) >= 2)
        client.close()
        [finished] = session_events(front, user)
        assert finished["fields"]["disconnect_side"] == "client"
        front.wait_events("login_aborted", user=user, reason="proxy_dest_connect_failed")
        front.wait_events("server_connection_disconnected", user=user)


def test_loops(front: Front) -> None:
    itself = f"host=127.0.0.1 port={front.imap_port}"
    front.pass_on("self@example.com", f"proxy {itself}")
    assert "[UNAVAILABLE]" in refusal(front.imap_port, "self@example.com")
    front.wait_log("is this server")
    with Imap(front.imap_port, source="127.0.0.6") as client:
        client.ok('ID ("x-proxy-ttl" "1")')
        assert client.do(f"LOGIN {ALICE} {PASSWORD}").text.startswith("[UNAVAILABLE]")
    front.wait_log("too many proxies")
    front.pass_on(CAROL, f"proxy_maybe {itself}", home=True)
    with Imap(front.imap_port) as client:
        client.login(CAROL).ok("SELECT INBOX")
    assert not front.events("proxy_session_started", user=CAROL)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("[AUTH] no", "proxy_dest_auth_failed"),
        ("[SYS/TEMP] later", "proxy_dest_auth_temp_failed"),
        ("[IN-USE] busy", "temp_fail"),
    ],
)
def test_pop3_refusals(front: Front, said: str, code: str) -> None:
    with Played(f"{POP_LOGIN}S: -ERR {said}") as played:
        user = through(front, played, f"pop_{code}")
        client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
        client.user(user)
        with pytest.raises(poplib.error_proto, match=re.escape(f"-ERR {said}")):
            client.pass_(PASSWORD)
        client.close()
    [finished] = session_events(front, user)
    assert finished["fields"]["error_code"] == code


def test_what_a_client_pipelines_behind_its_login_arrives(front: Front) -> None:
    with Imap(front.imap_port) as client:
        client.send(f"x1 LOGIN {ALICE} {PASSWORD}\r\nx2 SELECT INBOX\r\nx3 LOGOUT\r\n".encode())
        text = client.rest()
    assert b"x2 OK" in text
    assert b"x3 OK" in text


def test_a_passdb_that_asks_the_other_server(front: Front, backend: PopServer) -> None:
    user = "guest@elsewhere.example"
    front.pass_on(user, "", home=True, password="not-to-be-guessed")
    with Imap(front.imap_port) as client:
        assert "[AUTHENTICATIONFAILED]" in client.do(f"LOGIN {user} wrong").text
        client.login(user).ok("SELECT INBOX")
    asked = backend.wait_events("auth_request_finished", user=CAROL)
    assert {e["fields"].get("success") for e in asked} >= {"yes", None}
    [accepted] = front.wait_events(
        "auth_passdb_request_finished", user=user, passdb="imap", result="ok"
    )
    assert accepted["fields"]["passdb_name"] == "elsewhere"
    done = front.cli("auth", "lookup", "--passdb", "other@elsewhere.example")
    assert done.returncode == 1
    assert b"cannot be looked up: the passdb only checks passwords" in done.stderr
    done = front.cli("auth", "lookup", "--passdb", "other@example.com")
    assert (done.returncode, b"no such user" in done.stderr) == (67, True)


def test_sessions_are_listed_and_kicked(front: Front, backend: PopServer) -> None:
    users = [f"guest{n}@kick.example" for n in range(3)]
    for user in users:
        there = f"host=127.0.0.1 port={backend.imap_port} destuser={CAROL}"
        front.pass_on(user, f"proxy {there}")
    clients = [Imap(front.imap_port, source=CLIENT).login(user) for user in users]
    listed = front.cli("proxy", "list", "*@kick.example", "--json").stdout.splitlines()
    told = [json.loads(line) for line in listed]
    assert [one["user"] for one in told] == users
    assert told[0]["ip"] == CLIENT
    assert (told[0]["host"], told[0]["port"]) == ("127.0.0.1", backend.imap_port)
    done = front.cli("proxy", "kick", "guest[01]@kick.example", "--host", "127.0.0.*")
    assert done.returncode == 0
    assert [line.split()[0].decode() for line in done.stdout.splitlines()] == users[:2]
    for client in clients[:2]:
        assert client.rest() == b""
    clients[2].ok("NOOP")
    [finished] = session_events(front, users[0])
    assert finished["fields"]["disconnect_side"] == "proxy"
    assert finished["fields"]["disconnect_reason"] == "Kicked by the administrator"
    assert front.cli("proxy", "kick", users[0]).returncode == 67
    # A process that was replaced still relays, and is still asked.
    assert front.cli("reload").returncode == 0
    clients[2].ok("NOOP")
    assert front.cli("proxy", "kick", users[2]).returncode == 0
    assert clients[2].rest() == b""


def test_a_server_that_dies_ends_the_session(front: Front) -> None:
    with Played(f"{LOGIN}S: A OK in\nC: .*\nX") as played:
        user = through(front, played, "dying")
        with Imap(front.imap_port) as client:
            client.login(user)
            client.start("NOOP")
            assert client.rest() == b""
    [finished] = session_events(front, user)
    assert finished["fields"]["disconnect_side"] == "server"


def test_a_server_that_stops_ends_its_sessions(tmp_path: Path) -> None:
    with Played(f"{LOGIN}S: A OK in") as played:
        front = Front(tmp_path, users=(), passed_on={ALICE: played.fields})
        try:
            front.start()
            with Imap(front.imap_port) as client:
                client.login()
                assert front.process is not None
                front.process.terminate()
                assert client.rest() == b""
            front.process.wait(30)
        finally:
            front.stop()
    [finished] = session_events(front, ALICE)
    assert finished["fields"]["disconnect_side"] == "proxy"
    assert finished["fields"]["disconnect_reason"] == "Server shutting down"
