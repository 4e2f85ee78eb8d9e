"""The compiled form: what it is valid for, and that nobody can do harm with one.

That it gives the same tree is checked for every script of this folder, see `conftest`; here all the
test suites run once more with scripts that were loaded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sieve import test_svtest
from tests.sieve.conftest import ALL, MESSAGE, REQUIRE, loaded

from pillarbox.sieve import compiled
from pillarbox.sieve.compiled import dump, load
from pillarbox.sieve.driver import run_script
from pillarbox.sieve.environment import Envelope
from pillarbox.sieve.extensions import testsuite
from pillarbox.sieve.limits import DEFAULT, Limits
from pillarbox.sieve.registry import default_capabilities
from pillarbox.sieve.script import Script, compile
from pillarbox.sieve.testsuite import runner

RULES = Path(__file__).parents[2] / "bench" / "rules.sieve"
SOURCES = {
    ("personal", "one"): b'require "include"; include :global "two";',
    ("global", "two"): b'require "fileinto"; fileinto "from two";',
    ("global", "pipe"): b'require "vnd.dovecot.pipe"; pipe "program";',
}
INCLUDING = b'require "include"; include "one";'
BUSY = Limits(steps=20_000, regex_effort=20_000, body_size=100_000)
SAMPLES = [
    RULES.read_bytes(),
    (
        REQUIRE
        + """
        set :upper :length "a" "b${1}${global.x}"; global "x";
        if not anyof (address :user :matches ["to", "cc"] "*", size :over 10, true,
                      header :index 1 :last :count "gt" "received" ["1", "2"],
                      hasflag :contains "a" ["x", "y"], date :zone "+0100" :is "date" "hour" "1",
                      currentdate :value "ge" "hour" "1", ihave ["fileinto", "nonsense"],
                      body :content "text" :regex "(a|b)+", duplicate :handle "h" :seconds 60,
                      environment :is "name" "x", mailboxexists ["a", "b"],
                      envelope :all :is ["from", "to"] "x", string "${a}" "x")
        { fileinto :copy :create :flags ["a", "b"] "c"; addheader :last "X-A" "b"; }
        elsif ihave "nonsense" { nonsense; }
        elsif false { discard; stop; }
        else { redirect :copy "a@example.org"; keep :flags "x"; }
        if true { if true { if exists "x" { reject "x"; } } } else { error "e"; }
        deleteheader :index 1 :contains "X-List" "o"; include :once "gone"; return;
        """
    ).encode(),
    b"""require ["foreverypart", "mime", "extracttext", "variables", "replace", "enclose",
                 "vacation", "vacation-seconds", "enotify", "extlists", "spamtestplus",
                 "comparator-i;octet", "relational"];
        foreverypart :name "outer" {
          if header :mime :anychild :param ["name", "x"] :comparator "i;octet" "content-type" "y"
          { foreverypart { extracttext :first 10 :lower "v"; break :name "outer"; } }
          break;
        }
        replace :subject "s" :from "a@example.org" "text ${v}"; enclose :headers ["x"] "t";
        vacation :seconds 5 :addresses ["a@example.org"] :subject "s" "away";
        notify :message "m" "mailto:a@example.org"; redirect :list "urn:x";
        if spamtest :percent :value "eq" :comparator "i;ascii-casemap" "3" { keep; }""",
]


def loader(location: str, name: str) -> bytes | None:
    return SOURCES.get((location, name))


def sound(source: bytes, **options: Any) -> Script:
    script, diagnostics = compile(source, "main", **options)
    assert script is not None, [str(one) for one in diagnostics]
    return script


def dumped(script: Script, **options: Any) -> bytes:
    octets = dump(script, **options)
    assert octets is not None
    return octets


@pytest.fixture
def through_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test suites compile no script that does not go through its compiled form."""

    def compile_and_load(
        source: bytes, name: str, allowed: Any = None, limits: Limits = DEFAULT, loader: Any = None
    ) -> Any:
        script, diagnostics = compile(source, name, allowed, limits, loader)
        return script and loaded(script, allowed, loader), diagnostics

    monkeypatch.setattr(testsuite, "compile", compile_and_load)
    monkeypatch.setattr(runner, "compile", compile_and_load)


@pytest.mark.usefixtures("through_disk")
@pytest.mark.parametrize("path", test_svtest.FILES, ids=lambda path: path.stem)
def test_the_suites_with_loaded_scripts(path: Path) -> None:
    test_svtest.test_file(path)


