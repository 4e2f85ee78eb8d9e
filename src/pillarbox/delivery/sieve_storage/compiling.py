"""Stored scripts in their compiled form, and the files where that is kept.

The compiler asks for included scripts without waiting; storages can only be asked with waiting.
So a script is compiled with the includes that are at hand, those that it missed are read, and it
is compiled again until nothing is missing: once for each level of includes, and once for a script
without any.  Large scripts are compiled in a thread.

The file belongs to the user and is not believed: see `pillarbox.sieve.compiled`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pillarbox.sieve.compiled import dump, load
from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.script import Script, compile

LARGE: Final = 4 * 1024
MOST_OCTETS: Final = 16 * 1024 * 1024

# (location "personal" or "global", name) to the source of a script, or None
Read = Callable[[str, str], Awaitable[bytes | None]]
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What scripts may use: extensions, and how much; included global scripts may use others.

    There is one for each set of settings, which equals no other.
    """

    capabilities: frozenset[str]
    limits: Limits
    global_capabilities: frozenset[str]


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


async def load_kept(
    file: Path | None, name: str, source: bytes, rules: Rules, read: Read, location: str
) -> Script | None:
    """A script from its compiled form; None if there is none that is right.

    Raises what ``read`` does.
    """
    octets = None if file is None else _octets(file)
    if octets is None:
        return None
    included = _AtHand()

    def work() -> Script | None:
        return load(
            octets,
            source,
            name,
            rules.capabilities,
            rules.limits,
            included.load,
            location=location,
            global_extensions=rules.global_capabilities,
        )

    script = await asyncio.to_thread(work) if len(source) > LARGE else work()
    if script is None and included.missing:
        await included.complete(read)
        script = await asyncio.to_thread(work)
    return script


def keep(file: Path | None, script: Script, rules: Rules) -> bool:
    """Write the compiled form unless it is there, whole or not at all; whether it is there now.

    A place that cannot be written to is no error: the script is compiled again then.
    """
    if file is None:
        return False
    octets = dump(script, rules.capabilities, global_extensions=rules.global_capabilities)
    if octets is None:
        return False
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        if _octets(file) != octets:
            temporary.write_bytes(octets)
            os.replace(temporary, file)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        return False
    return True


def _octets(file: Path) -> bytes | None:
    """What is in a file, unless it is more than any compiled form."""
    try:
        with file.open("rb") as opened:
            octets = opened.read(MOST_OCTETS + 1)
    except OSError:
        return None
    return octets if len(octets) <= MOST_OCTETS else None
