"""The events of caches and indexes: decisions, purges, and what comes of damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from declared import POSITIVE, Json, between, check, declared, like
from raw import Imap, message
from running import USERS, Running, running

from pillarbox.mailstore.cache import format as fmt

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
DAY = 86_400

OPTIONS = """
mail_cache_fields = ["imap.envelope", "imap.bodystructure"]
mail_cache_purge_min_size = "1 KB"
mail_index_log_rotate_min_size = "1 KB"
mail_index_log_rotate_max_size = "1 KB"
"""

# A command that lives some days ago, which is how mails and decisions become old.
IN_THE_PAST = """
import sys, time
now, days = time.time, int(sys.argv.pop(1))
time.time = lambda: now() - days * 86_400
from pillarbox.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    blocks = "[service.imap]\nprocess_limit = 1\n"
    with running(tmp_path_factory.mktemp("cache"), options=OPTIONS, blocks=blocks) as one:
        yield one


def deliver_days_ago(server: Running, days: int, user: str) -> None:
    command = [sys.executable, "-c", IN_THE_PAST, str(days), "deliver", "-d", user]
    subprocess.run(
        [*command, "-c", str(server.config)], input=message("old"), check=True, timeout=60
    )


def mailbox_folder(server: Running, user: str, mailbox: str) -> Path:
    root = server.folder / "home" / user / "mail"
    listed = json.loads((root / "mailboxes.json").read_bytes())["mailboxes"]
    [guid] = [one["guid"] for one in listed if one["name"] == mailbox]
    return root / "mailboxes" / guid


def told(server: Running, name: str, user: str, count: int = 1, **fields: object) -> list[Json]:
    """The events about a user's mailboxes."""
    found = server.wait_events(name, count, user=user, **fields)
    assert len(found) == count, found
    return found


def headers(*numbers: int) -> str:
    return " ".join(f"X-Field-{number}" for number in numbers)


def test_a_field_is_wanted_and_wanted_again(server: Running) -> None:
    """First ``no`` to ``temp``, then, out of order, ``temp`` to ``yes``."""
    with Imap(server.imap_port).login(ALICE) as client:
        for number in range(2):
            client.append("INBOX", message(f"m{number}"))
        client.ok("SELECT INBOX")
        began = int(time.time())
        client.ok("FETCH 1:2 (BODY.PEEK[HEADER.FIELDS (X-Mailer)])")
        client.ok("FETCH 1 (BODY.PEEK[HEADER.FIELDS (X-Mailer)])")
        reasons = ["imap:cmd_fetch", "imap:fetch_header_fields"]
        event, again = told(server, "mail_cache_decision_changed", ALICE, 2, field="hdr.x-mailer")
        known = {
            "field": "hdr.x-mailer",
            "uid": 1,
            "last_used": between(began, time.time()),
        }
        check(
            event,
            [*reasons, "mail:header_fields"],
            **known,
            reason="add",
            old_decision="no",
            new_decision="temp",
        )
        check(
            again,
            reasons,
            **known,
            reason="unordered_access",
            old_decision="temp",
            new_decision="yes",
        )
        assert {e["fields"]["mailbox"] for e in (event, again)} == {"INBOX"}


def test_an_old_mail_is_wanted(server: Running) -> None:
    deliver_days_ago(server, 8, BOB)
    with Imap(server.imap_port).login(BOB) as client:
        client.ok("SELECT INBOX")
        client.ok("FETCH 1 (ENVELOPE)")
        [event] = told(server, "mail_cache_decision_changed", BOB, field="imap.envelope")
        check(
            event,
            ["imap:cmd_fetch", "imap:fetch_header"],
            field="imap.envelope",
            uid=1,
            last_used=between(time.time() - 8 * DAY - 600, time.time() - 8 * DAY),
            reason="old_mail",
            old_decision="temp",
            new_decision="yes",
        )


