"""POP3 from the port to the disk: poplib, curl, fetchmail, mpop, and a client that says it raw."""

from __future__ import annotations

import contextlib
import poplib
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from raw import Stream
from running import PASSWORD, USERS, Running, free_port, running, wait_for
from test_clients import call, mail, need

pytestmark = pytest.mark.e2e


class PopServer(Running):
    """A server with POP3 on free ports."""

    def __init__(self, folder: Path, *, options: str = "", blocks: str = "", **more: Any) -> None:
        self.pop3_port, self.pop3s_port = free_port(), free_port()
        tls = self.pop3s_port if "ssl" in options else 0
        blocks += (
            f"\n[service.pop3_login.inet_listener.pop3]\nport = {self.pop3_port}"
            f"\n[service.pop3_login.inet_listener.pop3s]\nport = {tls}\n"
        )
        options += '\nprotocols = ["imap", "lmtp", "pop3"]\n'
        super().__init__(folder, options=options, blocks=blocks, **more)

    def start(self) -> PopServer:
        super().start()
        wait_for(lambda: self._greets(self.pop3_port), self.explain)
        return self

    def pop(self, user: str = USERS[0], password: str = PASSWORD) -> poplib.POP3:
        """A logged-in connection."""
        client = poplib.POP3("127.0.0.1", self.pop3_port, timeout=30)
        client.user(user)
        client.pass_(password)
        return client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    """One server for tests that take a user of their own or change nothing."""
    users = tuple(f"user{n}@example.com" for n in range(20))
    folder = tmp_path_factory.mktemp("pop3") / "server"
    with running(folder, make=PopServer, users=(*USERS, *users)) as started:
        yield started


def subjects(server: PopServer, user: str) -> set[str]:
    """What IMAP sees in the INBOX."""
    client = server.imap(user)
    client.select("INBOX", readonly=True)
    _, data = client.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()
    return {part[1].decode().strip()[9:] for part in data if isinstance(part, tuple)}


def close(client: poplib.POP3) -> None:
    """Go without a word."""
    with contextlib.suppress(OSError):
        client.sock.shutdown(socket.SHUT_RDWR)
    client.close()


def test_poplib_reads_and_deletes(shared: PopServer) -> None:
    server, user = shared, "user10@example.com"
    for name in ("one", "two", "three"):
        server.deliver(mail(name), user)
    client = server.pop(user)
    count, octets = client.stat()
    assert count == 3
    _, sizes, _ = client.list()
    assert sum(int(line.split()[1]) for line in sizes) == octets
    _, lines, length = client.retr(2)
    assert length == int(sizes[1].split()[1])
    assert b"Text of two" in lines
    _, head, _ = client.top(3, 0)
    assert b"Subject: three" in head
    assert b"Text of three" not in head
    _, uidls, _ = client.uidl()
    names = [line.split()[1].decode() for line in uidls]
    imap = server.imap(user)
    imap.select("INBOX", readonly=True)
    validity = int(imap.response("UIDVALIDITY")[1][0])
    assert names == [f"{uid:08x}{validity:08x}" for uid in (1, 2, 3)]
    client.dele(1)
    assert client.stat()[0] == 2
    client.quit()
    assert subjects(server, user) == {"two", "three"}
    imap.select("INBOX", readonly=True)
    assert imap.uid("SEARCH", "SEEN")[1] == [b"2"]
    assert imap.uid("SEARCH", "UNSEEN")[1] == [b"3"]


def test_a_dropped_connection_deletes_nothing_but_remembers_what_was_read(
    shared: PopServer,
) -> None:
    server, user = shared, "user11@example.com"
    server.deliver(mail("kept"), user)
    client = server.pop(user)
    client.retr(1)
    client.dele(1)
    close(client)
    server.wait_events("mail_user_session_finished", service="pop3", user=user)
    assert subjects(server, user) == {"kept"}
    again = server.pop(user)
    assert again.stat()[0] == 1
    again.quit()
    imap = server.imap(user)
    imap.select("INBOX", readonly=True)
    assert imap.search(None, "SEEN")[1] == [b"1"]


