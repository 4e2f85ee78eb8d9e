"""Every limit: what is beyond it is refused with a text that says which, and service goes on.

One server with small limits, two workers and sessions spread over both.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Iterator

import pytest
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
KB, MB = 1024, 1 << 20
LINE = 8 * KB
COMMAND = 64 * KB
MESSAGE = 4 * MB
PER_ADDRESS = 5
PER_WORKER = 8
AT_LOGIN = 30

OPTIONS = f"""
imap_worker_routing = "round-robin"
imap_max_line_length = {LINE}
imap_max_command_size = {COMMAND}
imap_max_nesting = 20
imap_max_bad_commands = 10
mail_max_size = {MESSAGE}
mail_max_userip_connections = {PER_ADDRESS}
mail_max_keyword_length = 20
lmtp_max_recipients = 3
lmtp_max_line_length = 1000
login_max_auth_attempts = 3
login_max_bad_commands = 4
"""
BLOCKS = f"""
[service.imap_login]
process_limit = 1
client_limit = {AT_LOGIN}
[service.imap]
process_limit = 2
client_limit = {PER_WORKER}
[service.lmtp]
process_limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server"), options=OPTIONS, blocks=BLOCKS) as one:
        yield one


@pytest.fixture
def client(server: Running) -> Iterator[Imap]:
    """A session, once those of earlier tests are no longer counted."""
    with Imap(server.imap_port, source="127.0.0.9") as one:
        retry_login(one, ALICE)
        yield one
        one.ok("NOOP")  # whatever was refused, the session is usable


def said(reply: object, state: str, *words: str) -> None:
    """The reply is of this state and its text has these words."""
    got = reply.state, reply.text  # type: ignore[attr-defined]
    assert got[0] == state, got
    for word in words:
        assert word.lower() in got[1].lower(), got


# Connections.


def test_connections_of_a_user_from_an_address(server: Running) -> None:
    """mail_max_userip_connections counts in all workers together, per user and address."""
    clients = [Imap(server.imap_port).login(BOB) for _ in range(PER_ADDRESS)]
    assert len(set(server.workers_of(BOB))) == 2
    one_more = Imap(server.imap_port)
    said(
        one_more.do(f"LOGIN {BOB} {PASSWORD}"),
        "NO",
        "[LIMIT]",
        f"mail_max_userip_connections={PER_ADDRESS}",
    )
    with Imap(server.imap_port, source="127.0.0.3") as elsewhere:
        elsewhere.login(BOB)
    with Imap(server.imap_port) as other:
        other.login(CAROL)
    clients[0].ok("LOGOUT")
    clients[0].close()
    retry_login(one_more, BOB)
    for client in [*clients[1:], one_more]:
        client.ok("NOOP")
        client.close()
    wait_for(lambda: free(server, BOB) == PER_ADDRESS)


def free(server: Running, user: str) -> int:
    """How many connections this user still gets from our address."""
    clients = []
    try:
        for _ in range(PER_ADDRESS):
            client = Imap(server.imap_port)
            clients.append(client)
            if client.do(f"LOGIN {user} {PASSWORD}").state != "OK":
                return len(clients) - 1
        return len(clients)
    finally:
        for client in clients:
            client.close()


def retry_login(client: Imap, user: str) -> None:
    """Log in once a session that has just ended is no longer counted; on the same connection."""
    wait_for(lambda: client.do(f"LOGIN {user} {PASSWORD}").state == "OK")


def test_connections_of_the_workers(server: Running) -> None:
    """The service's client_limit: both workers full, then one place is free."""
    clients = []
    for number in range(2 * PER_WORKER):
        source = f"127.0.1.{number}"
        client = Imap(server.imap_port, source=source)
        clients.append(client)
        retry_login(client, ALICE)
    extra = Imap(server.imap_port, source="127.0.2.1")
    said(extra.do(f"LOGIN {ALICE} {PASSWORD}"), "NO", "[UNAVAILABLE]", "client_limit")
    for client in clients:
        client.ok("NOOP")
    clients[3].close()
    retry_login(extra, ALICE)
    extra.ok("SELECT INBOX")
    for client in [*clients, extra]:
        client.close()


