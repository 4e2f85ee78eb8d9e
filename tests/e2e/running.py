"""A running server for tests: `pillarbox serve` as a process, on free loopback ports.

`Running` writes a configuration with an exporter that appends every event to a file as JSON, so a
test can ask for the events that a real session caused.  Processes are killed at the end whatever
happens.
"""

from __future__ import annotations

import contextlib
import grp
import imaplib
import json
import os
import pwd
import re
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ports import free_port

PROGRAM = (sys.executable, "-m", "pillarbox.cli.main")
PASSWORD = "secret"
USERS = ("alice@example.com", "bob@example.com", "carol@example.com")

CONFIG = """
base_dir = "{folder}/run"
log_path = "{folder}/log"
hostname = "mail.example.com"
listen = ["127.0.0.1"]
mail_path = "%{{home}}/mail"
auth_mechanisms = ["plain", "login", "scram-sha-1", "scram-sha-256"]
auth_failure_delay = "50 ms"
auth_internal_failure_delay = "50 ms"
default_internal_user = "{me}"
default_login_user = "{me}"
default_internal_group = "{group}"
recipient_delimiter = "+"
{options}

[passdb.users]
driver = "passwd-file"
passwd_file_path = "{folder}/users"

[userdb.users]
driver = "passwd-file"
passwd_file_path = "{folder}/users"

[service.imap_login.inet_listener.imap]
port = {imap_port}
[service.imap_login.inet_listener.imaps]
port = {imaps_port}
[service.lmtp.inet_listener.lmtp]
port = {lmtp_port}

[event_exporter.file]
driver = "file"
format = "json"
file_path = "{folder}/events.json"
queue_size = 1000000

[metric.everything]
filter = "event=*"
exporter = "file"
{blocks}
"""


class Running:
    """One server: its ports, its folder, what it logged and which events it emitted."""

    def __init__(
        self,
        folder: Path,
        *,
        options: str = "",
        blocks: str = "",
        users: tuple[str, ...] = USERS,
        cleartext: bool = True,
    ) -> None:
        self.folder = folder
        self.imap_port, self.imaps_port, self.lmtp_port = (free_port() for _ in range(3))
        self.config = folder / "pillarbox.toml"
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[imaplib.IMAP4] = []
        folder.mkdir(parents=True, exist_ok=True)
        if cleartext:
            options = f"auth_allow_cleartext = true\n{options}"
        if "ssl" not in options:
            options = f'ssl = "no"\n{options}'
        self.config.write_text(
            CONFIG.format(
                folder=folder,
                me=pwd.getpwuid(os.getuid()).pw_name,
                group=grp.getgrgid(os.getgid()).gr_name,
                imap_port=self.imap_port,
                imaps_port=self.imaps_port if 'ssl = "no"' not in options else 0,
                lmtp_port=self.lmtp_port,
                options=options,
                blocks=blocks,
            )
        )
        (folder / "users").write_text(
            "".join(
                f"{u}:{{PLAIN}}{PASSWORD}:{os.getuid()}:{os.getgid()}::{folder}/home/{u}::\n"
                for u in users
            )
        )

    def start(self, wrapper: Sequence[str] = ()) -> Running:
        """Start and wait until it serves.  Raises AssertionError with the log if it does not.

        ``wrapper`` is a command that becomes the server, such as setpriv.
        """
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(
                [*wrapper, *PROGRAM, "serve", "-c", str(self.config)],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(
            lambda: self._greets(self.imap_port) and self._greets(self.lmtp_port),
            self.explain,
            timeout=100,
        )
        return self

    def _greets(self, port: int) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(self.explain())
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                return bool(probe.recv(64))
        except OSError:
            return False

    def explain(self) -> str:
        """What it printed and logged last."""
        return "\n".join(
            f"--- {name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-60:])
            for name in ("output", "log")
            if (path := self.folder / name).exists()
        )

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to whatever is left."""
        self.hang_up()
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole server, at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def hang_up(self) -> None:
        """Close the connections that `imap` gave and nobody closed."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown()
        self._clients = []

    def cli(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run ``pillarbox WORDS -c CONFIG``."""
        command = [*PROGRAM, *words, "-c", str(self.config)]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)

    def imap(self, user: str = USERS[0], password: str = PASSWORD) -> imaplib.IMAP4:
        """A logged-in connection."""
        client = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=30)
        self._clients.append(client)
        client.login(user, password)
        return client

    def deliver(self, message: bytes, *recipients: str, sender: str = "sender@example.org") -> None:
        """Hand a message over by LMTP."""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as client:
            client.sendmail(sender, list(recipients or USERS[:1]), message)

    def processes(self, *titles: str) -> dict[int, str]:
        """The service processes that run now, by pid, as ``title/index``; all without titles."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {}
        for pid in map(int, children.read_text().split()):
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if not titles or name.partition("/")[0] in titles:
                    found[pid] = name
        return found

    def memory(self, *titles: str) -> dict[int, int]:
        """Resident memory of service processes that is theirs alone, in bytes, by pid."""
        found = {}
        for pid in self.processes(*titles):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                found[pid] = int(status.partition("RssAnon:")[2].split()[0]) * 1024
        return found

    def workers_of(self, user: str) -> list[int]:
        """The workers that a user's sessions were given to so far, as the log tells."""
        log = (self.folder / "log").read_text()
        return [int(pid) for pid in re.findall(rf"Login: user=<{user}>.* mpid=(\d+)", log)]

    def wait_log(self, *texts: str) -> None:
        """Wait until the log, which comes through pipes, has all these texts in it."""
        path = self.folder / "log"

        def there() -> bool:
            log = path.read_text() if path.exists() else ""
            return all(text in log for text in texts)

        wait_for(there, lambda: f"not in the log: {texts}\n{self.explain()}")

    def events(self, name: str = "", **fields: object) -> list[dict[str, Any]]:
        """Events so far, of one name and with these field values."""
        path = self.folder / "events.json"
        if not path.exists():
            return []
        found = []
        for line in path.read_bytes().split(b"\n")[:-1]:
            event = json.loads(line)
            if name and event.get("event") != name:
                continue
            have = event.get("fields", {})
            if all(have.get(key) == value for key, value in fields.items()):
                found.append(event)
        return found

    def wait_events(self, name: str, count: int = 1, **fields: object) -> list[dict[str, Any]]:
        """The same, once there are so many."""
        wait_for(
            lambda: len(self.events(name, **fields)) >= count,
            lambda: f"{name} {fields}: {self.events(name)[-5:]}\n{self.explain()}",
        )
        return self.events(name, **fields)


def wait_for(
    condition: Callable[[], bool], explain: Callable[[], str] = lambda: "", timeout: float = 30
) -> None:
    """Poll until a condition of another process holds.  Raises AssertionError."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {timeout} s\n{explain()}")
        time.sleep(0.02)


@contextlib.contextmanager
def running(folder: Path, *, make: type[Running] = Running, **options: Any) -> Iterator[Running]:
    """A server for the length of a with block."""
    server = make(folder, **options)
    try:
        yield server.start()
    finally:
        server.stop()
