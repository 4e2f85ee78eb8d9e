"""Damage on disk: what is still there is served, what is not is said, and nothing else is claimed.

Each kind of damage has its own user.  All users get the same mail, the server stops, every user's
files are damaged in another way, the server starts, and then a client looks: each message must be
byte for byte one that was saved; its ENVELOPE must be that of this message; with the UIDVALIDITY
of before a UID must mean the same message as before; and messages may be missing only where their
own bytes were damaged.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from raw import Imap
from running import Running

pytestmark = pytest.mark.e2e

SEED = 5
MAILBOXES = {"INBOX": 14, "Work/Reports": 6, "Gr&APwA3w-e": 3}


def flip(path: Path, rnd: random.Random, low: float = 0.0, high: float = 1.0, n: int = 6) -> None:
    """Change some bytes in a part of what is written of a file."""
    data = bytearray(path.read_bytes())
    end = len(data.rstrip(b"\0"))
    for _ in range(n):
        data[rnd.randrange(int(end * low), max(int(end * high), 1))] ^= rnd.randrange(1, 256)
    path.write_bytes(data)


def cut(path: Path, part: float) -> None:
    """Keep only so much of what is written of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data.rstrip(b"\0")) * part)])


def each(name: str, what: Callable[[Path, random.Random], None]) -> Callable[..., None]:
    """Damage the files of a name in all mailboxes."""

    def damage(mail: Path, rnd: random.Random) -> None:
        found = sorted(mail.glob(f"mailboxes/*/{name}"))
        assert found, (name, sorted(mail.rglob("*")))
        for path in found:
            what(path, rnd)

    return damage


def remove(path: Path, _: random.Random) -> None:
    path.unlink()


def containers(mail: Path) -> list[Path]:
    return sorted(mail.glob("storage/m.*"))


def one_message(mail: Path, rnd: random.Random) -> None:
    """Change the bytes of exactly one stored message."""
    path = containers(mail)[0]
    data = bytearray(path.read_bytes())
    at = data.index(b"Subject: victim")
    data[at + 9] ^= 0x20
    path.write_bytes(data)


def cached(subject: bytes) -> Callable[[Path, random.Random], None]:
    """Change what is cached of the message with this subject."""

    def damage(path: Path, _: random.Random) -> None:
        data = bytearray(path.read_bytes())
        data[data.index(b'"%b"' % subject) + 2] ^= 1
        path.write_bytes(data)

    return damage


@dataclass(frozen=True)
class Kind:
    """A kind of damage: what is done, the event that must tell it, what may follow."""

    damage: Callable[[Path, random.Random], None]
    event: str | None = None
    loses: bool = False  # messages may be lost
    revives: bool = False  # expunged ones may come back, flags and UIDVALIDITY may change


def several(*damages: Callable[[Path, random.Random], None]) -> Callable[..., None]:
    def damage(mail: Path, rnd: random.Random) -> None:
        for one in damages:
            one(mail, rnd)

    return damage


