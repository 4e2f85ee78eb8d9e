"""The command line beside a running server: users, passwords, mailboxes, import and export, events.

What a command does is seen by a client of the server, and the other way round.
"""

from __future__ import annotations

import datetime
import json
import mailbox
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Imap, message
from running import PASSWORD, PROGRAM, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
DAVE = "dave@example.com"
BLOCKS = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 1
[service.lmtp]
process_limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    options = f'mail_home = "{folder}/home/%{{user}}"'
    with running(folder, options=options, blocks=BLOCKS) as one:
        yield one


def alone(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A command that needs no settings."""
    return subprocess.run([*PROGRAM, *words], input=stdin, capture_output=True, check=False)


def good(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command printed, which has succeeded."""
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def may_log_in(server: Running, user: str, password: str) -> bool:
    with Imap(server.imap_port) as client:
        return client.do(f"LOGIN {user} {password}").state == "OK"


# Users and passwords.


def test_a_user_from_beginning_to_end(server: Running) -> None:
    assert not may_log_in(server, DAVE, "first")
    good(server.cli("user", "add", DAVE, "--quota", "5MB", stdin=b"first\n"))
    assert may_log_in(server, DAVE, "first")
    assert DAVE in good(server.cli("user", "list")).split()
    shown = good(server.cli("user", "show", DAVE))
    assert "ARGON2ID" in shown
    assert "5242880" in shown
    assert "first" not in (server.folder / "users").read_text()
    again = server.cli("user", "add", DAVE, stdin=b"other\n")
    assert again.returncode == 1
    assert f"there is already a user {DAVE}".encode() in again.stderr
    server.deliver(message("welcome"), DAVE)
    good(server.cli("user", "passwd", DAVE, "--scheme", "SHA512-CRYPT", stdin=b"second\n"))
    assert not may_log_in(server, DAVE, "first")
    with Imap(server.imap_port) as client:
        client.login(DAVE, "second")
        assert client.ok("SELECT INBOX").grep(rb"^\* 1 EXISTS")
    good(server.cli("user", "passwd", DAVE, "--scheme", "SCRAM-SHA-256", stdin=b"third\n"))
    assert "succeeded" in good(
        server.cli("auth", "test", DAVE, "third", "--mechanism", "scram-sha-256")
    )
    assert may_log_in(server, ALICE, PASSWORD)  # the file's other users are as they were
    good(server.cli("user", "delete", DAVE))
    assert not may_log_in(server, DAVE, "third")
    assert server.cli("user", "show", DAVE).returncode == 67
    assert (server.folder / "home" / DAVE).exists()  # mail stays


def test_auth(server: Running) -> None:
    assert f"{ALICE} auth succeeded" in good(server.cli("auth", "test", ALICE, PASSWORD))
    for mechanism in ("LOGIN", "SCRAM-SHA-1"):
        good(server.cli("auth", "test", ALICE, PASSWORD, "-m", mechanism))
    wrong = server.cli("auth", "test", ALICE, "wrong")
    unknown = server.cli("auth", "test", "nobody@example.com", "wrong")
    assert wrong.returncode == unknown.returncode == 77
    assert wrong.stderr.replace(ALICE.encode(), b"") == unknown.stderr.replace(
        b"nobody@example.com", b""
    )
    whole = good(server.cli("auth", "login", ALICE, PASSWORD))
    assert f"home: {server.folder}/home/{ALICE}" in whole
    assert f"{server.folder}/home/{BOB}" in good(server.cli("auth", "lookup", BOB, "-f", "home"))
    assert server.cli("auth", "lookup", "nobody@example.com").returncode == 67


@pytest.mark.parametrize("scheme", ["ARGON2ID", "BLF-CRYPT"])
def test_pw(scheme: str) -> None:
    hashed = good(alone("pw", "-s", scheme, stdin=b"grue\xc3\x9fe\n")).strip()
    assert hashed.startswith(f"{{{scheme}}}")
    good(alone("pw", "-t", hashed, stdin="grueße\n".encode()))
    assert alone("pw", "-t", hashed, stdin=b"gruesse\n").returncode == 77


# Mailboxes.


def test_mailboxes(server: Running) -> None:
    with Imap(server.imap_port) as client:
        client.login(BOB)
        good(server.cli("mailbox", "create", "-u", BOB, "-s", "Büro/Rechnungen"))
        listed = client.ok('LIST "" *').lines
        assert any(b'"B&APw-ro/Rechnungen"' in x or b"B&APw-ro/Rechnungen" in x for x in listed)
        assert client.append("B&APw-ro/Rechnungen", message("one")).state == "OK"
        [row] = json.loads(
            good(server.cli("mailbox", "status", "-u", BOB, "--json", "Büro/Rechnungen"))
        )
        assert (row["messages"], row["uidnext"], row["unseen"]) == (1, 2, 1)
        good(server.cli("mailbox", "rename", "-u", BOB, "Büro/Rechnungen", "Alt"))
        client.ok("SELECT Alt")
        assert client.uids() == [1]
        names = {
            x["name"]: x
            for x in json.loads(good(server.cli("mailbox", "list", "-u", BOB, "--json")))
        }
        assert {"INBOX", "Alt", "Drafts", "Sent", "Trash", "Junk", "Archive"} <= set(names)
        assert names["Sent"]["special_use"] == ["\\Sent"]
        dump = good(server.cli("mailbox", "dump", "-u", BOB, "Alt")).splitlines()
        assert dump[0] == "# mailbox Alt"
        assert dump[-1].startswith("1\t")
        client.ok("UNSELECT")
        good(server.cli("mailbox", "delete", "-u", BOB, "--yes", "Alt"))
        assert client.do("SELECT Alt").state == "NO"
        assert "freed" in good(server.cli("mailbox", "purge", "-u", BOB))
    missing = server.cli("mailbox", "status", "-u", BOB, "Nowhere")
    assert missing.returncode != 0
    assert b"Nowhere" in missing.stderr
    assert b"Traceback" not in missing.stderr
    assert server.cli("mailbox", "list", "-u", "nobody@example.com").returncode == 67


# Import and export.


def maildir(path: Path) -> dict[str, tuple[int, str]]:
    """A Maildir with a folder; subject to (date received, flags)."""
    root = mailbox.Maildir(path, create=True)
    folder = root.add_folder("Work.Old")
    made = {}
    for number, (box, flags) in enumerate(
        [(root, "S"), (root, "FRS"), (root, ""), (folder, "DS"), (folder, "T")]
    ):
        mail = mailbox.MaildirMessage(message(f"maildir {number}"))
        date = 1_500_000_000 + number * 86_400
        mail.set_date(date)
        mail.set_flags(flags)
        if flags:
            mail.set_subdir("cur")
        box.add(mail)
        made[f"maildir {number}"] = (date, "".join(sorted(flags)))
    return made


FLAG_LETTERS = {
    b"\\Seen": "S",
    b"\\Answered": "R",
    b"\\Flagged": "F",
    b"\\Draft": "D",
    b"\\Deleted": "T",
}


def contents(client: Imap, name: str) -> dict[str, tuple[int, str]]:
    """Subject to (INTERNALDATE, flags) of a mailbox."""
    client.ok(f"EXAMINE {name}")
    found = {}
    for line in client.ok("UID FETCH 1:* (FLAGS INTERNALDATE ENVELOPE)").grep(rb"ENVELOPE"):
        match = re.search(
            rb'FLAGS \(([^)]*)\) INTERNALDATE ("[^"]+") ENVELOPE \((?:NIL|"[^"]*") "([^"]*)"', line
        )
        assert match is not None, line
        when = datetime.datetime.strptime(match[2].decode(), '"%d-%b-%Y %H:%M:%S %z"')
        letters = sorted(FLAG_LETTERS[f] for f in match[1].split() if f in FLAG_LETTERS)
        found[match[3].decode()] = int(when.timestamp()), "".join(letters)
    return found


def test_maildir_in_and_out(server: Running, tmp_path: Path) -> None:
    made = maildir(tmp_path / "in")
    said = good(server.cli("import", "-u", CAROL, "-m", "Imported", str(tmp_path / "in")))
    assert "Imported 5 messages" in said
    with Imap(server.imap_port) as client:
        client.login(CAROL)
        found = contents(client, "Imported") | contents(client, "Imported/Work/Old")
        assert found == made
        assert len(contents(client, "Imported/Work/Old")) == 2
        # Again: nothing twice.
        assert "skipped 5" in good(
            server.cli("import", "-u", CAROL, "-m", "Imported", str(tmp_path / "in"))
        )
        assert contents(client, "Imported") | contents(client, "Imported/Work/Old") == made
    good(server.cli("export", "-u", CAROL, str(tmp_path / "out"), "-m", "Imported"))
    out = mailbox.Maildir(tmp_path / "out" / ".Imported", create=False)
    exported = {str(m["Subject"]): (int(m.get_date()), m.get_flags()) for m in out}
    assert exported == {
        s: v for s, v in made.items() if s in ("maildir 0", "maildir 1", "maildir 2")
    }


def test_mbox_in_and_out(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "old.mbox"
    lines = []
    made = {}
    for number, state in enumerate(["RO", "", "ROA", "O"]):
        date = 1_400_000_000 + number * 3600
        made[f"mbox {number}"] = date
        lines.append(
            b"From sender@example.org %b\nStatus: %b\nX-Status: %b\n"
            b"Subject: mbox %d\nMessage-ID: <mbox%d@example.org>\n\nbody\n>From here\n\n"
            % (
                time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(date)).encode(),
                state.replace("A", "").encode(),
                b"A" if "A" in state else b"",
                number,
                number,
            )
        )
    path.write_bytes(b"".join(lines))
    said = good(server.cli("import", "-u", CAROL, "-m", "FromMbox", str(path)))
    assert "Imported 4 messages" in said
    with Imap(server.imap_port) as client:
        client.login(CAROL)
        found = contents(client, "FromMbox")
        assert {s: date for s, (date, _) in found.items()} == made
        assert [found[f"mbox {n}"][1] for n in range(4)] == ["S", "", "RS", ""]
        client.ok("SELECT FromMbox")
        assert b"\r\nFrom here\r\n" in client.fetch_body(1)
    good(server.cli("export", "-u", CAROL, "-f", "mbox", str(tmp_path / "out"), "-m", "FromMbox"))
    box = mailbox.mbox(tmp_path / "out" / "FromMbox.mbox", create=False)
    assert [str(m["Subject"]) for m in box] == [f"mbox {n}" for n in range(4)]
    assert [m.get_flags().replace("O", "") for m in box] == ["R", "", "RA", ""]
    box.close()


def test_deliver(server: Running) -> None:
    with Imap(server.imap_port) as client:
        client.login(ALICE).ok("SELECT INBOX")
        tag = client.idle()
        done = server.cli(
            "deliver",
            "-d",
            ALICE,
            "-f",
            "me@example.org",
            stdin=message("by hand").replace(b"\r", b""),
        )
        good(done)
        assert client.response().endswith(b" EXISTS")
        client.done(tag)
        body = client.fetch_body(len(client.uids()))
        assert body.startswith(b"Return-Path: <me@example.org>\r\n")
        good(server.cli("deliver", "-d", ALICE, "-m", "Archive", stdin=message("filed")))
        assert client.ok("STATUS Archive (MESSAGES)").grep(rb"MESSAGES 1\)")
    unknown = server.cli("deliver", "-d", "nobody@example.com", stdin=message("nobody"))
    assert unknown.returncode == 67
    server.wait_events("mail_delivery_finished", rcpt_to=ALICE, service="lda")


# Events and metrics.


def test_events_tail(server: Running) -> None:
    command = [*PROGRAM, "events", "tail", "--json", "-n", "2", "-f"]
    wanted = f"event=imap_command_finished AND user={BOB} AND cmd_name=NOOP"
    with (
        subprocess.Popen(
            [*command, wanted, "-c", str(server.config)], stdout=subprocess.PIPE
        ) as tail,
        Imap(server.imap_port) as client,
    ):
        client.login(BOB)
        # It attaches at some moment: commands go on until it has seen two and ended.
        wait_for(lambda: client.ok("NOOP").state == "OK" and tail.poll() is not None)
        assert tail.stdout is not None
        events = [json.loads(line) for line in tail.stdout.read().splitlines()]
        assert tail.returncode == 0
    assert [e["event"] for e in events] == ["imap_command_finished"] * 2
    assert {e["fields"]["user"] for e in events} == {BOB}
    assert events[0]["fields"]["tagged_reply_state"] == "OK"
    wrong = server.cli("events", "tail", "-f", "event=a AND (user=b")
    assert wrong.returncode == 64
    assert b"^" in wrong.stderr


def test_events_tail_for_people(server: Running) -> None:
    command = [*PROGRAM, "events", "tail", "-n", "1", "-f", "event=imap_command_finished"]
    with (
        subprocess.Popen([*command, "-c", str(server.config)], stdout=subprocess.PIPE) as tail,
        Imap(server.imap_port) as client,
    ):
        client.login(BOB)
        wait_for(lambda: client.ok("NOOP").state == "OK" and tail.poll() is not None)
        assert tail.stdout is not None
        line = tail.stdout.read().decode()
    assert "imap_command_finished" in line
    assert "NOOP" in line
    assert BOB in line


def test_events_list_and_show() -> None:
    listed = good(alone("events", "list")).splitlines()
    assert len(listed) == 130
    assert good(alone("events", "list", "mail_cache_*")).count("\n") == 7
    shown = good(alone("events", "show", "imap_command_finished"))
    assert "tagged_reply_state" in shown
    assert "one of: OK, NO, BAD" in shown
    wrong = alone("events", "show", "imap_comand_finished")
    assert wrong.returncode != 0
    assert b"did you mean imap_command_finished" in wrong.stderr


def count(server: Running, name: str) -> int | None:
    """A metric's count; None when there is no such metric."""
    rows = [json.loads(x) for x in good(server.cli("stats", "dump", "--json", name)).splitlines()]
    return sum(row["count"] for row in rows if row["metric"] == name) if rows else None


def test_stats(server: Running) -> None:
    good(
        server.cli(
            "stats",
            "add",
            "noops",
            "event=imap_command_finished AND cmd_name=NOOP",
            "--field",
            "net_out_bytes",
            "--group-by",
            "user",
        )
    )
    with Imap(server.imap_port) as client:
        client.login(CAROL)
        for _ in range(7):
            client.ok("NOOP")
        wait_for(lambda: count(server, "noops") == 7)
        rows = [
            json.loads(x)
            for x in good(server.cli("stats", "dump", "--json", "noops", "-p", "50")).splitlines()
        ]
        [grouped] = [row for row in rows if row["metric"] != "noops"]
        assert "carol" in grouped["metric"]
        assert grouped["count"] == 7
        assert grouped["net_out_bytes"]["min"] > 10
        assert grouped["net_out_bytes"]["sum"] == 7 * grouped["net_out_bytes"]["median"]
        page = good(server.cli("stats", "dump", "--openmetrics"))
        assert page.endswith("# EOF\n")
        assert "noops" in page
        good(server.cli("stats", "reset", "noops"))
        assert count(server, "noops") == 0
        client.ok("NOOP")
        wait_for(lambda: count(server, "noops") == 1)
        good(server.cli("stats", "remove", "noops"))
        assert count(server, "noops") is None
    wrong = server.cli("stats", "add", "bad", "event=(")
    assert wrong.returncode == 64
    assert b"filter" in wrong.stderr


# Settings.


def test_config(server: Running, tmp_path: Path) -> None:
    good(server.cli("config", "check"))
    shown = good(server.cli("config", "show"))
    assert f'mail_home = "{server.folder}/home/%{{user}}"' in shown
    assert "imap_max_line_length" not in shown
    assert "imap_max_line_length" in good(server.cli("config", "show", "--all"))
    assert (
        good(server.cli("config", "show", "recipient_delimiter")) == 'recipient_delimiter = "+"\n'
    )
    assert "mail_max_userip_connections = 10" in good(
        alone("config", "default", "mail_max_userip_connections")
    )
    everything = good(alone("config", "default"))
    path = tmp_path / "default.toml"
    path.write_text(everything)
    assert "imap_idle_notify_interval" in everything
    broken = tmp_path / "broken.toml"
    broken.write_text('hostname = "x"\nmail_pth = "/x"\n[service.imap]\nprocess_limit = "two"\n')
    done = alone("config", "check", "-c", str(broken))
    assert done.returncode == 78
    assert b"broken.toml:2" in done.stderr
    assert b"mail_path" in done.stderr
    assert b"broken.toml:4" in done.stderr


def test_without_a_server(tmp_path: Path) -> None:
    """Commands that need the server say so; those that only need the files work."""
    server = Running(tmp_path)
    for words in (("status",), ("reload",), ("stop",), ("stats", "dump"), ("events", "tail")):
        done = server.cli(*words)
        assert done.returncode == 69, words
        assert b"Traceback" not in done.stderr
    good(server.cli("mailbox", "list", "-u", ALICE))
    good(server.cli("deliver", "-d", ALICE, stdin=message("no server")))
    [row] = json.loads(good(server.cli("mailbox", "status", "-u", ALICE, "--json", "INBOX")))
    assert row["messages"] == 1


def test_files_belong_to_nobody_else(server: Running) -> None:
    """What commands and services wrote is private."""
    for path in (server.folder / "home").rglob("*"):
        assert not path.stat().st_mode & 0o077, path
        assert path.stat().st_uid == os.getuid()
