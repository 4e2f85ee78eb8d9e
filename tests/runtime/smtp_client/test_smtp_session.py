"""Sessions and their pool against a server that does what it is told."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_relay import CLOSE, FakeRelay

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.outgoing import Destination
from pillarbox.runtime.smtp_client.errors import SmtpError, SmtpRefused
from pillarbox.runtime.smtp_client.opening import open_session
from pillarbox.runtime.smtp_client.pool import SmtpPool
from pillarbox.runtime.smtp_client.session import SmtpSession, slices
from pillarbox.runtime.smtp_client.target import Target, host_and_port
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.address import NULL, Address
from pillarbox.wire.smtp.parameters import MailParameters, RcptParameters
from pillarbox.wire.smtp.reply import reply

Run = Callable[..., Any]
SETTINGS = msgspec.structs.replace(Settings(), hostname="client.example.com")
SENDER = Address("alice", "example.com")
BOB, CAROL = Address("bob", "example.com"), Address("carol", "example.com")


@pytest.fixture
def lines() -> list[Line]:
    return []


@pytest.fixture
def log(lines: list[Line]) -> Log:
    return Log("test", lines.append, "debug")


def target(relay: FakeRelay, host: str = "127.0.0.1", **more: Any) -> Target:
    return Target(Destination(host, relay.port, ip="127.0.0.1"), **more)


def talk(
    uvrun: Run,
    log: Log,
    to: Target,
    work: Callable[[SmtpSession], Coroutine[Any, Any, None]],
    settings: Settings = SETTINGS,
) -> None:
    """Do something on a session that is ready."""

    async def scenario() -> None:
        try:
            session = await open_session(Scope(), log, settings, to)
            try:
                await work(session)
            finally:
                await session.quit()
        finally:
            await asyncio.sleep(0.05)  # TLS that was cut off is closed some turns later

    uvrun(scenario())


def test_a_message_in_three_round_trips(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        replies = await asyncio.gather(
            session.mail(SENDER, MailParameters(size=20)),
            session.rcpt(BOB, RcptParameters()),
            session.rcpt(CAROL, RcptParameters(notify="NEVER")),
        )
        assert [one.code for one in replies] == [250, 550, 250]
        assert replies[1] == reply(550, "5.1.1", "no bob")
        done = await session.data([b"Subject: x\r\n", b"\r\n.dot\r\n.", b"\r\n"])
        assert done == (reply(250, "2.0.0", "queued as 4711"),)
        assert session.usable

    with FakeRelay(answers={"RCPT bob@example.com": "550 5.1.1 no bob"}) as relay:
        talk(uvrun, log, target(relay), work)
        (mail,) = relay.mails
    assert (mail.sender, mail.recipients) == ("alice@example.com", ["carol@example.com"])
    assert mail.data == b"Subject: x\r\n\r\n.dot\r\n.\r\n"
    assert mail.parameters == " SIZE=20 NOTIFY=NEVER"
    assert relay.commands()[0] == "EHLO client.example.com"
    assert relay.commands()[-1] == "QUIT"


def test_a_chunk_is_sent_byte_by_byte(log: Log, uvrun: Run) -> None:
    message = b"bare\nlf \0 and no end" + b"x" * 1_000_000

    async def work(session: SmtpSession) -> None:
        await session.mail(NULL, MailParameters(body="BINARYMIME"))
        await session.rcpt(BOB, RcptParameters())
        (done,) = await session.bdat(slices(message), len(message))
        assert done.code == 250

    with FakeRelay() as relay:
        talk(uvrun, log, target(relay), work)
        assert relay.mails[0].data == message
        assert relay.mails[0].sender == ""


def test_data_that_is_refused(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        await session.mail(SENDER, MailParameters())
        await session.rcpt(BOB, RcptParameters())
        assert await session.data([b"x"]) == (reply(452, "4.3.1", "full"),)
        assert (await session.command("RSET")).code == 250
        assert session.usable

    with FakeRelay(answers={"DATA": "452 4.3.1 full"}) as relay:
        talk(uvrun, log, target(relay), work)
        assert relay.mails == []


def test_lmtp_answers_for_each_recipient(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        await session.mail(SENDER, MailParameters())
        await session.rcpt(BOB, RcptParameters())
        await session.rcpt(CAROL, RcptParameters())
        codes = [one.code for one in await session.data([b"hi\r\n"], 2)]
        assert codes == [250, 552]

    answers = {"BODY carol@example.com": "552 5.2.2 full"}
    with FakeRelay(lmtp=True, answers=answers) as relay:
        talk(uvrun, log, target(relay, lmtp=True), work)
    assert relay.commands()[0].startswith("LHLO")


@pytest.mark.parametrize("chunk", [False, True])
def test_no_message_is_taken_by_an_answer_that_wants_more(
    log: Log, uvrun: Run, chunk: bool
) -> None:
    async def work(session: SmtpSession) -> None:
        await session.mail(SENDER, MailParameters())
        await session.rcpt(BOB, RcptParameters())
        with pytest.raises(SmtpError, match="a message was answered 354"):
            await (session.bdat([b"hi\r\n"], 4) if chunk else session.data([b"hi\r\n"]))
        assert not session.usable

    with FakeRelay(answers={"BODY": "354 go on"}) as relay:
        talk(uvrun, log, target(relay), work)


def test_a_server_of_old_times(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        assert not session.capabilities.keywords
        replies = await asyncio.gather(
            session.mail(SENDER, MailParameters()), session.rcpt(BOB, RcptParameters())
        )
        assert [one.code for one in replies] == [250, 250]

    with FakeRelay(answers={"EHLO": "502 what?"}) as relay:
        talk(uvrun, log, target(relay), work)
    assert relay.commands("HELO") == ["HELO client.example.com"]


@pytest.mark.parametrize("security", ["starttls", "smtps"])
def test_tls(log: Log, uvrun: Run, certificate: Path, security: Any) -> None:
    settings = msgspec.structs.replace(SETTINGS, ssl_client_ca_file=str(certificate))

    async def work(session: SmtpSession) -> None:
        assert session.tls
        assert (await session.mail(SENDER, MailParameters())).code == 250

    with FakeRelay(certificate=certificate, implicit_tls=security == "smtps") as relay:
        talk(uvrun, log, target(relay, "localhost", security=security), work, settings)
        assert relay.talks[0].tls
        with pytest.raises(SmtpError, match="certificate verify failed"):
            talk(uvrun, log, target(relay, "other.example.com", security=security), work, settings)
        unchecked = target(relay, "other.example.com", security=security, verify=False)
        talk(uvrun, log, unchecked, work, settings)


def test_no_going_on_without_tls(log: Log, uvrun: Run, certificate: Path) -> None:
    async def work(session: SmtpSession) -> None:
        raise AssertionError("went on")

    with FakeRelay(certificate=certificate, answers={"STARTTLS": "454 4.7.0 not now"}) as relay:
        with pytest.raises(SmtpRefused) as caught:
            talk(uvrun, log, target(relay, security="starttls", user="u", password="p"), work)
        assert caught.value.reply == reply(454, "4.7.0", "not now")
        assert relay.commands("AUTH") == []


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ("AUTH PLAIN LOGIN", ["AUTH PLAIN " + base64.b64encode(b"\0me\0secret").decode()]),
        ("AUTH LOGIN", ["AUTH LOGIN"]),
    ],
)
def test_login(log: Log, uvrun: Run, offered: str, expected: list[str]) -> None:
    async def work(session: SmtpSession) -> None:
        assert session.usable

    with FakeRelay(capabilities=(offered,)) as relay:
        talk(uvrun, log, target(relay, user="me", password="secret"), work)
    assert relay.commands("AUTH") == expected
    if offered == "AUTH LOGIN":
        sent = [base64.b64decode(line) for line in relay.commands()[2:4]]
        assert sent == [b"me", b"secret"]
    assert "secret" not in repr(target(relay, user="me", password="secret"))


def test_login_refused_and_impossible(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        raise AssertionError("went on")

    with (
        FakeRelay(capabilities=("AUTH PLAIN",), answers={"AUTH": "535 5.7.8 no"}) as relay,
        pytest.raises(SmtpRefused, match=r"does not let me in: 535 5\.7\.8 no"),
    ):
        talk(uvrun, log, target(relay, user="me", password="x"), work)
    with (
        FakeRelay(capabilities=("AUTH GSSAPI",)) as relay,
        pytest.raises(SmtpError, match="no way to log in"),
    ):
        talk(uvrun, log, target(relay, user="me", password="x"), work)


def test_a_scram_server_that_does_not_prove_itself(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        raise AssertionError("went on")

    with (
        FakeRelay(capabilities=("AUTH SCRAM-SHA-256 PLAIN",)) as relay,
        pytest.raises(SmtpError, match="cannot be trusted"),
    ):
        talk(uvrun, log, target(relay, user="me", password="x"), work)
    assert relay.commands("AUTH")[0].startswith("AUTH SCRAM-SHA-256 ")


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"GREETING": "554 5.7.1 go away"}, "554 5.7.1 go away"),
        ({"GREETING": None}, "Connection closed"),
        ({"GREETING": "421 4.3.2 busy" + CLOSE}, "421 4.3.2 busy"),
        ({"GREETING": "hello"}, "Protocol error"),
        ({"EHLO": None}, "Connection closed"),
        ({"EHLO": "550 no"}, "550 no"),
    ],
)
def test_servers_that_do_not_serve(
    log: Log, uvrun: Run, answers: dict[str, Any], text: str
) -> None:
    async def work(session: SmtpSession) -> None:
        raise AssertionError("went on")

    with FakeRelay(answers=answers) as relay, pytest.raises(SmtpError, match=text):
        talk(uvrun, log, target(relay), work)


def test_nobody_there(log: Log, uvrun: Run) -> None:
    with FakeRelay() as relay:
        to = target(relay)
    with pytest.raises(SmtpError, match=r"Connecting to 127\.0\.0\.1:"):
        uvrun(open_session(Scope(), log, SETTINGS, to))


def test_a_server_that_says_nothing(log: Log, uvrun: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silence:
        to = Target(Destination("127.0.0.1", silence.getsockname()[1]), command_timeout=0.1)
        with pytest.raises(SmtpError, match=r"No answer in 0\.1 s"):
            uvrun(open_session(Scope(), log, SETTINGS, to))


async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that has seen enough before the message is over."""
    writer.write(b"220 hi\r\n")
    while line := await reader.readline():
        if line.startswith(b"DATA"):
            writer.write(b"354 go\r\n")
            await reader.readexactly(1000)
            writer.write(b"552 5.3.4 enough\r\n")
            await writer.drain()
            while await reader.read(1 << 16):
                pass
            break
        writer.write(b"250 ok\r\n")
    writer.close()