RECREATED = "mail_index_recreated"
KINDS = {
    "nothing": Kind(lambda mail, rnd: None),
    "snapshot-gone": Kind(each("index", remove), RECREATED, revives=True),
    "snapshot-cut": Kind(each("index", lambda p, r: cut(p, 0.6)), RECREATED, revives=True),
    "snapshot-empty": Kind(each("index", lambda p, r: cut(p, 0)), RECREATED, revives=True),
    "snapshot-head": Kind(each("index", lambda p, r: flip(p, r, 0, 0.01)), RECREATED, revives=True),
    "snapshot-records": Kind(
        each("index", lambda p, r: flip(p, r, 0.3, 1)), RECREATED, revives=True
    ),
    "log-gone": Kind(each("index.log", remove), RECREATED, revives=True),
    "log-cut": Kind(each("index.log", lambda p, r: cut(p, 0.5)), RECREATED, revives=True),
    "log-head": Kind(each("index.log", lambda p, r: flip(p, r, 0, 0.02)), RECREATED, revives=True),
    "log-flipped": Kind(
        each("index.log", lambda p, r: flip(p, r, 0.2, 1)), RECREATED, revives=True
    ),
    "all-index-gone": Kind(
        several(*(each(n, remove) for n in ("index", "index.log", "index.cache"))),
        RECREATED,
        revives=True,
    ),
    "cache-gone": Kind(each("index.cache", remove)),
    "cache-head": Kind(
        each("index.cache", lambda p, r: flip(p, r, 0, 0.001)), "mail_cache_corrupted"
    ),
    "cache-noise": Kind(
        each("index.cache", lambda p, r: p.write_bytes(r.randbytes(5000))), "mail_cache_corrupted"
    ),
    "cache-values": Kind(each("index.cache", cached(b"mail 1")), "mail_cache_corrupted"),
    "cache-one-value": Kind(each("index.cache", cached(b"late")), "mail_cache_record_corrupted"),
    "cache-cut": Kind(each("index.cache", lambda p, r: cut(p, 0.5))),
    "one-message": Kind(one_message, loses=True),
    "container-flipped": Kind(
        lambda mail, rnd: flip(containers(mail)[0], rnd, 0.1, 1, 3), loses=True
    ),
    "container-cut": Kind(lambda mail, rnd: cut(containers(mail)[-1], 0.5), loses=True),
    "container-gone": Kind(lambda mail, rnd: containers(mail)[0].unlink(), loses=True),
    "list-gone": Kind(lambda mail, rnd: (mail / "mailboxes.json").unlink()),
    "list-noise": Kind(lambda mail, rnd: flip(mail / "mailboxes.json", rnd, n=40)),
    "list-cut": Kind(lambda mail, rnd: cut(mail / "mailboxes.json", 0.5)),
}


@dataclass
class Seen:
    """A mailbox as a client sees it."""

    uidvalidity: int = 0
    uidnext: int = 0
    by_uid: dict[int, bytes] = field(default_factory=dict)
    flags: dict[bytes, set[bytes]] = field(default_factory=dict)
    envelopes: dict[bytes, bytes] = field(default_factory=dict)
    refused: bool = False


def user_of(kind: str) -> str:
    return f"{kind}@example.com"


def mail_of(server: Running, kind: str) -> Path:
    return server.folder / "home" / user_of(kind) / "mail"


def look(client: Imap, mailbox: str) -> Seen:
    """Everything of one mailbox; the envelopes apart from the bodies, so that the cache is used."""
    reply = client.ok(f"EXAMINE {mailbox}")
    seen = Seen()
    for line in reply.lines:
        if match := re.search(rb"(UIDVALIDITY|UIDNEXT) (\d+)", line):
            setattr(seen, match[1].decode().lower(), int(match[2]))
    cached = client.do("UID FETCH 1:* (UID ENVELOPE)")
    envelopes = {}
    for line in cached.grep(rb"ENVELOPE"):
        match = re.search(rb"UID (\d+) ENVELOPE (.*)\)$", line)
        assert match is not None, line
        envelopes[int(match[1])] = match[2]
    reply = client.do("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")
    assert {reply.state, cached.state} <= {"OK", "NO"}, reply
    seen.refused = reply.state != "OK"
    for line in reply.grep(rb"BODY\["):
        head, _, data = line[:-1].partition(b"}\r\n")
        match = re.search(rb"UID (\d+) FLAGS \(([^)]*)\) BODY\[\]", head)
        assert match is not None, line
        uid = int(match[1])
        seen.by_uid[uid] = data
        seen.flags[data] = set(match[2].split()) - {rb"\Recent"}
        seen.envelopes[data] = envelopes[uid]
    return seen


def text_of(mailbox: str, number: int) -> bytes:
    """A message that is unlike all others of the user."""
    what = b"victim" if (number, mailbox) == (4, "INBOX") else b"mail"
    return (
        b"From: a%d@example.org\r\nSubject: %b %d\r\nMessage-ID: <%d@%b>\r\n\r\n"
        % (number, what, number, number, mailbox.encode())
    ) + b"line %d\r\n" % number * (number * 9 + 1)


def several_at_once(client: Imap, mailbox: str, texts: list[bytes]) -> None:
    """MULTIAPPEND."""
    literals = b" ".join(b"{%d+}\r\n%b" % (len(text), text) for text in texts)
    client.ok(b"APPEND %b %b" % (mailbox.encode(), literals))


