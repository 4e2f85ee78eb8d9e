"""Logins at servers of four protocols, as transcripts in three feeds."""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from playing import CUTS, Cut, Player, play

from pillarbox.wire.imap import login_client as imap
from pillarbox.wire.managesieve import login_client as managesieve
from pillarbox.wire.pop3 import login_client as pop3
from pillarbox.wire.proxy.dialogue import (
    Credentials,
    Dialogue,
    LoggedIn,
    Origin,
    ProtocolError,
    Refused,
    Result,
)
from pillarbox.wire.proxy.reader import LineReader, LiteralReader
from pillarbox.wire.smtp import login_client as smtp

PLAIN = b64encode(b"\0bob\0pw").decode()
LONG = b64encode(b"\0bob\0" + b"x" * 250).decode()
MASTER = b64encode(b"bob\0master\0pw").decode()
ORIGIN = Origin("192.0.2.1", 4242, "198.51.100.1", 143, "abc", 4, {"color": "light blue"})
BOB = Credentials("bob", "pw")
TLS = Credentials("bob", "pw", starttls=True)
AS_MASTER = Credentials("master", "pw", authzid="bob")
BY_LOGIN = Credentials("bob", "pw", mechanism="LOGIN")
BY_SCRAM = Credentials("bob", "pw", mechanism="SCRAM-SHA-256", nonce="n")
USER, WORD = b64encode(b"bob").decode(), b64encode(b"pw").decode()
FORWARD = b64encode(b"color=light blue").decode().replace("=", "+3D")
XCLIENT = (
    f"ADDR=192.0.2.1 PORT=4242 DESTADDR=198.51.100.1 DESTPORT=143 SESSION=abc TTL=4 "
    f"FORWARD={FORWARD}"
)
ID = (
    'I ID ("x-session-id" "abc" "x-originating-ip" "192.0.2.1" "x-originating-port" "4242" '
    '"x-connected-ip" "198.51.100.1" "x-connected-port" "143" "x-proxy-ttl" "4" '
    '"x-forward-color" "light blue")'
)

Case = tuple[Credentials, Origin | None, str, Result]

