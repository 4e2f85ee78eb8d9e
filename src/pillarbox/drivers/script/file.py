"""Scripts as files: a folder of ``NAME.sieve`` and a symbolic link that names the active one.

The layout is the one that others use, so a user's scripts move in and out by copying files, and an
editor on the server is as good as ManageSieve:

- ``~/sieve/NAME.sieve`` are the scripts; ``NAME.compiled`` beside them may be deleted at any time.
- ``~/.dovecot.sieve`` (``active_path``) links to the active one.  If it is a plain file it is the
  active script itself, under the name `MAIN`; making another one active moves it into the folder.
- ``~/sieve/tmp`` has what is being written, and the lock of writers.

A path that names a file, or ends in ``.sieve``, is a place with that one script, which is active.

A change is one rename(2) with its folder synced, in a thread, under the lock.  Whatever is found
in ``tmp`` under the lock is left over from a crash and is removed.

File names end at 255 octets, script names need not (RFC 5804 section 1.6 wants 128 characters):
the parts of a longer name are folders that end in ``.more``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from pillarbox.drivers.script.api import (
    Admit,
    Listed,
    NoSuchScript,
    Place,
    ScriptActive,
    ScriptError,
    ScriptExists,
)

P = ParamSpec("P")
T = TypeVar("T")

SUFFIX: Final = ".sieve"
COMPILED: Final = ".compiled"
MORE: Final = ".more"
MAIN: Final = "main script"
LONGEST_PART: Final = 240
LOCK_SECONDS: Final = 10.0
READ_SIZE: Final = 64 * 1024
_TEMPORARY: Final = "tmp"
_LOCK: Final = "lock"


class OneFile:
    """A place with one script, which nobody edits through it."""

    name = "file"

    def __init__(self, path: Path, script: str, compiled: Path | None) -> None:
        self._path = path
        self._script = script
        self._compiled = compiled

    def location(self, script: str) -> str:
        """``file:PATH``."""
        return f"file:{self._path}"

    async def scripts(self) -> list[Listed]:
        """The one script, if it is there."""
        source = await self.read(self._script)
        return [] if source is None else [Listed(self._script, len(source), True)]

    async def read(self, script: str) -> bytes | None:
        """The script."""
        return _read(self._path) if script == self._script else None

    async def active(self) -> str | None:
        """The one script, if it is there."""
        return self._script if self._path.exists() else None

    def compiled_path(self, script: str) -> Path | None:
        """In ``bin_path``, if there is one."""
        return None if self._compiled is None else self._compiled / f"{self._script}{COMPILED}"

    async def close(self) -> None:
        """Nothing is open."""


class Folder:
    """A folder of scripts, and perhaps the link to the active one."""

    name = "file"

    def __init__(self, path: Path, active: Path | None, compiled: Path | None) -> None:
        self._path = path
        self._root = os.path.normpath(path) + "/"
        self._last: dict[str, tuple[str, Path]] = {}
        self._link = active
        self._target: tuple[str, str] | None = None  # what the link says, and where that is
        self._compiled = compiled

    def location(self, script: str) -> str:
        """``file:PATH``."""
        if self._outside(script):
            return f"file:{self._link}"
        return f"file:{self._file(script)}"

    def _file(self, script: str, suffix: str = SUFFIX, folder: Path | None = None) -> Path:
        known = self._last.get(suffix)  # deliveries ask for the same script again and again
        if known is not None and known[0] == script:
            return known[1]
        path = self._path if folder is None else folder
        *outer, last = _parts(script)
        file = path.joinpath(*(part + MORE for part in outer), last + suffix)
        self._last[suffix] = (script, file)
        return file

    def compiled_path(self, script: str) -> Path | None:
        """Beside the script, or in ``bin_path``."""
        if self._outside(script):
            return None
        return self._file(script, COMPILED, self._compiled)

    async def close(self) -> None:
        """Nothing is open."""

    # Reading needs no lock: files are replaced, never written to.

    async def scripts(self) -> list[Listed]:
        """All scripts, by name; a plain file as active script is not in the list."""
        return await self._thread(self._scripts)

    def _scripts(self) -> list[Listed]:
        active = self._active()
        found = [Listed(name, size, name == active) for name, size in _walk(self._path, "")]
        return sorted(found)

    async def read(self, script: str) -> bytes | None:
        """A script's source, or None."""
        if self._link is not None and self._outside(script):
            return _read(self._link)
        return _read(self._file(script))

    async def active(self) -> str | None:
        """What the link says; None for a link to nothing."""
        return self._active()

    def _active(self) -> str | None:
        file = self._active_file()
        return None if file is None else self._name_of(file) or MAIN

    def _active_file(self) -> str | None:
        """Where the link leads to, if there is a file; itself if it is no link.

        Raises ScriptError.
        """
        if self._link is None:
            return None
        try:
            target = os.readlink(self._link)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise ScriptError(f"{self._link}: {error.strerror}") from error
            target = str(self._link)
        known = self._target
        if known is None or known[0] != target:
            path = os.path.normpath(os.path.join(os.path.dirname(self._link), target))
            known = self._target = (target, path)
        return known[1] if os.path.isfile(known[1]) else None

    def _name_of(self, path: str) -> str | None:
        """The name of the script in a file; None if it is none of the folder's."""
        if not path.startswith(self._root):
            return None
        return _script_of(path[len(self._root) :].split("/"))

    def _outside(self, script: str) -> bool:
        """Whether this is the active script, and none of the folder's."""
        if script != MAIN or (path := self._active_file()) is None:
            return False
        return self._name_of(path) is None

    # Changes.

    async def save(self, script: str, source: bytes, admit: Admit) -> None:
        """Store a script.  Raises what ``admit`` does, and ScriptError."""

        def change() -> None:
            admit(self._scripts())
            file = self._file(script)
            temporary = self._path / _TEMPORARY / "new"
            with open(temporary, "wb") as new:
                new.write(source)
                new.flush()
                os.fsync(new.fileno())
            _make_folder(file.parent)
            os.replace(temporary, file)
            _sync(file.parent)

        await self._change(change)

    async def delete(self, script: str) -> None:
        """Remove a script, and its compiled form."""

        def change() -> None:
            file = self._existing(script)
            if self._active() == script:
                raise ScriptActive(script)
            file.unlink()
            self._forget_compiled(script)
            _sync(file.parent)

        await self._change(change)

    async def rename(self, old: str, new: str) -> None:
        """Give a script another name; the link is made to follow before the old name goes."""

        def change() -> None:
            source, target = self._existing(old), self._file(new)
            if target.exists():
                raise ScriptExists(new)
            _make_folder(target.parent)
            if self._active() == old:
                # A crash in between leaves two names, never a link to nothing.
                os.link(source, target)
                _sync(target.parent)
                self._point_at(target)
                source.unlink()
            else:
                os.rename(source, target)
                _sync(target.parent)
            self._forget_compiled(old)
            _sync(source.parent)

        await self._change(change)

    async def activate(self, script: str | None) -> None:
        """Set the link, or remove it."""

        def change() -> None:
            if self._link is None:
                raise ScriptError("sieve_script: the place has no active_path")
            if script is not None and self._outside(script):
                return
            file = None if script is None else self._existing(script)
            self._keep_plain_file(self._link)
            if file is not None:
                self._point_at(file)
            else:
                self._link.unlink(missing_ok=True)
                _sync(self._link.parent)

        await self._change(change)

    def _existing(self, script: str) -> Path:
        file = self._file(script)
        if not file.is_file():
            raise NoSuchScript(script)
        return file

    def _point_at(self, file: Path) -> None:
        assert self._link is not None
        _make_folder(self._link.parent)
        temporary = self._link.with_name(f"{self._link.name}.new")
        temporary.unlink(missing_ok=True)
        os.symlink(os.path.relpath(file, self._link.parent), temporary)
        os.replace(temporary, self._link)
        _sync(self._link.parent)

    def _keep_plain_file(self, link: Path) -> None:
        """A script that somebody wrote where the link belongs becomes one of the folder's."""
        if link.is_symlink() or not link.is_file():
            return
        number, name = 1, MAIN
        while self._file(name).exists():
            number, name = number + 1, f"{MAIN} {number + 1}"
        os.link(link, self._file(name))
        _sync(self._path)

    def _forget_compiled(self, script: str) -> None:
        compiled = self.compiled_path(script)
        if compiled is not None:
            with contextlib.suppress(OSError):
                compiled.unlink()

    async def _change(self, change: Callable[[], None]) -> None:
        def locked() -> None:
            with self._locked():
                change()

        await self._thread(locked)

    async def _thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except OSError as error:
            raise ScriptError(f"{error.filename or self._path}: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone in the folder, which is made if it is not there.  Raises OSError, ScriptError."""
        _make_folder(self._path / _TEMPORARY)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self._path / _TEMPORARY / _LOCK, flags, 0o600)
        try:
            _lock(fd, self._path)
            for left in os.listdir(self._path / _TEMPORARY):
                if left != _LOCK:
                    os.unlink(self._path / _TEMPORARY / left)
            yield
        finally:
            os.close(fd)


