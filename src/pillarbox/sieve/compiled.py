"""The compiled form of a script, to be kept on disk: `dump` writes it, `load` reads it.

It begins with what it was made of: a digest of the source, the rules and the version of the
language, and the digests of all included scripts; then comes the checked tree of each script (see
`linker`).  `load` wants the sources, and gives a script only if all of them are the same.

Whoever can write the file can forge all of it.  So a digest says that it is up to date, not that
it is true: every name and value is looked up and checked as the compiler does, limits hold, and
nothing is decoded that is larger than what such a source could have made.  A forged tree can do
what its owner's script could do.  The global scripts that a personal script includes may use only
what the personal one may: one that uses more has no compiled form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from pillarbox.sieve.errors import Diagnostics
from pillarbox.sieve.limits import DEFAULT, Limits
from pillarbox.sieve.linker import Item, Linker, Unsound, items_of
from pillarbox.sieve.registry import default_capabilities
from pillarbox.sieve.scope import LanguageScope
from pillarbox.sieve.script import Loader, Script, made
from pillarbox.sieve.validator import Validator

FORM: Final = b"pillarbox-sieve 2\n"  # changes with what a source means, and with the form
_MOST_HEAD: Final = 64 * 1024
_SIZE: Final = 4  # octets of the size of the head
_Key = tuple[str, str]


class _Included(msgspec.Struct, array_like=True, frozen=True):
    """An included script: where it is, the digest of its source, and the size of its tree."""

    place: str
    name: str
    digest: bytes
    size: int


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """What the trees that follow were made of; the script's own comes first."""

    digest: bytes
    size: int
    included: tuple[_Included, ...]


class _Tree(msgspec.Struct, array_like=True, frozen=True):
    """One script."""

    capabilities: tuple[str, ...]
    commands: tuple[Item, ...]


_ENCODER: Final = msgspec.msgpack.Encoder()
_HEAD: Final = msgspec.msgpack.Decoder(_Head)
_TREE: Final = msgspec.msgpack.Decoder(_Tree)


def dump(
    script: Script,
    allowed_extensions: Collection[str] | None = None,
    *,
    global_extensions: Collection[str] | None = None,
) -> bytes | None:
    """The compiled form of a script, for the rules that it was compiled by; None if it has none."""
    rules = _Rules(allowed_extensions, script.limits, global_extensions, script.location)
    included = script.all_included()
    trees = [_tree(one) for one in (script, *included.values())]
    for one, tree in zip((script, *included.values()), trees):
        allowed = rules.allowed(one.location)
        if len(tree) > _room(one.source) or not allowed.issuperset(one.capabilities):
            return None
    head = _Head(
        rules.digest(script.source, script.name),
        len(trees[0]),
        tuple(
            _Included(*key, _digest(one.source), len(tree))
            for (key, one), tree in zip(included.items(), trees[1:])
        ),
    )
    octets = _ENCODER.encode(head)
    if len(octets) > _MOST_HEAD:
        return None
    return b"".join((FORM, len(octets).to_bytes(_SIZE, "big"), octets, *trees))