def test_an_answer_before_the_message_is_over(log: Log, uvrun: Run) -> None:
    async def scenario() -> None:
        server = await asyncio.start_server(refuse_early, "127.0.0.1", 0)
        to = Target(Destination("127.0.0.1", server.sockets[0].getsockname()[1]))
        session = await open_session(Scope(), log, SETTINGS, to)
        await session.mail(SENDER, MailParameters())
        await session.rcpt(BOB, RcptParameters())
        answer = await session.data(slices(b"x" * 5_000_000))
        assert answer == (reply(552, "5.3.4", "enough"),)
        session.abort("done")
        server.close()
        await asyncio.sleep(0.05)

    uvrun(scenario())


def test_a_server_that_does_not_read_the_message(log: Log, uvrun: Run) -> None:
    stop = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        while not (await reader.readline()).startswith(b"DATA"):
            writer.write(b"250 ok\r\n")
        writer.write(b"354 go\r\n")
        await stop.wait()
        writer.transport.abort()

    async def scenario() -> None:
        server = await asyncio.start_server(deaf, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        to = Target(Destination("127.0.0.1", port), command_timeout=0.5)
        session = await open_session(Scope(), log, SETTINGS, to)
        await session.mail(SENDER, MailParameters())
        await session.rcpt(BOB, RcptParameters())
        with pytest.raises(SmtpError, match=r"No answer in 0\.5 s"):
            await session.data(slices(b"x" * 50_000_000))
        stop.set()
        server.close()
        await asyncio.sleep(0.05)

    uvrun(scenario())


def test_all_that_wait_are_told_of_the_end(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        results = await asyncio.gather(
            session.mail(SENDER, MailParameters()),
            session.rcpt(BOB, RcptParameters()),
            session.rcpt(CAROL, RcptParameters()),
            return_exceptions=True,
        )
        assert results[0] == reply(250, "2.1.0", "sender ok")
        assert all(isinstance(one, SmtpError) for one in results[1:])
        with pytest.raises(SmtpError):
            await session.command("NOOP")
        assert not session.usable

    with FakeRelay(answers={"RCPT": None}) as relay:
        talk(uvrun, log, target(relay), work)


def test_xclient_and_vrfy(log: Log, uvrun: Run) -> None:
    async def work(session: SmtpSession) -> None:
        assert (await session.xclient({"ADDR": "192.0.2.1"})).code == 220
        await session.hello("client.example.com")
        assert (await session.command("VRFY", "bob")).code == 252

    with FakeRelay(capabilities=("XCLIENT ADDR",)) as relay:
        talk(uvrun, log, target(relay), work)
    assert relay.commands()[1:4] == [
        "XCLIENT ADDR=192.0.2.1",
        "EHLO client.example.com",
        "VRFY bob",
    ]


def test_the_pool_uses_sessions_again(log: Log, uvrun: Run) -> None:
    async def scenario() -> None:
        pool = SmtpPool(log, SETTINGS)
        to = target(relay)
        for _ in range(3):
            async with pool.session(Scope(), to) as lent:
                await lent.session.mail(SENDER, MailParameters())
                await lent.session.rcpt(BOB, RcptParameters())
                await lent.session.data([b"hi\r\n"])
                lent.clean = True
        assert len(relay.talks) == 1
        async with pool.session(Scope(), to) as lent:
            assert lent.kept
            await lent.session.mail(SENDER, MailParameters())
        async with pool.session(Scope(), target(relay, command_timeout=9.0)) as lent:
            assert not lent.kept
            lent.clean = True
        async with pool.session(Scope(), to) as lent:
            assert not lent.kept
            lent.clean = True
            relay.hang_up()
            while lent.session.usable:
                await asyncio.sleep(0)
        async with pool.session(Scope(), to) as lent:
            assert not lent.kept
        await pool.close()

    with FakeRelay() as relay:
        uvrun(scenario())
    assert len(relay.mails) == 3


def test_an_idle_session_says_goodbye(log: Log, uvrun: Run) -> None:
    async def scenario() -> None:
        pool = SmtpPool(log, SETTINGS, idle=0.01)
        async with pool.session(Scope(), target(relay)) as lent:
            lent.clean = True
        while lent.session.usable:
            await asyncio.sleep(0.01)
        while not relay.commands("QUIT"):
            await asyncio.sleep(0.01)

    with FakeRelay() as relay:
        uvrun(scenario())


@pytest.mark.parametrize(
    ("text", "security", "expected"),
    [
        ("mx", "no", ("mx", 25)),
        ("mx", "smtps", ("mx", 465)),
        ("mx:2525", "starttls", ("mx", 2525)),
        ("192.0.2.1:26", "no", ("192.0.2.1", 26)),
        ("[2001:db8::1]:26", "no", ("2001:db8::1", 26)),
        ("[2001:db8::1]", "no", ("2001:db8::1", 25)),
        ("2001:db8::1", "no", ("2001:db8::1", 25)),
    ],
)
def test_host_and_port(text: str, security: Any, expected: tuple[str, int]) -> None:
    assert host_and_port(text, security) == expected


@pytest.mark.parametrize("text", ["", ":25", "mx:smtp"])
def test_no_host_and_port(text: str) -> None:
    with pytest.raises(ValueError):
        host_and_port(text, "no")
