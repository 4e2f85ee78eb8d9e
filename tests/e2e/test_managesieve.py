"""ManageSieve from the port to the disk: sieve-connect, and clients that say it raw."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from managesieve_client import Sieve, SieveServer
from running import PASSWORD, USERS, running
from test_clients import mail, need

from pillarbox.sieve.registry import default_capabilities
from pillarbox.wire.sasl.client import scram
from pillarbox.wire.sasl.exchange import HashName

pytestmark = pytest.mark.e2e

GOOD = b'require ["fileinto"];\r\nif header :contains "subject" "list" { fileinto "Lists"; }\r\n'
WARNING = b'require ["include"];\r\ninclude "nowhere";\r\n'
BAD = b'fileinto "Lists";\r\nnonsense;\r\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SieveServer]:
    """One server for tests that take a user of their own."""
    users = tuple(f"user{n}@example.com" for n in range(20))
    folder = tmp_path_factory.mktemp("sieve") / "server"
    with running(folder, make=SieveServer, users=(*USERS, *users)) as started:
        assert isinstance(started, SieveServer)
        yield started


def test_capabilities_before_and_after_login(shared: SieveServer) -> None:
    with Sieve(shared.sieve_port) as client:
        told = client.capabilities
        assert client.greeting.text == "Pillarbox ready."
        assert told["IMPLEMENTATION"] == "Pillarbox"
        assert told["VERSION"] == "1.0"
        assert {"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(told["SASL"].split())
        assert set(told["SIEVE"].split()) == default_capabilities()
        assert (told["NOTIFY"], told["MAXREDIRECTS"]) == ("mailto", "4")
        assert "OWNER" not in told
        assert "STARTTLS" not in told
        client.login("user0@example.com")
        lines = client.ok("CAPABILITY").lines
        assert b'"OWNER" "user0@example.com"' in lines
        assert any(line.startswith(b'"SIEVE" "body ') for line in lines)
        assert client.ok("LOGOUT").text == "Logging out."
        assert client.rest() == b""


def test_the_life_of_scripts(shared: SieveServer) -> None:
    user = "user1@example.com"
    with shared.sieve(user) as client:
        assert client.scripts() == {}
        assert client.ok(f'HAVESPACE "rules" {len(GOOD)}')
        assert client.put("rules", GOOD).state == "OK"
        assert client.put("weird \u00fc 'name'", b"keep;").state == "OK"
        assert client.scripts() == {"rules": False, "weird \u00fc 'name'": False}
        client.ok('SETACTIVE "rules"')
        assert client.scripts()["rules"] is True
        assert client.get("rules") == GOOD
        active = shared.home(user) / ".dovecot.sieve"
        assert os.readlink(active) == "sieve/rules.sieve"
        refused = client.do('DELETESCRIPT "rules"')
        assert (refused.state, refused.code) == ("NO", "ACTIVE")
        client.ok('RENAMESCRIPT "rules" "filters"')
        assert client.scripts()["filters"] is True
        assert active.read_bytes() == GOOD
        refused = client.do('RENAMESCRIPT "filters" "filters"')
        assert (refused.state, refused.code) == ("NO", "ALREADYEXISTS")
        client.ok('SETACTIVE ""')
        assert not active.exists()
        client.ok('DELETESCRIPT "filters"')
        for command in (
            'GETSCRIPT "x"',
            'SETACTIVE "x"',
            'DELETESCRIPT "x"',
            'RENAMESCRIPT "x" "y"',
        ):
            answer = client.do(command)
            assert (answer.state, answer.code) == ("NO", "NONEXISTENT")


def test_scripts_are_checked(shared: SieveServer) -> None:
    with shared.sieve("user2@example.com") as client:
        for answer in (
            client.put("bad", BAD),
            client.do(b"CHECKSCRIPT {%d+}\r\n%b" % (len(BAD), BAD)),
        ):
            assert answer.state == "NO"
            assert "line 1: error:" in answer.text
            assert "line 2: error:" in answer.text
        assert client.scripts() == {}
        client.ok(b"CHECKSCRIPT {%d+}\r\n%b" % (len(GOOD), GOOD))
        warned = client.put("warned", WARNING)
        assert (warned.state, warned.code) == ("OK", "WARNINGS")
        assert "line 2: warning:" in warned.text
        (shared.home("user2@example.com") / "sieve" / "warned.sieve").write_bytes(BAD)
        assert client.do('SETACTIVE "warned"').state == "NO"
        assert client.scripts() == {"warned": False}
        for name in ("", "a/b", "x" * 513):
            assert client.put(name, b"keep;").state == "NO"
        many = b"".join(b"nonsense%d;\r\n" % n for n in range(20))
        answer = client.put("many", many)
        assert answer.text.endswith("... and 15 more.")


def test_pipelined_commands_are_answered_in_order(shared: SieveServer) -> None:
    with Sieve(shared.sieve_port) as client:
        word = b64encode(f"\0user3@example.com\0{PASSWORD}".encode())
        client.send(
            b'AUTHENTICATE "PLAIN" "%b"\r\n' % word
            + b'PUTSCRIPT "a" {5+}\r\nkeep;\r\nSETACTIVE "a"\r\nNOOP "one"\r\n'
            + b'LISTSCRIPTS\r\nNOOP {5+}\r\na\r\nb"\r\nLOGOUT\r\n'
        )
        answers = [client.answer() for _ in range(7)]
        assert [answer.state for answer in answers] == ["OK"] * 7
        assert answers[3].code == 'TAG "one"'
        assert answers[4].lines == [b'"a" ACTIVE']
        assert client.rest() == b""


def test_wrong_commands_and_too_much(shared: SieveServer) -> None:
    with shared.sieve("user4@example.com") as client:
        assert client.do("FETCH 1").text == "Unknown command."
        assert client.do("STARTTLS").state == "NO"
        assert client.do('PUTSCRIPT "a"').state == "NO"
        huge = 1024 * 1024 + 1
        answer = client.put("a", b"#" * huge)
        assert (answer.state, answer.code) == ("NO", "QUOTA/MAXSIZE")
        answer = client.put("a", b"#" * (2 * huge))
        assert (answer.state, answer.code) == ("NO", "QUOTA/MAXSIZE")
        answer = client.do(f'HAVESPACE "a" {huge}')
        assert (answer.state, answer.code) == ("NO", "QUOTA/MAXSIZE")
        client.ok("NOOP")
        answer = client.do('PUTSCRIPT "a" {9999999999+}')
        assert answer.state == "BYE"
        assert client.rest() == b""
    with Sieve(shared.sieve_port) as client:
        assert client.do("LISTSCRIPTS").text == "LISTSCRIPTS needs a login first."
        for _ in range(9):
            answer = client.do("nonsense")
        assert answer.state == "NO"
        assert client.answer().state == "BYE"


def test_all_mechanisms(shared: SieveServer) -> None:
    user = "user5@example.com"
    with Sieve(shared.sieve_port) as client:
        client.send(b'AUTHENTICATE "PLAIN"\r\n')
        assert client.challenge() == b""
        client.respond(f"\0{user}\0{PASSWORD}".encode())
        assert client.answer().state == "OK"
        assert client.scripts() == {}
    with Sieve(shared.sieve_port) as client:
        client.send(b'AUTHENTICATE "LOGIN"\r\n')
        assert client.challenge().startswith(b"User")
        client.respond(user.encode())
        client.challenge()
        client.send(b"{%d+}\r\n%b\r\n" % (8, b64encode(PASSWORD.encode())))
        assert client.answer().state == "OK"
    mechanisms: dict[str, HashName] = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
    for mechanism, hash_name in mechanisms.items():
        with Sieve(shared.sieve_port) as client:
            exchange = scram(hash_name, user, PASSWORD, "n0nce")
            word = b64encode(next(exchange)).decode()
            client.send(f'AUTHENTICATE "{mechanism}" "{word}"\r\n'.encode())
            client.respond(exchange.send(client.challenge()))
            answer = client.answer()
            assert answer.state == "OK"
            found = re.fullmatch(r'SASL "(.*)"', answer.code)
            assert found is not None
            exchange.send(b64decode(found[1]))
            with pytest.raises(StopIteration):
                exchange.send(b"")


def test_unauthenticate(shared: SieveServer) -> None:
    one, two = "user9@example.com", "user10@example.com"
    with Sieve(shared.sieve_port) as client:
        client.login(one)
        assert b'"UNAUTHENTICATE"' in client.ok("CAPABILITY").lines
        assert client.put("mine", b"# UNAUTHENTICATE\r\nUNAUTHENTICATE\r\n").state == "NO"
        assert client.put("mine", b"keep;\r\n#\r\n# UNAUTHENTICATE\r\n").state == "OK"
        assert client.do("UNAUTHENTICATE now").state == "NO"
        client.ok("UNAUTHENTICATE")
        assert client.do("LISTSCRIPTS").text == "LISTSCRIPTS needs a login first."
        assert not [line for line in client.ok("CAPABILITY").lines if b"OWNER" in line]
        client.login(two)
        assert client.scripts() == {}
        word = b64encode(f"\0{one}\0{PASSWORD}".encode())
        client.send(
            b'UNAUTHENTICATE\r\nNOOP "a"\r\nAUTHENTICATE "PLAIN" "%b"\r\nLISTSCRIPTS\r\n'
            b"UNAUTHENTICATE\r\nLOGOUT\r\n" % word
        )
        answers = [client.answer() for _ in range(6)]
        assert [answer.state for answer in answers] == ["OK"] * 6
        assert answers[1].code == 'TAG "a"'
        assert answers[3].lines == [b'"mine"']
        assert client.rest() == b""
    with Sieve(shared.sieve_port) as client:
        word = b64encode(f"\0{one}\0{PASSWORD}".encode())
        client.send(b'AUTHENTICATE "PLAIN" "%b"\r\nUNAUTHENTICATE\r\nNOOP\r\n' % word)
        assert [client.answer().state for _ in range(3)] == ["OK"] * 3
        client.login(two)
        client.ok("LOGOUT")


def test_failed_logins(shared: SieveServer) -> None:
    with Sieve(shared.sieve_port) as client:
        word = b64encode(b"\0user6@example.com\0wrong").decode()
        answer = client.do(f'AUTHENTICATE "PLAIN" "{word}"')
        assert (answer.state, answer.text) == ("NO", "Authentication failed.")
        client.send(b'AUTHENTICATE "PLAIN"\r\n')
        client.challenge()
        assert client.do(b'"*"').text == "Authentication aborted by client."
        client.send(b'AUTHENTICATE "PLAIN"\r\n')
        client.challenge()
        assert client.do(b'"!"').text == "Invalid base64 data."
        client.send(b'AUTHENTICATE "PLAIN"\r\n')
        client.challenge()
        assert client.do(b"no string").text == "Invalid base64 data."
        assert client.do('AUTHENTICATE "NOSUCH"').state == "NO"
        client.login("user6@example.com")
        assert client.scripts() == {}


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate = authority.make("mail.example.com")
    options = f'ssl = "required"\nssl_server_cert_file = "{certificate}"\n'
    context = ssl.create_default_context(cafile=str(authority.file))
    with running(tmp_path / "server", make=SieveServer, options=options, cleartext=False) as server:
        assert isinstance(server, SieveServer)
        with Sieve(server.sieve_port, source="127.0.0.2") as client:
            assert client.capabilities["SASL"] == ""
            assert "STARTTLS" in client.capabilities
            answer = client.do('AUTHENTICATE "PLAIN" ""')
            assert (answer.state, answer.code) == ("NO", "ENCRYPT-NEEDED")
            client.starttls(context, "mail.example.com")
            assert "STARTTLS" not in client.capabilities
            assert "PLAIN" in client.capabilities["SASL"].split()
            assert client.do("STARTTLS").text == "TLS is already active."
            client.login()
            assert client.put("a", GOOD).state == "OK"
            assert client.get("a") == GOOD
            client.ok("UNAUTHENTICATE")
            client.login()
            assert client.scripts() == {"a": False}
            client.ok("LOGOUT")
        with Sieve(server.sieve_port) as injector:
            injector.send(b'STARTTLS\r\nNOOP "injected"\r\n')
            said = injector.rest()
            assert b"BYE" in said
            assert b"injected" not in said
        sieve_connect(server, authority.file, tmp_path)


def sieve_connect(server: SieveServer, ca: Path, folder: Path) -> None:
    """The program of that name, through STARTTLS."""
    program = need("sieve-connect")
    script = folder / "uploaded.sieve"
    script.write_bytes(GOOD)

    def call(*words: str) -> str:
        done = subprocess.run(
            [
                program,
                "--server=localhost",
                f"--port={server.sieve_port}",
                f"--user={USERS[1]}",
                "--passwordfd=0",
                "--nosslverify",
                *words,
            ],
            input=PASSWORD.encode() + b"\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    call(f"--localsieve={script}", "--remotesieve=uploaded", "--upload")
    call("--remotesieve=uploaded", "--activate")
    assert '"uploaded" ACTIVE' in call("--list")
    target = folder / "downloaded.sieve"
    call("--remotesieve=uploaded", f"--localsieve={target}", "--download")
    assert target.read_bytes().split() == GOOD.split()
    call("--deactivate")
    call("--remotesieve=uploaded", "--delete")
    assert "uploaded" not in call("--list")


def test_the_next_delivery_obeys(shared: SieveServer) -> None:
    user = "user11@example.com"
    with shared.sieve(user) as client:
        assert client.put("rules", GOOD).state == "OK"
        client.ok('SETACTIVE "rules"')
        shared.imap(user).create("Lists")
        shared.deliver(mail("a list"), user)
        shared.deliver(mail("other"), user)
        client.ok('SETACTIVE ""')
        shared.deliver(mail("a list again"), user)
    imap = shared.imap(user)
    assert imap.select("Lists")[1] == [b"1"]
    assert imap.select("INBOX")[1] == [b"2"]


def test_through_a_proxy(tmp_path: Path) -> None:
    blocks = "[service.managesieve_login]\nprocess_limit = 1\n"
    trusted = 'login_trusted_networks = ["127.0.0.1/32"]\n'
    with (
        running(tmp_path / "back", make=SieveServer, options=trusted) as back,
        running(tmp_path / "front", make=SieveServer, blocks=blocks) as front,
    ):
        assert isinstance(back, SieveServer)
        assert isinstance(front, SieveServer)
        fields = f"proxy host=127.0.0.1 port={back.sieve_port} pass={PASSWORD}"
        for user in USERS[:2]:
            with (front.folder / "users").open("a") as users:
                users.write(f"p-{user}:{{PLAIN}}{PASSWORD}::::::user={user} {fields}\n")
        with Sieve(front.sieve_port, source="127.0.0.7") as client:
            client.login(f"p-{USERS[0]}")
            assert client.put("a", GOOD).state == "OK"
            assert client.scripts() == {"a": False}
        assert (back.home() / "sieve" / "a.sieve").read_bytes() == GOOD
        back.wait_log(f"Login: user=<{USERS[0]}>, method=PLAIN, rip=127.0.0.7")
        with Sieve(front.sieve_port) as client:
            exchange = scram("sha256", f"p-{USERS[1]}", PASSWORD, "n0nce")
            word = b64encode(next(exchange)).decode()
            client.send(f'AUTHENTICATE "SCRAM-SHA-256" "{word}"\r\n'.encode())
            client.respond(exchange.send(client.challenge()))
            answer = client.answer()
            assert answer.state == "OK"
            exchange.send(b64decode(answer.code.removeprefix('SASL "').removesuffix('"')))
            assert client.scripts() == {}
        with Sieve(back.sieve_port) as client:
            assert "ADDR" in client.capabilities["XCLIENT"].split()
            client.ok("XCLIENT ADDR=192.0.2.9 PORT=99 SESSION=fromtheproxy")
            assert client.do("XCLIENT nonsense").state == "NO"
            client.login()
        back.wait_log("rip=192.0.2.9", "session=<fromtheproxy>")
        with Sieve(back.sieve_port, source="127.0.0.7") as client:
            assert "XCLIENT" not in client.capabilities
            assert client.do("XCLIENT ADDR=192.0.2.9").state == "NO"


def test_quota(shared: SieveServer) -> None:
    user = "small@example.com"
    quota = "userdb_sieve_quota_script_count=2 userdb_sieve_quota_storage_size=200"
    ids = f"{os.getuid()}:{os.getgid()}"
    with (shared.folder / "users").open("a") as users:
        users.write(f"{user}:{{PLAIN}}{PASSWORD}:{ids}::{shared.home(user)}:: {quota}\n")
    with shared.sieve(user) as client:
        assert client.put("a", b"keep; # " + b"x" * 100).state == "OK"
        answer = client.put("b", b"keep; # " + b"x" * 100)
        assert (answer.state, answer.code) == ("NO", "QUOTA")
        answer = client.do('HAVESPACE "b" 100')
        assert (answer.state, answer.code) == ("NO", "QUOTA")
        client.ok('HAVESPACE "a" 200')
        assert client.put("b", b"keep;").state == "OK"
        answer = client.put("c", b"keep;")
        assert (answer.state, answer.code) == ("NO", "QUOTA/MAXSCRIPTS")
        answer = client.do('HAVESPACE "c" 1')
        assert (answer.state, answer.code) == ("NO", "QUOTA/MAXSCRIPTS")
        assert client.scripts() == {"a": False, "b": False}


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: dict[str, bytes] = {}
    enough = threading.Event()
    with running(tmp_path / "server", make=SieveServer) as server:
        assert isinstance(server, SieveServer)

        def upload(number: int) -> None:
            name = f"s{number}"
            try:
                with server.sieve() as client:
                    for n in range(100_000):
                        source = b"keep; # %d %d" % (number, n)
                        if client.put(name, source).state == "OK":
                            acknowledged[name] = source
                        if n == 10:
                            enough.set()
                        client.ok(f'SETACTIVE "{name}"')
            except (EOFError, OSError):
                return

        threads = [threading.Thread(target=upload, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        server.kill()
        for thread in threads:
            thread.join(60)
        server.start()
        with server.sieve() as client:
            listed = client.scripts()
            assert sum(listed.values()) == 1
            assert set(acknowledged) <= set(listed)
            for name, source in acknowledged.items():
                found = client.get(name)
                # One more may have been stored without its OK having been heard.
                at, least = (int(text.split()[-1]) for text in (found, source))
                assert found.rpartition(b" ")[0] == source.rpartition(b" ")[0]
                assert at in (least, least + 1)


def test_a_server_that_stops_says_goodbye(tmp_path: Path) -> None:
    with running(tmp_path / "server", make=SieveServer) as server:
        assert isinstance(server, SieveServer)
        with server.sieve() as inside, Sieve(server.sieve_port) as outside:
            server.stop()
            assert b'BYE (TRYLATER) "Server shutting down."' in inside.rest()
            assert b"BYE" in outside.rest()


def test_a_broken_storage_is_try_later(shared: SieveServer) -> None:
    user = "user7@example.com"
    with shared.sieve(user) as client:
        assert client.put("a", GOOD).state == "OK"
        sieve = shared.home(user) / "sieve"
        (sieve / "a.sieve").unlink()
        (sieve / "a.sieve").mkdir()
        answer = client.do('GETSCRIPT "a"')
        assert (answer.state, answer.code) == ("NO", "TRYLATER")
        assert str(sieve) not in answer.text
        client.ok("NOOP")
    shared.wait_log("Sieve scripts cannot be accessed: ")


def test_the_log_has_the_session(shared: SieveServer) -> None:
    with shared.sieve("user8@example.com") as client:
        client.ok("LOGOUT")
    shared.wait_log(
        "Login: user=<user8@example.com>, method=PLAIN", "Disconnected: Logged out bytes="
    )