def fill(server: Running, kind: str) -> None:
    """The mail of one user, with flags, gaps, a snapshot, and a log after it."""
    with Imap(server.imap_port) as client:
        client.login(user_of(kind))
        for mailbox, count in MAILBOXES.items():
            client.do(f"CREATE {mailbox}")
            texts = [text_of(mailbox, number) for number in range(count)]
            middle = count // 2 + 1
            several_at_once(client, mailbox, texts[:middle])
            client.ok(f"SELECT {mailbox}")
            client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
            client.ok("EXPUNGE")
            client.ok("STORE 1 +FLAGS.SILENT (\\Answered $Work)")
            several_at_once(client, mailbox, texts[middle:])
            client.ok("STORE 1:2 +FLAGS.SILENT (\\Flagged)")
            for _ in range(2):
                client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
            client.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            late = b"From: b@example.org\r\nSubject: late\r\n\r\nmail %b\r\n" % mailbox.encode()
            assert client.append(mailbox, late).state == "OK"
            client.ok("FETCH * (ENVELOPE)")
        client.ok("LOGOUT")


@dataclass
class World:
    server: Running
    before: dict[str, dict[str, Seen]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server after all the damage."""
    options = """
mail_index_log_rotate_min_size = 500
mdbox_rotate_size = "8 KB"
mail_cache_purge_min_size = "1 MB"
"""
    blocks = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 1
[service.lmtp]
process_limit = 1
"""
    server = Running(
        tmp_path_factory.mktemp("server"),
        options=options,
        blocks=blocks,
        users=tuple(map(user_of, KINDS)),
    )
    try:
        server.start()
        first = next(iter(KINDS))
        before = {}
        for kind in KINDS:
            fill(server, kind)
            with Imap(server.imap_port) as client:
                client.login(user_of(kind))
                before[kind] = {mailbox: look(client, mailbox) for mailbox in MAILBOXES}
        assert before[first]["INBOX"].by_uid
        server.stop()
        for number, (kind, how) in enumerate(KINDS.items()):
            mail = mail_of(server, kind)
            assert len(list(mail.glob("mailboxes/*/index"))) >= 2, "no snapshots were made"
            assert len(containers(mail)) > 1
            how.damage(mail, random.Random(SEED * 100 + number))
        server.start()
        yield World(server, before)
    finally:
        server.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_damage(world: World, kind: str) -> None:
    server, how = world.server, KINDS[kind]
    with Imap(server.imap_port) as client:
        client.login(user_of(kind))
        names = [line.split()[-1].strip(b'"') for line in client.ok('LIST "" *').lines]
        assert {name.encode() for name in MAILBOXES} <= set(names)
        lost = 0
        for mailbox in MAILBOXES:
            old, new = world.before[kind][mailbox], look(client, mailbox)
            compare(old, new, how)
            gone = set(old.by_uid.values()) - set(new.by_uid.values())
            assert new.refused == bool(gone), mailbox
            lost += len(gone)
        if kind == "one-message":
            assert lost == 1
        elif kind in ("container-gone", "container-cut"):
            assert lost >= 1
        # And it goes on: what is saved now is there.
        for mailbox in MAILBOXES:
            new = look(client, mailbox)
            fresh = b"Subject: fresh\r\n\r\nfresh mail\r\n"
            assert client.append(mailbox, fresh).state == "OK"
            after = look(client, mailbox)
            assert after.uidvalidity == new.uidvalidity
            [uid] = set(after.by_uid) - set(new.by_uid)
            assert after.by_uid[uid] == fresh
            assert uid >= world.before[kind][mailbox].uidnext or (
                new.uidvalidity != world.before[kind][mailbox].uidvalidity
            ), "a UID came back"
    if how.event is not None:
        [event] = server.wait_events(how.event, user=user_of(kind))[:1]
        assert event["fields"]["reason"]
        if how.event == RECREATED:
            assert "/mailboxes/" in event["fields"]["filepath"]
    else:
        for name in (RECREATED, "mail_cache_corrupted", "mail_cache_record_corrupted"):
            assert not server.events(name, user=user_of(kind)), name


def compare(old: Seen, new: Seen, how: Kind) -> None:
    """What a client sees now against what it saw before."""
    for uid, data in new.by_uid.items():
        if data not in old.envelopes:
            # Expunged before: it may come back, as a message of its own, where the index was lost.
            assert how.revives, f"UID {uid} is none of the messages that were there"
            assert b"mail" in data or b"victim" in data
            assert uid not in old.by_uid or new.uidvalidity != old.uidvalidity
            continue
        assert new.envelopes[data] == old.envelopes[data], "the envelope of another message"
        if new.uidvalidity == old.uidvalidity and uid in old.by_uid:
            assert old.by_uid[uid] == data, f"UID {uid} is another message now"
    assert len(set(new.by_uid.values())) == len(new.by_uid), "a message is there twice"
    if not how.loses:
        assert set(old.by_uid.values()) <= set(new.by_uid.values()), "mail on disk is missing"
    if not how.revives:
        assert new.uidvalidity == old.uidvalidity
        assert set(new.by_uid) <= set(old.by_uid)
        for data in new.by_uid.values():
            assert new.flags[data] == old.flags[data]
    assert new.uidvalidity >= old.uidvalidity


def test_check_and_rebuild_tell_and_mend(world: World) -> None:
    server = world.server
    sound = server.cli("mailbox", "check", "-u", user_of("nothing"))
    assert sound.returncode == 0, sound.stdout + sound.stderr
    user = user_of("one-message")
    checked = server.cli("mailbox", "check", "-u", user)
    assert checked.returncode == 65
    assert b"INBOX" in checked.stderr + checked.stdout
    assert re.search(rb"UID 5\b", checked.stdout), checked.stdout
    with Imap(server.imap_port) as client:
        client.login(user).ok("SELECT INBOX")
        before = look(client, "INBOX")
        assert before.refused
        client.ok("SELECT INBOX")
        rebuilt = server.cli("mailbox", "rebuild", "-u", user, "INBOX")
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert b"INBOX" in rebuilt.stdout
        client.ok("NOOP")
        after = look(client, "INBOX")
        assert not after.refused
        assert after.by_uid == before.by_uid
        assert after.flags == before.flags
    checked = server.cli("mailbox", "check", "-u", user)
    assert checked.returncode == 0, checked.stdout
    dumped = server.cli("mailbox", "dump", "-u", user, "INBOX")
    assert dumped.returncode == 0
    rows = [line.split(b"\t") for line in dumped.stdout.splitlines() if not line.startswith(b"#")]
    assert [int(row[0]) for row in rows[1:]] == sorted(after.by_uid)


def test_rebuild_beside_a_missing_index(world: World) -> None:
    """`mailbox rebuild` of a user whose index files are all gone, without the server's help."""
    server, user = world.server, user_of("all-index-gone")
    with Imap(server.imap_port) as client:
        client.login(user)
        before = look(client, "INBOX")
    rebuilt = server.cli("mailbox", "rebuild", "-u", user)
    assert rebuilt.returncode == 0, rebuilt.stderr
    with Imap(server.imap_port) as client:
        client.login(user)
        after = look(client, "INBOX")
    assert after.by_uid == before.by_uid
    assert after.uidvalidity == before.uidvalidity


def test_damage_while_it_runs(world: World) -> None:
    """Files that are damaged under open sessions: an answer or NO, never wrong bytes or a crash."""
    server, kind = world.server, "nothing"
    mail = mail_of(server, kind)
    with Imap(server.imap_port) as client, Imap(server.imap_port) as other:
        client.login(user_of(kind)).ok("SELECT INBOX")
        known = set(look(other.login(user_of(kind)), "INBOX").by_uid.values())
        for path in mail.glob("mailboxes/*/index.cache"):
            flip(path, random.Random(1), 0.2, 1, 3)
        for name in ("index", "index.log"):
            for path in mail.glob(f"mailboxes/*/{name}"):
                shutil.copy(path, path.with_suffix(".copy"))
                flip(path, random.Random(2), 0.5, 1, 3)
        for one in (client, other):
            one.ok("SELECT INBOX")
            assert set(look(one, "INBOX").by_uid.values()) >= known
    log = (server.folder / "log").read_text()
    assert "Traceback" not in log
    assert "SERVERBUG" not in log
