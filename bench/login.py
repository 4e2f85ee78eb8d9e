"""``python -m bench.login``: logins per second by mechanism and database, beside Dovecot.

A login is a connection, the command that logs in, LOGOUT; one after the other, as different users,
so the figure is what a server can do for one client at a time.  The servers take turns, and the
ratio is that of their medians: above 1 Pillarbox is faster.  For SCRAM the client computes as much
as the server, and both are in the figure.

Passwords are stored in SSHA512 (or for SCRAM), so that what is measured is the way to the database
and back and not a hash that is slow on purpose.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.clients import Imap
from bench.servers import PASSWORD, USERS, Dovecot, Pillarbox, Server, user
from pillarbox.auth.schemes import hash_password
from pillarbox.wire.sasl import client as sasl

MECHANISMS = ("plain", "scram-sha-256")
TARGET = 0.7


@dataclass(frozen=True)
class Row:
    """One line of the table: which servers, stored how, asked by which mechanism."""

    name: str
    database: str
    cached: bool
    mechanism: str

    @property
    def scheme(self) -> str:
        """How passwords are stored."""
        return "SCRAM-SHA-256" if self.mechanism.startswith("scram") else "SSHA512"


ROWS = (
    Row("PLAIN, passwd-file", "passwd-file", False, "plain"),
    Row("PLAIN, SQLite", "sql", False, "plain"),
    Row("PLAIN, SQLite, cached", "sql", True, "plain"),
    Row("SCRAM-SHA-256, passwd-file", "passwd-file", False, "scram-sha-256"),
    Row("SCRAM-SHA-256, SQLite, cached", "sql", True, "scram-sha-256"),
)


def _stored(path: Path, scheme: str) -> Path:
    """The users' file with passwords in a scheme, and a SQLite database of the same beside it."""
    lines = [line.split(":") for line in path.read_text().splitlines()]
    for line in lines:
        line[1] = hash_password(scheme, PASSWORD)
    path.write_text("".join(":".join(line) + "\n" for line in lines))
    file = path.with_suffix(".db")
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE users (username TEXT PRIMARY KEY, password TEXT, home TEXT, uid TEXT, "
            "gid TEXT, quota_storage_size INTEGER, active INTEGER DEFAULT 1)"
        )
        database.executemany(
            "INSERT INTO users (username, password, home, uid, gid) VALUES (?, ?, ?, ?, ?)",
            [(line[0], line[1], line[5], line[2], line[3]) for line in lines],
        )
    database.close()
    file.chmod(0o644)
    return path


class PillarboxLogin(Pillarbox):
    """Ours, with the database of a row."""

    def __init__(self, folder: Path, row: Row) -> None:
        super().__init__(folder)
        self.row = row

    def write_users(self, uid: int, gid: int) -> Path:
        """The users as the row stores them."""
        return _stored(super().write_users(uid, gid), self.row.scheme)

    def command(self) -> list[str]:
        """As usual, with another database."""
        command = super().command()
        path = Path(command[-1])
        text = path.read_text()
        users = next(line for line in text.splitlines() if "passwd_file_path" in line)
        if self.row.database == "sql":
            file = Path(users.split('"')[1]).with_suffix(".db")
            text = text.replace('driver = "passwd-file"', 'driver = "sql"')
            text = text.replace(users, f'sqlite_path = "{file}"')
        cache = 'auth_cache_size = "10 MB"\n' if self.row.cached else ""
        names = ", ".join(f'"{name}"' for name in MECHANISMS)
        path.write_text(f"auth_mechanisms = [{names}]\n{cache}{text}")
        return command


