"""Typed commands out of raw ones: every command, its odd forms, and what is refused."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap import search as keys
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.append import Append, Message
from pillarbox.wire.imap.command import PARSERS, Arguments, BadCommand, look_ahead, parse_command
from pillarbox.wire.imap.compress import Compress
from pillarbox.wire.imap.copy import Copy, UidExpunge
from pillarbox.wire.imap.enable import Enable
from pillarbox.wire.imap.fetch import BodySection, Fetch
from pillarbox.wire.imap.id import Id
from pillarbox.wire.imap.list import List, Lsub
from pillarbox.wire.imap.login import Authenticate, Login
from pillarbox.wire.imap.mailbox import Create, Mailbox, Rename
from pillarbox.wire.imap.reader import CommandReader, Limits, RawCommand
from pillarbox.wire.imap.search_syntax import Search
from pillarbox.wire.imap.select import QResync, Select
from pillarbox.wire.imap.states import ALLOWED
from pillarbox.wire.imap.status import Status
from pillarbox.wire.imap.store import Store


def read(text: bytes) -> Arguments:
    reader = CommandReader(Limits(message=10_000, append=10_000))
    reader.feed(b"a1 " + text + b"\r\n")
    while True:
        raw = reader.next()
        if isinstance(raw, RawCommand):
            command = parse_command(raw)
            assert command.tag == b"a1"
            return command.args


def refusal(text: bytes) -> BadCommand:
    with pytest.raises(BadCommand) as caught:
        read(text)
    return caught.value


def section(
    label: bytes,
    what: str | None = None,
    path: tuple[int, ...] = (),
    names: tuple[bytes, ...] = (),
    partial: tuple[int, int] | None = None,
    peek: bool = False,
) -> BodySection:
    return BodySection(path, what, names, partial, peek, label)  # type: ignore[arg-type]


FAST = ("FLAGS", "INTERNALDATE", "RFC822.SIZE")

CASES: list[tuple[bytes, Arguments]] = [
    (b"NOOP", None),
    (b"noop ", None),
    (b"CAPABILITY", None),
    (b"LOGIN bob secret", Login(b"bob", b"secret")),
    (b'LOGIN "b\\"ob" {7}\r\nse"cret', Login(b'b"ob', b'se"cret')),
    (b'LOGIN "" ""', Login(b"", b"")),
    (b"AUTHENTICATE PLAIN", Authenticate("PLAIN", None)),
    (b"AUTHENTICATE plain =", Authenticate("PLAIN", b"")),
    (b"AUTHENTICATE PLAIN AGJvYgBwdw==", Authenticate("PLAIN", b"\0bob\0pw")),
    (b"ID NIL", Id(())),
    (b"ID ()", Id(())),
    (b'ID ("name" "x" "os" NIL)', Id(((b"name", b"x"), (b"os", None)))),
    (b"ID", Id(())),
    (b'ID ( name x "os" "NIL" "v" )', Id(((b"name", b"x"), (b"os", b"NIL"), (b"v", None)))),
    (b"ENABLE condstore X-FOO", Enable(("CONDSTORE", "X-FOO"))),
    (b"COMPRESS DEFLATE", Compress("DEFLATE")),
    (b"SELECT inbox", Select("INBOX")),
    (b'SELECT "a b" (CONDSTORE)', Select("a b", condstore=True)),
    (b"SELECT &AOk-", Select("é")),
    (b"EXAMINE x ()", Select("x")),
    (
        b"SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211))",
        Select(
            "INBOX",
            qresync=QResync(67890007, 20050715194045000, ((41, 41), (43, 211))),
        ),
    ),
    (
        b"SELECT INBOX (QRESYNC (1 2 (1,3 5,9)) CONDSTORE)",
        Select("INBOX", True, QResync(1, 2, None, ((1, 1), (3, 3)), ((5, 5), (9, 9)))),
    ),
    (b"CREATE a/b/", Create("a/b/")),
    (b"CREATE x (USE (\\Sent \\Drafts))", Create("x", ("\\Sent", "\\Drafts"))),
    (b"DELETE {3+}\r\na b", Mailbox("a b")),
    (b"RENAME inbox old", Rename("INBOX", "old")),
    (b"SUBSCRIBE x", Mailbox("x")),
    (b'LIST "" *', List("", ("*",))),
    (b'LIST "" ""', List("", ("",), root=True)),
    (b'LIST "a/" %', List("a/", ("%",))),
    (b'LIST () "" (a* b%)', List("", ("a*", "b%"), extended=True)),
    (
        b'LIST (SUBSCRIBED RECURSIVEMATCH) "" "*" RETURN (CHILDREN STATUS (MESSAGES SIZE))',
        List(
            "",
            ("*",),
            frozenset(("SUBSCRIBED", "RECURSIVEMATCH")),
            frozenset(("CHILDREN",)),
            ("MESSAGES", "SIZE"),
            extended=True,
        ),
    ),
    (b'LIST "" "*" RETURN ()', List("", ("*",), extended=True)),
    (b'LSUB "" %', Lsub("", "%")),
    (b"STATUS x (MESSAGES unseen MESSAGES)", Status("x", ("MESSAGES", "UNSEEN"))),
    (b"APPEND x {5}\r\nhello", Append("x", (Message((), None, b"hello"),))),
    (
        b'APPEND x (\\Seen $F) "17-Jul-1996 02:44:25 -0700" {2+}\r\nhi () {1+}\r\n!',
        Append("x", (Message((b"\\Seen", b"$F"), 837596665, b"hi"), Message((), None, b"!"))),
    ),
    (b"COPY 1:3 x", Copy(((1, 3),), "x", False)),
    (b"UID MOVE $ x", Copy(sequence.SAVED, "x", True)),
    (b"UID EXPUNGE 1:*", UidExpunge(((1, 0),))),
    (b"STORE 1 FLAGS \\Seen x", Store(((1, 1),), "replace", False, (b"\\Seen", b"x"), None, False)),
    (b"UID STORE 1 -flags.silent ()", Store(((1, 1),), "remove", True, (), None, True)),
    (
        b"STORE 7 (UNCHANGEDSINCE 0) +FLAGS (\\Deleted)",
        Store(((7, 7),), "add", False, (b"\\Deleted",), 0, False),
    ),
    (b"FETCH 1 FAST", Fetch(((1, 1),), FAST, None, False, False)),
    (b"FETCH 1 all", Fetch(((1, 1),), (*FAST, "ENVELOPE"), None, False, False)),
    (b"FETCH 1 FULL", Fetch(((1, 1),), (*FAST, "ENVELOPE", "BODY"), None, False, False)),
    (b"FETCH $ (UID FLAGS UID)", Fetch(sequence.SAVED, ("UID", "FLAGS"), None, False, False)),
    (b"FETCH 1 RFC822", Fetch(((1, 1),), (section(b"RFC822"),), None, False, False)),
    (
        b"FETCH 1 (RFC822.HEADER RFC822.TEXT)",
        Fetch(
            ((1, 1),),
            (section(b"RFC822.HEADER", "HEADER", peek=True), section(b"RFC822.TEXT", "TEXT")),
            None,
            False,
            False,
        ),
    ),
    (
        b"UID FETCH 5:* (BODY[] BODY.PEEK[1.2.MIME] body[3.header]<10.20>)",
        Fetch(
            ((5, 0),),
            (
                section(b"BODY[]"),
                section(b"BODY[1.2.MIME]", "MIME", (1, 2), peek=True),
                section(b"BODY[3.HEADER]<10>", "HEADER", (3,), partial=(10, 20)),
            ),
            None,
            False,
            True,
        ),
    ),
    (
        b'FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject "x y")]',
        Fetch(
            ((1, 1),),
            (
                section(
                    b'BODY[HEADER.FIELDS (Subject "x y")]',
                    "HEADER.FIELDS",
                    names=(b"SUBJECT", b"X Y"),
                    peek=True,
                ),
            ),
            None,
            False,
            False,
        ),
    ),
    (
        b"FETCH 1 BODY[2.HEADER.FIELDS.NOT ({2+}\r\nTo)]",
        Fetch(
            ((1, 1),),
            (section(b"BODY[2.HEADER.FIELDS.NOT (To)]", "HEADER.FIELDS.NOT", (2,), (b"TO",)),),
            None,
            False,
            False,
        ),
    ),
    (
        b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
        Fetch(((1, 0),), ("FLAGS",), 12345, True, True),
    ),
    (b"SEARCH ALL", Search(keys.All(), None, "UTF-8", False)),
    # Blanks inside of lists, and more than one where one is due.
    (b"FETCH 1 ( UID  FLAGS )", Fetch(((1, 1),), ("UID", "FLAGS"), None, False, False)),
    (b"FETCH 1 UID  ( CHANGEDSINCE 5 )", Fetch(((1, 1),), ("UID",), 5, False, False)),
    (
        b"FETCH 1 BODY[HEADER.FIELDS  ( To )]",
        Fetch(
            ((1, 1),),
            (section(b"BODY[HEADER.FIELDS (To)]", "HEADER.FIELDS", (), (b"TO",)),),
            None,
            False,
            False,
        ),
    ),
    (b"STORE 1 FLAGS ( x )", Store(((1, 1),), "replace", False, (b"x",), None, False)),
    (b"STORE 1 ( UNCHANGEDSINCE 5 )  FLAGS ()", Store(((1, 1),), "replace", False, (), 5, False)),
    (b"STATUS x ( MESSAGES )", Status("x", ("MESSAGES",))),
    (b"SELECT x  ( CONDSTORE )", Select("x", True)),
    (b"SELECT x ()", Select("x")),
    (
        b"SELECT x (QRESYNC ( 1  2  3 ( 4 5 ) ) )",
        Select("x", False, QResync(1, 2, ((3, 3),), ((4, 4),), ((5, 5),))),
    ),
    (b"CREATE x  ( USE ( \\Sent ) )", Create("x", ("\\Sent",))),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_reads(text: bytes, expected: Arguments) -> None:
    assert read(text) == expected


SEEN = keys.Flag("\\Seen", True)
DAY = datetime.date(1994, 2, 1)

KEYS: list[tuple[bytes, keys.Key]] = [
    (b"UNSEEN", keys.Flag("\\Seen", False)),
    (b"NEW", keys.And((keys.Recent(True), keys.Flag("\\Seen", False)))),
    (b"OLD", keys.Recent(False)),
    (b"1:3,*", keys.Sequence(((1, 3), (0, 0)))),
    (b"UID 5", keys.Uid(((5, 5),))),
    (b"$", keys.SavedResult()),
    (b"UID $", keys.SavedResult()),
    (b"NOT SEEN", keys.Not(SEEN)),
    (
        b"OR SEEN (DELETED 1)",
        keys.Or(SEEN, keys.And((keys.Flag("\\Deleted", True), keys.Sequence(((1, 1),))))),
    ),
    (b"SEEN SUBJECT x", keys.And((SEEN, keys.Header("Subject", "x")))),
    (b'HEADER Message-ID ""', keys.Header("Message-ID", "")),
    (b"FROM {3+}\r\nbob", keys.Header("From", "bob")),
    (b"BODY x", keys.Body("x")),
    (b'TEXT "a b"', keys.Text("a b")),
    (b"KEYWORD $F UNKEYWORD y", keys.And((keys.Keyword(b"$F", True), keys.Keyword(b"y", False)))),
    (b"BEFORE 1-Feb-1994", keys.InternalDate("before", DAY)),
    (b'SINCE "01-feb-1994"', keys.InternalDate("since", DAY)),
    (b'SINCE " 1-Feb-1994"', keys.InternalDate("since", DAY)),
    (b"( SEEN )", SEEN),
    (b"SENTON 1-Feb-1994", keys.SentDate("on", DAY)),
    (b"LARGER 0 SMALLER 9", keys.And((keys.Size("larger", 0), keys.Size("smaller", 9)))),
    (b"YOUNGER 60", keys.Within("younger", 60)),
    (b"OLDER 60", keys.Within("older", 60)),
    (b"MODSEQ 0", keys.ModSeq(0)),
    (b'MODSEQ "/flags/\\\\draft" all 620162338', keys.ModSeq(620162338, b"/flags/\\draft", "all")),
    (b"CHARSET utf-8 SUBJECT {4+}\r\n\xc3\xa9\xc3\xa0", keys.Header("Subject", "éà")),
    (b'CHARSET "ISO-8859-1" SUBJECT {1+}\r\n\xe9', keys.Header("Subject", "é")),
    (b"SUBJECT {2+}\r\n\xc3\xa9", keys.Header("Subject", "é")),
]


@pytest.mark.parametrize(("text", "expected"), KEYS)
def test_reads_search_keys(text: bytes, expected: keys.Key) -> None:
    found = read(b"SEARCH " + text)
    assert isinstance(found, Search)
    assert found.key == expected


def test_search_return_options() -> None:
    found = read(b"UID SEARCH RETURN (MIN max) CHARSET US-ASCII ALL")
    assert found == Search(keys.All(), frozenset(("MIN", "MAX")), "ascii", True)
    assert read(b"SEARCH RETURN () ALL") == Search(keys.All(), frozenset(("ALL",)), "UTF-8", False)


@pytest.mark.parametrize(
    "text",
    [
        b"NOOP x",
        b"XYZZY",
        b"UID NOOP",
        b"LOGIN bob",
        b"LOGIN bob pw x",
        b"LOGIN (bob) pw",
        b"AUTHENTICATE PLAIN a*b",
        b"ID name",
        b'ID ("name" (x))',
        b"ENABLE",
        b"SELECT",
        b"SELECT x (FOO)",
        b"SELECT x (QRESYNC (0 0))",
        b"SELECT x (QRESYNC (1 2 1:*))",
        b"CREATE x (USE)",
        b"STATUS x ()",
        b"STATUS x (FOO)",
        b'LIST (RECURSIVEMATCH) "" *',
        b'LIST (FOO) "" *',
        b'LIST "" () ',
        b'LIST "" * RETURN (FOO)',
        b"APPEND x",
        b"APPEND x hello",
        b'APPEND x "99-Foo-1996 02:44:25 -0700" {1+}\r\nx',
        b"COPY x 1",
        b"COPY 0 x",
        b"STORE 1 FLAGSX (a)",
        b"STORE 1 FLAGS (a",
        b"STORE 1 (FOO 1) FLAGS ()",
        b"FETCH 1",
        b"FETCH 1 ()",
        b"FETCH 1 (FOO)",
        b"FETCH 1 BODY[MIME]",
        b"FETCH 1 BODY[0]",
        b"FETCH 1 BODY[1.]",
        b"FETCH 1 BODY[HEADER.FIELDS ()]",
        b"FETCH 1 BODY[]<0.0>",
        b"FETCH 1 BODY[]<0>",
        b"FETCH 1 (FLAGS) (VANISHED)",
        b"FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        b"FETCH 1 (FLAGS) (CHANGEDSINCE -1)",
        b"FETCH 4294967296 FLAGS",
        b"SEARCH",
        b"SEARCH FOO",
        b"SEARCH NOT",
        b"SEARCH (SEEN",
        b"SEARCH BEFORE 31-Feb-1994",
        b"SEARCH YOUNGER 0",
        b"SEARCH RETURN (FOO) ALL",
        b"SEARCH " + b"(" * 200 + b"ALL" + b")" * 200,
        b"SEARCH " + b"NOT " * 200 + b"ALL",
    ],
)
def test_refuses(text: bytes) -> None:
    error = refusal(text)
    assert error.state == "BAD"
    assert error.tag == b"a1"


def test_refusals_that_are_no() -> None:
    error = refusal(b"SEARCH CHARSET x-nonsense ALL")
    assert (error.state, error.code) == ("NO", b"BADCHARSET (US-ASCII UTF-8)")
    error = refusal(b'SELECT "&AOk"')
    assert (error.state, error.code) == ("NO", b"CANNOT")


@pytest.mark.parametrize(
    ("line", "tag"),
    [(b"", b"*"), (b'"x" NOOP', b"*"), (b"a", b"a"), (b"+ NOOP", b"*"), (b"a  NOOP", b"a")],
)
def test_refuses_bad_heads(line: bytes, tag: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand(line))
    assert caught.value.tag == tag
    assert caught.value.name is None


def test_input_name_is_kept() -> None:
    command = parse_command(RawCommand(b"a uid Fetch 1 FLAGS"))
    assert (command.name, command.input_name) == ("UID FETCH", "uid Fetch")


def test_passwords_stay_out_of_repr() -> None:
    assert "secret" not in repr(read(b"LOGIN bob secret"))


def test_every_command_has_a_state() -> None:
    allowed = frozenset[str]().union(*ALLOWED.values())
    assert allowed == set(PARSERS)


@given(st.sampled_from(sorted(PARSERS)), st.binary(max_size=60))
def test_any_arguments_parse_or_are_refused(name: str, rest: bytes) -> None:
    line = b"t " + name.encode() + b" " + rest.replace(b"\n", b"").replace(b"\r", b"")
    tag = b"t"
    try:
        parse_command(RawCommand(line))
    except BadCommand as error:
        tag = error.tag
    assert tag == b"t"


def begun(text: bytes, *literals: bytes) -> RawCommand:
    return RawCommand(text, [*literals, b""])


def test_looks_ahead_at_what_a_literal_is_asked_for() -> None:
    append = look_ahead(begun(b"a APPEND {1}\r\n (\\Seen) {3}\r\n {9}\r\n", b"x", b"abc"))
    assert isinstance(append.args, Append)
    assert append.args.mailbox == "x"
    assert [message.data for message in append.args.messages] == [b"abc", b""]
    for text in (b"a APPEND {5}\r\n", b"a login {3}\r\n", b"a SEARCH NONSENSE {3}\r\n"):
        assert look_ahead(begun(text)).args is None


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (b"a APPEND x (\\Seen {9}\r\n", "BAD"),
        (b'a APPEND x "1-Foo-2000 00:00:00 +0000" {9}\r\n', "BAD"),
        (b"a APPEND x y {9}\r\n", "BAD"),
        (b"a APPEND &x {9}\r\n", "NO"),
        (b"a NOOP {9}\r\n", "BAD"),
        (b"a NONSENSE {9}\r\n", "BAD"),
        (b"+ NOOP {9}\r\n", "BAD"),
    ],
)
def test_sees_ahead_that_nothing_can_come_of_it(text: bytes, state: str) -> None:
    with pytest.raises(BadCommand) as caught:
        look_ahead(begun(text))
    assert caught.value.state == state
