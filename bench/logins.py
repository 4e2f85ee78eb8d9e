"""``python -m bench logins``: logins in a second, by mechanism and user database.

A login is a connection, AUTHENTICATE with an initial response, and LOGOUT, each as another user,
ten of them at a time unless ``--clients`` says otherwise.  Two servers of each kind run, one with
an auth cache and one without; both have the same databases (`bench.login_databases`) behind them.
All take turns, so that all meet the same weather; what is told is the best round of each, and the
ratio of those.

For SCRAM the stored secret is the salted one, so that no server hashes thousands of times; neither
do the clients, who do that once.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import hashlib
import hmac
import os
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.login_databases import Database, databases, name
from bench.servers import PASSWORD, USERS, Dovecot, Pillarbox, Server

CACHE_MB = 32
CACHED_TARGET = 0.7


@dataclass(frozen=True)
class Kind:
    """A line of the table, but for whether the server has a cache."""

    label: str
    database: str
    mechanism: str = "PLAIN"


KINDS = [
    Kind("PLAIN, passwd-file", "passwd-file"),
    Kind("PLAIN, SQLite", "sqlite"),
    Kind("PLAIN, PostgreSQL", "pgsql"),
    Kind("PLAIN, MariaDB", "mysql"),
    Kind("PLAIN, LDAP", "ldap"),
    Kind("PLAIN, LDAP bind", "ldapbind"),
    Kind("SCRAM-SHA-256, passwd-file", "scram", "SCRAM-SHA-256"),
]


class LoginPillarbox(Pillarbox):
    """Pillarbox with all databases; ``cache`` in MB."""

    def __init__(self, folder: Path, known: Sequence[Database], cache: int) -> None:
        super().__init__(folder)
        self.known = known
        self.cache = cache

    def command(self) -> list[str]:
        """The usual configuration with other databases."""
        command = super().command()
        config = Path(command[-1])
        before = config.read_text().partition("[passdb.")[0]
        after = config.read_text().partition("[service.")[2]
        passdbs = "".join(
            f'[passdb.{one.name}]\nusername_filter = ["*@{one.domain}"]\n{one.ours}\n'
            for one in self.known
        )
        config.write_text(
            f"""{before}
