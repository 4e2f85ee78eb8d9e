"""LMTP by recipient: some mail stays here, some goes to other servers, all in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_relay import DEFAULT_CAPABILITIES, FakeRelay
from proxying import Front, Played, dead_port
from raw import Imap, Lmtp, message
from running import USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = 'login_trusted_networks = ["127.0.0.1/32"]\n'
    with running(tmp_path_factory.mktemp("backend") / "server", options=options) as server:
        yield server


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, backend: Running) -> Iterator[Front]:
    there = f"proxy host=127.0.0.1 port={backend.lmtp_port}"
    server = Front(
        tmp_path_factory.mktemp("front"),
        options="lmtp_proxy = true\n",
        users=(CAROL,),
        passed_on={
            ALICE: there,
            BOB: there,
            "gone@example.com": there,
            "other@example.com": f"{there} destuser={BOB}",
            "dead@example.com": f"proxy host=127.0.0.1 port={dead_port()}",
            "nowhere@example.com": "proxy",
        },
    )
    try:
        yield server.start()
    finally:
        server.stop()


def subjects(server: Running, user: str) -> list[str]:
    with Imap(server.imap_port) as client:
        client.login(user).ok("SELECT INBOX")
        lines = client.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").lines
    return [
        line.decode().split("Subject: ")[1].split("\r\n")[0] for line in lines if b"Subj" in line
    ]


def test_recipients_here_and_there_in_one_transaction(front: Front, backend: Running) -> None:
    with Lmtp(front.lmtp_port) as client:
        replies = client.envelope(
            ALICE, CAROL, BOB, "gone@example.com", "dead@example.com", "nowhere@example.com"
        )
        assert [r[:9] for r in replies] == [
            "250 2.1.5", "250 2.1.5", "250 2.1.5", "550 5.1.1", "451 4.4.0", "451 4.3.0",
        ]  # fmt: skip
        assert client.do("DATA").startswith("354")
        first = client.do(message("mixed") + b"\r\n.")
        others = [client.reply(), client.reply()]
    assert [r.split()[2] for r in (first, *others)] == [f"<{u}>" for u in (ALICE, CAROL, BOB)]
    assert all(r.startswith("250 2.0.0") for r in (first, *others))
    assert "mixed" in subjects(backend, ALICE)
    assert "mixed" in subjects(backend, BOB)
    assert "mixed" in subjects(front, CAROL)
    for user in (ALICE, BOB):
        [event] = front.wait_events("smtp_server_transaction_rcpt_finished", rcpt_to=user)
        assert event["fields"]["dest_host"] == event["fields"]["dest_ip"] == "127.0.0.1"
        assert event["fields"]["status_code"] == 250
    [dead] = front.wait_events("smtp_server_transaction_rcpt_finished", rcpt_to="dead@example.com")
    assert (dead["fields"]["status_code"], dead["fields"]["dest_host"]) == (451, "127.0.0.1")
    [here] = front.wait_events("smtp_server_transaction_rcpt_finished", rcpt_to=CAROL)
    assert "dest_host" not in here["fields"]
    [whole] = front.wait_events("smtp_server_transaction_finished", recipients=6)
    assert whole["fields"]["recipients_succeeded"] == 3
    assert whole["fields"]["recipients_denied"] == 3


def test_a_big_message_and_two_hops_in_the_header(front: Front, backend: Running) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    with Lmtp(front.lmtp_port) as client:
        assert client.envelope("other@example.com")[0].startswith("250")
        assert client.data(message("big", (line + b"..dot\r\n") * 40_000)).startswith("250")
    with Imap(backend.imap_port) as client:
        client.login(BOB).ok("SELECT INBOX")
        number = len(client.uids())
        mail = client.fetch_body(number)
    assert mail.count(b"\r\nReceived: ") + mail.startswith(b"Received: ") == 2
    assert mail.endswith((line + b".dot\r\n") * 40_000 + b"\r\n")


def test_the_other_server_learns_who_the_client_is(front: Front, backend: Running) -> None:
    with Lmtp(front.lmtp_port, source="127.0.0.5") as client:
        assert client.envelope(ALICE)[0].startswith("250")
        assert client.data(message("from afar")).startswith("250")
        port = client.sock.getsockname()[1]
    [there] = backend.wait_events("smtp_server_transaction_finished", remote_port=port)
    [here] = front.wait_events("smtp_server_transaction_finished", remote_port=port)
    assert there["fields"]["remote_ip"] == "127.0.0.5"
    assert there["fields"]["session"] == here["fields"]["session"]
    with Lmtp(backend.lmtp_port) as client:
        assert "XCLIENT ADDR PORT" in client.do("LHLO x")
        assert client.do("XCLIENT ADDR=nonsense").startswith("501 5.5.4")
        assert client.do("XCLIENT ADDR=192.0.2.1 TTL=1").startswith("220")
        assert client.do("MAIL FROM:<>").startswith("503")
    with Lmtp(front.lmtp_port) as client:
        assert "XCLIENT" not in client.do("LHLO x")
        assert client.do("XCLIENT ADDR=192.0.2.1").startswith("550 5.7.0")


def test_a_server_that_is_not_trusted_is_told_nothing(front: Front) -> None:
    offered = (*DEFAULT_CAPABILITIES, "XCLIENT ADDR PORT", "XRCPTFORWARD")
    with FakeRelay(capabilities=offered, lmtp=True) as relay:
        there = f"proxy host=127.0.0.1 port={relay.port} forward_color=blue"
        front.pass_on("told@example.com", there)
        front.pass_on("untold@example.com", f"{there} proxy_not_trusted")
        front.deliver(message("one"), "told@example.com")
        front.deliver(message("two"), "untold@example.com")
        told, untold = (" ".join(talk.commands) for talk in relay.talks)
    assert ("XCLIENT ADDR=127.0.0.1" in told, "XRCPTFORWARD=color+3Dblue" in told) == (True, True)
    assert ("XCLIENT" in untold, "XRCPTFORWARD" in untold) == (False, False)


def test_a_server_that_is_down_is_tried_by_one_at_a_time(front: Front) -> None:
    port = dead_port()
    for user in ("finds", "tries", "waits"):
        front.pass_on(f"{user}@down.example", f"proxy host=127.0.0.1 port={port}")
    with Lmtp(front.lmtp_port) as client:
        assert client.envelope("finds@down.example")[0].startswith("451 4.4.0")
    with Played("C: never", port=port) as silent, Lmtp(front.lmtp_port) as client:
        client.do("LHLO x")
        client.do("MAIL FROM:<>")
        client.send(b"RCPT TO:<tries@down.example>\r\n")
        wait_for(lambda: silent.accepted == 1)
        with Lmtp(front.lmtp_port) as other:
            assert other.envelope("waits@down.example")[0].startswith("451 4.4.0")
        front.wait_log(f"Proxying failed: 127.0.0.1:{port}: the host is down")
        assert silent.accepted == 1


def test_a_server_that_is_this_one_by_name(front: Front) -> None:
    itself = f"host=localhost port={front.lmtp_port}"
    front.pass_on("here@example.com", f"proxy_maybe {itself}", home=True)
    front.pass_on("loop@example.com", f"proxy {itself}")
    front.pass_on("unknown@example.com", f"proxy_maybe host=x.invalid port={front.lmtp_port}")
    with Lmtp(front.lmtp_port) as client:
        replies = client.envelope("here@example.com", "loop@example.com", "unknown@example.com")
        assert [r[:9] for r in replies] == ["250 2.1.5", "451 4.3.0", "451 4.3.0"]
        assert client.data(message("by name")).startswith("250 2.0.0 <here@example.com>")
    assert (front.folder / "home" / "here@example.com" / "mail").is_dir()
    front.wait_log(f"proxying loops: localhost:{front.lmtp_port} is this server")
    [event] = front.wait_events("smtp_server_transaction_rcpt_finished", rcpt_to="here@example.com")
    assert "dest_host" not in event["fields"]


def test_connections_are_used_again_and_given_up_in_a_reset(front: Front) -> None:
    with FakeRelay() as relay, Lmtp(front.lmtp_port) as client:
        front.pass_on("kept@example.com", f"proxy host=127.0.0.1 port={relay.port}")
        for number in range(3):
            assert client.envelope("kept@example.com")[0].startswith("250")
            assert client.data(message(f"kept {number}")).startswith("250")
        assert client.envelope("kept@example.com")[0].startswith("250")
        assert client.do("RSET").startswith("250")
        assert client.do("QUIT").startswith("221")
    assert len(relay.mails) == 3


@pytest.mark.parametrize(
    ("answers", "rcpt", "data"),
    [
        ({"MAIL": "452 4.3.1 full"}, "452 4.3.1", ""),
        ({"RCPT": "550 5.2.1 disabled"}, "550 5.2.1", ""),
        ({"MAIL": "354 go on"}, "451 4.4.0", ""),
        ({"RCPT": "354 go on"}, "451 4.4.0", ""),
        ({"GREETING": "421 4.3.2 not now"}, "451 4.4.0", ""),
        ({"DATA": "451 4.3.0 broken"}, "250", "451 4.3.0"),
        ({"BODY": "552 5.2.2 too much"}, "250", "552 5.2.2"),
        ({"BODY": None}, "250", "451 4.4.0"),
    ],
)
def test_what_the_other_server_says_is_passed_on(
    front: Front, answers: dict[str, str | None], rcpt: str, data: str
) -> None:
    user = f"{'-'.join(answers)}{rcpt[:1]}{data[:3]}@example.com".lower()
    with FakeRelay(answers=answers) as relay, Lmtp(front.lmtp_port) as client:
        front.pass_on(user, f"proxy host=127.0.0.1 port={relay.port}")
        assert client.envelope(user)[0].startswith(rcpt)
        if data:
            assert client.data(message("told")).startswith(data)
