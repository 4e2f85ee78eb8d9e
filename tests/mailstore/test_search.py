"""SEARCH over a real mailbox, key by key and against a slow model."""

from __future__ import annotations

import base64
import datetime
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.events.catalogue.mail_cache import mail_cache_record_corrupted
from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.event import Scope
from pillarbox.mail.search_text import Pattern
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore import search as search_module
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.mailstore.search import cost, has, search
from pillarbox.mailstore.user import Users
from pillarbox.mailstore.view import View
from pillarbox.settings.model import Settings
from pillarbox.wire.imap import search as k

Run = Callable[[Coroutine[Any, Any, Any]], Any]

SCOPE = Scope(None, (), ("imap:cmd_search",), user="bob")
DAY = 86_400
MONDAY = 1_736_121_600  # 2025-01-06 00:00:00 UTC
NEW_YEAR = datetime.date(2025, 1, 1)


def date(day: int) -> datetime.date:
    return datetime.date(2025, 1, day)


MESSAGES = [
    NewMessage(
        b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: Quarterly\r\n report\r\n"
        b"Date: Sun, 5 Jan 2025 23:30:00 -0800\r\n\r\nThe numbers are in.\r\n",
        fl.SEEN,
        [b"$Work"],
        MONDAY - 3600,
    ),
    NewMessage(
        b"From: =?utf-8?q?Ren=C3=A9?= <rene@example.org>\r\nSubject: =?utf-8?b?w4ljb2xl?=\r\n"
        b"Date: Mon, 6 Jan 2025 00:10:00 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes("Voilà le numbers".encode()).replace(b"\n", b"\r\n"),
        fl.SEEN | fl.FLAGGED,
        [],
        MONDAY,
    ),
    NewMessage(
        b"From: carol@example.org\r\nCc: ann@example.org\r\nX-Empty:\r\n\r\n"
        + b"long " * 200,
        fl.ANSWERED | fl.DELETED,
        [b"$work", b"Junk"],
        MONDAY + DAY + 1,
    ),
    NewMessage(
        b"Subject: re: quarterly report\r\nDate: broken\r\nX-From: ann\r\n\r\nno text\r\n",
        fl.DRAFT,
        [],
        MONDAY + 2 * DAY - 1,
    ),
]  # fmt: skip


@asynccontextmanager
async def opened(folder: Path, messages: list[NewMessage]) -> AsyncIterator[View]:
    """A view of a new mailbox that holds the messages."""
    users = Users()
    changed = msgspec.structs.replace(Settings(), mail_driver="memory")
    user = await users.acquire("bob", {"mail_path": str(folder)}, changed)
    mailbox = user.open_mailbox("INBOX")
    await mailbox.append(SCOPE, messages)
    view = mailbox.view(readonly=False)
    try:
        yield view
    finally:
        view.close()
        user.release_mailbox(mailbox)
        users.release(user)
        await users.close()


ALL = [1, 2, 3, 4]
CASES: list[tuple[k.Key, list[int]]] = [
    (k.All(), ALL),
    (k.Flag("\\Seen", True), [1, 2]),
    (k.Flag("\\Seen", False), [3, 4]),
    (k.Flag("\\Deleted", True), [3]),
    (k.Keyword(b"$WORK", True), [1, 3]),
    (k.Keyword(b"junk", False), [1, 2, 4]),
    (k.Keyword(b"unknown", True), []),
    (k.Keyword(b"unknown", False), ALL),
    (k.Recent(True), ALL),
    (k.Recent(False), []),
    (k.Sequence(((2, 3),)), [2, 3]),
    (k.Sequence(((0, 0),)), [4]),
    (k.Uid(((2, 0), (99, 99))), [2, 3, 4]),
    (k.Uid(((7, 9),)), []),
    (k.InternalDate("before", date(6)), [1]),
    (k.InternalDate("on", date(6)), [2]),
    (k.InternalDate("on", date(7)), [3, 4]),
    (k.InternalDate("since", date(6)), [2, 3, 4]),
    (k.SentDate("on", date(5)), [1]),
    (k.SentDate("on", date(6)), [2]),
    (k.SentDate("since", NEW_YEAR), [1, 2]),
    (k.SentDate("before", date(6)), [1]),
    (k.Size("larger", 900), [3]),
    (k.Size("smaller", 900), [1, 2, 4]),
    (k.ModSeq(0), ALL),
    (k.ModSeq(2**62), []),
    (k.Header("From", "ANN"), [1]),
    (k.Header("from", "rené"), [2]),
    (k.Header("Cc", "ann@"), [3]),
    (k.Header("Subject", "quarterly report"), [1, 4]),
    (k.Header("Subject", "éCOLE"), [2]),
    (k.Header("Subject", ""), [1, 2, 4]),
    (k.Header("X-Empty", ""), [3]),
    (k.Header("X-Empty", "x"), []),
    (k.Header("Subject", "subject"), []),
    (k.Header("X-None", ""), []),
    (k.Body("NUMBERS"), [1, 2]),
    (k.Body("voilà"), [2]),
    (k.Body("quarterly"), []),
    (k.Body(""), ALL),
    (k.Text("quarterly"), [1, 4]),
    (k.Text("école"), [2]),
    (k.Text("no text"), [4]),
    (k.Not(k.Header("Subject", "quarterly")), [2, 3]),
    (k.Not(k.All()), []),
    (k.Or(k.Flag("\\Draft", True), k.Body("voilà")), [2, 4]),
    (k.Or(k.Body("voilà"), k.Flag("\\Seen", True)), [1, 2]),
    (k.And((k.Body("numbers"), k.Header("From", "ann"), k.Flag("\\Seen", True))), [1]),
    (k.And((k.Not(k.Or(k.Text("numbers"), k.Size("larger", 900))),)), [4]),
]  # fmt: skip