@pytest.mark.parametrize("source", SAMPLES)
def test_samples(source: bytes) -> None:
    script = sound(source)
    other = loaded(script)
    for trace in (True, False):
        one, same = (
            run_script(item, MESSAGE, Envelope("a@b.example", "c+d@e.example"), trace=trace)
            for item in (script, other)
        )
        assert one.error == same.error
        assert [a.describe() for a in one.actions] == [a.describe() for a in same.actions]
        assert (one.trace, one.log, one.flags) == (same.trace, same.log, same.flags)
        assert (one.steps, one.duplicates) == (same.steps, same.duplicates)


def test_nothing_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = dumped(sound(SAMPLES[0]))
    monkeypatch.delattr("pillarbox.sieve.script.parse")
    monkeypatch.delattr("pillarbox.sieve.validator.bind")
    assert load(octets, SAMPLES[0], "main") is not None


def test_included_scripts_must_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = dumped(sound(INCLUDING, loader=loader))
    script = load(octets, INCLUDING, "main", loader=loader)
    assert script is not None
    assert [a.describe() for a in run_script(script, MESSAGE).actions] == ['fileinto "from two"']
    asked: list[tuple[str, str]] = []

    def lost(location: str, name: str) -> bytes | None:
        asked.append((location, name))
        return None

    assert load(octets, INCLUDING, "main", loader=lost) is None
    assert asked == [("personal", "one"), ("global", "two")]
    assert load(octets, INCLUDING, "main") is None
    monkeypatch.setitem(SOURCES, ("global", "two"), b"keep;")
    assert load(octets, INCLUDING, "main", loader=loader) is None


def test_it_is_void_when_anything_that_it_was_made_of_changes() -> None:
    source = b'require "fileinto"; fileinto "x";'
    allowed = {"fileinto", "copy"}
    octets = dumped(sound(source, allowed_extensions=allowed), allowed_extensions=allowed)
    assert load(octets, source, "main", allowed) is not None
    assert load(octets, source, "main", {"fileinto"}) is None
    assert load(octets, source, "main", None) is None
    assert load(octets, source, "main", allowed, global_extensions={"copy"}) is None
    assert load(octets, source, "main", allowed, Limits(steps=1)) is None
    assert load(octets, source, "main", allowed, location="global") is None
    assert load(octets, source, "other", allowed) is None
    assert load(octets, source + b" ", "main", allowed) is None
    assert load(octets.replace(b"sieve 2", b"sieve 1"), source, "main", allowed) is None


def test_a_global_script_that_may_more_has_no_compiled_form_in_a_users_hands() -> None:
    source = b'require "include"; include :global "pipe";'
    allowed, more = {"include"}, {"include", "vnd.dovecot.pipe"}
    options: Any = {"allowed_extensions": allowed, "global_extensions": more}
    script = sound(source, loader=loader, **options)
    assert script.included["global", "pipe"].capabilities == ("vnd.dovecot.pipe",)
    assert dump(script, allowed, global_extensions=more) is None
    forged = dump(script, more, global_extensions=more)
    assert forged is not None
    rules = compiled._Rules(allowed, script.limits, more, "personal")
    head = msgspec.structs.replace(compiled._parts(forged)[0], digest=rules.digest(source, "main"))
    forged = with_head(head, b"".join(compiled._parts(forged)[1]))
    assert load(forged, source, "main", allowed, loader=loader, global_extensions=more) is None


def with_head(head: Any, trees: bytes) -> bytes:
    octets = msgspec.msgpack.encode(head)
    return compiled.FORM + len(octets).to_bytes(4, "big") + octets + trees


def with_tree(source: bytes, tree: Any, limits: Limits = DEFAULT) -> Script | None:
    """What comes of a forged tree for a source, head and digest being right."""
    octets = tree if isinstance(tree, bytes) else msgspec.msgpack.encode(tree)
    allowed = default_capabilities()
    rules = compiled._Rules(allowed, limits, None, "personal")
    head = compiled._Head(rules.digest(source, "main"), len(octets), ())
    return load(with_head(head, octets), source, "main", allowed, limits)


def text(*parts: Any) -> list[Any]:
    return list(parts)


KEEP = ["keep", [1, 1]]
ROOM = b"#" * 2000


