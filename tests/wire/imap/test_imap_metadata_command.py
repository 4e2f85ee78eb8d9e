"""GETMETADATA and SETMETADATA, LIST's METADATA option, and the METADATA reply."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap import args_text
from pillarbox.wire.imap.command import Arguments, BadCommand, parse_command
from pillarbox.wire.imap.list import List
from pillarbox.wire.imap.metadata import GetMetadata, SetMetadata, metadata, name_problem
from pillarbox.wire.imap.reader import CommandReader, Limits, RawCommand


def raw(chunks: Sequence[bytes]) -> RawCommand:
    """The command in these chunks."""
    reader = CommandReader(Limits())
    for chunk in chunks:
        reader.feed(chunk)
        while (item := reader.next()) is not None:
            if isinstance(item, RawCommand):
                return item
    raise AssertionError("no command")


def read(chunks: Sequence[bytes]) -> Arguments:
    return parse_command(raw(chunks)).args


COMMENT = "/private/comment"

GETS = [
    (b'GETMETADATA "" /shared/comment', GetMetadata("", ("/shared/comment",))),
    (b"GetMetadata inbox /private/Comment", GetMetadata("INBOX", ("/private/Comment",))),
    (
        b'GETMETADATA "&AOk-" (/shared/comment "/private/comment" /PRIVATE/comment)',
        GetMetadata("é", ("/shared/comment", COMMENT)),
    ),
    (
        b"GETMETADATA (MAXSIZE 1024) INBOX (/private/comment)",
        GetMetadata("INBOX", (COMMENT,), max_size=1024),
    ),
    (
        b"GETMETADATA (depth infinity MAXSIZE 0) INBOX /private",
        GetMetadata("INBOX", ("/private",), max_size=0, depth=None),
    ),
    (
        b"GETMETADATA INBOX (DEPTH 1) (/private/filters/values)",
        GetMetadata("INBOX", ("/private/filters/values",), depth=1),
    ),
    (
        b"GETMETADATA {5+}\r\nINBOX ({16}\r\n/private/comment)",
        GetMetadata("INBOX", (COMMENT,)),
    ),
    (b"GETMETADATA (DEPTH 0) x /private/vendor/v", GetMetadata("x", ("/private/vendor/v",))),
]

SETS = [
    (b"SETMETADATA INBOX (/private/comment NIL)", SetMetadata("INBOX", ((COMMENT, None),))),
    (
        b'SETMETADATA "" (/private/comment "a \\"b\\"" /shared/comment {3+}\r\n\xc3\xa9\n)',
        SetMetadata("", ((COMMENT, b'a "b"'), ("/shared/comment", b"\xc3\xa9\n"))),
    ),
    (
        b"SETMETADATA INBOX (/private/comment ~{3+}\r\na\0b)",
        SetMetadata("INBOX", ((COMMENT, b"a\0b"),)),
    ),
    (
        b'SETMETADATA INBOX (/private/comment "1" /Private/Comment "2")',
        SetMetadata("INBOX", (("/Private/Comment", b"2"),)),
    ),
    (b'SETMETADATA INBOX (/private/comment "")', SetMetadata("INBOX", ((COMMENT, b""),))),
    (
        b'SETMETADATA INBOX (/shared/vendor/acme/colour "red")',
        SetMetadata("INBOX", (("/shared/vendor/acme/colour", b"red"),)),
    ),
]

LISTS = [
    (
        b'LIST "" % RETURN (METADATA (/private/comment /shared/comment) CHILDREN)',
        List(
            "",
            ("%",),
            returns=frozenset(("CHILDREN",)),
            metadata=(COMMENT, "/shared/comment"),
            extended=True,
        ),
    ),
    (
        b'LIST "" % RETURN (STATUS (MESSAGES) METADATA /private/comment)',
        List("", ("%",), status=("MESSAGES",), metadata=(COMMENT,), extended=True),
    ),
]

CASES = [*GETS, *SETS, *LISTS]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_reads(text: bytes, expected: Arguments) -> None:
    stream = b"a1 " + text + b"\r\n"
    assert read([stream]) == expected
    assert read([stream[at : at + 1] for at in range(len(stream))]) == expected


@given(st.sampled_from(CASES), st.lists(st.integers(0, 90), max_size=6))
def test_random_splits(case: tuple[bytes, Arguments], cuts: list[int]) -> None:
    text, expected = case
    stream = b"a1 " + text + b"\r\n"
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert read([stream[a:b] for a, b in pairwise(places)]) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"GETMETADATA",
        b"GETMETADATA INBOX",
        b"GETMETADATA INBOX ()",
        b"GETMETADATA INBOX (/private/a /private/b",
        b"GETMETADATA INBOX /other/comment",
        b"GETMETADATA INBOX comment",
        b"GETMETADATA INBOX /private/",
        b"GETMETADATA INBOX /private//comment",
        b'GETMETADATA INBOX "/private/*"',
        b'GETMETADATA INBOX "/private/%"',
        b'GETMETADATA INBOX "/private/\xc3\xa9"',
        b'GETMETADATA INBOX "/private/a\tb"',
        b"GETMETADATA INBOX /private/" + b"x" * 1000,
        b"GETMETADATA INBOX /private/a /private/b",
        b"GETMETADATA () INBOX /private/a",
        b"GETMETADATA (DEPTH 2) INBOX /private/a",
        b"GETMETADATA (MAXSIZE) INBOX /private/a",
        b"GETMETADATA (MAXSIZE x) INBOX /private/a",
        b"GETMETADATA (WIDTH 1) INBOX /private/a",
        b"GETMETADATA INBOX (" + b" ".join(b"/private/%d" % n for n in range(1001)) + b")",
        b"SETMETADATA",
        b"SETMETADATA INBOX",
        b"SETMETADATA INBOX ()",
        b"SETMETADATA INBOX (/private/a)",
        b"SETMETADATA INBOX (/private/a b)",
        b'SETMETADATA INBOX /private/a "b"',
        b'SETMETADATA INBOX (/private "b")',
        b'SETMETADATA INBOX (/shared/vendor/acme "b")',
        b'SETMETADATA INBOX (/private/a ~"b")',
        b'SETMETADATA INBOX (/private/a "b") c',
        b"SETMETADATA INBOX (" + b" ".join(b"/private/%d NIL" % n for n in range(1001)) + b")",
        b'LIST "" % RETURN (METADATA)',
        b'LIST "" % RETURN (METADATA (comment))',
    ],
)
def test_refuses(text: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        read([b"a1 " + text + b"\r\n"])
    assert (caught.value.tag, caught.value.state) == (b"a1", "BAD")
    assert caught.value.name == text.split()[0].decode()


def test_human_arguments_name_the_mailbox() -> None:
    command = parse_command(raw([b'a GETMETADATA "&AOk-" /private/comment\r\n']))
    text = args_text.for_humans(command.name, command.raw, command.at)
    assert text == '"é" /private/comment'


def test_replies() -> None:
    assert metadata("", [("/shared/comment", b"hi")]) == b'* METADATA "" (/shared/comment "hi")\r\n'
    assert metadata("Läb", [(COMMENT, None)]) == b"* METADATA L&AOQ-b (/private/comment NIL)\r\n"
    assert metadata("INBOX", [("/private/a b", b"\n"), ("/private/c", b"\0")]) == (
        b'* METADATA INBOX ("/private/a b" {1}\r\n\n /private/c ~{1}\r\n\0)\r\n'
    )


PARTS = st.text(st.characters(codec="ascii", exclude_characters="*%/\x7f", min_codepoint=32))
NAMES = st.builds(
    lambda scope, parts: "/".join(["", scope, *parts]),
    st.sampled_from(["private", "shared", "Shared"]),
    st.lists(PARTS.filter(bool), min_size=1, max_size=4),
).filter(lambda name: name_problem(name) is None)


@given(
    st.sampled_from(["", "INBOX", "Läb/x y", 'q"uote']),
    st.dictionaries(NAMES, st.none() | st.binary(max_size=200), min_size=1, max_size=5),
    st.lists(st.integers(1, 400), max_size=4),
)
def test_what_is_told_can_be_set(
    mailbox: str, values: dict[str, bytes | None], cuts: list[int]
) -> None:
    """A METADATA reply, taken as a SETMETADATA, says the same."""
    line = metadata(mailbox, values.items()).removeprefix(b"* METADATA ")
    stream = b"a SETMETADATA " + line
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    expected = {name.lower(): (name, value) for name, value in values.items()}
    args = read([stream[a:b] for a, b in pairwise(places)])
    assert args == SetMetadata(mailbox, tuple(expected.values()))


@given(NAMES, st.sampled_from(["", "(DEPTH infinity) ", "(MAXSIZE 7 DEPTH 1) "]))
def test_names_are_asked_for(name: str, options: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    args = read([f'a GETMETADATA {options}INBOX "{quoted}"\r\n'.encode()])
    assert isinstance(args, GetMetadata)
    assert args.entries == (name,)
