"""Scripts in their compiled form: source text to something that can be run, or diagnostics.

`compile` never raises on bad scripts.  A `Script` holds the checked commands in memory; the form in
which it can be kept on disk is that of `compiled`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pillarbox.sieve.ast import Position
from pillarbox.sieve.errors import Diagnostic, Diagnostics
from pillarbox.sieve.limits import DEFAULT, Limits
from pillarbox.sieve.nodes import Node
from pillarbox.sieve.parser import parse
from pillarbox.sieve.registry import Namespace, default_capabilities
from pillarbox.sieve.scope import LanguageScope
from pillarbox.sieve.validator import Validator

# (location "personal" or "global", name) to the source of a script to be included, or None
Loader = Callable[[str, str], bytes | None]

_DEEPEST_INCLUDE: Final = 50  # whatever the limits say: the compiler calls itself


@dataclass(slots=True, eq=False)
class Script:
    """A script that can be run.

    ``included`` are the scripts that its include commands name, compiled with it, by location and
    name; those that were not there are asked for when the script runs.
    """

    name: str
    source: bytes
    location: str
    nodes: list[Node]
    capabilities: tuple[str, ...]
    namespaces: Mapping[str, Namespace]
    limits: Limits
    uses_matches: bool = False
    environment_items: tuple[str, ...] = ()  # those that its variables name
    included: dict[tuple[str, str], Script] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """What names this content: SHA-256 of the source, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    def dependencies(self) -> Iterator[tuple[str, str, str]]:
        """Location, name and hash of every script that this one includes, at any depth."""
        for key, script in self.all_included().items():
            yield *key, script.hash

    def all_included(self) -> dict[tuple[str, str], Script]:
        """Every script that this one includes, at any depth."""
        found: dict[tuple[str, str], Script] = {}
        waiting = [self]
        while waiting:
            for key, other in waiting.pop().included.items():
                if key not in found:
                    found[key] = other
                    waiting.append(other)
        return found


def made(validator: Validator, source: bytes, name: str, nodes: list[Node]) -> Script:
    """The script of these nodes, which the validator has checked."""
    return Script(
        name,
        source,
        validator.location,
        nodes,
        tuple(validator.scope.capabilities),
        validator.scope.namespaces,
        validator.limits,
        validator.enabled("variables"),
        tuple(validator.data.get("environment items", ())),
    )


def compile(
    source: bytes | str,
    name: str,
    allowed_extensions: Collection[str] | None = None,
    limits: Limits = DEFAULT,
    loader: Loader | None = None,
    *,
    location: str = "personal",
    global_extensions: Collection[str] | None = None,
) -> tuple[Script | None, list[Diagnostic]]:
    """A script from its source, and what is to be said about it.

    No script if there is any error.  ``allowed_extensions`` None allows all but the optional ones;
    ``global_extensions`` is what global scripts that it includes may use, None the same.
    """
    allowed = default_capabilities() if allowed_extensions is None else allowed_extensions
    compiler = Compiler(allowed, limits, loader)
    if global_extensions is not None:
        compiler.allowed_globally = global_extensions
    script = compiler.compile(source, name, location, ())
    return script, compiler.diagnostics


class Compiler:
    """Compiles a script and what it includes, each once."""

    def __init__(self, allowed: Collection[str], limits: Limits, loader: Loader | None) -> None:
        self.allowed = allowed
        self.allowed_globally = allowed
        self.limits = limits
        self.loader = loader
        self.diagnostics: list[Diagnostic] = []
        self.known: dict[tuple[str, str], Script | None] = {}

    def compile(
        self, source: bytes | str, name: str, location: str, path: tuple[tuple[str, str], ...]
    ) -> Script | None:
        """One script; ``path`` are the includes that led to it."""
        diagnostics = Diagnostics(name, self.limits.errors)
        octets = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
        script = self._compile(octets, name, location, path, diagnostics)
        self.diagnostics += sorted(diagnostics.items, key=lambda item: (item.line, item.column))
        return None if diagnostics.errors else script

    def _compile(
        self,
        octets: bytes,
        name: str,
        location: str,
        path: tuple[tuple[str, str], ...],
        diagnostics: Diagnostics,
    ) -> Script | None:
        if len(octets) > self.limits.script_size:
            diagnostics.error(
                Position(0, 0), f"the script is larger than {self.limits.script_size} bytes"
            )
            return None
        try:
            text = octets.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = octets[: error.start]
            place = Position(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
            diagnostics.error(place, "the script is not valid UTF-8")
            return None
        commands = parse(text, diagnostics, self.limits)
        allowed = self.allowed if location == "personal" else self.allowed_globally
        validator = Validator(diagnostics, LanguageScope(allowed), self.limits, location)
        validator.data["include path"] = path
        nodes = validator.script(commands)
        script = made(validator, octets, name, nodes)
        needed = validator.data.get("needed includes", ())
        for key, position in validator.data.get("includes", {}).items():
            self._include(script, key, position, path, diagnostics)
            if self.loader is not None and key in needed and key not in (*self.known, *path):
                place, other = key
                diagnostics.warning(position, f"included {place} script '{other}' does not exist")
        return script

    def _include(
        self,
        script: Script,
        key: tuple[str, str],
        position: Position,
        path: tuple[tuple[str, str], ...],
        diagnostics: Diagnostics,
    ) -> None:
        place, name = key
        if key in path:
            diagnostics.error(position, f"circular include of {place} script '{name}'")
            return
        deepest = min(self.limits.include_depth, _DEEPEST_INCLUDE)
        if len(path) >= deepest:
            diagnostics.error(position, f"scripts are included deeper than {deepest}")
            return
        if key not in self.known:
            if len(self.known) >= self.limits.includes:
                diagnostics.error(position, f"more than {self.limits.includes} scripts included")
                return
            source = self.loader(place, name) if self.loader is not None else None
            if source is None:
                return
            self.known[key] = self.compile(source, name, place, (*path, key))
        found = self.known[key]
        if found is None:
            diagnostics.error(position, f"failed to include {place} script '{name}'")
        else:
            script.included[key] = found
