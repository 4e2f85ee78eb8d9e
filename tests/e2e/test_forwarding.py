"""forward_* fields of a proxy's passdb, as variables in the databases of the server behind it."""

from __future__ import annotations

import poplib
import smtplib
from collections.abc import Iterator

import pytest
from dovecot_server import dovecot
from fake_relay import DEFAULT_CAPABILITIES, FakeRelay
from proxying import Front
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, Running, running
from test_pop3 import PopServer

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
BLOCKS = """
[passdb.users.fields]
userdb_comment = "%{forward_color | upper}"
[userdb.users.fields]
mail_path = "%%{home}/%{forward_color | default('mail')}"
"""


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PopServer]:
    """Each user's mail is in a folder that the proxy says."""
    folder = tmp_path_factory.mktemp("backend")
    options = 'login_trusted_networks = ["127.0.0.1/32"]\nlmtp_proxy = true\n'
    with running(folder, make=PopServer, options=options, blocks=BLOCKS) as server:
        assert isinstance(server, PopServer)
        yield server


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, backend: PopServer) -> Iterator[Front]:
    there = "proxy host=127.0.0.1 port="
    folder = tmp_path_factory.mktemp("front")
    server = Front(
        folder,
        options='lmtp_proxy = true\nlogin_trusted_networks = ["127.0.0.6/32"]\n',
        users=(),
        passed_on={
            ALICE: f"{there}{backend.imap_port} forward_color=blue",
            BOB: f"{there}{backend.pop3_port} forward_color=red",
            CAROL: f"{there}{backend.lmtp_port} forward_color=green",
            "more@example.com": f"{there}{backend.imap_port} destuser={ALICE}",
        },
    )
    try:
        yield server.start()
    finally:
        server.stop()


def folders(backend: Running, user: str) -> set[str]:
    return {path.name for path in (backend.folder / "home" / user).iterdir()}


def test_imap(front: Front, backend: PopServer) -> None:
    with Imap(front.imap_port) as client:
        client.login(ALICE).ok("SELECT INBOX")
        client.append("INBOX", message("blue"))
    assert folders(backend, ALICE) == {"blue"}
    with Imap(front.imap_port, source="127.0.0.6") as client:
        client.ok('ID ("x-forward-color" "yellow" "x-forward-bad name" "x")')
        client.login("more@example.com").ok("SELECT INBOX")
    assert folders(backend, ALICE) == {"blue", "yellow"}


def test_nobody_else_is_believed(backend: PopServer) -> None:
    with Imap(backend.imap_port, source="127.0.0.9") as client:
        client.ok('ID ("x-forward-color" "black")')
        client.login(ALICE).ok("SELECT INBOX")
    assert "black" not in folders(backend, ALICE)
    with Lmtp(backend.lmtp_port, source="127.0.0.9") as client:
        assert "XRCPTFORWARD" not in client.do("LHLO x")
        client.do("MAIL FROM:<>")
        answer = client.do(f"RCPT TO:<{ALICE}> XRCPTFORWARD=color+3Dblack")
        assert answer.startswith("555 5.5.4 Unsupported parameter XRCPTFORWARD")


def test_pop3(front: Front, backend: PopServer) -> None:
    client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
    client.user(BOB)
    client.pass_(PASSWORD)
    assert client.stat() == (0, 0)
    client.quit()
    assert folders(backend, BOB) == {"red"}


def test_lmtp(front: Front, backend: PopServer) -> None:
    front.deliver(message("green"), CAROL)
    assert folders(backend, CAROL) == {"green"}
    with Lmtp(backend.lmtp_port) as client:
        assert "XRCPTFORWARD" in client.do("LHLO x")
        assert client.do("XCLIENT ADDR=192.0.2.1 FORWARD=Y29sb3I9b3Jhbmdl").startswith("220")
        assert client.envelope(CAROL)[0].startswith("250")
        assert client.data(message("orange")).startswith("250")
        client.do("MAIL FROM:<>")
        assert client.do(f"RCPT TO:<{CAROL}> XRCPTFORWARD=Y29sb3I9cGluaw+3D+3D").startswith("250")
        assert client.data(message("pink")).startswith("250")
        assert client.do(f"RCPT TO:<{CAROL}> XRCPTFORWARD=+3D+zz")[:3] in ("501", "503")
    assert folders(backend, CAROL) == {"green", "orange", "pink"}


@pytest.mark.parametrize("offered", [True, False])
def test_only_who_offers_it_is_told_with_the_recipient(front: Front, offered: bool) -> None:
    user = f"offered-{offered}@example.com".lower()
    more = ("XRCPTFORWARD",) if offered else ()
    with FakeRelay(capabilities=(*DEFAULT_CAPABILITIES, *more), lmtp=True) as relay:
        front.pass_on(user, f"proxy host=127.0.0.1 port={relay.port} forward_color=a+b forward_x=")
        front.deliver(message("told"), user)
        [mail] = relay.mails
    assert ("XRCPTFORWARD=color+3Da+2Bb+09x+3D" in mail.parameters) == offered


def test_fields_that_are_too_long_keep_nobody_out(front: Front, backend: PopServer) -> None:
    fields = "forward_color=grey " + " ".join(f"forward_n{n}={'x' * 100}" for n in range(40))
    fields += f" forward_long={'y' * 3000}"
    for name, port in (
        ("i", backend.imap_port),
        ("p", backend.pop3_port),
        ("l", backend.lmtp_port),
    ):
        there = f"proxy host=127.0.0.1 port={port} destuser={ALICE}"
        front.pass_on(f"{name}@long.example", f"{there} {fields}")
    with Imap(front.imap_port) as client:
        client.login("i@long.example").ok("SELECT INBOX")
    assert "grey" in folders(backend, ALICE)
    client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
    client.user("p@long.example")
    client.pass_(PASSWORD)
    client.quit()
    front.deliver(message("long"), "l@long.example")


def test_dovecot_in_front(backend: PopServer) -> None:
    there = f"proxy=y host=127.0.0.1 port={backend.lmtp_port} forward_color=dove"
    with (
        dovecot({BOB: there}, options="lmtp_proxy = yes\n") as proxy,
        smtplib.LMTP("127.0.0.1", proxy.ports["lmtp"]) as client,
    ):
        client.sendmail("s@example.org", [BOB], message("dove"))
    assert "dove" in folders(backend, BOB)
