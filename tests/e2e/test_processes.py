"""Processes that die, stop, reload, notify, and give up their rights.

A worker that dies takes its sessions along; every other process may die without a session
noticing, and what it did is done by its successor.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
FEW = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 2
[service.lmtp]
process_limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = 'imap_worker_routing = "round-robin"\nmail_max_userip_connections = 3'
    with running(tmp_path_factory.mktemp("server"), options=options, blocks=FEW) as one:
        yield one


def status(server: Running) -> dict[str, dict[str, object]]:
    """What `pillarbox status` says, by service."""
    told = json.loads(server.cli("status", "--json").stdout)
    return {service["name"]: service for service in told["services"]}


def kill(server: Running, title: str) -> None:
    """SIGKILL to the processes of a service; returns when their successors run."""
    old = server.processes(title)
    assert old
    for pid in old:
        os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        now = server.processes(title)
        return len(now) == len(old) and not set(now) & set(old)

    wait_for(back, server.explain)


def login(server: Running, user: str = ALICE, **options: object) -> Imap:
    """A session, as soon as one can be had."""
    client: list[Imap] = []

    def once() -> bool:
        with contextlib.suppress(OSError, EOFError):
            one = Imap(server.imap_port, **options)
            if one.do(f"LOGIN {user} {PASSWORD}").state == "OK":
                client.append(one)
                return True
        return False

    wait_for(once, server.explain)
    return client[0]


@pytest.mark.parametrize("title", ["auth", "anvil", "stats", "admin", "imap-login", "lmtp"])
def test_sessions_outlive_other_processes(server: Running, title: str) -> None:
    with login(server) as client:
        client.ok("SELECT INBOX")
        idler = login(server)
        idler.ok("SELECT INBOX")
        tag = idler.idle()
        kill(server, title)
        count = len(client.uids()) if client.ok("STATUS INBOX (MESSAGES)") else 0
        assert client.append("INBOX", message(f"after {title}")).state == "OK"
        while not idler.response().endswith(b" EXISTS"):
            pass
        idler.done(tag)
        assert len(client.uids()) == count + 1
        idler.close()

        def delivered() -> bool:
            with (
                contextlib.suppress(OSError, EOFError, AssertionError),
                Lmtp(server.lmtp_port) as lmtp,
            ):
                return lmtp.envelope(ALICE)[0].startswith("250") and lmtp.data(
                    message(f"by lmtp after {title}")
                ).startswith("250")
            return False

        wait_for(delivered, server.explain)
        client.ok("NOOP")
    with login(server) as client:
        client.ok("SELECT INBOX")
    server.wait_log(f"{title}: process", "killed by signal 9")


def test_connections_are_counted_after_anvil_died(server: Running) -> None:
    """The new anvil learns from the workers who is there."""
    clients = [login(server, BOB) for _ in range(3)]
    kill(server, "anvil")

    def full() -> bool:
        with Imap(server.imap_port) as one:
            return "[LIMIT]" in one.do(f"LOGIN {BOB} {PASSWORD}").text

    wait_for(full)
    for client in clients:
        client.ok("NOOP")
        client.close()
    login(server, BOB).close()


def test_events_come_again_after_stats_died(server: Running) -> None:
    kill(server, "stats")
    with login(server, CAROL) as client:

        def told() -> bool:
            reply = client.do("NOOP")
            assert reply.state == "OK"
            return bool(server.events("imap_command_finished", cmd_name="NOOP", user=CAROL))

        wait_for(told, server.explain)
    assert server.cli("stats", "dump").returncode == 0


def test_a_worker_takes_only_its_own_sessions_along(server: Running) -> None:
    workers = sorted(server.processes("imap"))
    clients = [login(server, CAROL, source=f"127.0.0.{number}") for number in (3, 4, 5, 6)]
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: workers[0] not in server.processes("imap"))
    ended = [client for client in clients if is_over(client)]
    assert len(ended) == 2  # sessions take turns between two workers
    for client in clients:
        if client not in ended:
            client.ok("SELECT INBOX")
        client.close()
    wait_for(lambda: len(server.processes("imap")) == 2)
    for number in range(4):
        with login(server, CAROL, source=f"127.0.1.{number}") as client:
            client.ok("SELECT INBOX")


def is_over(client: Imap) -> bool:
    """Whether the server has closed this connection."""
    try:
        client.ok("NOOP")
    except (EOFError, OSError):
        return True
    return False


def test_status_counts_restarts(server: Running) -> None:
    services = status(server)
    assert {"auth", "anvil", "stats", "admin", "imap", "imap-login", "lmtp"} <= set(services)
    before = services["admin"]["restarts"]
    kill(server, "admin")
    wait_for(lambda: status(server)["admin"]["restarts"] == before + 1)  # type: ignore[operator]


def test_the_pid_file(server: Running) -> None:
    assert server.process is not None
    assert int((server.folder / "run" / "master.pid").read_text()) == server.process.pid
    second = server.cli("serve")
    assert second.returncode != 0
    assert (
        b"already running" in second.stderr + second.stdout + (server.folder / "log").read_bytes()
    )
    login(server).close()


def test_systemd_is_told_and_a_stop_is_graceful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        seen: list[str] = []

        def until(word: str) -> str:
            while True:
                seen.append(notify.recv(4096).decode())
                if word in seen[-1].splitlines():
                    return seen[-1]

        server = Running(tmp_path / "server", blocks=FEW)
        try:
            server.start()
            assert str(server.imap_port) in until("READY=1")
            assert not any("WATCHDOG" in text for text in seen)
            until("WATCHDOG=1")
            until("WATCHDOG=1")
            assert server.process is not None
            server.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in until("RELOADING=1")
            until("READY=1")
            stop_gracefully(server)
            until("STOPPING=1")
        finally:
            server.kill()


def stop_gracefully(server: Running) -> None:
    """Sessions get BYE, what runs is finished, files go away, the exit status is 0."""
    idle, busy = login(server), login(server, BOB)
    idle.ok("SELECT INBOX")
    idle.idle()
    before_login = Imap(server.imap_port)
    lmtp = Lmtp(server.lmtp_port)
    busy.ok("CREATE Target")
    busy.start(b"APPEND Target {5}")
    assert busy.response().startswith(b"+")
    assert server.process is not None
    server.process.terminate()
    for client in (idle, before_login, busy):
        assert b"* BYE [UNAVAILABLE] Server shutting down." in client.rest()
    assert lmtp.reply().startswith("421")
    assert server.process.wait(20) == 0
    run = server.folder / "run"
    assert not (run / "master.pid").exists()
    assert [p for p in run.rglob("*") if p.is_socket()] == []
    log = (server.folder / "log").read_text()
    assert "Pillarbox stopped" in log
    assert "Error" not in log
    names = {e["event"] for e in server.events()}
    assert "mail_user_session_finished" in names  # said at the very end, and not lost
    assert "login_aborted" in names


def test_children_do_not_outlive_the_master(tmp_path: Path) -> None:
    with running(tmp_path, blocks=FEW) as server:
        children = list(server.processes())
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
        server.start()  # the sockets and the pid file that were left are no obstacle
        login(server).close()


# Rights.


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
    server = Running(open_folder / "server", blocks=FEW)
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
    server = Running(open_folder / "server", options=f'mail_uid = "{ROLES["mail"]}"', blocks=FEW)
    text = server.config.read_text()
    for name, role in (("login_user", "login"), ("internal_user", "internal")):
        text = text.replace(f'default_{name} = "root"', f'default_{name} = "{ROLES[role]}"')
    text = text.replace(
        'default_internal_group = "root"', f'default_internal_group = "{ROLES["internal"]}"'
    )
    server.config.write_text(text)
    users = server.folder / "users"
    mail_uid = ROLES["mail"]
    users.write_text(users.read_text().replace(":0:0:", f":{mail_uid}:{mail_uid}:"))
    users.chmod(0o600)
    os.chown(users, ROLES["internal"], ROLES["internal"])
    home = server.folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, mail_uid, mail_uid)
    try:
        server.start(wrapper)
        expected = {
            "imap-login": ROLES["login"],
            "auth": ROLES["internal"],
            "anvil": ROLES["internal"],
            "dns-worker": ROLES["internal"],
            "stats": ROLES["internal"],
            "admin": ROLES["internal"],
            "imap": mail_uid,
            "lmtp": mail_uid,
        }
        for pid, name in server.processes().items():
            assert uids_of(pid) == {expected[name.partition("/")[0]]}, name
            privileges = Path(f"/proc/{pid}/status").read_text()
            assert "NoNewPrivs:\t1" in privileges
            assert "CapEff:\t0000000000000000" in privileges
        server.deliver(message("rights"), ALICE)
        with login(server) as client:
            assert client.ok("SELECT INBOX").grep(rb"^\* 1 EXISTS")
            assert client.append("INBOX", message("mine")).state == "OK"
        files = list(home.rglob("*"))
        assert {(p.stat().st_uid, p.stat().st_gid) for p in files} == {(mail_uid, mail_uid)}
        assert not [p for p in files if p.stat().st_mode & 0o077]
        for role in ("login", "internal"):
            for path in (home, *files):
                assert not may_read(path, ROLES[role]), (role, path)
        assert not may_read(users, ROLES["login"])
        kill(server, "auth")  # a successor has the same rights
        login(server).close()
        assert all(uids_of(pid) == {ROLES["internal"]} for pid in server.processes("auth"))
        assert server.cli("reload").returncode == 0
        login(server).close()
    finally:
        server.stop()


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
