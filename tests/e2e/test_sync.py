"""What one session does, the others see: sessions of one mailbox in different workers.

Workers take turns (`imap_worker_routing = "round-robin"`), so two sessions that log in one after
the other are in different processes.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Iterator

import pytest
from raw import Imap, Reply, message
from running import USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = 'imap_worker_routing = "round-robin"\nmail_max_userip_connections = 100'
    blocks = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 2
[service.lmtp]
process_limit = 1
"""
    folder = tmp_path_factory.mktemp("server")
    with running(folder, options=options, blocks=blocks) as one:
        yield one


@pytest.fixture
def name() -> str:
    """The mailbox of a test."""
    return f"Sync{next(NUMBERS)}"


class Two:
    """Two sessions in different workers with the same mailbox selected."""

    def __init__(self, server: Running, name: str, mails: int = 0, enable: str = "") -> None:
        self.a, self.b = (Imap(server.imap_port).login() for _ in range(2))
        self.a.do(f"CREATE {name}")
        for number in range(mails):
            assert self.a.append(name, message(f"mail {number}")).state == "OK"
        for client in (self.a, self.b):
            if enable:
                client.ok(f"ENABLE {enable}")
            client.ok(f"SELECT {name}")

    def __enter__(self) -> tuple[Imap, Imap]:
        return self.a, self.b

    def __exit__(self, *_: object) -> None:
        self.a.close()
        self.b.close()


def test_two_sessions_are_in_two_workers(server: Running, name: str) -> None:
    with Two(server, name) as (a, b):
        a.ok("NOOP")
        b.ok("NOOP")
        wait_for(lambda: len(server.workers_of(ALICE)) >= 2)
        assert len(set(server.workers_of(ALICE)[-2:])) == 2


def test_idle_hears_everything_at_once(server: Running, name: str) -> None:
    with Two(server, name, 3) as (a, b):
        tag = b.idle()
        assert a.append(name, message("new")).state == "OK"
        assert b.response() == b"* 4 EXISTS"
        line = b.response()
        if line.endswith(b"RECENT"):
            line = b""
        a.ok("STORE 2 +FLAGS (\\Flagged $Word)")
        seen = line
        while b"FETCH" not in seen:
            seen = b.response()
        assert re.fullmatch(rb"\* 2 FETCH \(FLAGS \([^)]*\\Flagged[^)]*\$Word[^)]*\)\)", seen), seen
        a.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")
        a.ok("EXPUNGE")
        told = []
        while len([line for line in told if line.endswith(b"EXPUNGE")]) < 2:
            told.append(b.response())
        gone = [line for line in told if line.endswith(b"EXPUNGE")]
        assert gone in ([b"* 3 EXPUNGE", b"* 1 EXPUNGE"], [b"* 1 EXPUNGE", b"* 2 EXPUNGE"])
        reply = b.done(tag)
        assert reply.state == "OK"
        assert len(b.uids()) == 2


def test_lmtp_wakes_idle(server: Running) -> None:
    with Imap(server.imap_port) as client:
        client.login(BOB).ok("SELECT INBOX")
        tag = client.idle()
        for number in range(1, 6):
            server.deliver(message(f"delivery {number}"), BOB)
            while (line := client.response()) != b"* %d EXISTS" % number:
                assert line.endswith(b"RECENT"), line
        client.done(tag)