class DovecotLogin(Dovecot):
    """Debian's Dovecot, with the database of a row."""

    name = "dovecot"

    def __init__(self, folder: Path, row: Row) -> None:
        super().__init__(folder)
        self.row = row

    def write_users(self, uid: int, gid: int) -> Path:
        """The users as the row stores them."""
        return _stored(super().write_users(uid, gid), self.row.scheme)

    def command(self) -> list[str]:
        """As usual, with another database."""
        command = super().command()
        path = Path(command[-1])
        text = path.read_text()
        users = next(line for line in text.splitlines() if "args = " in line)
        if self.row.database == "sql":
            file = Path(users.split("= ")[1]).with_suffix(".db")
            queries = self.folder / "dovecot-sql.conf"
            queries.write_text(
                f"driver = sqlite\nconnect = {file}\n"
                "password_query = SELECT username AS user, password FROM users "
                "WHERE username = '%u' AND active = 1\n"
                "user_query = SELECT home, uid, gid FROM users "
                "WHERE username = '%u' AND active = 1\n"
            )
            text = text.replace("driver = passwd-file", "driver = sql")
            text = text.replace(users, f"  args = {queries}")
        text = text.replace("auth_mechanisms = plain", f"auth_mechanisms = {' '.join(MECHANISMS)}")
        path.write_text(text + ("auth_cache_size = 10 M\n" if self.row.cached else ""))
        return command


def _knows_sqlite() -> bool:
    """Whether Debian's dovecot-sqlite is there."""
    return any(Path("/usr/lib/dovecot").glob("**/*sqlite*.so"))


def plain(imap: Imap, name: str) -> None:
    """LOGIN."""
    imap.login(name, PASSWORD)


def scram(imap: Imap, name: str) -> None:
    """AUTHENTICATE SCRAM-SHA-256 with an initial response."""
    steps = sasl.scram("sha256", name, PASSWORD, b64encode(name.encode()).decode())
    imap.sock.sendall(b"a AUTHENTICATE SCRAM-SHA-256 " + b64encode(next(steps)) + b"\r\n")
    while (line := imap.sock.recv(4096)).startswith(b"+"):
        imap.sock.sendall(b64encode(steps.send(b64decode(line[2:]))) + b"\r\n")
    if b"a OK" not in line:
        raise RuntimeError(line.decode(errors="replace"))


LOGINS: dict[str, Callable[[Imap, str], None]] = {"plain": plain, "scram-sha-256": scram}


def _rate(server: Server, row: Row, count: int) -> float:
    login = LOGINS[row.mechanism]
    started = time.perf_counter()
    for number in range(count):
        imap = Imap(server.imap_port)
        login(imap, user(number % USERS))
        imap.run(b"LOGOUT")
        imap.close()
    return count / (time.perf_counter() - started)


def _measure(row: Row, folder: Path, count: int, runs: int) -> float | None:
    """Print one row; the ratio, None without Dovecot."""
    servers: list[Server] = [PillarboxLogin(folder / "ours", row)]
    if Dovecot.installed() and (row.database != "sql" or _knows_sqlite()):
        servers.append(DovecotLogin(folder / "theirs", row))
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    try:
        for server in servers:
            server.start()
            _rate(server, row, USERS)  # caches fill, workers wake
        for _ in range(runs):
            for server in servers:
                rates[server.name].append(_rate(server, row, count))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    words = ", ".join(f"{name} {rate:6.0f}/s" for name, rate in medians.items())
    theirs = medians.get("dovecot")
    ratio = None if theirs is None else medians["pillarbox"] / theirs
    print(f"{row.name:<30} {words}" + ("" if ratio is None else f", ratio {ratio:.2f}"), flush=True)
    return ratio


def main() -> int:
    """Measure all rows; status 1 if cached logins are below the target."""
    parser = argparse.ArgumentParser(prog="python -m bench.login", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="logins of a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as name:
        Path(name).chmod(0o755)
        for number, row in enumerate(ROWS):
            if options.only.lower() in row.name.lower():
                ratio = _measure(row, Path(name) / str(number), options.count, options.runs)
                good = good and (not row.cached or ratio is None or ratio >= TARGET)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