auth_mechanisms = ["plain", "scram-sha-256"]
auth_cache_size = "{self.cache}MB"
{passdbs}
[userdb.static]
driver = "static"
static_allow_all_users = true
[userdb.static.fields]
home = "{self.folder}/home/%{{user | username}}"
uid = "{os.getuid()}"
gid = "{os.getgid()}"
[service.{after}"""
        )
        return command


class LoginDovecot(Dovecot):
    """Dovecot likewise."""

    def __init__(self, folder: Path, known: Sequence[Database], cache: int) -> None:
        super().__init__(folder)
        self.known = [one for one in known if _has_driver(one)]
        self.cache = cache

    def command(self) -> list[str]:
        """The usual configuration with other databases."""
        command = super().command()
        config = Path(command[-1])
        before = config.read_text().partition("passdb {")[0]
        after = config.read_text().partition("service imap-login {")[2]
        passdbs = ""
        for one in self.known:
            args = self.folder / f"{one.name}.conf"
            args.write_text(one.args)
            block = one.theirs.replace("ARGS", str(args))
            passdbs += f"passdb {{\n  username_filter = *@{one.domain}\n  {block}\n}}\n"
        config.write_text(
            f"""{before}
auth_mechanisms = plain scram-sha-256
auth_cache_size = {self.cache} M
{passdbs}
userdb {{
  driver = static
  args = uid=1000 gid=1000 home={self.folder}/home/%n
}}
service imap-login {{{after}"""
        )
        return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Start everything, measure, print; status 1 if a cached login is below its target."""
    parser = argparse.ArgumentParser(prog="python -m bench logins", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=10, help="logins at a time")
    parser.add_argument("--logins", type=int, default=USERS, help="in one round")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--no-dovecot", action="store_true", help="Pillarbox alone")
    options = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if options.only.lower() in kind.label.lower()]
    wanted = {kind.database for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        with (
            databases(folder, wanted.__contains__) as known,
            _servers(folder, known, options) as (
                without,
                cached,
            ),
        ):
            has = {one.name for one in known}
            print(f"{'logins/s':40}{'pillarbox':>12}{'dovecot':>12}{'ratio':>9}{'target':>8}")
            worst = float("inf")
            for kind in kinds:
                if kind.database in has:
                    _row(kind.label, kind, without, options)
                    ratio = _row(f"{kind.label}, cached", kind, cached, options, CACHED_TARGET)
                    worst = min(worst, ratio)
    return 0 if worst >= CACHED_TARGET else 1


@contextlib.contextmanager
def _servers(
    folder: Path, known: Sequence[Database], options: argparse.Namespace
) -> Iterator[tuple[list[Server], list[Server]]]:
    """Those without a cache, and those with one."""
    groups: list[list[Server]] = []
    try:
        for number, cache in enumerate((0, CACHE_MB)):
            group: list[Server] = [LoginPillarbox(folder / f"ours{number}", known, cache)]
            if Dovecot.installed() and not options.no_dovecot:
                group.append(LoginDovecot(folder / f"theirs{number}", known, cache))
            groups.append(group)
            for server in group:
                server.start()
        yield groups[0], groups[1]
    finally:
        for group in groups:
            for server in group:
                server.stop()


def _row(
    label: str,
    kind: Kind,
    servers: Sequence[Server],
    options: argparse.Namespace,
    target: float | None = None,
) -> float:
    """Measure and print one line; the ratio (infinite without Dovecot)."""
    able = [s for s in servers if not isinstance(s, LoginDovecot) or _knows(s, kind.database)]
    rates: dict[str, float] = {}
    for turn in range(options.rounds + 1):
        for server in able:
            users = [name(n % USERS, kind.database) for n in range(options.logins)]
            rate = log_in_many(server.imap_port, options.clients, kind.mechanism, users)
            if turn:  # the first round makes mailboxes and fills caches
                rates[server.name] = max(rate, rates.get(server.name, 0.0))
    found = list(rates.values())
    ratio = found[0] / found[1] if len(found) > 1 else float("inf")
    cells = "".join(f"{rate:>12.0f}" for rate in found) + " " * 12 * (2 - len(found))
    shown = f"{ratio:>9.2f}" if len(found) > 1 else " " * 9
    aim = f"{target:>8g}" if target is not None else ""
    missed = " !" if target is not None and ratio < target else ""
    print(f"{label:40}{cells}{shown}{aim}{missed}", flush=True)
    return ratio


def log_in_many(port: int, clients: int, mechanism: str, users: Sequence[str]) -> float:
    """Logins per second of all these users, so many at a time.  Raises RuntimeError."""
    poll = select.epoll()
    active: dict[int, tuple[socket.socket, Talk, bytearray]] = {}
    queue = iter(users)
    talk = TALKS[mechanism]

    def begin() -> None:
        user = next(queue, None)
        if user is None:
            return
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = talk(user)
        next(session)
        active[sock.fileno()] = sock, session, bytearray()
        poll.register(sock.fileno(), select.EPOLLIN)

    started = time.perf_counter()
    for _ in range(clients):
        begin()
    while active:
        for fd, _ in poll.poll():
            sock, session, buffer = active[fd]
            data = sock.recv(4096)
            if not data:
                raise RuntimeError("closed before the end of the session")
            buffer += data
            if not buffer.endswith(b"\r\n"):
                continue
            line = bytes(buffer)
            buffer.clear()
            try:
                answer = session.send(line)
            except StopIteration:
                del active[fd]
                sock.close()
                begin()
                continue
            if answer:
                sock.send(answer)
    elapsed = time.perf_counter() - started
    poll.close()
    return len(users) / elapsed


Talk = Generator[bytes, bytes, None]


def _plain(user: str) -> Talk:
    """A session as a generator of what to say, sent what the server said."""
    yield b""
    secret = base64.b64encode(f"\0{user}\0{PASSWORD}".encode())
    said = yield b"a AUTHENTICATE PLAIN " + secret + b"\r\n"
    yield from _end(said)


def _scram(user: str) -> Talk:
    """The same with SCRAM-SHA-256; the server's proof is not checked, that is not its cost."""
    yield b""
    bare = f"n={user},r={os.urandom(12).hex()}".encode()
    said = yield b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(b"n,," + bare) + b"\r\n"
    first = _challenge(said)
    nonce, salt, iterations = (part[2:] for part in first.split(b","))
    key = _client_key(base64.b64decode(salt), int(iterations))
    final = b"c=biws,r=" + nonce
    signed = b",".join((bare, first, final))
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    said = yield base64.b64encode(final + b",p=" + base64.b64encode(proof)) + b"\r\n"
    _challenge(said)
    said = yield b"\r\n"
    yield from _end(said)


def _end(said: bytes) -> Talk:
    """From what the server answered to its goodbye."""
    while b"a OK" not in said:
        if b"a NO" in said or b"a BAD" in said:
            raise RuntimeError(said.decode(errors="replace"))
        said = yield b""
    said = yield b"b LOGOUT\r\n"
    while b"b OK" not in said:
        said += yield b""


@functools.cache
def _client_key(salt: bytes, iterations: int) -> bytes:
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, iterations)
    return hmac.digest(salted, b"Client Key", "sha256")


def _challenge(said: bytes) -> bytes:
    if not said.startswith(b"+ "):
        raise RuntimeError(said.decode(errors="replace"))
    return base64.b64decode(said[2:])


TALKS: dict[str, Callable[[str], Talk]] = {"PLAIN": _plain, "SCRAM-SHA-256": _scram}


def _knows(server: LoginDovecot, database: str) -> bool:
    return any(one.name == database for one in server.known)


def _has_driver(database: Database) -> bool:
    """Whether Dovecot's package for this kind of database is installed."""
    if not database.package:
        return True
    folders = ("/usr/lib/dovecot/modules/auth", "/usr/lib/dovecot/modules")
    names = (f"libdriver_{database.package}.so", f"libauthdb_{database.package}.so")
    return any((Path(folder) / one).exists() for folder in folders for one in names)


if __name__ == "__main__":
    sys.exit(main())
