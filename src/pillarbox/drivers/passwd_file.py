"""The passwd-file format: one user per line, read by passdb and userdb and kept by editors.

``user:password:uid:gid:gecos:home:shell:extra_fields``; everything after the password may be
missing; lines that are empty or begin with ``#`` are skipped.  Extra fields are separated by
spaces, ``name=value`` or bare; those that begin with ``userdb_`` belong to the userdb, the others
to the passdb.  Of two lines for one user the first counts.

`PasswdFile` keeps a file parsed and looks at its status (a stat costs microseconds) at each
lookup; a changed file is read in a thread.  The path may hold variables (one file per domain);
a value that would step out of the folder finds nobody.  `edit` changes a file under a lock,
writes the new one beside it, syncs it and renames it into place.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pillarbox.drivers.passdb.api import DatabaseError, Query
from pillarbox.settings.variables import VariableError, expand, variables_of

USERDB_PREFIX: Final = "userdb_"
_PLACES: Final = ("uid", "gid", "gecos", "home", "shell")
_FORBIDDEN: Final = ("\n", "\r", "\0")
_MAX_FILES: Final = 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One user.  ``system`` has uid, gid, gecos, home and shell where given; ``extra`` the rest."""

    user: str
    password: str
    system: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)

    def passdb_fields(self) -> dict[str, str]:
        """All extra fields; those of the userdb keep their prefix."""
        return dict(self.extra)

    def userdb_fields(self) -> dict[str, str]:
        """uid, gid, home and the ``userdb_`` fields without their prefix."""
        wanted: tuple[str, ...] = ("uid", "gid", "home")
        fields = {name: self.system[name] for name in wanted if name in self.system}
        cut = len(USERDB_PREFIX)
        fields.update(
            (name[cut:], value)
            for name, value in self.extra.items()
            if name.startswith(USERDB_PREFIX) and len(name) > cut
        )
        return fields


def parse_line(text: str) -> Line | None:
    """A user, or None for a comment, an empty line or a line without a user."""
    text = text.rstrip("\r\n")
    if not text or text[0] == "#":
        return None
    user, *rest = text.split(":", 7)
    if not user:
        return None
    rest += [""] * (7 - len(rest))
    system = {name: value for name, value in zip(_PLACES, rest[1:6]) if value}
    extra: dict[str, str] = {}
    for word in rest[6].split():
        name, _, value = word.partition("=")
        if name:
            extra[name] = value
    return Line(user, rest[0], system, extra)


def format_line(line: Line) -> str:
    """The line without its end.  Raises ValueError for what the format cannot hold."""
    extra = " ".join(f"{n}={v}" if v else n for n, v in line.extra.items())
    places = [line.user, line.password, *(line.system.get(name, "") for name in _PLACES)]
    if not line.user or line.user[0] == "#":
        raise ValueError("a user name must not be empty nor begin with #")
    for value in places:
        if ":" in value or any(sign in value for sign in _FORBIDDEN):
            raise ValueError(f"{value!r} cannot stand in a passwd-file")
    for name, value in line.extra.items():
        if not name or any(c.isspace() or c in "\0=:" for c in name):
            raise ValueError(f"field name {name!r} cannot stand in a passwd-file")
        if any(c.isspace() or c == "\0" for c in value):
            raise ValueError(f"value {value!r} of {name} cannot stand in a passwd-file")
    if extra:
        return ":".join([*places, extra])
    while len(places) > 2 and not places[-1]:
        places.pop()
    return ":".join(places)


def parse(data: bytes) -> dict[str, Line]:
    """All users of a file by name, in its order."""
    users: dict[str, Line] = {}
    for text in data.decode("utf-8", "surrogateescape").split("\n"):
        line = parse_line(text)
        if line is not None:
            users.setdefault(line.user, line)
    return users


_Stamp = tuple[int, int, int, int]


def _stamp(path: str) -> _Stamp:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class PasswdFile:
    """See the module; ``path`` may hold variables."""

    def __init__(self, path: str) -> None:
        if not path:
            raise ValueError("passwd-file: passwd_file_path is not set")
        self._path = path
        self._templated = bool(variables_of(path))
        self._files: dict[str, tuple[_Stamp, dict[str, Line]]] = {}

    async def find(self, query: Query) -> Line | None:
        """The user's line, or None.  Raises DatabaseError."""
        path = self._file_for(query)
        if path is None:
            return None
        return (await self._users(path)).get(query.user)

    async def users(self, query: Query) -> Iterable[Line]:
        """All lines.  Raises DatabaseError, also where the path needs a user's domain."""
        path = self._file_for(query)
        if path is None:
            raise DatabaseError(f"passwd-file {self._path}: cannot list users without a name")
        return (await self._users(path)).values()

    def _file_for(self, query: Query) -> str | None:
        if not self._templated:
            return self._path
        for name in variables_of(self._path):
            value = query.values.get(name)
            if isinstance(value, str) and (set(value) & set("/\0") or value in (".", "..")):
                return None
        try:
            path = expand(self._path, query.values)
        except VariableError as error:
            raise DatabaseError(f"passwd-file: {error}") from error
        return None if {"..", "."} & set(path.split("/")) else path

    async def _users(self, path: str) -> dict[str, Line]:
        try:
            stamp = _stamp(path)
            known = self._files.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            stamp, users = await asyncio.to_thread(_load, path)
        except FileNotFoundError as error:
            self._files.pop(path, None)
            if self._templated:
                return {}
            raise DatabaseError(f"passwd-file {path}: does not exist") from error
        except OSError as error:
            raise DatabaseError(f"passwd-file {path}: {error.strerror}") from error
        if len(self._files) >= _MAX_FILES:
            self._files.pop(next(iter(self._files)))
        self._files[path] = (stamp, users)
        return users


def _load(path: str) -> tuple[_Stamp, dict[str, Line]]:
    """Status and content that belong together: the status is taken before and after."""
    while True:
        before = _stamp(path)
        data = Path(path).read_bytes()
        if _stamp(path) == before:
            return before, parse(data)


Change = Callable[[dict[str, Line]], Mapping[str, Line | None]]


def edit(path: Path, change: Change) -> None:
    """Change users; comments and the lines of others stay as they are.

    ``change`` gets all users and says what becomes of some: a new line, or None to remove it.
    What it raises leaves the file as it was.  The new file is on disk when this returns.
    A file that does not exist is made, readable by its owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        _replace(path, _changed(data, dict(change(parse(data)))))


def _changed(data: bytes, changes: dict[str, Line | None]) -> bytes:
    lines: list[str] = []
    touched: set[str] = set()
    for text in data.decode("utf-8", "surrogateescape").splitlines():
        line = parse_line(text)
        if line is None or line.user not in changes:
            lines.append(text)
            continue
        new = changes[line.user]
        if new is not None and line.user not in touched:
            lines.append(format_line(new))
        touched.add(line.user)
    lines += [
        format_line(new) for user, new in changes.items() if new is not None and user not in touched
    ]
    text = "".join(line + "\n" for line in lines)
    return text.encode("utf-8", "surrogateescape")


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _copy_owner(path, file.fileno())
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy_owner(path: Path, descriptor: int) -> None:
    """Give the new file the mode and, where allowed, the owner of the old one."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    os.fchmod(descriptor, status.st_mode & 0o7777)
    try:
        os.fchown(descriptor, status.st_uid, status.st_gid)
    except PermissionError:
        pass