@pytest.mark.parametrize(
    ("capabilities", "command"),
    [
        ([], ["nonsense", [1, 1]]),
        ([], ["require", [1, 1]]),
        ([], ["else", [1, 1], [], [], [], []]),
        ([], ["keep", [1, 1], ["x"]]),
        ([], ["keep", [1, 1], [], [["flags", ["a"], [1, 1]]]]),
        ([], ["keep", [1, 1], [], [], [["true", [1, 1]]]]),
        ([], ["keep", [1, 1], [], [], [], [KEEP]]),
        ([], ["redirect", [1, 1]]),
        ([], ["redirect", [1, 1], [1]]),
        ([], ["redirect", [1, 1], [None]]),
        ([], ["redirect", [1, 1], ["no address"]]),
        ([], ["redirect", [1, 1], [["a", ["", "b"]]]]),
        ([], ["fileinto", [1, 1], ["x"]]),
        (["vnd.dovecot.testsuite"], ["test_fail", [1, 1], ["x"]]),
        (["nonsense"], KEEP),
        (["fileinto", "fileinto"], KEEP),
        (["vacation-seconds"], KEEP),
        (["fileinto"], ["fileinto", [1, 1], [[]]]),
        (["fileinto", "copy"], ["fileinto", [1, 1], ["x"], [["copy", 1, [1, 1]]]]),
        (["fileinto", "copy"],
         ["fileinto", [1, 1], ["x"], [["copy", None, [1, 1]], ["copy", None, [1, 1]]]]),
        (["variables"], ["set", [1, 1], [["a"], "b"]]),
        (["variables"], ["set", [1, 1], ["1", "b"]]),
        (["variables"], ["set", [1, 1], ["a", [["", "\u00b2"]]]]),
        (["variables"], ["set", [1, 1], ["a", [["", "99999"]]]]),
        (["variables"], ["set", [1, 1], ["a", [["", "A"]]]]),
        (["variables"], ["set", [1, 1], ["a", [["nowhere", "a"]]]]),
        (["variables"], ["set", [1, 1], ["a", [["", "a", "b"]]]]),
        (["variables"], ["set", [1, 1], ["a", [["", ["a", "b"]]]]]),
        (["variables"], ["set", [1, 1], ["a", "b"],
                         [["lower", None, [1, 1]], ["upper", None, [1, 1]]]]),
        (["foreverypart"], ["break", [1, 1]]),
        (["imap4flags"], ["addflag", [1, 1], ["v", ["x"]]]),
        (["ihave"], ["if", [1, 1], [], [], [],
                     [["", [1, 1], [], [], [["ihave", [1, 1], [["fileinto"]]]], [KEEP]]]]),
    ],
)  # fmt: skip
def test_what_no_compiler_would_write(capabilities: list[str], command: list[Any]) -> None:
    assert with_tree(ROOM, [capabilities, [command]]) is None


@pytest.mark.parametrize(
    "test",
    [
        ["nonsense", [1, 1]],
        ["keep", [1, 1]],
        ["true", [1, 1], [], [], [["true", [1, 1]]]],
        ["not", [1, 1]],
        ["not", [1, 1], [], [], [["true", [1, 1]], ["true", [1, 1]]]],
        ["allof", [1, 1]],
        ["true", [1, 1], [], [], [], [KEEP]],
        ["size", [1, 1], [5]],
        ["size", [1, 1], [-5], [["over", None, [1, 1]]]],
        ["size", [1, 1], [2**63], [["over", None, [1, 1]]]],
        ["size", [1, 1], ["5"], [["over", None, [1, 1]]]],
        ["size", [1, 1], [5], [["over", None, [1, 1]], ["under", None, [1, 1]]]],
        ["exists", [1, 1], [[]]],
        ["exists", [1, 1], [["a"] * (DEFAULT.string_list + 1)]],
        ["header", [1, 1], [["a"], ["b"]], [["comparator", "nonsense", [1, 1]]]],
        ["header", [1, 1], [["a"], ["b"]], [["regex", None, [1, 1]]]],
        ["header", [1, 1], [["a"], ["b"]], [["is", "a", [1, 1]]]],
    ],
)
def test_tests_that_no_compiler_would_write(test: list[Any]) -> None:
    branch = ["", [1, 1], [], [], [test], [KEEP]]
    assert with_tree(ROOM * 30, [[], [["if", [1, 1], [], [], [], [branch]]]]) is None
    good = ["", [1, 1], [], [], [["true", [1, 1]]], [KEEP]]
    assert with_tree(ROOM, [[], [["if", [1, 1], [], [], [], [good]]]]) is not None