def test_too_many_headers_and_a_purge(server: Running) -> None:
    """A thousand small batches make a purge due, which drops what was last wanted 40 days ago."""
    deliver_days_ago(server, 40, CAROL)
    with Imap(server.imap_port).login(CAROL) as client:
        for number in range(11):
            client.append("INBOX", message(f"m{number}"))
        client.ok("SELECT INBOX")
        client.ok(f"FETCH 2:3 (BODY.PEEK[HEADER.FIELDS ({headers(0)})])")
        client.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)")
        client.ok("EXPUNGE")
        client.ok(f"FETCH 1 (BODY.PEEK[HEADER.FIELDS ({headers(*range(101))})])")
        reasons = ["imap:cmd_fetch", "imap:fetch_header_fields"]
        [event] = told(server, "mail_cache_decision_rejected", CAROL)
        lacking = [*reasons, "mail:header_fields"]
        check(event, lacking, field="hdr.x-field-100", reason="too_many_headers")
        for number in range(2, 11):
            client.ok(f"FETCH {number} (BODY.PEEK[HEADER.FIELDS ({headers(*range(100))})])")
        client.ok("FETCH 1 (FLAGS)")
    [started] = told(server, "mail_cache_purge_started", CAROL)
    why = {
        "file_seq": 2,
        "prev_file_seq": 1,
        "prev_file_size": POSITIVE,
        "prev_deleted_records": 2,
        "reason": like(r"1\d\d\d small batches"),
    }
    check(started, started["fields"]["reason_code"], **why)
    assert set(reasons) <= set(started["fields"]["reason_code"])
    purge = {name: started["fields"][name] for name in why}
    [finished] = told(server, "mail_cache_purge_finished", CAROL)
    size = (mailbox_folder(server, CAROL, "INBOX") / "index.cache").stat().st_size
    reasons = finished["fields"]["reason_code"]
    check(finished, reasons, **purge, max_uid=12, file_size=between(1024, size))
    dropped = told(server, "mail_cache_purge_drop_field", CAROL, 2)
    long_ago = between(time.time() - 40 * DAY - 600, time.time() - 40 * DAY)
    for event, field in zip(dropped, ("imap.bodystructure", "imap.envelope")):
        check(event, reasons, **purge, field=field, decision="temp", last_used=long_ago)
        [change] = told(
            server, "mail_cache_decision_changed", CAROL, field=field, new_decision="no"
        )
        check(
            change,
            reasons,
            field=field,
            last_used=long_ago,
            reason=purge["reason"],
            old_decision="temp",
            new_decision="no",
        )


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)[0]
        file.seek(at)
        file.write(bytes([old ^ 0x55]))


def _damage_a_record(path: Path) -> int:
    """Change the last byte of one cached value; the UID of its mail."""
    data = path.read_bytes()
    batches, _ = fmt.scan(memoryview(data), fmt.HEADER_SIZE, len(data))
    single = next(b for b in batches if b.kind == fmt.VALUES and b.n == 1)
    _flip(path, single.payload + 8)
    return int.from_bytes(data[single.payload : single.payload + 4], "little")


def test_damage(server: Running) -> None:
    """Files are damaged while the server is stopped; every mail is still there afterwards."""
    names = ("Cache", "Record", "Log", "NoLog", "Snapshot")
    with Imap(server.imap_port).login(BOB) as client:
        for name in names:
            client.ok(f"CREATE {name}")
            for number in range(30 if name == "Snapshot" else 3):
                client.append(name, message(f"{name}{number}"))
            client.ok(f"SELECT {name}")
            client.ok("UNSELECT")
    server.stop()
    paths = {name: mailbox_folder(server, BOB, name) for name in names}
    _flip(paths["Cache"] / "index.cache", 0)
    uid = _damage_a_record(paths["Record"] / "index.cache")
    _flip(paths["Log"] / "index.log", 0)
    os.unlink(paths["NoLog"] / "index.log")
    _flip(paths["Snapshot"] / "index", 0)
    server.start()
    with Imap(server.imap_port).login(BOB) as client:
        for name in names:
            [exists] = client.ok(f"SELECT {name}").grep(rb"EXISTS")
            assert exists == (b"* 30 EXISTS" if name == "Snapshot" else b"* 3 EXISTS")
            client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
    fetching = ["imap:cmd_fetch", "imap:fetch_header", "imap:fetch_bodystructure"]
    [event] = told(server, "mail_cache_corrupted", BOB)
    assert event["fields"]["mailbox"] == "Cache"
    check(event, fetching, reason="header has no magic")
    [event] = told(server, "mail_cache_record_corrupted", BOB)
    assert event["fields"]["mailbox"] == "Record"
    check(event, fetching, uid=uid, reason="checksum of the record differs")
    for name, file in (("Log", "index.log"), ("NoLog", "index.log"), ("Snapshot", "index")):
        [event] = told(server, "mail_index_recreated", BOB, mailbox=name)
        check(event, filepath=str(paths[name] / file), reason=like(".+"))
        assert declared(event)["duration"] >= 0