IMAP: dict[str, Case] = {
    "greeting tells all, ID and AUTHENTICATE leave together": (
        BOB,
        ORIGIN,
        f"""
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] hi
        C: {ID}|A AUTHENTICATE PLAIN {PLAIN}
        S: * ID ("name" {{5}}|A) x")|I OK done
        S: * CAPABILITY IMAP4rev1 IDLE
        S: A OK Logged in
        """,
        LoggedIn(b"Logged in", (b"* CAPABILITY IMAP4rev1 IDLE",)),
    ),
    "CAPABILITY is asked for, and asked again under TLS": (
        TLS,
        ORIGIN,
        f"""
        S: * OK hi
        C: S STARTTLS
        S: S OK go
        T
        C: C CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN|C OK done
        C: A AUTHENTICATE PLAIN
        S: +
        C: {PLAIN}
        S: A OK [CAPABILITY IMAP4rev1] in
        """,
        LoggedIn(b"[CAPABILITY IMAP4rev1] in"),
    ),
    "LOGIN where there is no SASL, with a literal": (
        Credentials("bob", 'p"w\u00fc'),
        None,
        """
        S: * OK [CAPABILITY IMAP4rev1] hi
        C: A LOGIN "bob" {5}
        S: + go on
        C: p"w\u00fc
        S: A NO [UNAVAILABLE] later
        """,
        Refused("proxy_dest_auth_temp_failed", "later", b"UNAVAILABLE"),
    ),
    "a master user needs SASL": (
        AS_MASTER,
        None,
        "S: * OK [CAPABILITY IMAP4rev1] hi",
        Refused("invalid_mech", "the server does not offer PLAIN"),
    ),
    "a master user": (
        AS_MASTER,
        None,
        f"""
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi
        C: A AUTHENTICATE PLAIN {MASTER}
        S: A NO [AUTHENTICATIONFAILED] wrong
        """,
        Refused("proxy_dest_auth_failed", "wrong", b"AUTHENTICATIONFAILED"),
    ),
    "the server speaks first in LOGIN": (
        BY_LOGIN,
        None,
        f"""
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=LOGIN] hi
        C: A AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: {USER}
        S: + UGFzc3dvcmQ6
        C: {WORD}
        S: A NO [REFERRAL imap://there/] moved
        """,
        Refused("proxy_dest_redirected", "moved", b"REFERRAL", "imap://there/"),
    ),
    "BYE in the middle": (
        BOB,
        None,
        """
        S: * OK hi
        C: C CAPABILITY
        S: * CAPABILITY IMAP4rev1 LOGINDISABLED|C OK done
        """,
        Refused("cleartext_auth_disabled", "the server wants TLS before a password"),
    ),
}
POP3: dict[str, Case] = {
    "XCLIENT, CAPA, AUTH": (
        BOB,
        ORIGIN,
        f"""
        S: +OK [XCLIENT] hi
        C: XCLIENT {XCLIENT.replace("+3D", "=")}
        S: +OK Updated
        C: CAPA
        S: +OK|SASL LOGIN PLAIN|TOP|.
        C: AUTH PLAIN {PLAIN}
        S: +OK Logged in.
        """,
        LoggedIn(b"Logged in."),
    ),
    "an old server": (
        TLS,
        ORIGIN,
        """
        S: +OK hi
        C: STLS
        S: +OK
        T
        C: CAPA
        S: -ERR what?
        C: USER bob
        S: +OK
        C: PASS pw
        S: -ERR [IN-USE] locked
        """,
        Refused("temp_fail", "locked", b"INUSE"),
    ),
    "a long initial response gets a line of its own": (
        Credentials("bob", "x" * 250),
        None,
        f"""
        S: +OK hi
        C: CAPA
        S: +OK|SASL PLAIN|.
        C: AUTH PLAIN
        S: +
        C: {LONG}
        S: -ERR [AUTH] no
        """,
        Refused("proxy_dest_auth_failed", "no", b"AUTHENTICATIONFAILED"),
    ),
    "a server that is out of order": (
        BOB,
        None,
        "S: -ERR [SYS/TEMP] later",
        Refused("proxy_dest_remote_failure", "later", b"UNAVAILABLE"),
    ),
}
SMTP: dict[str, Case] = {
    "EHLO, STARTTLS, EHLO, XCLIENT, EHLO, AUTH": (
        TLS,
        ORIGIN,
        f"""
        S: 220-two|220 lines
        C: EHLO proxy.example
        S: 250-mx|250 STARTTLS
        C: STARTTLS
        S: 220 go
        T
        C: EHLO proxy.example
        S: 250-mx|250-AUTH PLAIN LOGIN|250 XCLIENT ADDR PORT
        C: XCLIENT ADDR=192.0.2.1 PORT=4242
        S: 220 again
        C: EHLO proxy.example
        S: 250-mx|250 AUTH PLAIN
        C: AUTH PLAIN {PLAIN}
        S: 235 2.7.0 ok
        """,
        LoggedIn(b"2.7.0 ok"),
    ),
    "an account that is disabled": (
        BY_LOGIN,
        None,
        f"""
        S: 220 hi
        C: EHLO proxy.example
        S: 250-mx|250 AUTH=LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: {USER}
        S: 334 UGFzc3dvcmQ6
        C: {WORD}
        S: 525 5.7.13 disabled
        """,
        Refused("user_disabled", "disabled", b"CONTACTADMIN"),
    ),
    "later": (
        BOB,
        None,
        f"""
        S: 220 hi
        C: EHLO proxy.example
        S: 250-mx|250 AUTH PLAIN
        C: AUTH PLAIN {PLAIN}
        S: 454 4.7.0 later
        """,
        Refused("proxy_dest_auth_temp_failed", "later", b"UNAVAILABLE"),
    ),
    "nobody is served": (BOB, None, "S: 554 no", Refused("proxy_dest_remote_failure", "no")),
}
SIEVE: dict[str, Case] = {
    "capabilities, STARTTLS, XCLIENT, AUTHENTICATE": (
        TLS, ORIGIN,
        f"""
        S: "IMPLEMENTATION" {{3}}|o"k|"SASL" ""|"STARTTLS"|OK
        C: STARTTLS
        S: OK "go"
        T
        S: "SASL" "PLAIN LOGIN"|"XCLIENT"|OK "hi"
        C: XCLIENT {XCLIENT.replace("+3D", "=")}
        S: OK
        C: AUTHENTICATE "PLAIN" {{{len(PLAIN)}+}}|{PLAIN}
        S: OK "in"
        """,
        LoggedIn(b"in"),
    ),
    "a challenge as a literal": (
        BY_LOGIN, None,
        f"""
        S: "SASL" "LOGIN"|OK
        C: AUTHENTICATE "LOGIN"
        S: {{12}}|VXNlcm5hbWU6
        C: {{{len(USER)}+}}|{USER}
        S: "UGFzc3dvcmQ6"
        C: {{{len(WORD)}+}}|{WORD}
        S: NO (REFERRAL "sieve://there") "moved"
        """,
        Refused("proxy_dest_redirected", "moved", b"REFERRAL", "sieve://there"),
    ),
    "later": (
        BOB, None,
        f"""
        S: "SASL" "PLAIN"|OK
        C: AUTHENTICATE "PLAIN" {{{len(PLAIN)}+}}|{PLAIN}
        S: NO (TRYLATER) {{5}}|later
        """,
        Refused("proxy_dest_auth_temp_failed", "later", b"UNAVAILABLE"),
    ),
    "goodbye": (BOB, None, 'S: BYE "full"', Refused("proxy_dest_remote_failure", "full")),
}  # fmt: skip

