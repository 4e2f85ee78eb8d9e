"""The tree of a script, the round trip through its printer, and errors told several at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.sieve.ast import Argument, Command, Number, String, StringList, Tag, Test
from pillarbox.sieve.errors import Diagnostics
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.parser import parse
from pillarbox.sieve.printer import print_script


def parsed(source: str, limits: Limits | None = None) -> tuple[list[Command], list[str]]:
    diagnostics = Diagnostics("t")
    commands = parse(source, diagnostics, limits or Limits())
    return commands, [f"{d.line}:{d.column} {d.message}" for d in diagnostics.items]


def test_tree() -> None:
    commands, errors = parsed(
        'if allof (not exists ["A", "B"], size :over 1K) {\n  fileinto :copy "x";\n} keep;'
    )
    assert errors == []
    names = [String("A"), String("B")]
    assert commands == [
        Command(
            "if",
            [],
            [
                Test(
                    "allof",
                    [],
                    [
                        Test("not", [], [Test("exists", [StringList(names)], [], False)], False),
                        Test("size", [Tag("over"), Number(1024)], [], False),
                    ],
                    True,
                )
            ],
            False,
            [Command("fileinto", [Tag("copy"), String("x")], [], False, None)],
        ),
        Command("keep", [], [], False, None),
    ]
    assert commands[0].block is not None
    assert tuple(commands[0].block[0].position) == (2, 3)
    assert tuple(commands[1].position) == (3, 3)


@pytest.mark.parametrize(
    ("source", "errors"),
    [
        ("", []),
        (" # nothing\n", []),
        ("keep", ["1:5 expected ';' or a block, but found end of script"]),
        ("keep }", ["1:6 expected ';' or a block, but found '}'",
                    "1:6 expected a command, but found '}'"]),
        ("if true { keep;", ["1:16 end of script before the end of the block opened in line 1"]),
        ("if true } keep;", ["1:9 expected ';' or a block, but found '}'",
                             "1:9 expected a command, but found '}'"]),
        ('"x";', ["1:1 expected a command name, but found a string"]),
        ("keep :a ];", ["1:9 expected ';' or a block, but found ']'"]),
        ("require [];", ["1:10 expected a string in the list, but found ']'"]),
        ('require ["a" "b"];', ["1:14 expected ',' or ']' in the list, but found a string"]),
        ('require ["a",];', ["1:14 expected a string in the list, but found ']'"]),
        ("if anyof (true 1 ;", [
            "1:18 expected ',' or ')' in the list of tests, but found ';'"]),
        ("if anyof () {}", ["1:11 expected a test name, but found ')'"]),
        ("if anyof (:x) {}", ["1:11 expected a test name, but found tag ':x'"]),
        ("1; 2; keep; 3;", [
            "1:1 expected a command name, but found a number",
            "1:4 expected a command name, but found a number",
            "1:13 expected a command name, but found a number"]),
        ("if true { ]; keep; } ; stop;", [
            "1:11 expected a command name, but found ']'",
            "1:22 expected a command name, but found ';'"]),
        ("a [1] { keep; { } } b \"", [
            "1:23 end of file before end of quoted string",
            "1:4 expected a string in the list, but found a number"]),
        ('if true { keep; "a', ["1:17 end of file before end of quoted string"]),
        ("if true { keep; /* a", ["1:17 end of file before end of block comment"]),
        ("if true { a text:\nb", ["1:13 end of file before end of multi-line string"]),
    ],
)  # fmt: skip
def test_errors(source: str, errors: list[str]) -> None:
    assert parsed(source)[1] == errors


def test_good_commands_around_bad_ones_are_kept() -> None:
    commands, errors = parsed("keep; fileinto ]; stop; if true { ( ; discard; } keep;")
    assert [command.name for command in commands] == ["keep", "stop", "if", "keep"]
    assert [command.name for command in commands[2].block or []] == ["discard"]
    assert len(errors) == 2


def test_limits_of_nesting() -> None:
    limits = Limits(block_nesting=3, test_nesting=3, string_list=2)
    deep = "if true {" * 4 + "}" * 4
    assert parsed(deep, limits)[1] == ["1:36 blocks are nested deeper than 3"]
    assert parsed("if true {" * 3 + "}" * 3, limits)[1] == []
    assert parsed("if not not not true {}", limits)[1] == ["1:16 tests are nested deeper than 3"]
    assert parsed('a ["1","2","3"];', limits)[1] == ["1:3 the list has more than 2 strings"]


def test_huge_nesting_is_no_recursion_error() -> None:
    for source in ("if true {" * 5000, "if " + "not " * 5000 + "true {}", "anyof (" * 5000):
        assert parsed(source)[1]


words = st.sampled_from(["keep", "fileinto", "x_1", "header", "if", "text"])
texts = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=8
)
strings = st.builds(String, texts | texts.map(lambda text: text + "\r\n" + text))
arguments: st.SearchStrategy[Argument] = st.one_of(
    strings,
    st.builds(Number, st.integers(0, 2**63 - 1)),
    st.builds(Tag, words),
    st.builds(StringList, st.lists(strings, min_size=1, max_size=3)),
)
argument_lists = st.lists(arguments, max_size=3)


def with_tests(inner: st.SearchStrategy[Test]) -> st.SearchStrategy[Test]:
    return st.builds(
        Test, words, argument_lists, st.lists(inner, min_size=1, max_size=3), st.just(True)
    ) | st.builds(Test, words, argument_lists, st.lists(inner, max_size=1), st.just(False))


tests = st.recursive(
    st.builds(Test, words, argument_lists, st.just([]), st.just(False)), with_tests, max_leaves=5
)


def with_block(inner: st.SearchStrategy[Command]) -> st.SearchStrategy[Command]:
    return st.builds(
        Command,
        words,
        argument_lists,
        st.lists(tests, max_size=1),
        st.just(False),
        st.lists(inner, max_size=3),
    )


commands = st.recursive(
    st.builds(Command, words, argument_lists, st.just([]), st.just(False), st.none()),
    with_block,
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(commands, max_size=4))
def test_round_trip(script: list[Command]) -> None:
    again, errors = parsed(print_script(script))
    assert errors == []
    assert again == script


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([
    "keep", ";", "{", "}", "(", ")", "[", "]", ",", '"a"', ":t", "1K", "not", "#\n", "text:\n",
])))  # fmt: skip
def test_never_raises(pieces: list[str]) -> None:
    again, errors = parsed(" ".join(pieces))
    if not errors:
        assert parsed(print_script(again)) == (again, [])
