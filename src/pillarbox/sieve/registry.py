'''What an extension is, and the list of all of them.

Every file of `sieve/extensions/` is one extension (or a family that shares code) and has a
module attribute ``EXTENSION`` (or ``EXTENSIONS``, a tuple): an `Extension` value that declares the
capability it answers to in ``require`` and what it brings: commands, tests, tags added to
commands and tests of others, comparators, match types, address parts, envelope parts and
namespaces of variables.  Files are found by their being there: nothing else has to be edited.
The base language is declared in the same way in `sieve/core/`, with empty capabilities.

How declarations work
- ``CommandSpec.run(run, node)`` carries a command out; it returns None or a `Flow`.
  ``TestSpec.evaluate(run, node)`` gives a bool.  A test that compares strings has instead
  ``values(run, node)``, giving the strings to look at, and ``keys``, the name of its key list
  argument: match type and comparator tags, variables set by matching, :count and the trace then
  come by themselves.
- All of them may be **generator functions**: ``answer = yield SomeQuestion(...)`` asks the
  caller.  Use ``yield from run.block(node.block)`` to run a block.  Functions that ask nothing
  should stay plain functions: they are called without a generator.
- Arguments are bound by name: ``run.text(node.text("mailbox"))``,
  ``run.texts(node.texts("keys"))``, ``node.number("limit")``; tags:
  ``"copy" in node.tags``, ``node.tags["flags"].value``.
- ``validate(v, node)`` runs when a script is compiled: ``v.error(position, text)``,
  ``v.warning(...)``, ``v.enabled("variables")``; strings with variables have ``constant`` None.
  It may leave anything in ``node.data``.
- A tag added to a command of others changes the action that the command makes: its
  ``apply(run, node, use, action)`` is called with the action before it is added (and may be a
  generator function).  A tag added to a test on header fields (``TestSpec.fields``) filters the
  fields: its ``fields(run, node, use, name, found)`` gives the list that is looked at instead, tags
  with a smaller ``order`` first.
- Tags of one ``group`` exclude each other; no tag may be used twice.
- State for one run: ``run.state(Class)`` makes and keeps one object per class.
- To end the script: ``raise SieveRunError("…")``.  To deliver: ``run.add(Action(...), node)``.

Example: an extension "vnd.example.shout" with a command, a tag on fileinto and a test::

    """Shouting (an example)."""

    def _shout(run: Run, node: Node) -> None:
        run.add(Notify(run.text(node.text("words")).upper()), node)

    def _valid(v: Validator, node: Node) -> None:
        if node.text("words").constant == "":
            v.error(node.position, "shout: there is nothing to say")

    def _loud(run: Run, node: Node, use: TagUse, action: Action) -> None:
        action.options["loudness"] = use.value

    def _weekdays(run: Run, node: Node) -> Asking[list[str]]:
        now = yield from run.now()
        return [now.strftime("%A")]

    EXTENSION = Extension(
        "vnd.example.shout",
        commands=(CommandSpec("shout", _shout, (Positional("words", STRING),), validate=_valid),),
        tests=(TestSpec("weekday", values=_weekdays, arguments=(KEYS,), keys="keys"),),
        added=(Added(("fileinto",), (TagSpec("loud", NUMBER, apply=_loud),)),),
    )
'''

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, TypeVar

from pillarbox.sieve.questions import Question

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.message import HeaderField
    from pillarbox.sieve.nodes import Matching, Node, TagUse, VariableRef
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator

T = TypeVar("T")
Asking = Generator[Question, Any, T]


class Kind(Enum):
    """Kinds of arguments; a single string is a list of one where a list is wanted."""

    STRING = "a string"
    STRINGS = "a string list"
    NUMBER = "a number"


STRING, STRINGS, NUMBER = Kind.STRING, Kind.STRINGS, Kind.NUMBER


class Flow(Enum):
    """Why a block ended early; None is the ordinary end."""

    STOP = "stop"  # the whole run
    RETURN = "return"  # this script
    BREAK = "break"  # a loop, ``run.break_target`` says which


@dataclass(frozen=True, slots=True)
class Positional:
    """An argument without a tag.  Optional ones are there if all arguments are."""

    name: str
    kind: Kind
    optional: bool = False
    constant: bool = False  # variables are not allowed


KEYS = Positional("keys", STRINGS)


@dataclass(frozen=True)
class TagSpec:
    """A tagged argument: its name without colon, and the kind of its value if it has one."""

    name: str
    kind: Kind | None = None
    group: str | None = None
    needs: str | None = None  # another tag that must be there too
    constant: bool = False
    order: int = 0
    validate: Callable[[Validator, Node, TagUse], None] | None = None
    apply: Callable[[Run, Node, TagUse, Action], Any] | None = None
    fields: Callable[[Run, Node, TagUse, str, list[HeaderField]], list[HeaderField]] | None = None
    modify: Callable[[str], str] | None = None  # a modifier of set (RFC 5229), largest order first
    asks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", inspect.isgeneratorfunction(self.apply))


@dataclass(frozen=True)
class CommandSpec:
    """A command.  ``test`` and ``block`` say whether it must have one.

    ``keys`` names its key list argument if it compares (as deleteheader does): it then takes the
    comparator and match type tags, for ``run.matched``.
    """

    name: str
    run: Callable[[Run, Node], Any]
    arguments: tuple[Positional, ...] = ()
    tags: tuple[TagSpec, ...] = ()
    test: bool = False
    block: bool = False
    keys: str = ""
    validate: Callable[[Validator, Node], None] | None = None
    asks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", inspect.isgeneratorfunction(self.run))

    @property
    def compares(self) -> bool:
        """Whether comparator and match type tags may be given."""
        return bool(self.keys)