def test_events_of_a_session(shared: PopServer) -> None:
    server, user = shared, "user12@example.com"
    server.deliver(mail("seen"), user)
    client = server.pop(user)
    client.retr(1)
    with pytest.raises(poplib.error_proto):
        client.retr(7)
    with pytest.raises(poplib.error_proto):
        client._shortcmd("FROB secret")
    client.dele(1)
    client.quit()
    [finished] = server.wait_events("mail_user_session_finished", service="pop3", user=user)
    assert finished["fields"]["net_out_bytes"] > 0
    events = [e["fields"] for e in server.wait_events("pop3_command_finished", 5, user=user)]
    assert [(e["cmd_name"], e.get("cmd_args"), e["reply"]) for e in events] == [
        ("RETR", "1", "OK"),
        ("RETR", "7", "FAIL"),
        ("unknown", None, "FAIL"),
        ("DELE", "1", "OK"),
        ("QUIT", None, "OK"),
    ]
    first = events[0]
    assert first["net_in_bytes"] == len(b"RETR 1\r\n")
    size = len(mail("seen"))
    assert first["net_out_bytes"] > size
    assert (first["user"], first["remote_ip"]) == (user, "127.0.0.1")
    assert first["local_port"] == server.pop3_port
    [opened] = server.events("mail_opened", service="pop3", user=user)
    assert opened["fields"]["reason_code"] == ["pop3:cmd_retr"]
    [expunged] = server.events("mail_expunged", service="pop3", user=user)
    assert expunged["fields"]["reason_code"] == ["pop3:cmd_quit"]
    server.wait_log(
        "pop3-login",
        f"Login: user=<{user}>, method=PLAIN, rip=127.0.0.1",
        "Disconnected: Logged out top=0/0",
    )
    log = (server.folder / "log").read_text()
    assert re.search(r"Disconnected: Logged out top=0/0, retr=1/\d+, del=1/1, size=\d+", log)


def test_wrong_passwords_and_no_login(shared: PopServer) -> None:
    client = poplib.POP3("127.0.0.1", shared.pop3_port, timeout=30)
    client.user(USERS[1])
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\] Authentication failed"):
        client.pass_("wrong")
    close(client)
    [aborted] = shared.wait_events("login_aborted", service="pop3", reason="auth_failed")
    assert aborted["fields"]["auth_attempts"] == 1
    assert aborted["fields"]["local_port"] == shared.pop3_port


def test_capabilities_sasl_and_pipelining(shared: PopServer) -> None:
    user = "user1@example.com"
    shared.deliver(mail("first"), user)
    with Stream(shared.pop3_port) as client:
        assert client.line().startswith(b"+OK Pillarbox ready")
        client.send(b"CAPA\r\n")
        assert client.line().startswith(b"+OK")
        capa = []
        while (line := client.line()) != b".\r\n":
            capa.append(line[:-2])
        assert b"SASL PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256" in capa
        assert {b"USER", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"TOP"} <= set(capa)
        client.send(
            b"USER %b\r\nPASS %b\r\nSTAT\r\nLIST\r\nUIDL 1\r\nTOP 1 0\r\nQUIT\r\n"
            % (user.encode(), PASSWORD.encode())
        )
        rest = client.rest().split(b"\r\n")
        assert rest[:3] == [b"+OK", b"+OK Logged in.", b"+OK 1 %s" % rest[2].split()[2]]
        assert rest[-2:] == [b"+OK Logging out.", b""]
        assert b"Subject: first" in rest


def test_a_message_expunged_meanwhile_fails_and_new_mail_waits(shared: PopServer) -> None:
    user = "user2@example.com"
    shared.deliver(mail("gone"), user)
    shared.deliver(mail("here"), user)
    client = shared.pop(user)
    imap = shared.imap(user)
    imap.select("INBOX")
    imap.store("1", "+FLAGS", "\\Deleted")
    imap.expunge()
    shared.deliver(mail("late"), user)
    with pytest.raises(poplib.error_proto, match="no longer there"):
        client.retr(1)
    assert b"Text of here" in client.retr(2)[1]
    assert client.stat()[0] == 2
    client.dele(1)
    client.dele(2)
    client.quit()
    fresh = shared.pop(user)
    assert fresh.stat()[0] == 1
    assert b"Text of late" in fresh.retr(1)[1]
    fresh.quit()


def test_dots_and_big_messages_come_out_as_they_went_in(shared: PopServer) -> None:
    user = "user3@example.com"
    line = b"." + b"x" * 70 + b"\r\n.\r\n..\r\n"
    text = mail("big") + line * 20_000
    shared.deliver(text, user)
    client = shared.pop(user)
    _, lines, length = client.retr(1)
    assert length == client.stat()[1]
    assert lines.count(b".") == lines.count(b"..") == 20_000
    client.quit()


def test_a_thousand_pipelined_retrs(shared: PopServer) -> None:
    user = "user4@example.com"
    imap = shared.imap(user)
    for n in range(40):
        imap.append("INBOX", "", None, mail(f"m{n}"))
    with Stream(shared.pop3_port) as client:
        client.line()
        client.send(b"USER %b\r\nPASS %b\r\n" % (user.encode(), PASSWORD.encode()))
        client.send(b"".join(b"RETR %d\r\n" % (n % 40 + 1) for n in range(1000)) + b"QUIT\r\n")
        rest = client.rest()
    assert re.findall(rb"Subject: m(\d+)", rest) == [b"%d" % (n % 40) for n in range(1000)]
    assert rest.endswith(b"+OK Logging out.\r\n")