def test_connections_before_login_wait_for_their_turn(server: Running) -> None:
    """The login service's client_limit: who is too many is greeted when somebody leaves."""
    clients = [Imap(server.imap_port, source=f"127.0.3.{n}") for n in range(AT_LOGIN)]
    greeted = threading.Event()

    def wait() -> None:
        with Imap(server.imap_port, source="127.0.4.1") as late:
            late.ok("NOOP")
            greeted.set()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: "client_limit" in (server.folder / "log").read_text())
    assert not greeted.is_set()
    clients.pop().close()
    assert greeted.wait(20)
    thread.join()
    for client in clients:
        client.ok("NOOP")
        client.close()


def test_attempts_to_log_in(server: Running) -> None:
    with Imap(server.imap_port) as client:
        for _ in range(3):
            assert client.do(f"LOGIN {ALICE} wrong").state == "NO"
        assert b"login_max_auth_attempts" in client.rest()
    with Imap(server.imap_port) as client:
        for _ in range(3):
            assert client.do("NONSENSE").state == "BAD"
        client.start("NONSENSE")
        assert b"login_max_bad_commands" in client.rest()


# Commands.


def test_a_long_line(client: Imap) -> None:
    said(client.do(b'LIST "" ' + b"a" * LINE), "BAD", "longer than", str(LINE))
    said(client.do(b'LIST "" ' + b"a" * 50 * LINE), "BAD", "longer than", str(LINE))
    client.ok(b'LIST "" ' + b"a" * (LINE - 40))


def test_a_long_line_that_never_ends(server: Running, client: Imap) -> None:
    before = server.memory("imap")
    tag = client.start(b"SEARCH ")
    client.send(b"x1 CREATE ")
    for _ in range(100):
        client.send(b"y" * 100_000)
    client.send(b"\r\n")
    reply = client.response()
    while not reply.startswith(b"x1"):
        reply = client.response()
    assert b"longer than" in reply
    assert grown(server, before) < 5 * MB
    assert tag


def test_literals_of_commands(client: Imap) -> None:
    # Synchronizing: refused before anything is sent.
    said(client.do(b"CREATE {%d}" % (COMMAND + 1)), "NO", "[TOOBIG]", str(COMMAND))
    client.ok("NOOP")
    # Non-synchronizing: what comes is read past.
    data = b"a1 LOGOUT\r\n" * 10_000
    said(client.do(b"CREATE {%d+}\r\n%b" % (len(data), data)), "NO", "[TOOBIG]", str(COMMAND))
    client.ok("NOOP")
    # Several that are together too much.
    half = b"{%d+}\r\n%b" % (COMMAND // 2, b"s" * (COMMAND // 2))
    client.ok("SELECT INBOX")
    said(client.do(b"SEARCH TEXT %b TEXT %b TEXT %b" % (half, half, half)), "NO", "[TOOBIG]")
    client.ok(b"SEARCH TEXT %b" % half)
    # Beyond what any number can be.
    assert client.do(b"CREATE {99999999999999999999}").state in ("NO", "BAD")


def test_messages_of_append(client: Imap) -> None:
    said(client.do(b"APPEND INBOX {%d}" % (MESSAGE + 1)), "NO", "[TOOBIG]", str(MESSAGE))
    big = message("big", b"x" * MESSAGE)
    said(client.append("INBOX", big), "NO", "[TOOBIG]", str(MESSAGE))
    fits = message("fits")
    fits += b"y" * (MESSAGE - len(fits))
    client.ok("CREATE Fits")
    assert client.append("Fits", fits).state == "OK"
    four = b" ".join(b"{%d+}\r\n%b" % (len(fits), fits) for _ in range(5))
    said(client.do(b"APPEND Fits " + four), "NO", "[TOOBIG]")
    assert client.ok("STATUS Fits (MESSAGES)").grep(rb"MESSAGES 1\)")
    client.ok("DELETE Fits")


def test_nesting_of_commands(client: Imap) -> None:
    client.ok("SELECT INBOX")
    client.ok("SEARCH " + "(" * 15 + "ALL" + ")" * 15)
    said(client.do("SEARCH " + "(" * 25 + "ALL" + ")" * 25), "BAD", "nested", "20")
    said(client.do("SEARCH " + "NOT " * 1500 + "ALL"), "BAD", "nested", "20")
    said(client.do("SEARCH " + "OR " * 1000 + "ALL " * 1001), "BAD", "nested", "20")
    said(client.do("SEARCH " + "(" * 4000), "BAD")
    assert client.do("FETCH 1 " + "(" * 4000).state == "BAD"
    assert client.do("LIST " + "(" * 4000).state == "BAD"


def test_nesting_of_messages(client: Imap) -> None:
    """What is nested deeper than is believed is one part; nothing breaks."""
    client.ok("CREATE Deep")
    multi = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(2000)
    )
    inner = b"Content-Type: message/rfc822\r\n\r\n" * 2000
    many = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\npart\r\n" * 30_000
    header = b"Subject: " + b"((((((" * 1000 + b"\r\nTo: " + b"a:" * 5000 + b"\r\n\r\n"
    for data in (multi, inner, many, header):
        assert client.append("Deep", b"From: x@example.org\r\n" + data).state == "OK"
    client.ok("SELECT Deep")
    reply = client.ok("FETCH 1:4 (BODYSTRUCTURE BODY ENVELOPE)")
    assert len(reply.grep(rb"^\* \d FETCH")) == 4
    client.ok("SEARCH TEXT nothing BODY nothing HEADER Subject x")
    client.ok("FETCH 1:4 (BODY.PEEK[" + ".".join("1" * 50) + "] BODY.PEEK[1.MIME])")
    said(client.do("FETCH 1:4 (BODY.PEEK[" + ".".join("1" * 500) + "])"), "BAD", "nested")
    client.ok("DELETE Deep")