def _lock(fd: int, path: Path) -> None:
    """flock(2), which ends with the process that holds it; a stuck one is not waited for."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise ScriptError(f"{path}: is locked by another process") from None
            time.sleep(0.01)


def _parts(script: str) -> list[str]:
    """The name cut between characters into parts that fit into file names."""
    if len(script.encode("utf-8", "surrogateescape")) <= LONGEST_PART:
        return [script]
    parts = [""]
    for character in script:
        if len((parts[-1] + character).encode("utf-8", "surrogateescape")) > LONGEST_PART:
            parts.append("")
        parts[-1] += character
    return parts


def _script_of(path: Sequence[str]) -> str | None:
    """The name of the script in a file of the folder; None for a file that is none."""
    *outer, last = path
    if not last.endswith(SUFFIX) or len(last) == len(SUFFIX):
        return None
    if not all(part.endswith(MORE) for part in outer):
        return None
    name = "".join(part[: -len(MORE)] for part in outer) + last[: -len(SUFFIX)]
    return name if len(_parts(name)) == len(path) else None


def _walk(folder: Path, before: str) -> Iterator[tuple[str, int]]:
    """Name and size of every script."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.endswith(MORE) and entry.is_dir():
            yield from _walk(Path(entry.path), before + entry.name[: -len(MORE)])
        elif entry.name.endswith(SUFFIX) and len(entry.name) > len(SUFFIX) and entry.is_file():
            with contextlib.suppress(FileNotFoundError):
                yield before + entry.name[: -len(SUFFIX)], entry.stat().st_size


def _read(path: Path | str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces = [os.read(fd, READ_SIZE)]
            while len(pieces[-1]) == READ_SIZE:  # less is the end of a regular file
                pieces.append(os.read(fd, READ_SIZE))
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _make_folder(path: Path) -> None:
    """The folder and what lacks above it, durably."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make(place: Place) -> Folder | OneFile:
    """The place that the block names.  Raises ValueError."""
    block = place.script
    if not block.path:
        raise ValueError(f"sieve_script {place.block}: path is not set")
    path = place.path(block.path)
    compiled = place.path(block.bin_path) if block.bin_path else None
    if path.name.endswith(SUFFIX) or path.is_file():
        return OneFile(path, block.name or path.name.removesuffix(SUFFIX), compiled)
    active = place.path(block.active_path) if block.active_path else None
    return Folder(path, active, compiled)
