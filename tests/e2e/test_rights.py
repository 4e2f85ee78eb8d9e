"""Giving up rights: the server without root, and started as root with a user for each role.

What each process may do is tried with all protocols, and through the proxy.
"""

from __future__ import annotations

import contextlib
import functools
import os
import poplib
import pwd
import shutil
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_relay import FakeRelay
from managesieve_client import Sieve
from proxying import dead_port
from raw import Imap, message
from running import PASSWORD, PROGRAM, USERS, Running, free_port, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS


def as_root() -> bool:
    return os.geteuid() == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="pillarbox-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def uids_of(pid: int) -> set[int]:
    """Real, effective, saved and file system uid."""
    line = Path(f"/proc/{pid}/status").read_text().partition("\nUid:")[2].splitlines()[0]
    return set(map(int, line.split()))


@pytest.mark.skipif(not as_root(), reason="needs root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_without_root(open_folder: Path) -> None:
    """The whole server as nobody: it serves, and everything is nobody's."""
    nobody = pwd.getpwnam("nobody")
    server = Running(open_folder / "server")
    users = server.folder / "users"
    users.write_text(
        users.read_text().replace(f":{os.getuid()}:{os.getgid()}:", f":{nobody.pw_uid}::")
    )
    for path in (server.folder, *server.folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    wrapper = [*readable_python(open_folder), *as_user(nobody.pw_uid)]
    if not may_run_python(wrapper):
        pytest.skip("nobody may not read this Python")
    try:
        server.start(wrapper)
        assert all(uids_of(pid) == {nobody.pw_uid} for pid in server.processes())
        server.deliver(message("as nobody"), ALICE)
        with login(server) as client:
            assert client.ok("SELECT INBOX").grep(rb"^\* 1 EXISTS")
        mail = list((server.folder / "home").rglob("*"))
        assert mail
        assert {path.stat().st_uid for path in mail} == {nobody.pw_uid}
        log = (server.folder / "log").read_text()
        assert "Running as root" not in log
        assert "Error" not in log
    finally:
        server.stop()


def as_user(uid: int, *groups: int) -> list[str]:
    """The command that becomes another command of this user."""
    keep = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", keep, "--bounding-set=-all"]


def readable_python(folder: Path) -> list[str]:
    """A command in whose mounts everybody can reach this interpreter; often nothing is needed."""
    prefix = Path(sys.base_prefix)
    closed = [p for p in prefix.parents if not p.stat().st_mode & 0o001]
    if not closed:
        return []
    aside = folder / "python"
    aside.mkdir()
    script = f"""
mount --bind {prefix} {aside}
mount -t tmpfs -o mode=755 tmpfs {closed[-1]}
mkdir -p {prefix}
mount --bind {aside} {prefix}
exec "$@"
"""
    return ["unshare", "--mount", "sh", "-ec", script, "sh"]


def may_run_python(wrapper: list[str]) -> bool:
    """Whether Python with Pillarbox, started this way, can start itself again."""
    again = "import subprocess, sys; subprocess.check_call([sys.executable, '-c', sys.argv[1]])"
    command = [*wrapper, sys.executable, "-c", again, "import pillarbox.cli.main"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


ROLES = {"login": 64001, "internal": 64002, "mail": 64003}


@pytest.mark.skipif(not as_root(), reason="needs root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
@pytest.mark.parametrize("by_systemd", [False, True])
def test_rights_are_dropped(open_folder: Path, by_systemd: bool) -> None:
    """Started as root: each process is its role's user, and mail is the mail user's alone.

    The capabilities that the systemd unit leaves to root suffice for that.
    """
    wrapper = readable_python(open_folder)
    if by_systemd:
        wrapper += ["setpriv", f"--bounding-set=-all,{unit_capabilities()}", "--no-new-privs"]
    if not all(may_run_python([*wrapper, *as_user(uid)]) for uid in ROLES.values()):
        pytest.skip("other users may not read this Python")
    relay = FakeRelay()
    server = AllProtocols(open_folder / "server", relay)
    home = give_to_roles(server)
    users = server.folder / "users"
    mail_uid = ROLES["mail"]
    try:
        server.start(wrapper)
        for pid, name in server.processes().items():
            assert uids_of(pid) == {uid_for(name)}, name
            privileges = Path(f"/proc/{pid}/status").read_text()
            assert "NoNewPrivs:\t1" in privileges
            assert "CapEff:\t0000000000000000" in privileges
        with relay:
            use_everything(server)
            assert [mail.recipients for mail in relay.mails] == [[BOB]]
        for words, stdin in COMMANDS:  # started by root, they become the mail user
            command = [*wrapper, *PROGRAM, *words, "-c", str(server.config)]
            done = subprocess.run(command, input=stdin, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b""), words
        lines = (server.folder / "log").read_text().splitlines()
        assert [line for line in lines if "Error" in line and "Proxying to" not in line] == []
        assert [line for line in lines if "Permission denied" in line] == []
        files = list(home.rglob("*"))
        assert {(p.stat().st_uid, p.stat().st_gid) for p in files} == {(mail_uid, mail_uid)}
        assert not [p for p in files if p.stat().st_mode & 0o077]
        for role in ("login", "internal"):
            for path in (home, *files):
                assert not may_read(path, ROLES[role]), (role, path)
        assert not may_read(users, ROLES["login"])
        for pid in server.processes("auth"):  # a successor has the same rights
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: can_login(server), server.explain)
        assert all(uids_of(pid) == {ROLES["internal"]} for pid in server.processes("auth"))
        assert server.cli("reload").returncode == 0
        wait_for(lambda: can_login(server), server.explain)
    finally:
        server.stop()


COMMANDS = (
    (("deliver", "-d", ALICE), message("by a command")),
    (("mailbox", "create", "-u", ALICE, "Made"), b""),
    (("sieve", "put", "-u", ALICE, "other", "-"), b'require "fileinto"; fileinto "Made";'),
    (("sieve", "list", "-u", ALICE), b""),
)


class AllProtocols(Running):
    """A server with every door open; Carol's mail is on a server that is down."""

    def __init__(self, folder: Path, relay: FakeRelay) -> None:
        self.pop3_port, self.sieve_port, self.submission_port = (free_port() for _ in range(3))
        blocks = f"""
[service.pop3_login.inet_listener.pop3]
port = {self.pop3_port}
[service.pop3_login.inet_listener.pop3s]
port = 0
[service.managesieve_login.inet_listener.sieve]
port = {self.sieve_port}
[service.submission_login.inet_listener.submission]
port = {self.submission_port}
[service.submission_login.inet_listener.submissions]
port = 0
"""
        options = f"""
mail_uid = "{ROLES["mail"]}"
protocols = ["imap", "lmtp", "pop3", "sieve", "submission"]
submission_relay_host = "127.0.0.1"
submission_relay_port = {relay.port}
login_proxy_max_reconnects = 0
"""
        super().__init__(folder, options=options, blocks=blocks)

    def start(self, wrapper: Sequence[str] = ()) -> AllProtocols:
        """Start, and wait until every process has its title and every door is open."""
        super().start(wrapper)
        for port in (self.pop3_port, self.sieve_port, self.submission_port):
            wait_for(functools.partial(self._greets, port), self.explain)
        wait_for(lambda: all("/" in t or "-" in t for t in self.processes().values()), self.explain)
        return self


def give_to_roles(server: Running) -> Path:
    """Configure the roles, give them their files; the folder of homes."""
    text = server.config.read_text()
    for name, role in (("login_user", "login"), ("internal_user", "internal")):
        text = text.replace(f'default_{name} = "root"', f'default_{name} = "{ROLES[role]}"')
    text = text.replace(
        'default_internal_group = "root"', f'default_internal_group = "{ROLES["internal"]}"'
    )
    server.config.write_text(text)
    users = server.folder / "users"
    mail_uid = ROLES["mail"]
    lines = users.read_text().replace(":0:0:", f":{mail_uid}:{mail_uid}:").splitlines()
    lines = [
        f"{line}proxy host=127.0.0.1 port={dead_port()}" if line.startswith(CAROL) else line
        for line in lines
    ]
    users.write_text("\n".join(lines) + "\n")
    users.chmod(0o600)
    events = server.folder / "events.json"
    events.touch()
    for path in (users, events):
        os.chown(path, ROLES["internal"], ROLES["internal"])
    home = server.folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, mail_uid, mail_uid)
    return home


def uid_for(process: str) -> int:
    """Whose a process is, by its title."""
    title = process.partition("/")[0]
    if "-log" in title:  # the kernel keeps fifteen characters of it
        return ROLES["login"]
    workers = ("imap", "lmtp", "pop3", "managesieve")
    return ROLES["mail" if title in workers else "internal"]


def use_everything(server: AllProtocols) -> None:
    """A little of every protocol."""
    server.deliver(message("rights"), ALICE)
    with login(server) as client:
        assert client.ok("SELECT INBOX").grep(rb"^\* 1 EXISTS")
        assert client.append("INBOX", message("mine")).state == "OK"
    pop = poplib.POP3("127.0.0.1", server.pop3_port, timeout=30)
    pop.user(ALICE)
    pop.pass_(PASSWORD)
    assert pop.stat()[0] == 2
    assert b"Subject: mine" in pop.retr(2)[1]
    pop.quit()
    with Sieve(server.sieve_port).login(ALICE) as sieve:
        sieve.ok('PUTSCRIPT "all" "keep;"')
        sieve.ok('SETACTIVE "all"')
    server.deliver(message("by a script"), ALICE)
    with smtplib.SMTP("127.0.0.1", server.submission_port, timeout=30) as smtp:
        smtp.login(ALICE, PASSWORD)
        smtp.sendmail(ALICE, [BOB], message("submitted"))
    for _ in range(2):
        with Imap(server.imap_port) as client:
            assert client.do(f"LOGIN {CAROL} {PASSWORD}").state == "NO"
    assert b"127.0.0.1" in server.cli("proxy", "hosts").stdout


def login(server: Running, user: str = ALICE) -> Imap:
    """A session."""
    return Imap(server.imap_port).login(user)


def can_login(server: Running) -> bool:
    with contextlib.suppress(OSError, EOFError, AssertionError), login(server):
        return True
    return False


def unit_capabilities() -> str:
    """CapabilityBoundingSet of the systemd unit, as setpriv wants it."""
    unit = Path(__file__).parents[2] / "packaging/systemd/pillarbox.service"
    lines = [line for line in unit.read_text().splitlines() if line.startswith("Capability")]
    words = " ".join(line.partition("=")[2] for line in lines).split()
    assert words
    return ",".join("+" + word.removeprefix("CAP_").lower() for word in words)


def may_read(path: Path, uid: int) -> bool:
    """Whether a user can open a file or list a folder."""
    command = ["ls" if path.is_dir() else "cat", str(path)]
    wrapper = as_user(uid, ROLES["internal"])
    return subprocess.run([*wrapper, *command], capture_output=True, check=False).returncode == 0
