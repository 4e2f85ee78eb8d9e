"""The compiled scripts that a process keeps in memory.

A compiled script is valid as long as its source and everything it includes are the same; all of
that is compared whenever it is used.  The last so many scripts are kept (`Cache`).  Those of
different users that are equal, with all that they include, are one tree: a thousand users of one
generated script cost as much as one.

What one user's file made is never shown to another: the tree of a compiled form serves its owner
alone.  The second user of a script has it compiled, and that is the tree that all others share.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pillarbox.delivery.sieve_storage.compiling import (
    LARGE,
    Compiled,
    Read,
    Rules,
    compile_source,
    keep,
    load_kept,
)
from pillarbox.sieve.script import Script

KEPT: Final = 2000
KEPT_OCTETS: Final = 4 * 1024 * 1024  # of sources; what is made of them is some 30 times as large
_MOST_VARIANTS: Final = 4  # of one source with different included scripts, that are looked at

_Content = tuple[str, str, bytes, Rules]  # name, location, source


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
        content = (name, location, source, rules)
        script = await self._trees.find(content, read)
        if script is None and not self._trees.is_private(content):
            script = await load_kept(file, name, source, rules, read, location)
            if script is not None:
                return self._remember(key, Compiled(script, (), str(file)), private=True)
        compiled = Compiled(script, ())
        if script is None:
            compiled = await compile_source(name, source, rules, read, location)
        if compiled.script is None:
            self._forget(key)
            self._note_broken(key, source, compiled)
            return compiled
        if keep(file, compiled.script, rules):
            compiled = replace(compiled, binary_path=str(file))
        return self._remember(key, compiled)

    def _remember(
        self, key: tuple[str, Rules], compiled: Compiled, *, private: bool = False
    ) -> Compiled:
        self._forget(key)
        assert compiled.script is not None
        if private:
            self._trees.hold_private(compiled.script, key[1])
        else:
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
        self._holders: Counter[Script] = Counter()
        self._variants: dict[_Content, list[Script]] = {}
        self._private: Counter[_Content] = Counter()

    async def find(self, content: _Content, read: Read) -> Script | None:
        """A script of that content which includes what ``read`` gives, if one is held."""
        for script in self._variants.get(content, [])[-_MOST_VARIANTS:]:
            if await _current(script, script.source, read):
                return script
        return None

    def is_private(self, content: _Content) -> bool:
        """Whether somebody holds a script of that content which is for nobody else."""
        return content in self._private

    def hold_private(self, script: Script, rules: Rules) -> None:
        """Keep a script for the only one who uses it."""
        self._private[_content(script, rules)] += 1
        self.room -= len(script.source)

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
        content = _content(script, rules)
        if script in self._holders:
            self._holders[script] -= 1
            if self._holders[script]:
                return
            del self._holders[script]
            self._variants[content].remove(script)
            if not self._variants[content]:
                del self._variants[content]
        else:
            self._private[content] -= 1
            if not self._private[content]:
                del self._private[content]
        self.room += len(script.source)


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