def test_keywords(client: Imap) -> None:
    client.ok("SELECT INBOX")
    assert client.append("INBOX", message("keywords")).state == "OK"
    said(client.do(f"STORE 1 +FLAGS ({'k' * 21})"), "NO", "[LIMIT]", "longer than 20")
    client.ok(f"STORE 1 +FLAGS ({'k' * 20})")
    for at in range(0, 100, 10):
        reply = client.do(f"STORE 1 +FLAGS ({' '.join(f'w{n}' for n in range(at, at + 10))})")
    said(reply, "NO", "[LIMIT]", "keyword")
    client.ok("STORE 1 +FLAGS (w1)")


def test_broken_commands_in_a_row(server: Running) -> None:
    with Imap(server.imap_port) as client:
        client.login(ALICE)
        for _ in range(3):
            for _ in range(9):
                assert client.do("NONSENSE").state == "BAD"
            client.ok("NOOP")
        for _ in range(10):
            client.start("NONSENSE")
        assert b"* BYE Too many invalid" in client.rest()


# LMTP.


def test_lmtp(server: Running) -> None:
    with Lmtp(server.lmtp_port) as client:
        client.do("LHLO x")
        assert client.do("NOOP " + "x" * 2000).startswith("500")
        assert client.do(f"MAIL FROM:<a@b.example> SIZE={MESSAGE + 1}").startswith("552 5.3.4")
        replies = client.envelope(*[f"carol+{n}@example.com" for n in range(5)])
        assert [r[:3] for r in replies] == ["250"] * 3 + ["452"] * 2
        assert replies[4].startswith("452 4.5.3 Too many recipients")
        assert client.do("DATA").startswith("354")
        big = message("too big", (b"x" * 78 + b"\r\n") * (MESSAGE // 80 + 1))
        answers = [client.do(big + b"\r\n."), client.reply(), client.reply()]
        assert all("552 5.3.4" in answer for answer in answers)
        assert client.envelope(CAROL)[0].startswith("250")
        client.send(b"BDAT %d LAST\r\n%b" % (len(big), big))
        assert client.reply().startswith("552 5.3.4")
        client.envelope(CAROL)
        assert client.data(message("fits")).startswith("250")
    with Imap(server.imap_port, source="127.0.5.1") as imap:
        imap.login(CAROL)
        assert imap.ok("SELECT INBOX").grep(rb"^\* 1 EXISTS")


# Clients that are too fast or too slow.


def grown(server: Running, before: dict[int, int]) -> int:
    """By how many bytes the largest worker has grown."""
    after = server.memory("imap")
    return max(after[pid] - before[pid] for pid in before)


class Bystander(threading.Thread):
    """A session that does ordinary things meanwhile and measures how long they take."""

    def __init__(self, server: Running, user: str, number: int) -> None:
        super().__init__()
        self.client = Imap(server.imap_port, source=f"127.0.6.{number}").login(user)
        self.times: list[float] = []
        self.error: BaseException | None = None
        self.stopping = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            self.client.ok("SELECT INBOX")
            while not self.stopping.is_set() or len(self.times) < 20:
                begun = time.monotonic()
                self.client.ok("NOOP")
                self.client.ok("STATUS INBOX (MESSAGES UIDNEXT)")
                self.times.append(time.monotonic() - begun)
        except BaseException as error:
            self.error = error

    def served(self) -> None:
        """End, and see that it was always served."""
        self.stopping.set()
        self.join(60)
        if self.error is not None:
            raise self.error
        self.client.close()
        assert max(self.times) < 10, sorted(self.times)[-5:]
        assert statistics.median(self.times) < 1


def bystanders(server: Running) -> list[Bystander]:
    """One in each worker, whoever is next."""
    return [Bystander(server, BOB, n) for n in (1, 2)]


def test_ten_thousand_pipelined_commands(server: Running) -> None:
    commands = (
        b"NOOP",
        b"FETCH 1:* (FLAGS UID INTERNALDATE ENVELOPE)",
        b"STORE 1:* +FLAGS (\\Seen)",
        b"STORE 1:* -FLAGS (\\Seen)",
    )
    with Imap(server.imap_port, source="127.0.7.1") as fast:
        fast.login(CAROL)
        fast.ok("CREATE Fast")
        for n in range(10):
            fast.append("Fast", message(f"{n}"))
        fast.ok("SELECT Fast")
        before = server.memory("imap")
        others = bystanders(server)
        pipeline = b"".join(b"p%d %b\r\n" % (n, commands[n % 4]) for n in range(10_000))
        sender = threading.Thread(target=lambda: fast.send(pipeline))
        sender.start()
        answered = 0
        while answered < 10_000:
            line = fast.response()
            if line.startswith(b"p"):
                assert line.startswith(b"p%d OK" % answered), line
                answered += 1
        sender.join()
        for other in others:
            other.served()
        fast.ok("NOOP")
        assert grown(server, before) < 20 * MB


def test_a_client_that_never_reads(server: Running) -> None:
    body = b"x" * 76 + b"\r\n"
    with Imap(server.imap_port, source="127.0.7.2") as slow:
        slow.login(CAROL)
        slow.ok("CREATE Slow")
        for _ in range(20):
            slow.append("Slow", message("large", body * 40_000))
        slow.ok("SELECT Slow")
        before = server.memory("imap")
        tags = [slow.start("FETCH 1:* (BODY[])") for _ in range(50)]
        slow.send(b"".join(b"q%d NOOP\r\n" % n for n in range(10_000)))
        others = bystanders(server)
        wait_for(lambda: all(len(other.times) > 30 for other in others))
        for other in others:
            other.served()
        assert grown(server, before) < 25 * MB
        sizes = 0
        for line in slow.finish(tags[0]).lines:
            sizes += len(line)
        assert sizes > 20 * 40_000 * len(body)
    with Imap(server.imap_port, source="127.0.7.3") as client:
        client.login(CAROL)
        client.ok("DELETE Slow")


def test_a_client_that_never_reads_lmtp(server: Running) -> None:
    with Lmtp(server.lmtp_port) as slow:
        slow.do("LHLO x")
        slow.sock.settimeout(1)
        try:
            for _ in range(200):
                slow.send(b"NOOP\r\n" * 10_000)
            raise AssertionError("12 MB of commands were taken from a client that never reads")
        except TimeoutError:
            pass
        with Lmtp(server.lmtp_port) as other:
            other.envelope(BOB)
            assert other.data(message("meanwhile")).startswith("250")


def test_the_log_has_no_bug(server: Running) -> None:
    log = (server.folder / "log").read_text()
    assert not re.findall(r".*(?:Traceback|nternal error).*", log)