Make = Callable[[Credentials, Origin | None], Dialogue]


def by_smtp(credentials: Credentials, origin: Origin | None) -> Dialogue:
    return smtp.login(credentials, origin, "proxy.example")


PROTOCOLS: dict[str, tuple[Make, type[LineReader], dict[str, Case]]] = {
    "imap": (imap.login, LiteralReader, IMAP),
    "pop3": (pop3.login, LineReader, POP3),
    "smtp": (by_smtp, LineReader, SMTP),
    "managesieve": (managesieve.login, LiteralReader, SIEVE),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("protocol", "name"), [(p, name) for p, (_, _, cases) in PROTOCOLS.items() for name in cases]
)
def test_transcripts(protocol: str, name: str, cut: Cut) -> None:
    make, reader, cases = PROTOCOLS[protocol]
    credentials, origin, transcript, result = cases[name]
    assert play(make(credentials, origin), reader(), transcript, cut) == result


NONSENSE = [
    b"",
    b"hello",
    b"* PREAUTH in",
    b"* OK\0",
    b"+OK",
    b"999 what",
    b'{1}\r\nx "y" (',
    b"\xff",
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("line", NONSENSE)
def test_nonsense_is_a_protocol_error_or_a_refusal(protocol: str, line: bytes) -> None:
    make, reader, _ = PROTOCOLS[protocol]
    player = Player(make(BOB, ORIGIN), reader())
    try:
        for _ in range(300):
            player.feed(line + b"\r\n")
    except ProtocolError:
        return
    assert not isinstance(player.result, LoggedIn)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_input_is_bounded(protocol: str) -> None:
    make, reader, _ = PROTOCOLS[protocol]
    player = Player(make(BOB, None), reader())
    with pytest.raises(ProtocolError, match="too long"):
        player.feed(b"* OK " + b"x" * 100_000)
    player = Player(make(BOB, None), LiteralReader())
    with pytest.raises(ProtocolError, match="too long"):
        player.feed(b"* OK {99999999}\r\n")


def test_the_bounds_of_id() -> None:
    fields = {"long": "x" * 1025, **{f"n{number}": "y" * 1024 for number in range(40)}}
    player = Player(imap.login(BOB, replace(ORIGIN, forward=fields)), LiteralReader())
    player.feed(b"* OK [CAPABILITY SASL-IR ID AUTH=PLAIN] hi\r\n")
    told = player.said.split(b"\r\n")[0]
    assert told.count(b'"') == 4 * 30
    assert b"x-forward-long" not in told
    assert b'"x-forward-n23" "yyy' in told


def test_binding_to_the_channel() -> None:
    """The -PLUS forms bind to what the channel is when the mechanism begins."""
    channel = b""
    credentials = Credentials(
        "bob", "pw", mechanism="SCRAM-SHA-256-PLUS", nonce="n", end_point=lambda: channel
    )
    greeting = b"* OK [CAPABILITY SASL-IR AUTH=SCRAM-SHA-256-PLUS] hi\r\n"
    player = Player(imap.login(credentials, None), LiteralReader())
    with pytest.raises(ProtocolError, match="without TLS"):
        player.feed(greeting)
    player = Player(imap.login(replace(credentials, starttls=True), None), LiteralReader())
    player.feed(greeting + b"S OK\r\n")
    channel, player.said = b"hash", b""
    player.handshaken()
    player.feed(b"* CAPABILITY SASL-IR AUTH=SCRAM-SHA-256-PLUS\r\nC OK\r\n")
    command, mechanism, initial = player.said.split(b"\r\n")[1].split()[1:]
    assert (command, mechanism) == (b"AUTHENTICATE", b"SCRAM-SHA-256-PLUS")
    assert b64decode(initial) == b"p=tls-server-end-point,,n=bob,r=n"
    player.said = b""
    player.feed(b"+ " + b64encode(b"r=nX,s=QUFB,i=1") + b"\r\n")
    final = b64decode(player.said)
    assert final.startswith(b"c=" + b64encode(b"p=tls-server-end-point,,hash") + b",r=nX,p=")


def test_a_server_without_the_right_proof_is_not_trusted() -> None:
    player = Player(imap.login(BY_SCRAM, None), LiteralReader())
    player.feed(b"* OK [CAPABILITY SASL-IR AUTH=SCRAM-SHA-256] hi\r\n")
    assert player.said.startswith(b"A AUTHENTICATE SCRAM-SHA-256 ")
    first = b64encode(b"r=nX,s=QUFB,i=4096")
    player.feed(b"+ " + first + b"\r\n")
    with pytest.raises(ProtocolError, match="did not prove"):
        player.feed(b"+ " + b64encode(b"v=AAAA") + b"\r\n")