def test_every_key(tmp_path: Path, run: Run) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            for key, expected in CASES + CASES[::-1]:
                found = await search(view, SCOPE, key)
                assert found.dtype == np.int64
                assert (found + 1).tolist() == expected, key

    run(go())


def test_within(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module.time, "time", lambda: float(MONDAY + 2 * DAY))

    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            for key, expected in (
                (k.Within("younger", DAY), [3, 4]),
                (k.Within("older", DAY), [1, 2]),
                (k.Within("younger", 1), [4]),
                (k.Within("older", 2 * DAY), [1, 2]),
            ):
                assert (await search(view, SCOPE, key) + 1).tolist() == expected, key

    run(go())


def test_numbers_beyond_the_end(tmp_path: Path, run: Run) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            for numbers, expected in (
                (((5, 5),), []),
                (((3, 9),), [3, 4]),
                (((9, 0),), [4]),
                (((1, 0),), [1, 2, 3, 4]),
            ):
                found = await search(view, SCOPE, k.Sequence(numbers))
                assert (found + 1).tolist() == expected, numbers
            with pytest.raises(ValueError, match="saved"):
                await search(view, SCOPE, k.SavedResult())

    run(go())


def test_dear_keys_see_only_what_is_left(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_uids: list[tuple[int, int, str]] = []

    def emit(scope: Scope, *, seq: int, uid: int, reason: str) -> None:
        assert scope.all_reasons() == ["imap:cmd_search"]
        assert scope.get("mailbox") == "INBOX"
        opened_uids.append((seq, uid, reason))

    monkeypatch.setattr(mail_opened, "emit", emit)

    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            key = k.And((k.Text("report"), k.Flag("\\Seen", True), k.Header("From", "ann")))
            assert (await search(view, SCOPE, key)).tolist() == [0]
            assert opened_uids == [(1, 1, "search")]
            opened_uids.clear()
            either = k.Or(k.Body("numbers"), k.Flag("\\Seen", False))
            assert (await search(view, SCOPE, either)).tolist() == [0, 1, 2, 3]
            assert [uid for _, uid, _ in opened_uids] == [1, 2]

    run(go())


@pytest.mark.parametrize(
    ("lines", "text", "expected"),
    [
        (b"Subject: a b\r\n", "A B", True),
        (b"Subject: a b\r\n", " a", False),
        (b"Subject: a b \r\n", "b ", False),
        (b"Subject : a\r\n", ":", False),
        (b"Subject: a\r\n", "subject", False),
        (b"Subject: a\r\nSubject: b\r\n", "b", True),
        (b"Subject: a\r\n b\r\n", "a b", True),
        (b"Subject: =?utf-8?q?a_b?=\r\n", "a b", True),
        (b"Subject: \xc3\xa9\r\n", "e", True),
        (b"Subject:\r\n", "", True),
        (b"Subject: a", "a", True),
    ],
)
def test_header_lines(lines: bytes, text: str, expected: bool) -> None:
    assert has(Pattern(text), lines, len("Subject")) is expected


def test_costs() -> None:
    assert cost(k.And((k.All(), k.Or(k.SentDate("on", date(1)), k.Not(k.Body("x")))))) == 3
    assert [cost(key) for key in (k.All(), k.Header("a", ""), k.Text("x"))] == [0, 2, 4]


def test_a_cached_date_that_is_none_is_dropped(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(mail_cache_record_corrupted, "emit", lambda _, **own: told.append(own))

    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            view.mailbox.cache.add(SCOPE, "date.sent", view.uids[:1].copy(), [b"yesterday"])
            assert (await search(view, SCOPE, k.SentDate("on", date(5)))).tolist() == []
            assert told == [{"uid": 1, "reason": "date.sent is no date"}]
            assert (await search(view, SCOPE, k.SentDate("on", date(5)))).tolist() == [0]

    run(go())


def test_more_than_a_slice(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_SLICE", 7)
    monkeypatch.setattr("pillarbox.mailstore.reading.MOST_MESSAGES", 5)

    async def go() -> None:
        mails = [
            NewMessage(
                b"Subject: a%db\r\nDate: %d Jan 2025 00:00:00 Z\r\n\r\ntext %d;\r\n" % (i, i, i)
            )
            for i in range(1, 31)
        ]
        async with opened(tmp_path, mails) as view:
            for key, expected in (
                (k.Header("Subject", "A2"), [2, *range(20, 30)]),
                (k.Body("text 1"), [1, *range(10, 20)]),
                (k.SentDate("since", date(25)), [*range(25, 31)]),
            ):
                assert (await search(view, SCOPE, key) + 1).tolist() == expected

    run(go())


LEAVES = st.sampled_from([key for key, _ in CASES])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(k.Not, inner),
        st.builds(k.Or, inner, inner),
        st.builds(k.And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def model(key: k.Key) -> set[int]:
    """What a tree matches, from what the cases say of its leaves."""
    for known, expected in CASES:
        if known == key:
            return set(expected)
    match key:
        case k.Not(inner):
            return set(ALL) - model(inner)
        case k.Or(first, second):
            return model(first) | model(second)
        case k.And(several):
            return set.intersection(*map(model, several))
    raise AssertionError(key)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(st.lists(TREES, min_size=1, max_size=6))
def test_trees(tmp_path_factory: pytest.TempPathFactory, run: Run, trees: list[k.Key]) -> None:
    async def go() -> None:
        async with opened(tmp_path_factory.mktemp("mail"), MESSAGES) as view:
            for tree in trees:
                found = (await search(view, SCOPE, tree) + 1).tolist()
                assert found == sorted(model(tree))

    run(go())
