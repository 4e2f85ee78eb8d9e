"""The servers under load: Pillarbox, and Debian's Dovecot where it is installed.

Each is started as a program of its own on loopback with a folder of its own, the same users file
(the format is the same) and otherwise its defaults.  `Server.pss` is the proportional set size of
all its processes, so memory that they share is counted once.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

USERS = 400
PASSWORD = "pass"


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def user(number: int) -> str:
    """Name of user ``number``; 0 is the one with the big mailbox."""
    return f"user{number}@example.com"


class Server:
    """A running server: where it listens, and how much memory it takes."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.imap_port = free_port()
        self.lmtp_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def write_users(self, uid: int, gid: int) -> Path:
        """A passwd-file with every user in it."""
        path = self.folder / "users"
        lines = []
        for number in range(USERS):
            home = self.folder / "home" / str(number)
            home.mkdir(parents=True, exist_ok=True)
            os.chown(home, uid, gid)
            lines.append(f"{user(number)}:{{PLAIN}}{PASSWORD}:{uid}:{gid}::{home}::\n")
        path.write_text("".join(lines))
        return path

    def command(self) -> list[str]:
        """The command line; writes the configuration first."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until IMAP and LMTP greet.  Raises RuntimeError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        command = self.command()
        log = open(self.folder / "output", "wb")  # noqa: SIM115
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        for port in (self.imap_port, self.lmtp_port):
            while not self._greets(port):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    output = (self.folder / "output").read_text(errors="replace")
                    raise RuntimeError(f"{self.name} did not start:\n{output[-3000:]}")
                time.sleep(0.1)

    @staticmethod
    def _greets(port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                return bool(connection.recv(100))
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it and everything that it started."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def processes(self) -> list[int]:
        """The server's process and all below it."""
        if self.process is None:
            return []
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    stat = Path(f"/proc/{entry}/stat").read_text()
                    parent = int(stat.rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry))
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue.extend(children.get(pid, []))
        return found

    def pss(self) -> int:
        """Proportional set size of all processes, in bytes."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def cpu_seconds(self) -> float:
        """User and system time of all processes that live."""
        ticks = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def thread_seconds(self) -> float:
        """The same of all threads that live, to the microsecond: for differences of short times."""
        nanoseconds = 0
        for pid in self.processes():
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    nanoseconds += int(path.read_text().split()[0])
        return nanoseconds / 1e9


class Pillarbox(Server):
    """Ours, from this tree."""

    name = "pillarbox"

    def command(self) -> list[str]:
        """``pillarbox serve`` with the embedded defaults."""
        users = self.write_users(os.getuid(), os.getgid())
        config = self.folder / "pillarbox.toml"
        config.write_text(
            f"""
base_dir = "{self.folder}/run"
log_path = "{self.folder}/log"
hostname = "bench.example.com"
ssl = "no"
auth_allow_cleartext = true
mail_path = "%{{home}}/mail"
mail_max_userip_connections = 100000
default_internal_user = "{_me()}"
default_login_user = "{_me()}"
default_internal_group = "{grp.getgrgid(os.getgid()).gr_name}"

[passdb.users]
driver = "passwd-file"
passwd_file_path = "{users}"

[userdb.users]
driver = "passwd-file"
passwd_file_path = "{users}"

[service.imap_login.inet_listener.imap]
port = {self.imap_port}
address = ["127.0.0.1"]

[service.imap_login.inet_listener.imaps]
port = 0

[service.lmtp.inet_listener.lmtp]
port = {self.lmtp_port}
address = ["127.0.0.1"]
"""
        )
        return [sys.executable, "-m", "pillarbox.cli.main", "serve", "-c", str(config)]


class Dovecot(Server):
    """Debian's packages dovecot-imapd and dovecot-lmtpd, run from a folder of its own."""

    mail_location = "mdbox:~/mdbox"
    name = "dovecot mdbox"

    @staticmethod
    def installed() -> bool:
        """Whether it can be run here (it wants root)."""
        return os.getuid() == 0 and shutil.which("dovecot") is not None

    def command(self) -> list[str]:
        """``dovecot -F`` with a minimal configuration."""
        users = self.write_users(1000, 1000)
        config = self.folder / "dovecot.conf"
        config.write_text(
            f"""
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = {self.mail_location}
mail_max_userip_connections = 100000
mail_uid = 1000
mail_gid = 1000
first_valid_uid = 1000
hostname = bench.example.com
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = passwd-file
  args = {users}
}}
service imap-login {{
  service_count = 0
  process_min_avail = 2
  client_limit = 20000
  inet_listener imap {{
    port = {self.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service imap {{
  process_limit = 20000
}}
service anvil {{
  client_limit = 50000
}}
service auth {{
  client_limit = 50000
}}
service stats {{
  client_limit = 50000
}}
service lmtp {{
  inet_listener lmtp {{
    port = {self.lmtp_port}
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""
        )
        return ["dovecot", "-F", "-c", str(config)]


class DovecotMaildir(Dovecot):
    """The same with a file for each mail."""

    mail_location = "maildir:~/Maildir"
    name = "dovecot maildir"


def _me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
