"""Stored scripts in their compiled form, and where that is kept.

The compiler asks for included scripts without waiting; storages can only be asked with waiting.
So a script is compiled with the includes that are at hand, those that it missed are read, and it
is compiled again until nothing is missing: once for each level of includes, and once for a script
without any.  Large scripts are compiled in a thread.

A compiled script is valid as long as its source, everything it includes and the version of the
language are the same; all of that is compared whenever it is used.  It is kept in memory
(`Cache`, the last so many of the process) and in a file beside the script.  The file belongs to
the user and is not believed: included scripts in it must be what the storages have.  In memory
the scripts of different users that are equal, with all that they include, are one tree: a thousand
users of one generated script cost as much as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.script import Script, compile

LARGE: Final = 4 * 1024
KEPT: Final = 2000
KEPT_OCTETS: Final = 4 * 1024 * 1024  # of sources; what is made of them is some 30 times as large

# (location "personal" or "global", name) to the source of a script, or None
Read = Callable[[str, str], Awaitable[bytes | None]]
_Key = tuple[str, str]
_MOST_VARIANTS: Final = 4  # of one source with different included scripts, that are looked at


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What scripts may use: extensions, and how much; included global scripts may use others.

    There is one for each set of settings, which equals no other.
    """

    capabilities: frozenset[str]
    limits: Limits
    global_capabilities: frozenset[str]


_Content = tuple[str, str, bytes, Rules]  # name, location, source


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a script; ``binary_path`` is where its compiled form is on disk."""

    script: Script | None
    diagnostics: Sequence[Diagnostic]
    binary_path: str | None = None

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(one.severity == "error" for one in self.diagnostics)

    @property
    def warnings(self) -> int:
        """How many warnings there are."""
        return sum(one.severity == "warning" for one in self.diagnostics)


class _AtHand:
    """The included scripts that were read, and those that the compiler missed."""

    def __init__(self) -> None:
        self.sources: dict[_Key, bytes | None] = {}
        self.missing: dict[_Key, None] = {}

    def load(self, place: str, name: str) -> bytes | None:
        """What the compiler asks."""
        key = (place, name)
        if key not in self.sources:
            self.missing[key] = None
        return self.sources.get(key)

    async def complete(self, read: Read) -> None:
        """Read what was missed."""
        for key in self.missing:
            self.sources[key] = await read(*key)
        self.missing.clear()


async def compile_source(
    name: str, source: bytes, rules: Rules, read: Read, location: str = "personal"
) -> Compiled:
    """A script from its source, with what it includes.  Raises what ``read`` does."""
    included = _AtHand()

    def work() -> tuple[Script | None, list[Diagnostic]]:
        return compile(
            source,
            name,
            rules.capabilities,
            rules.limits,
            included.load,
            location=location,
            global_extensions=rules.global_capabilities,
        )

    while True:
        size = len(source) + sum(len(other or b"") for other in included.sources.values())
        script, diagnostics = await asyncio.to_thread(work) if size > LARGE else work()
        if not included.missing:
            return Compiled(script, diagnostics)
        await included.complete(read)


class Cache:
    """The compiled scripts of one process, the most recently used ones; broken ones too."""

    def __init__(self, kept: int = KEPT, octets: int = KEPT_OCTETS) -> None:
        self._kept = kept
        self._scripts: OrderedDict[tuple[str, Rules], Compiled] = OrderedDict()
        self._broken: OrderedDict[tuple[str, Rules], tuple[bytes, Compiled]] = OrderedDict()
        self._trees = _Trees(octets)

    async def get(
        self,
        name: str,
        where: str,
        source: bytes,
        rules: Rules,
        read: Read,
        where_kept: Callable[[], Path | None],
        location: str = "personal",
    ) -> Compiled:
        """The script compiled, from memory, from a file, or anew (and then kept in both).

        ``where`` tells scripts of one name apart, ``where_kept`` names the file.  Raises what
        ``read`` does.
        """
        key = (where, rules)
        found = self._scripts.get(key)
        if found is not None and await _current(found.script, source, read):
            self._scripts.move_to_end(key)
            return found
        known = self._broken.get(key)
        if known is not None and known[0] == source:
            return known[1]
        file = where_kept()
        script = await self._trees.find((name, location, source, rules), read)
        compiled = Compiled(script, ())
        if script is None:
            script = _load(file, name, location, rules)
            if await _current(script, source, read):
                compiled = Compiled(script, (), str(file))
            else:
                compiled = await compile_source(name, source, rules, read, location)
                if compiled.script is None:
                    self._forget(key)
                    self._note_broken(key, source, compiled)
                    return compiled
        if compiled.binary_path is None and _is_kept(file, compiled.script):
            compiled = replace(compiled, binary_path=str(file))
        return self._remember(key, compiled)

    def _remember(self, key: tuple[str, Rules], compiled: Compiled) -> Compiled:
        self._forget(key)
        assert compiled.script is not None
        compiled = replace(compiled, script=self._trees.hold(compiled.script, key[1]))
        self._scripts[key] = compiled
        while len(self._scripts) > 1 and (len(self._scripts) > self._kept or self._trees.room < 0):
            self._forget(next(iter(self._scripts)))
        return compiled

    def _forget(self, key: tuple[str, Rules]) -> None:
        self._broken.pop(key, None)
        gone = self._scripts.pop(key, None)
        if gone is not None and gone.script is not None:
            self._trees.drop(gone.script, key[1])

    def _note_broken(self, key: tuple[str, Rules], source: bytes, compiled: Compiled) -> None:
        """Not what includes may mend, and not what is large."""
        if len(source) <= LARGE and b"include" not in source:
            self._broken[key] = (source, compiled)
            if len(self._broken) > self._kept:
                self._broken.popitem(last=False)


class _Trees:
    """The trees that a cache holds, by what they were made of; ``room`` is what is left for them.

    Scripts of one source differ where what they include does; some of the last ones are compared.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._holders: dict[Script, int] = {}
        self._variants: dict[_Content, list[Script]] = {}

    async def find(self, content: _Content, read: Read) -> Script | None:
        """A script of that content which includes what ``read`` gives, if one is held."""
        for script in self._variants.get(content, [])[-_MOST_VARIANTS:]:
            if await _current(script, script.source, read):
                return script
        return None

    def hold(self, script: Script, rules: Rules) -> Script:
        """Count one more user of a script, or of an equal one, which is used instead."""
        variants = self._variants.setdefault(_content(script, rules), [])
        included = set(script.dependencies())
        for other in variants[-_MOST_VARIANTS:]:
            if other is script or set(other.dependencies()) == included:
                self._holders[other] += 1
                return other
        variants.append(script)
        self._holders[script] = 1
        self.room -= len(script.source)
        return script

    def drop(self, script: Script, rules: Rules) -> None:
        """Count one user less; without any the tree is let go of."""
        self._holders[script] -= 1
        if self._holders[script]:
            return
        del self._holders[script]
        self.room += len(script.source)
        variants = self._variants[_content(script, rules)]
        variants.remove(script)
        if not variants:
            del self._variants[_content(script, rules)]