def test_curl(shared: PopServer, tmp_path: Path) -> None:
    curl = need("curl")
    user = "user5@example.com"
    shared.deliver(mail("curled"), user)
    base = [curl, "--silent", "--show-error", "--user", f"{user}:{PASSWORD}"]
    url = f"pop3://127.0.0.1:{shared.pop3_port}"
    assert re.match(r"1 \d+", call(*base, f"{url}/"))
    assert "Text of curled" in call(*base, f"{url}/1")
    for mechanism in ("PLAIN", "LOGIN"):
        login = ["--login-options", f"AUTH={mechanism}"]
        assert "Text of curled" in call(*base, *login, "--sasl-ir", f"{url}/1")
        assert "Text of curled" in call(*base, *login, f"{url}/1")
    call(*base, "--request", "DELE", "--head", f"{url}/1")
    client = shared.pop(user)
    assert client.stat()[0] == 0
    client.quit()


def test_fetchmail_takes_new_mail_and_keeps_or_deletes(shared: PopServer, tmp_path: Path) -> None:
    server, user = shared, "user13@example.com"
    fetchmail = need("fetchmail")
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f"poll 127.0.0.1 protocol pop3 port {server.pop3_port} uidl\n"
        f'  user "{user}" password "{PASSWORD}"\n'
        f'  sslproto "" mda "cat >> {tmp_path}/got"\n'
    )
    rc.chmod(0o600)
    server.deliver(mail("fetched"), user)
    command = [fetchmail, "-f", str(rc), "--idfile", str(tmp_path / "ids")]
    command += ["--pidfile", str(tmp_path / "pid"), "--nosyslog"]
    call(*command, "--keep", cwd=tmp_path)
    assert (tmp_path / "got").read_text().count("Subject: fetched") == 1
    call(*command, "--keep", cwd=tmp_path, ok=(0, 1))
    assert (tmp_path / "got").read_text().count("Subject: fetched") == 1
    assert subjects(server, user) == {"fetched"}
    call(*command, "--nokeep", "--fetchall", cwd=tmp_path)
    assert subjects(server, user) == set()


def test_mpop_pipelines(shared: PopServer, tmp_path: Path) -> None:
    server, user = shared, "user14@example.com"
    mpop = need("mpop")
    for name in ("uno", "due", "tre"):
        server.deliver(mail(name), user)
    (tmp_path / "box").mkdir()
    for part in ("cur", "new", "tmp"):
        (tmp_path / "box" / part).mkdir()
    rc = tmp_path / "mpoprc"
    rc.write_text(
        f"account default\nhost 127.0.0.1\nport {server.pop3_port}\nuser {user}\n"
        f"password {PASSWORD}\ntls off\nauth user\npipelining on\nkeep off\n"
        f"delivery maildir {tmp_path}/box\nuidls_file {tmp_path}/uidls\n"
    )
    rc.chmod(0o600)
    call(mpop, "-C", str(rc), cwd=tmp_path)
    texts = [path.read_text() for path in (tmp_path / "box/new").iterdir()]
    found = {re.search(r"Subject: (\w+)", text)[1] for text in texts}
    assert found == {"uno", "due", "tre"}
    assert subjects(server, user) == set()


def test_stls_and_pop3s(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    file = authority.make("mail.example.com")
    options = f'ssl = "required"\nssl_server_cert_file = "{file}"\n'
    context = ssl.create_default_context(cafile=str(authority.file))
    with running(tmp_path / "server", make=PopServer, options=options, cleartext=False) as server:
        server.deliver(mail("safe"))
        address = ("mail.example.com", server.pop3s_port)
        client = poplib.POP3_SSL("127.0.0.1", address[1], timeout=30, context=context)
        client.user(USERS[0])
        client.pass_(PASSWORD)
        assert b"Text of safe" in client.retr(1)[1]
        client.quit()
        with Stream(server.pop3_port, source="127.0.0.2") as stranger:
            stranger.line()
            stranger.send(b"CAPA\r\n")
            capa = []
            while (line := stranger.line()) != b".\r\n":
                capa.append(line)
            assert b"STLS\r\n" in capa
            assert b"USER\r\n" not in capa
            stranger.send(b"USER %b\r\n" % USERS[0].encode())
            assert stranger.line() == b"-ERR TLS is required before login.\r\n"
            stranger.send(b"STLS\r\n")
            assert stranger.line().startswith(b"+OK")
            stranger.wrap(context, "mail.example.com")
            login = (USERS[0].encode(), PASSWORD.encode())
            stranger.send(b"USER %b\r\nPASS %b\r\nSTAT\r\nRETR 1\r\nQUIT\r\n" % login)
            answer = stranger.rest()
            assert b"Text of safe" in answer
            assert answer.endswith(b"+OK Logging out.\r\n")
        with Stream(server.pop3_port) as injector:
            injector.line()
            injector.send(b"STLS\r\nUSER x\r\n")
            assert b"-ERR" in injector.rest()
