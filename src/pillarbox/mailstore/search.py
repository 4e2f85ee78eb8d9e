"""SEARCH: the messages of a view that match a tree of keys (RFC 3501 section 6.4.4 and others).

Flags, numbers, sizes, arrival dates and mod-sequences are compared as whole columns of the
index.  Headers and the sent date come from the cache (`fields`), texts and bodies from the mails,
read and searched in threads a batch at a time (`reading`).  An AND asks its cheapest keys first
and the others only about what is left; an OR asks the second key only about what the first left
out; so the dear keys see as few messages as possible, and the event loop breathes between batches.

Strings match as substrings under i;unicode-casemap (RFC 5051).  Days are days in UTC, as
INTERNALDATE is told; the sent date counts as it is written, in its own zone.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Final

import numpy as np
import numpy.typing as npt

from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.event import Scope
from pillarbox.mail.dates import sent_day
from pillarbox.mail.headers import header_values, split_header
from pillarbox.mail.mime import parse
from pillarbox.mail.search_text import Pattern
from pillarbox.mailstore.fields import fields
from pillarbox.mailstore.flags import FLAG_BITS
from pillarbox.mailstore.index.records import Positions
from pillarbox.mailstore.reading import batches, each
from pillarbox.mailstore.view import View
from pillarbox.wire.imap import search as keys
from pillarbox.wire.imap.sequence import SequenceSet

Mask = npt.NDArray[np.bool_]

_SLICE: Final = 512
_DAY: Final = 86_400
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_NONE: Final = np.zeros(0, np.int64)


async def search(view: View, scope: Scope, program: keys.Key) -> Positions:
    """The positions that match, ascending.  Raises BadSequence for a number that is none."""
    return await _Search(view, scope).match(program, np.arange(view.exists, dtype=np.int64))


def cost(key: keys.Key) -> int:
    """How dear a key is: 0 the index tells, 1 and 2 the cache, 3 and 4 the mails themselves."""
    match key:
        case keys.SentDate():
            return 1
        case keys.Header():
            return 2
        case keys.Body():
            return 3
        case keys.Text():
            return 4
        case keys.Not(inner):
            return cost(inner)
        case keys.And(several):
            return max(map(cost, several))
        case keys.Or(first, second):
            return max(cost(first), cost(second))
        case _:
            return 0


class _Search:
    """One search: a view, and one time for YOUNGER and OLDER."""

    def __init__(self, view: View, scope: Scope) -> None:
        self.view = view
        self.scope = scope
        self.now = int(time.time())

    async def match(self, key: keys.Key, among: Positions) -> Positions:
        """Those of the positions that match a key."""
        match key:
            case keys.And(several):
                for inner in sorted(several, key=cost):
                    among = await self.match(inner, among)
                return among
            case keys.Or(first, second):
                if cost(second) < cost(first):
                    first, second = second, first
                one = await self.match(first, among)
                rest = np.setdiff1d(among, one, assume_unique=True)
                return np.union1d(one, await self.match(second, rest))
            case keys.Not(inner):
                found = await self.match(inner, among)
                return np.setdiff1d(among, found, assume_unique=True)
            case keys.Header(name, value):
                return await self.header(name, value, among)
            case keys.SentDate(op, date):
                return await self.sent(op, date, among)
            case keys.Body(value):
                return await self.text(value, among, headers=False)
            case keys.Text(value):
                return await self.text(value, among, headers=True)
            case _:
                return self.indexed(key, among)

    def indexed(self, key: keys.Key, among: Positions) -> Positions:
        """Keys that the index alone answers."""
        match key:
            case keys.All():
                return among
            case keys.Sequence(numbers):
                return _both(among, _present(numbers, self.view.exists))
            case keys.Uid(uids):
                return _both(among, self.view.positions(uids, uid=True))
            case keys.SavedResult():
                raise ValueError("a saved result must be replaced before searching")
            case keys.Recent(present):
                recent: Mask = self.view.recent_among(self.view.uids[among])
                return among[recent] if present else among[~recent]
            case _:
                return among[self.column(key, among)]

    def column(self, key: keys.Key, among: Positions) -> Mask:
        """Which of the positions match, for a key on one column of the records."""
        records = self.view.records
        match key:
            case keys.Flag(name, present):
                bit = FLAG_BITS[name.encode().lower()]
                have: Mask = (records["flags"][among] & bit) != 0
                return have if present else ~have
            case keys.Keyword(keyword, present):
                have = self.keyword(keyword, among)
                return have if present else ~have
            case keys.InternalDate(op, date):
                return _on_day(records["internal_date"][among] // _DAY, op, date)
            case keys.Within("younger", seconds):
                return records["internal_date"][among] >= self.now - seconds
            case keys.Within(_, seconds):
                return records["internal_date"][among] <= self.now - seconds
            case keys.Size("larger", octets):
                return records["size"][among] > octets
            case keys.Size(_, octets):
                return records["size"][among] < octets
            case keys.ModSeq(value):
                return records["modseq"][among] >= value
            case _:
                raise TypeError(f"unknown search key {key!r}")

    def keyword(self, name: bytes, among: Positions) -> Mask:
        """Which messages have a keyword."""
        wanted = name.lower()
        for bit, known in enumerate(self.view.mailbox.keywords):
            if known.lower() == wanted:
                have: Mask = self.view.records["keywords"][among] & np.uint64(1 << bit) != 0
                return have
        return np.zeros(len(among), np.bool_)

    async def header(self, name: str, value: str, among: Positions) -> Positions:
        """Messages with a header field that holds a text; any such field for an empty text."""
        pattern = Pattern(value)
        field = f"hdr.{name.lower()}"
        found: list[int] = []
        for at in range(0, len(among), _SLICE):
            part = among[at : at + _SLICE]
            (lines,) = await fields(self.view, self.scope, part, [field])
            if _may_hold(lines, pattern):
                hits = [text != b"" and has(pattern, text, len(name)) for text in lines]
                found.extend(part[np.array(hits, np.bool_)].tolist())
            await asyncio.sleep(0)
        return np.array(found, np.int64)

    async def sent(self, op: str, date: datetime.date, among: Positions) -> Positions:
        """Messages by the date in their Date field; none without one."""
        found = [_NONE]
        for at in range(0, len(among), _SLICE):
            part = among[at : at + _SLICE]
            (values,) = await fields(self.view, self.scope, part, ["date.sent"])
            days = [self.sent_day(*pair) for pair in zip(part.tolist(), values)]
            have = np.array([day is not None for day in days], np.bool_)
            known = np.array([day for day in days if day is not None], np.int64)
            found.append(part[have][_on_day(known, op, date)])
            await asyncio.sleep(0)
        return np.concatenate(found)

    def sent_day(self, position: int, value: bytes) -> int | None:
        """The day that a cached date.sent means; one that means nothing is dropped."""
        if not value:
            return None
        try:
            unix, zone = value.split()
            return sent_day(int(unix), int(zone))
        except ValueError:
            uid = int(self.view.uids[position])
            scope = self.view.mailbox_scope(self.scope)
            self.view.mailbox.cache.drop_record(scope, uid, "date.sent is no date")
            return None

    async def text(self, value: str, among: Positions, headers: bool) -> Positions:
        """Messages whose body (with ``headers``: whole text) holds a text."""
        pattern = Pattern(value)
        if not pattern.mapped:
            return among
        scope = self.view.mailbox_scope(self.scope)
        limits = self.view.mailbox.limits
        found: list[int] = []

        def work(_: int, message: memoryview) -> bool:
            raw = bytes(message)
            return pattern.may_be_in(raw) and pattern.in_message(raw, parse(raw, limits), headers)

        for part in batches(self.view, among):
            opened = Scope(scope)
            hits = await each(self.view, scope, part, work)
            for position, hit in zip(part.tolist(), hits):
                if hit:
                    found.append(position)
                if hit is not None and mail_opened.emit is not None:
                    uid = int(self.view.uids[position])
                    mail_opened.emit(opened, reason="search", seq=position + 1, uid=uid)
        return np.array(found, np.int64)


def _both(among: Positions, others: Positions) -> Positions:
    """What is in both, each ascending without repetitions."""
    few, many = sorted((among, others), key=len)
    if not len(few):
        return few
    index = np.searchsorted(many, few)
    index[index == len(many)] = 0
    both: Positions = few[many[index] == few]
    return both


def _present(numbers: SequenceSet, exists: int) -> Positions:
    """The positions of a set; what is beyond the last message just matches nothing."""
    mask = np.zeros(exists, np.bool_)
    for low, high in numbers:
        first, last = sorted((low or exists, high or exists))
        mask[max(first - 1, 0) : last] = True
    return np.nonzero(mask)[0]


def _on_day(days: Positions, op: str, date: datetime.date) -> Mask:
    day = date.toordinal() - _EPOCH
    if op == "before":
        return days < day
    return days == day if op == "on" else days >= day


def _may_hold(lines: list[bytes], pattern: Pattern) -> bool:
    """False if one look at all lines together shows that none can match."""
    if pattern.raw is None or not pattern.raw:
        return True
    text = b"".join(lines)
    if not text.isascii() or b"=?" in text or b"\n " in text or b"\n\t" in text:
        return True
    return pattern.raw in text.upper()


def has(pattern: Pattern, lines: bytes, colon: int) -> bool:
    """Whether one of these fields, with names of ``colon`` octets, holds the pattern."""
    one_line = lines.find(b"\n") == len(lines) - 1 and lines[colon : colon + 1] == b":"
    if pattern.raw and one_line and lines.isascii() and b"=?" not in lines:
        return pattern.raw in lines[colon + 1 :].strip().upper()
    block = split_header(lines)
    names = {name for name, *_ in block.fields}
    values = (value for name in names for value in header_values(lines, block, name))
    return any(pattern.in_value(value) for value in values)
