"""Reading settings files.

`load` reads a TOML file, the files that it includes, and overrides from the command line, and gives
one frozen `Settings`; `read` gives with it where each value came from.  Included files
(``include = ["conf.d/*.toml"]``, sorted by name within a pattern) are read after the file that
includes them and win over it; blocks of the same name are merged.  Everything that is wrong is
collected and raised at once as `SettingsError`, each problem with file and line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pillarbox.settings.convert import Converter
from pillarbox.settings.errors import Problem, SettingsError
from pillarbox.settings.model import Settings
from pillarbox.settings.positions import Path as KeyPath
from pillarbox.settings.positions import line_of, lines

Tree = dict[str, object]


@dataclass(frozen=True, slots=True)
class Source:
    """One file (or the command line) that gave settings."""

    name: str
    folder: Path | None
    positions: Mapping[KeyPath, int]


@dataclass(slots=True)
class Loaded:
    """Settings with their origin: ``changed`` are the paths of the keys that some source set."""

    settings: Settings
    origins: dict[KeyPath, Source] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def problem(self, path: KeyPath, text: str) -> Problem:
        """A problem with what stands at a path, or at what is around it."""
        return _problem(self.origins, path, text)

    @property
    def changed(self) -> list[KeyPath]:
        return list(self.origins)


def load(path: Path | None, overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file (None: the defaults) with ``name=value`` overrides on top.

    Raises SettingsError with everything that is wrong.
    """
    return read(path, overrides).settings


def read(path: Path | None, overrides: Mapping[str, str] | None = None) -> Loaded:
    """As `load`, with the place that every value came from."""
    reader = _Reader()
    if path is not None:
        reader.file(path.absolute(), path, None)
    for name, value in (overrides or {}).items():
        reader.override(name, value)
    converter = Converter(reader.problem, reader.folder)
    settings = converter.struct(Settings, reader.tree)
    if reader.problems or not isinstance(settings, Settings):
        raise SettingsError(_in_order(reader.problems))
    return Loaded(settings, reader.origins, reader.files)


def encode(settings: Settings) -> bytes:
    """The settings for another process of this server; `decode` reads them."""
    return msgspec.msgpack.encode(settings)


def decode(data: bytes) -> Settings:
    """The settings that `encode` wrote.  Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(data, type=Settings)


class _Reader:
    """Collects the trees of all sources into one, with the origin of every key."""

    def __init__(self) -> None:
        self.tree: Tree = {}
        self.origins: dict[KeyPath, Source] = {}
        self.problems: list[Problem] = []
        self.files: list[Path] = []
        self._open: list[Path] = []

    def problem(self, path: KeyPath, text: str) -> None:
        self.problems.append(_problem(self.origins, path, text))

    def folder(self, path: KeyPath) -> Path | None:
        source = _origin(self.origins, path)
        return source.folder if source else None

    def file(self, path: Path, shown: Path, included: Problem | None) -> None:
        """Read one file and then what it includes."""
        text = self._text(path, shown, included)
        if text is None:
            return
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.problems.append(_syntax(str(shown), text, error))
            return
        self.files.append(path)
        source = Source(str(shown), path.parent, lines(text))
        patterns = tree.pop("include", [])
        self._merge(self.tree, tree, (), source)
        self._open.append(path)
        self._include(patterns, path, shown, source)
        self._open.pop()

    def override(self, name: str, value: str) -> None:
        """Take ``name=value`` of the command line; the name may have dots."""
        source = Source(f"-o {name}", Path.cwd(), {})
        try:
            tree = tomllib.loads(f"{name} = 0")
        except tomllib.TOMLDecodeError:
            self.problems.append(Problem(source.name, None, f"{name!r} is no name of a setting"))
            return
        path: list[str] = []
        inner: object = tree
        while isinstance(inner, dict):
            (key, inner), *_ = inner.items()
            path.append(key)
        leaf: object = value
        for key in reversed(path):
            leaf = {key: leaf}
        if isinstance(leaf, dict):
            self._merge(self.tree, leaf, (), source)

    def _text(self, path: Path, shown: Path, included: Problem | None) -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            why = "is not UTF-8 text"
        self.problems.append(
            Problem(included.source, included.line, f"{shown} {why}")
            if included
            else Problem(str(shown), None, why)
        )
        return None

    def _include(self, patterns: object, path: Path, shown: Path, source: Source) -> None:
        place = Problem(source.name, line_of(source.positions, ("include",)), "")
        patterns = [patterns] if isinstance(patterns, str) else patterns
        if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
            self.problems.append(Problem(place.source, place.line, "include is a list of files"))
            return
        for pattern in patterns:
            for found in self._matches(path.parent, pattern):
                if found in self._open:
                    text = f"{found} includes itself"
                    self.problems.append(Problem(place.source, place.line, text))
                else:
                    self.file(found, _shown(found, path, shown), place)

    def _matches(self, folder: Path, pattern: str) -> list[Path]:
        """The files of a pattern; a name without wildcards is itself, there or not."""
        full = folder / pattern
        if not re.search(r"[*?\[]", pattern):
            return [full]
        return sorted(Path(full.anchor).glob(str(full.relative_to(full.anchor))))

    def _merge(self, into: Tree, tree: Mapping[str, object], path: KeyPath, source: Source) -> None:
        for key, value in tree.items():
            where = (*path, key)
            present = into.get(key)
            self.origins[where] = source
            if not isinstance(value, dict) or _is_reference(value):
                into[key] = value
            elif isinstance(present, dict) and not _is_reference(present):
                self._merge(present, value, where, source)
            else:
                fresh: Tree = {}
                into[key] = fresh
                self._merge(fresh, value, where, source)


def _in_order(problems: list[Problem]) -> list[Problem]:
    """By file, as they were met, and by line within a file."""
    sources = list(dict.fromkeys(p.source for p in problems))
    return sorted(problems, key=lambda p: (sources.index(p.source), p.line or 0))


def _is_reference(value: Mapping[str, object]) -> bool:
    """Whether a table is a value that comes from a file or from the environment."""
    return len(value) == 1 and any(isinstance(value.get(k), str) for k in ("file", "env"))


def _shown(found: Path, path: Path, shown: Path) -> Path:
    """An included file as the person who named the first one would write it."""
    if found.is_relative_to(path.parent):
        return shown.parent / found.relative_to(path.parent)
    return found


def _origin(origins: Mapping[KeyPath, Source], path: KeyPath) -> Source | None:
    for length in range(len(path), 0, -1):
        if (source := origins.get(path[:length])) is not None:
            return source
    return None


def _problem(origins: Mapping[KeyPath, Source], path: KeyPath, text: str) -> Problem:
    source = _origin(origins, path)
    if source is None:
        return Problem("", None, text)
    return Problem(source.name, line_of(source.positions, path), text)


_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def _syntax(name: str, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    """tomllib's message with its position moved to the front."""
    message = str(error)
    found = _AT.search(message)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    column = f" in column {found[2]}" if found and found[2] else ""
    why = message[: found.start()] if found else message
    return Problem(name, line, f"this is not TOML{column}: {why[:1].lower()}{why[1:]}")