@dataclass(frozen=True)
class TestSpec:
    """A test: ``evaluate`` gives its outcome, or ``values`` what is matched against ``keys``.

    ``tests`` is the number of tests in it: 0, 1 or None for a list of them.  ``matches`` gives a
    test with ``evaluate`` the comparator and match type tags too; ``fields`` says that it looks
    at header fields through ``run.fields``; ``parts`` gives it address part tags.
    """

    __test__ = False

    name: str
    evaluate: Callable[[Run, Node], Any] | None = None
    values: Callable[[Run, Node], Any] | None = None
    arguments: tuple[Positional, ...] = ()
    tags: tuple[TagSpec, ...] = ()
    tests: int | None = 0
    keys: str = ""
    matches: bool = False
    fields: bool = False
    parts: bool = False
    captures: bool = True  # whether matching sets ${1} …
    validate: Callable[[Validator, Node], None] | None = None
    asks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", inspect.isgeneratorfunction(self.evaluate or self.values))

    @property
    def compares(self) -> bool:
        """Whether comparator and match type tags may be given."""
        return bool(self.keys) or self.matches


@dataclass(frozen=True)
class Added:
    """Tags that an extension adds to commands or tests of others.

    Besides names, ``to`` may hold "fields": every test on header fields.
    """

    to: tuple[str, ...]
    tags: tuple[TagSpec, ...]


@dataclass(frozen=True)
class Comparator:
    """A comparator: ``fold`` makes of a string what is compared.

    ``substring`` says whether :contains, :matches and :regex may be used with it; ``fold`` must
    then give a str.  Folded values are ordered by ``<`` and equal by ``==``.  ``octets`` says that
    to it a character is an octet.  ``capability`` must be required to use it, if not empty.
    """

    name: str
    fold: Callable[[str], Any]
    substring: bool = True
    capability: str = ""
    octets: bool = False


@dataclass(frozen=True)
class MatchType:
    """A match type, a tag of a comparing test.

    ``prepare(matching, key)`` makes a key ready (once, if it is constant; it may raise
    SieveRunError, which for a constant key is told when compiling).  ``search(run, matching,
    value, keys)`` gives the index of the prepared key that matches, or -1.  A type that looks at
    all values at once has ``whole(run, node, values, keys)`` instead, giving a bool; that one may
    be a generator function.  ``kind`` is the kind of the tag's own value (relational).
    """

    name: str
    prepare: Callable[[Matching, str], Any] | None = None
    search: Callable[[Run, Matching, str, Sequence[Any]], int] | None = None
    whole: Callable[[Run, Node, Sequence[str], Sequence[str]], Any] | None = None
    kind: Kind | None = None
    substring: bool = False
    validate: Callable[[Validator, Node], None] | None = None
    asks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", inspect.isgeneratorfunction(self.whole))


@dataclass(frozen=True)
class AddressPart:
    """An address part tag: from local part and domain (either may be None) to the string that is
    compared, or None if there is no such part."""

    name: str
    part: Callable[[Run, str | None, str | None], str | None]


@dataclass(frozen=True)
class EnvelopePart:
    """A name for the envelope test; ``values`` are addresses if ``address``."""

    name: str
    values: Callable[[Run], list[str]]
    address: bool = True


@dataclass(frozen=True)
class Namespace:
    """A namespace of variables.  ``read`` gives the value or None for an unknown variable;
    ``write`` is None where variables cannot be set; ``check`` may refuse a reference."""

    name: str
    read: Callable[[Run, str], str | None]
    write: Callable[[Run, str, str], None] | None = None
    check: Callable[[Validator, VariableRef], str | None] | None = None


@dataclass(frozen=True)
class Extension:
    """An extension and everything that it brings.

    ``implies`` are capabilities that requiring this one also enables; ``required(v)`` is called
    when a script requires it; ``optional`` ones are allowed only where a caller names them.
    """

    capability: str
    commands: tuple[CommandSpec, ...] = ()
    tests: tuple[TestSpec, ...] = ()
    added: tuple[Added, ...] = ()
    comparators: tuple[Comparator, ...] = ()
    match_types: tuple[MatchType, ...] = ()
    address_parts: tuple[AddressPart, ...] = ()
    envelope_parts: tuple[EnvelopePart, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    implies: tuple[str, ...] = ()
    optional: bool = False
    required: Callable[[Validator], None] | None = None


def _modules(package: str) -> Iterator[Extension]:
    parent = import_module(package)
    for info in sorted(iter_modules(parent.__path__), key=lambda info: info.name):
        module = import_module(f"{package}.{info.name}")
        single = getattr(module, "EXTENSION", None)
        if single is not None:
            yield single
        yield from getattr(module, "EXTENSIONS", ())


@cache
def extensions() -> Mapping[str, Extension]:
    """All extensions by capability, in the order of their files."""
    return {extension.capability: extension for extension in _modules("pillarbox.sieve.extensions")}


@cache
def core() -> tuple[Extension, ...]:
    """The base language."""
    return tuple(_modules("pillarbox.sieve.core"))


def default_capabilities() -> frozenset[str]:
    """What a script may require if the caller does not say otherwise: all but optional ones."""
    return frozenset(name for name, ext in extensions().items() if not ext.optional)
