"""PostgreSQL and MariaDB for tests: started on loopback, thrown away afterwards.

Both refuse to run as root, so for root they run as the user that their packages made, in a folder
of that user.  They have TLS with a certificate of an authority of their own, a user ``mail`` with
the password ``s3cret`` and a database ``mail``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))

from certificates import Authority
from ports import free_port

PASSWORD = "s3cret"
WAIT_SECONDS = 60


def program(name: str, *folders: str) -> str:
    """Where a program is; without it the test is skipped."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *folders)))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _with_parent() -> Sequence[str]:
    """A prefix that has the kernel kill the server when the tests are killed."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


class DatabaseServer:
    """A server process in a folder of its own, whose owner it runs as."""

    owner = ""

    def __init__(self) -> None:
        self._as: dict[str, object] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.programs()
        if os.getuid() == 0:
            try:
                entry = pwd.getpwnam(self.owner)
            except KeyError:
                pytest.skip(f"there is no user {self.owner} to run it as")
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.folder = Path(tempfile.mkdtemp(prefix="pillarbox-test-", dir="/tmp"))
        self.authority = Authority(self.folder)
        self.certificate = self.authority.make("localhost")
        self.certificate.chmod(0o600)
        self.give(self.folder, self.certificate)

    def programs(self) -> None:
        """Find the programs, or skip."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the data folder."""
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """The server's command."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it serves; called again and again."""
        raise NotImplementedError

    def fill(self) -> None:
        """Make user and database."""
        raise NotImplementedError

    def give(self, *paths: Path) -> None:
        """Let the server own these."""
        for path in paths:
            if self._as:
                os.chown(path, int(str(self._as["user"])), int(str(self._as["group"])))

    def run(self, *command: str, data: bytes | None = None) -> bytes:
        """A command as the server's owner."""
        done = subprocess.run(
            command, input=data, capture_output=True, cwd=self.folder, timeout=120, **self._as
        )
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def start(self) -> None:
        """Start it and wait until it serves."""
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(
                [*_with_parent(), *self.command()],
                stdout=output,
                stderr=output,
                cwd=self.folder,
                **self._as,
            )
        end = time.monotonic() + WAIT_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "output").read_text()[-4000:])
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> DatabaseServer:
        try:
            self.prepare()
            self.start()
            self.fill()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(DatabaseServer):
    """PostgreSQL; its socket is in its folder."""

    owner = "postgres"

    def programs(self) -> None:
        folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        self.initdb, self.server = program("initdb", *folders), program("postgres", *folders)
        self.psql = program("psql", *folders)

    def prepare(self) -> None:
        words = f"--pgdata={self.folder}/data --username=postgres --no-sync --auth-local=trust"
        self.run(self.initdb, *words.split(), "--auth-host=scram-sha-256", "--encoding=UTF8")

    def command(self) -> Sequence[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": str(self.certificate),
            "ssl_key_file": str(self.certificate),
        }
        return [
            self.server,
            "-D",
            str(self.folder / "data"),
            *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
        ]

    def stop(self) -> None:
        """An immediate shutdown, so that its children and shared memory go too."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
            self.process = None

    def sql(self, text: str, database: str = "postgres") -> bytes:
        """As the superuser."""
        words = (self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder))
        return self.run(
            *words, "-p", str(self.port), "-U", "postgres", database, data=text.encode()
        )

    def ready(self) -> bool:
        try:
            self.sql("SELECT 1")
        except AssertionError:
            return False
        return True

    def fill(self) -> None:
        self.sql(f"CREATE USER mail PASSWORD '{PASSWORD}'")
        self.sql("CREATE DATABASE mail OWNER mail")


class MariaDb(DatabaseServer):
    """MariaDB; ``socket`` is its UNIX socket."""

    owner = "mysql"

    def programs(self) -> None:
        self.server = program("mariadbd", "/usr/sbin")
        self.installer = program("mariadb-install-db")
        self.client = program("mariadb")

    def prepare(self) -> None:
        self.socket = self.folder / "socket"
        (self.folder / "tmp").mkdir()
        self.give(self.folder / "tmp")
        words = f"--no-defaults --datadir={self.folder}/data --tmpdir={self.folder}/tmp"
        more = "--auth-root-authentication-method=normal --skip-test-db"
        self.run(self.installer, *words.split(), *more.split())

    def command(self) -> Sequence[str]:
        return [
            self.server,
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--tmpdir={self.folder}/tmp",
            f"--socket={self.socket}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--ssl-cert={self.certificate}",
            f"--ssl-key={self.certificate}",
        ]

    def sql(self, text: str) -> bytes:
        """As the superuser."""
        return self.run(
            self.client, "--no-defaults", f"--socket={self.socket}", "-uroot", data=text.encode()
        )

    def ready(self) -> bool:
        try:
            self.sql("SELECT 1")
        except AssertionError:
            return False
        return True

    def fill(self) -> None:
        self.sql(
            "CREATE DATABASE mail CHARACTER SET utf8mb4;"
            f"CREATE USER mail IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON mail.* TO mail;"
        )
