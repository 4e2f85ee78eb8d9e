"""What a client sends together goes to the relay together, and no answer is made up."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from fake_relay import CLOSE, DEFAULT_CAPABILITIES, FakeRelay
from submission_case import Case, splits

GREETED = b"235 2.7.0 Logged in.\r\n"
BURST = b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\nDATA\r\n"
BODY = b"Subject: x\r\n\r\ntext\r\n.\r\n"
TAKEN = "250 2.0.0 queued as 4711"


def told(got: bytes) -> list[str]:
    """The replies after the login."""
    return got.removeprefix(GREETED).decode().split("\r\n")[:-1]


class PatientRelay:
    """Answers nothing before it has all that it waits for; says when it has seen DATA."""

    def __init__(self, recipients: int, data: bool) -> None:
        self.recipients = recipients
        self.data = data
        self.lines: list[bytes] = []
        self.asked = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> PatientRelay:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self.thread.join(10)

    def run(self) -> None:
        sock, _ = self.server.accept()
        with sock, sock.makefile("rb") as file:
            sock.sendall(b"220 hello\r\n")
            file.readline()
            sock.sendall(b"250-me\r\n250 PIPELINING\r\n")
            self.lines += [file.readline() for _ in range(1 + self.recipients + self.data)]
            sock.sendall(b"250 2.0.0 ok\r\n" * (1 + self.recipients))
            if not self.data:
                self.lines.append(file.readline())
            self.asked.set()
            sock.sendall(b"354 go on\r\n")
            while file.readline() not in (b".\r\n", b""):
                pass
            sock.sendall(b"250 2.0.0 taken\r\n")
            file.readline()


@pytest.mark.parametrize("data", [True, False])
def test_commands_go_together_and_data_before_the_message(tmp_path: Path, data: bool) -> None:
    pieces = [BURST] if data else [BURST.removesuffix(b"DATA\r\n"), b"DATA\r\n"]
    with PatientRelay(2, data) as relay:
        case = Case(tmp_path, relay.port)
        got = case.talk(
            [*pieces, BODY + b"QUIT\r\n"], until=b"354", then=lambda: relay.asked.wait(10)
        )
    assert relay.lines == [line + b"\r\n" for line in BURST.splitlines()]
    assert told(got)[-2:] == ["250 2.0.0 taken", "221 2.0.0 Bye"]


@pytest.mark.parametrize("answer", ["503 5.5.1 nobody", "354 go ahead"])
def test_data_for_nobody(relay: FakeRelay, tmp_path: Path, answer: str) -> None:
    relay.answers |= {"RCPT b@y": "550 no", "RCPT c@y": "550 no", "DATA for nobody": answer}
    again = b"MAIL FROM:<a@x>\r\nRCPT TO:<d@y>\r\nDATA\r\n" + BODY + b"QUIT\r\n"
    for behind in (b"RSET\r\n", b"VRFY me\r\nRSET\r\n", b"RCPT TO:<d@y>\r\nRSET\r\n"):
        relay.talks.clear()
        got = told(Case(tmp_path, relay.port).talk([BURST + behind + again]))
        assert got[:4] == [
            "250 2.1.0 sender ok",
            *["550 5.0.0 no"] * 2,
            "503 5.5.1 No valid recipients",
        ]
        assert [line[:3] for line in got[-6:]] == ["250", "250", "250", "354", "250", "221"]
        assert relay.mails.pop().recipients == ["d@y"]
        assert len(relay.talks) == (2 if answer.startswith("354") else 1)
        assert relay.mails == []


def test_a_relay_without_pipelining(tmp_path: Path) -> None:
    capabilities = tuple(one for one in DEFAULT_CAPABILITIES if one != "PIPELINING")
    with FakeRelay(capabilities=capabilities) as relay:
        for pieces in splits(BURST + BODY + b"QUIT\r\n"):
            got = told(Case(tmp_path, relay.port).talk(pieces))
            assert [line[:3] for line in got] == ["250", "250", "250", "354", "250", "221"]
        assert [mail.recipients for mail in relay.mails] == [["b@y", "c@y"]] * 5


def test_mail_is_refused(relay: FakeRelay, tmp_path: Path) -> None:
    stream = BURST + b"MAIL FROM:<good@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n" + BODY + b"QUIT\r\n"
    for pieces in splits(stream):
        relay.talks.clear()
        relay.answers["MAIL"] = ["550 5.7.1 not you", "250 2.1.0 but you"]
        assert told(Case(tmp_path, relay.port).talk(pieces)) == [
            "550 5.7.1 not you",
            *["503 5.5.1 MAIL needed first"] * 3,
            "250 2.1.0 but you",
            "250 2.1.5 recipient ok",
            "354 End data with <CR><LF>.<CR><LF>",
            TAKEN,
            "221 2.0.0 Bye",
        ]
        assert len(relay.talks) == 1
        assert len(relay.commands("RSET")) == 1
    assert [mail.sender for mail in relay.mails] == ["good@x"] * 5


def test_a_relay_that_is_gone_is_asked_again(relay: FakeRelay, tmp_path: Path) -> None:
    stream = [BURST + BODY, BURST + BODY + b"QUIT\r\n"]
    got = Case(tmp_path, relay.port).talk(stream, until=TAKEN.encode(), then=relay.hang_up)
    assert [line[:3] for line in told(b"\r\n" + got)[2:]] == ["250"] * 3 + ["354", "250", "221"]
    assert [mail.recipients for mail in relay.mails] == [["b@y", "c@y"]] * 2
    relay.answers["MAIL"] = ["250 ok", "421 4.3.2 restarting" + CLOSE, "250 ok"]
    got = Case(tmp_path, relay.port).talk([BURST + BODY + BURST + BODY + b"QUIT\r\n"])
    assert b"421" not in got
    assert len(relay.mails) == 4


def test_a_relay_that_goes_between_the_answers(relay: FakeRelay, tmp_path: Path) -> None:
    relay.answers["RCPT c@y"] = None
    got = told(Case(tmp_path, relay.port).talk([BURST.replace(b"DATA", b"QUIT")]))
    lost = "451 4.4.2 The connection to the mail relay was lost"
    assert got[:3] in (["250 2.1.0 sender ok", first, lost]
                       for first in ("250 2.1.5 recipient ok", lost))  # fmt: skip
    assert relay.mails == []


def test_what_may_be_refused_here_is_not_asked_ahead(relay: FakeRelay, tmp_path: Path) -> None:
    class Counting:
        left = 1

        async def count(self, key: str, limit: int, period: float) -> bool:
            assert (key, limit) == ("submission/recipients/alice@example.com", 1)
            self.left -= 1
            return self.left >= 0

    case = Case(tmp_path, relay.port, submission_rate_recipients=1)
    case.admitting.anvil = Counting()
    got = told(case.talk([BURST + BODY + b"QUIT\r\n"]))
    assert got[2] == "450 4.7.1 You have too many recipients, try again later"
    got = told(
        Case(tmp_path, relay.port, submission_max_recipients=1).talk([BURST + BODY + b"QUIT\r\n"])
    )
    assert got[2].startswith("452")
    smtputf8 = BURST.replace(b"c@y", "\u00e4@y".encode())
    got = told(Case(tmp_path, relay.port).talk([smtputf8 + BODY + b"QUIT\r\n"]))
    assert got[2].startswith("553")
    assert relay.commands("RCPT") == ["RCPT TO:<b@y>"] * 3
    assert [mail.recipients for mail in relay.mails] == [["b@y"]] * 3


def test_many_recipients(relay: FakeRelay, tmp_path: Path) -> None:
    names = [f"r{number}@y" for number in range(200)]
    relay.answers["RCPT r77@y"] = "550 5.1.1 no"
    stream = b"MAIL FROM:<a@x>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % n.encode() for n in names)
    for pieces in splits(stream + b"DATA\r\n" + BODY + b"QUIT\r\n"):
        got = told(Case(tmp_path, relay.port).talk(pieces))
        assert [n for n, line in enumerate(got[1:201]) if line != "250 2.1.5 recipient ok"] == [77]
        assert relay.mails[-1].recipients == [name for name in names if name != "r77@y"]
    assert len(relay.mails) == 5


def test_no_message_comes_after_data(relay: FakeRelay, tmp_path: Path) -> None:
    big = BURST + b"x" * 78 + b"\r\n" * 2000 + b".\r\n"
    case = Case(tmp_path, relay.port, submission_max_mail_size=1000)
    got = told(case.talk([big + BURST + BODY + b"QUIT\r\n"]))
    assert [line[:3] for line in got] == [
        "250", "250", "250", "354", "552", "250", "250", "250", "354", "250", "221",
    ]  # fmt: skip
    assert len(relay.talks) == 2
    assert [mail.data.partition(b"\r\n\r\n")[2] for mail in relay.mails] == [b"text\r\n"]
    Case(tmp_path, relay.port).talk([BURST + b"half a mess"], hang_up=True)
    assert len(relay.mails) == 1


def test_data_is_refused(relay: FakeRelay, tmp_path: Path) -> None:
    relay.answers["DATA"] = ["451 4.3.0 not now"]
    got = told(Case(tmp_path, relay.port).talk([BURST + BODY + BURST + BODY + b"QUIT\r\n"]))
    assert got[4] == "451 4.3.0 not now"
    assert got[9] == TAKEN
    assert len(relay.talks) == 1
    assert len(relay.mails) == 1