def test_flags_at_the_next_command_and_expunges_only_when_allowed(
    server: Running, name: str
) -> None:
    with Two(server, name, 6) as (a, b):
        a.ok("STORE 3 +FLAGS (\\Answered)")
        assert b.ok("NOOP").grep(rb"^\* 3 FETCH \(FLAGS \([^)]*\\Answered")
        uids = b.uids()
        a.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
        a.ok("EXPUNGE")
        for command in (
            "FETCH 1:6 (UID)",
            "STORE 1 +FLAGS (\\Seen)",
            "SEARCH ALL",
            "FETCH 5 (UID FLAGS)",
            "STORE 6 FLAGS ()",
        ):
            reply = b.do(command)
            assert not reply.grep(rb"EXPUNGE"), command
            assert not reply.grep(rb"VANISHED"), command
        # Numbers still mean what they meant.
        for number in (1, 3, 5, 6):
            [line] = b.ok(f"FETCH {number} (UID)").grep(rb"FETCH")
            assert line == b"* %d FETCH (UID %d)" % (number, uids[number - 1])
        assert a.append(name, message("seventh")).state == "OK"
        reply = b.ok("UID SEARCH ALL")  # UID commands may tell expunges (RFC 9051 says so, too)
        reply.lines += b.ok("NOOP").lines
        assert len(reply.grep(rb"EXPUNGE$")) == 2
        assert reply.grep(rb"^\* (5|7) EXISTS")
        assert len(b.uids()) == 5


def test_qresync_sessions_hear_vanished(server: Running, name: str) -> None:
    with Two(server, name, 5, "QRESYNC") as (a, b):
        uids = a.uids()
        a.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)")
        a.ok("EXPUNGE")
        reply = b.ok("NOOP")
        assert reply.grep(rb"^\* VANISHED %d:%d$" % (uids[1], uids[2]))
        a.ok("STORE 1 +FLAGS (\\Seen)")
        [line] = b.ok("NOOP").grep(rb"FETCH")
        assert re.search(rb"UID %d .*MODSEQ \(\d+\)" % uids[0], line), line


def modseq(reply: Reply) -> int:
    """HIGHESTMODSEQ of a SELECT."""
    [line] = reply.grep(rb"HIGHESTMODSEQ")
    return int(re.search(rb"HIGHESTMODSEQ (\d+)", line)[1])  # type: ignore[index]


def test_resync_after_changes_while_away(server: Running, name: str) -> None:
    with Two(server, name, 10) as (a, b):
        uids = a.uids()
        b.ok("ENABLE QRESYNC")
        b.ok("UNSELECT")
        selected = b.ok(f"SELECT {name}")
        was = modseq(selected)
        [line] = selected.grep(rb"UIDVALIDITY")
        validity = int(re.search(rb"UIDVALIDITY (\d+)", line)[1])  # type: ignore[index]
        b.ok("UNSELECT")
        a.ok("STORE 4 +FLAGS (\\Flagged)")
        a.ok("STORE 2,9 +FLAGS.SILENT (\\Deleted)")
        a.ok("EXPUNGE")
        assert a.append(name, message("came later")).state == "OK"
        new = a.uids()[-1]
        reply = b.ok(f"SELECT {name} (QRESYNC ({validity} {was} {uids[0]}:{uids[-1]}))")
        [vanished] = reply.grep(rb"VANISHED")
        assert vanished == b"* VANISHED (EARLIER) %d,%d" % (uids[1], uids[8])
        changed = {
            int(re.search(rb"UID (\d+)", line)[1])  # type: ignore[index]
            for line in reply.grep(rb"FETCH")
        }
        assert uids[3] in changed
        assert changed <= {uids[3], new}
        assert modseq(reply) > was
        # CONDSTORE: what changed since, and a STORE that must not overwrite.
        lines = b.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {was} VANISHED)").lines
        assert b"* VANISHED (EARLIER) %d,%d" % (uids[1], uids[8]) in lines
        reply = b.do(f"UID STORE {uids[3]},{uids[5]} (UNCHANGEDSINCE {was}) +FLAGS (\\Draft)")
        assert f"[MODIFIED {uids[3]}]" in reply.text
        flags = b.ok(f"UID FETCH {uids[3]},{uids[5]} (FLAGS)").grep(rb"\\Draft")
        assert len(flags) == 1
        # Nothing happened since: nothing is told.
        now = modseq(b.ok(f"SELECT {name}"))
        reply = b.ok(f"SELECT {name} (QRESYNC ({validity} {now}))")
        assert not reply.grep(rb"VANISHED|FETCH")