def test_limits_hold() -> None:
    assert with_tree(b"#" * 10, [[], [KEEP] * 10]) is not None
    assert with_tree(b"#" * 10, [[], [KEEP] * 11]) is None  # more than the source has room for
    strings = ["redirect", [1, 1], ["a@example.org"]]
    assert with_tree(b"#" * 10, [[], [strings] * 6]) is None
    assert with_tree(b"", [[], [["keep", [1, 2**40]] for _ in range(200)]]) is None

    def nested(depth: int) -> list[Any]:
        commands = [KEEP]
        for _ in range(depth):
            branch = ["", [1, 1], [], [], [["true", [1, 1]]], commands]
            commands = [["if", [1, 1], [], [], [], [branch]]]
        return commands

    assert with_tree(ROOM, [[], nested(32)]) is not None
    assert with_tree(ROOM, [[], nested(33)]) is None
    assert with_tree(ROOM * 50, [[], nested(200)]) is None

    def negated(depth: int) -> list[Any]:
        test: list[Any] = ["true", [1, 1]]
        for _ in range(depth):
            test = ["not", [1, 1], [], [], [test]]
        return [["if", [1, 1], [], [], [], [["", [1, 1], [], [], [test], []]]]]

    assert with_tree(ROOM, [[], negated(32)]) is not None
    assert with_tree(ROOM, [[], negated(33)]) is None
    deep = b"\x92\x90\x91" + b"\x95\xa3not\x92\x01\x01\x90\x90\x91" * 1000
    assert with_tree(ROOM * 50, deep) is None


def mutate(value: Any, choose: random.Random, values: list[Any]) -> Any:
    """The same with a few things in other places."""
    if isinstance(value, list) and value and choose.random() < 0.9:
        copy = list(value)
        where = choose.randrange(len(copy))
        match choose.randrange(8):
            case 0:
                del copy[where]
            case 1:
                copy.insert(where, choose.choice(values))
            case 2:
                copy.append(copy[where])
            case _:
                copy[where] = mutate(copy[where], choose, values)
        return copy
    return choose.choice(values)


def every(value: Any) -> list[Any]:
    found = [value]
    if isinstance(value, list):
        for item in value:
            found += every(item)
    return found


TREES = [
    (source, msgspec.msgpack.decode(compiled._tree(sound(source)))) for source in SAMPLES
]  # fmt: skip
VALUES = [
    *(value for _, tree in TREES for value in every(tree)),
    None, True, 0, 1, 2**63 - 1, "", "a", "\x00", "${a}", "\u00b2", "*", "[", [], [["a"]], *ALL,
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TREES), st.randoms(use_true_random=False), st.integers(1, 6))
def test_no_forged_tree_does_harm(
    sample: tuple[bytes, Any], choose: random.Random, times: int
) -> None:
    source, tree = sample
    for _ in range(times):
        tree = [mutate(tree[0], choose, VALUES) if choose.random() < 0.1 else tree[0],
                mutate(tree[1], choose, VALUES)]  # fmt: skip
    script = with_tree(source, tree, BUSY)
    if script is None:
        return
    assert set(script.capabilities) <= default_capabilities()
    for trace in (False, True):
        result = run_script(
            script, MESSAGE, Envelope("a@b.example", "c@d.example"), limits=BUSY, trace=trace
        )
        assert result.final_actions()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SAMPLES) - 1), st.integers(0), st.binary(max_size=4))
def test_no_damage_does_harm(number: int, at: int, octets: bytes) -> None:
    source = SAMPLES[number]
    whole = dumped(sound(source))
    at %= len(whole)
    script = load(whole[:at] + octets + whole[at + len(octets) :], source, "main")
    if script is not None:
        run_script(script, MESSAGE, limits=BUSY)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_octets_are_no_compiled_form(octets: bytes) -> None:
    assert load(octets, b"keep;", "main") is None
    assert load(compiled.FORM + octets, b"keep;", "main") is None


def test_compiled_forms_are_small() -> None:
    make: list[Callable[[int], bytes]] = [
        lambda n: b"keep;" * n,
        lambda n: b"\n" * 70_000 + b"keep;" * n,
        lambda n: b"if not not true{}" * n,
        lambda n: b"if exists[" + b'"a",' * n + b'"b"]{}',
    ]
    for one in make:
        for count in (1, 100, 5000):
            assert dump(sound(one(count))) is not None