def _content(script: Script, rules: Rules) -> _Content:
    return script.name, script.location, script.source, rules


async def _current(script: Script | None, source: bytes, read: Read) -> bool:
    """Whether a compiled script is still that of this source and of what it includes."""
    if script is None or script.source != source:
        return False
    for place, name, digest in script.dependencies():
        other = await read(place, name)
        if other is None or hashlib.sha256(other).hexdigest() != digest:
            return False
    return True


def _load(file: Path | None, name: str, location: str, rules: Rules) -> Script | None:
    if file is None:
        return None
    try:
        octets = file.read_bytes()
    except OSError:
        return None
    script = Script.deserialize(
        octets,
        rules.capabilities,
        rules.limits,
        global_extensions=rules.global_capabilities,
    )
    if script is None or (script.name, script.location) != (name, location):
        return None
    return script


def _is_kept(file: Path | None, script: Script | None) -> bool:
    """Whether the file has the compiled form, which is written if need be."""
    if file is None or script is None:
        return False
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if file.read_bytes() == script.serialize():
            return True
    return keep(file, script)


def keep(file: Path | None, script: Script) -> bool:
    """Write the compiled form, whole or not at all; whether it is there now.

    A place that cannot be written to is no error: the script is compiled again then.
    """
    if file is None:
        return False
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(script.serialize())
        os.replace(temporary, file)
    except (OSError, UnicodeDecodeError):
        with contextlib.suppress(OSError):
            temporary.unlink()
        return False
    return True