def test_a_mailbox_that_is_deleted_or_renamed(server: Running, name: str) -> None:
    with Two(server, name, 3) as (a, b):
        a.ok(f"RENAME {name} {name}-new")
        uids = b.uids()
        assert len(uids) == 3  # the session's mailbox lives on under its new name
        assert a.append(f"{name}-new", message("after the rename")).state == "OK"
        assert b.ok("NOOP").grep(rb"^\* 4 EXISTS")
        assert b.fetch_body(4).startswith(b"From:")
        a.ok("UNSELECT")
        a.ok(f"DELETE {name}-new")
        reply = None
        try:
            for _ in range(3):
                reply = b.do("NOOP")
        except EOFError:
            pass
        else:
            # The session was not ended: then it must not show mail that is gone as there.
            assert b.do("FETCH 1 (BODY.PEEK[])").state == "NO"
        assert a.ok(f'LIST "" {name}*').lines == []
        a.ok(f"CREATE {name}-new")
        assert a.ok(f"STATUS {name}-new (MESSAGES)").grep(rb"MESSAGES 0\)")
        assert reply is None or reply.state in ("OK", "NO")
    with Imap(server.imap_port) as c:
        c.login().ok(f"SELECT {name}-new")


def test_a_mailbox_deleted_under_an_idle_session(server: Running, name: str) -> None:
    with Two(server, name, 1) as (a, b):
        b.idle()
        a.ok("UNSELECT")
        a.ok(f"DELETE {name}")
        assert b"* BYE" in b.rest()


def test_compress(server: Running, name: str) -> None:
    with Imap(server.imap_port) as client:
        client.login()
        client.ok("COMPRESS DEFLATE")
        client.deflate()
        assert client.do("COMPRESS DEFLATE").state == "NO"
        client.ok(f"CREATE {name}")
        text = message("deflated", b"the same line again\r\n" * 100_000)
        assert client.append(name, text).state == "OK"
        client.ok(f"SELECT {name}")
        assert client.fetch_body(1) == text
        tag = client.idle()
        with Imap(server.imap_port) as other:
            other.login()
            assert other.append(name, message("second")).state == "OK"
        assert client.response() == b"* 2 EXISTS"
        client.done(tag)
        tags = [client.start("NOOP") for _ in range(1000)]
        assert all(client.finish(tag).state == "OK" for tag in tags)
        client.ok("LOGOUT")
    [ended] = server.wait_events("mail_user_session_finished", user=ALICE)[-1:]
    assert ended["fields"]["net_out_bytes"] < len(text)


def test_garbage_in_a_compressed_stream(server: Running) -> None:
    with Imap(server.imap_port) as client:
        client.login()
        client.ok("COMPRESS DEFLATE")
        client.sock.sendall(b"\xff\xff\xff this is not deflated")
        client.deflate()
        assert b"BYE" in client.rest()


# Many at once, checked against a model.