def load(
    octets: bytes,
    source: bytes,
    name: str,
    allowed_extensions: Collection[str] | None = None,
    limits: Limits = DEFAULT,
    loader: Loader | None = None,
    *,
    location: str = "personal",
    global_extensions: Collection[str] | None = None,
) -> Script | None:
    """A script from its compiled form, as `compile` makes it of ``source``.

    None if the form is damaged, or of another source, of other rules, or if ``loader`` has another
    script than one that was included.
    """
    rules = _Rules(allowed_extensions, limits, global_extensions, location)
    try:
        head, trees = _parts(octets)
        if head.digest != rules.digest(source, name):
            return None
        sources = _sources(head, loader)
        if sources is None:
            return None
        script, wanted = _linked(trees[0], source, name, location, rules)
        others = {
            key: _linked(tree, other, key[1], key[0], rules)
            for tree, (key, other) in zip(trees[1:], sources.items())
        }
    except (Unsound, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    for one, keys in ((script, wanted), *others.values()):
        one.included = {key: others[key][0] for key in keys if key in others}
    return script


class _Rules:
    """What scripts may use; ``location`` is that of the first one."""

    def __init__(
        self,
        allowed: Collection[str] | None,
        limits: Limits,
        allowed_globally: Collection[str] | None,
        location: str,
    ) -> None:
        own = default_capabilities() if allowed is None else frozenset(allowed)
        others = own if allowed_globally is None else frozenset(allowed_globally)
        self.limits = limits
        self._location = location
        self._own = own
        self._globally = own & others if location == "personal" else others
        self._text = _rules_text(own, others, limits)

    def allowed(self, location: str) -> frozenset[str]:
        """What scripts of a place may use."""
        return self._own if location == "personal" else self._globally

    def digest(self, source: bytes, name: str) -> bytes:
        """What makes a compiled form valid."""
        whole = hashlib.sha256(self._text)
        for text in (name.encode("utf-8", "surrogatepass"), self._location.encode(), source):
            whole.update(b"%d:" % len(text))
            whole.update(text)
        return whole.digest()


@lru_cache(maxsize=16)
def _rules_text(own: frozenset[str], others: frozenset[str], limits: Limits) -> bytes:
    return FORM + repr((sorted(own), sorted(others), limits)).encode()


def _digest(source: bytes) -> bytes:
    return hashlib.sha256(source).digest()


def _room(source: bytes) -> int:
    """The most octets that the tree of such a source may have."""
    return 1024 + 8 * len(source)


def _tree(script: Script) -> bytes:
    return _ENCODER.encode(_Tree(script.capabilities, items_of(script.nodes)))


def _parts(octets: bytes) -> tuple[_Head, list[memoryview]]:
    """The head and the trees.  Raises Unsound, MsgspecError."""
    start = len(FORM) + _SIZE
    size = int.from_bytes(octets[len(FORM) : start], "big")
    if not octets.startswith(FORM) or size > _MOST_HEAD:
        raise Unsound
    head = _HEAD.decode(octets[start : start + size])
    trees = list(_cut(octets, start + size, head))
    if sum(map(len, trees)) + start + size != len(octets):
        raise Unsound
    return head, trees


def _cut(octets: bytes, at: int, head: _Head) -> Iterator[memoryview]:
    whole = memoryview(octets)
    for size in (head.size, *(one.size for one in head.included)):
        if size < 0:
            raise Unsound
        yield whole[at : at + size]
        at += size


def _sources(head: _Head, loader: Loader | None) -> Mapping[_Key, bytes] | None:
    """The sources of the included scripts; None if one is missing or not the same."""
    found: dict[_Key, bytes] = {}
    same = True
    for one in head.included:  # all are asked for, so that a loader knows what it has to have
        source = None if loader is None else loader(one.place, one.name)
        if source is None or _digest(source) != one.digest:
            same = False
        else:
            found[one.place, one.name] = source
    return found if same and len(found) == len(head.included) else None


def _linked(
    octets: memoryview, source: bytes, name: str, location: str, rules: _Rules
) -> tuple[Script, Collection[_Key]]:
    """A script from its tree, and the scripts that it includes.  Raises Unsound, MsgspecError."""
    if len(octets) > _room(source):
        raise Unsound
    tree = _TREE.decode(octets)
    scope = _scope(rules.allowed(location), tree.capabilities)
    if scope is None:
        raise Unsound
    diagnostics = Diagnostics(name, 1)
    v = _Checks(diagnostics, scope, rules.limits, location)
    nodes = Linker(v, len(source)).block(tree.commands)
    if diagnostics.errors:
        raise Unsound
    return made(v, source, name, nodes), v.data.get("includes", {})


class _Checks(Validator):
    """The checks of values; the scope is that of other scripts too."""

    def enable(self, capability: str) -> None:
        """What an ihave enabled was enabled from the start."""
        if not self.enabled(capability):
            raise Unsound


@lru_cache(maxsize=64)
def _scope(allowed: frozenset[str], capabilities: tuple[str, ...]) -> LanguageScope | None:
    """What these capabilities bring; None if they are not what a script can have required."""
    scope = LanguageScope(allowed)
    for capability in capabilities:
        if not scope.supports(capability):
            return None
        scope.enable(capability)
    return scope if tuple(scope.capabilities) == capabilities else None