class Walker(threading.Thread):
    """A session that changes a mailbox at random and keeps the client's picture of it.

    The picture is a list of UIDs by sequence number, kept only from what the server tells;
    every FETCH must agree with it.
    """

    def __init__(self, server: Running, name: str, other: str, seed: int, steps: int) -> None:
        super().__init__()
        self.client = Imap(server.imap_port).login(CAROL)
        self.mailbox, self.other = name, other
        self.rnd = random.Random(seed)
        self.steps = steps
        self.exists = 0
        self.uids: list[int | None] = []
        self.moved_away: set[int] = set()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            reply = self.client.ok(f"SELECT {self.mailbox}")
            self.uids = []
            self.take(reply)
            self.learn()
            for _ in range(self.steps):
                self.step()
            self.take(self.client.ok("NOOP"))
            self.learn()
        except BaseException as error:
            self.error = error

    def take(self, reply: Reply) -> None:
        """Bring the picture up to date."""
        for line in reply.lines:
            if match := re.fullmatch(rb"\* (\d+) EXPUNGE", line):
                number = int(match[1])
                assert 1 <= number <= len(self.uids), (number, len(self.uids))
                del self.uids[number - 1]
            elif match := re.fullmatch(rb"\* (\d+) EXISTS", line):
                count = int(match[1])
                assert count >= len(self.uids), "EXISTS never shrinks a mailbox"
                self.uids += [None] * (count - len(self.uids))
            elif match := re.match(rb"\* (\d+) FETCH \((?:.* )?UID (\d+)", line):
                number, uid = int(match[1]), int(match[2])
                assert 1 <= number <= len(self.uids), line
                known = self.uids[number - 1]
                assert known in (None, uid), (line, known)
                self.uids[number - 1] = uid

    def learn(self) -> None:
        """Ask for all UIDs and see that they fit what was known."""
        if not self.uids:
            return
        before = len(self.uids)
        reply = self.client.ok("FETCH 1:* (UID)")
        assert not reply.grep(rb"EXPUNGE")
        told = len(reply.grep(rb"FETCH \(UID"))
        self.take(reply)
        assert told in (before, len(self.uids)), (told, before)
        known = [uid for uid in self.uids if uid is not None]
        assert known == sorted(set(known))

    def some(self) -> str:
        """A random set of sequence numbers, as text."""
        numbers = self.rnd.sample(range(1, len(self.uids) + 1), min(3, len(self.uids)))
        return ",".join(map(str, numbers))

    def step(self) -> None:
        choice = self.rnd.randrange(9)
        if not self.uids or choice <= 1:
            reply = self.client.append(self.mailbox, message(f"w{self.rnd.random()}"))
            assert reply.state == "OK"
            self.take(reply)
        elif choice == 2:
            self.take(self.client.ok(f"STORE {self.some()} +FLAGS (\\Deleted)"))
            self.take(self.client.ok("EXPUNGE"))
        elif choice == 3:
            reply = self.client.do(f"COPY {self.some()} {self.other}")
            assert reply.state == "OK" or "EXPUNGEISSUED" in reply.text, reply
            self.take(reply)
        elif choice == 4:
            reply = self.client.do(f"MOVE {self.some()} {self.other}")
            assert reply.state == "OK" or "EXPUNGEISSUED" in reply.text, reply
            self.take(reply)
        elif choice == 5:
            self.take(
                self.client.ok(f"STORE {self.some()} +FLAGS (\\Seen $K{self.rnd.randrange(5)})")
            )
        elif choice == 6:
            self.take(self.client.ok("NOOP"))
        elif choice == 7:
            reply = self.client.ok("SEARCH RETURN (ALL COUNT) NOT DELETED")
            assert not reply.grep(rb"EXPUNGE")
            self.take(reply)
        else:
            self.learn()


def test_sessions_that_change_everything_at_once(server: Running) -> None:
    with Imap(server.imap_port) as setup:
        setup.login(CAROL)
        for name in ("Left", "Right"):
            setup.ok(f"CREATE {name}")
            for number in range(10):
                setup.append(name, message(f"start {number}"))
    walkers = [
        Walker(server, *(("Left", "Right") if n % 2 else ("Right", "Left")), seed=n, steps=150)
        for n in range(4)
    ]
    for walker in walkers:
        walker.start()
    for walker in walkers:
        walker.join(100)
        assert not walker.is_alive()
    for walker in walkers:
        if walker.error is not None:
            raise walker.error
    with Imap(server.imap_port) as last:
        last.login(CAROL)
        for name in ("Left", "Right"):
            for walker in walkers:
                if walker.mailbox == name:
                    walker.take(walker.client.ok("NOOP"))
                    walker.learn()
            last.ok(f"SELECT {name}")
            uids = last.uids()
            for walker in walkers:
                if walker.mailbox == name:
                    assert walker.uids == uids
    for walker in walkers:
        walker.client.close()
    checked = server.cli("mailbox", "check", "-u", CAROL)
    assert checked.returncode == 0, checked.stdout
    assert "Traceback" not in (server.folder / "log").read_text()
