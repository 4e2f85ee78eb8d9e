r"""FETCH and UID FETCH (RFC 3501 6.4.5, RFC 7162 3.1.4 and 3.2.6).

Answers leave in slices, so that a FETCH of 100,000 messages neither fills memory nor keeps other
sessions waiting: index items 4,096 messages at a time, cached items half a megabyte, bodies until
a slice holds 256 KB.  A FETCH of one slice of index items is answered without a task.

Where an item implies ``\Seen``, the messages of a slice are read first, then marked in one
transaction, then answered with their new FLAGS; scripts that react to it run at the end.  A message
whose bytes are gone is left out, the others are answered, and the command ends with NO.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore import errors
from pillarbox.mailstore import flags as bits
from pillarbox.mailstore.fields import fields
from pillarbox.mailstore.index.records import Positions
from pillarbox.services.imap.fetch_body import Item, Message
from pillarbox.services.imap.fetch_columns import COLUMNS, FieldItem, Plan
from pillarbox.services.imap.header_order import in_order
from pillarbox.services.imap.imapsieve import reacts, run_scripts
from pillarbox.services.imap.rows import long_rows, rows
from pillarbox.services.imap.run import Ok, Run
from pillarbox.services.imap.select import earlier
from pillarbox.services.imap.selected import Selected
from pillarbox.wire.imap.fetch import Fetch
from pillarbox.wire.imap.response import Bad, No
from pillarbox.wire.imap.sequence import SAVED

INDEX_SLICE: Final = 4096
FIRST_CACHED: Final = 256
CACHED_OCTETS: Final = 512 * 1024
BODY_SLICE: Final = 64
BODY_OCTETS: Final = 256 * 1024
OPENED_FOR: Final = "fetch"
DISCONNECT_NOW: Final = "disconnect-immediately"


def fetch(run: Run) -> Ok | Coroutine[Any, Any, Ok]:
    """FETCH and UID FETCH."""
    session = run.session
    args = cast(Fetch, run.args)
    selected = session.require_selected()
    if args.vanished and not session.qresync:
        raise Bad("QRESYNC is not enabled")
    positions = selected.positions(args.sequence, args.uid)
    if args.changedsince is not None or "MODSEQ" in args.items:
        session.enable_condstore()
    if args.vanished and args.changedsince is not None:
        wanted = selected.saved_set() if args.sequence == SAVED else args.sequence
        session.send(*earlier(selected, args.changedsince, wanted))
    if args.changedsince is not None:
        modseqs = selected.records(positions)["modseq"] if len(positions) else positions
        positions = positions[modseqs > args.changedsince]
    plan = Plan.of(args.items, args.uid, args.changedsince is not None)
    if not len(positions):
        return Ok("Fetch completed.")
    work = _Work(run, selected, plan)
    if plan.bodies:
        return work.with_bodies(positions)
    if plan.fields:
        return work.with_fields(positions)
    if len(positions) <= INDEX_SLICE:
        session.send(work.render(positions, []))
        return Ok("Fetch completed.")
    return work.from_index(positions)


@dataclass(slots=True)
class _Work:
    r"""One FETCH under way; ``seen`` are the UIDs whose ``\Seen`` scripts want to know of."""

    run: Run
    selected: Selected
    plan: Plan
    seen: list[int] = field(default_factory=list)

    def render(self, positions: Positions, extra: list[tuple[bytes, list[bytes]]]) -> bytes:
        """The replies for a slice; ``extra`` are templates with their columns."""
        records = self.selected.records(positions)
        columns: list[list[Any]] = [(positions + 1).tolist()]
        templates: list[bytes] = []
        for column in self.plan.columns:
            template, values = column.of(self.selected, records)
            templates.append(template)
            columns.extend(values)
        for template, texts in extra:
            templates.append(template)
            columns.append(texts)
        line = b"* %%d FETCH (%b)\r\n" % b" ".join(templates)
        fill = long_rows if extra else rows
        return fill(line, columns, len(positions))

    async def from_index(self, positions: Positions) -> Ok:
        session = self.run.session
        for at in range(0, len(positions), INDEX_SLICE):
            if at:
                await session.breathe()
            session.send(self.render(positions[at : at + INDEX_SLICE], []))
        return Ok("Fetch completed.")

    async def with_fields(self, positions: Positions) -> Ok:
        session = self.run.session
        scope = self.field_scope()
        at, count = 0, FIRST_CACHED
        while at < len(positions):
            if at:
                await session.breathe()
            part = positions[at : at + count]
            answer = self.render(part, await self.cached(scope, part))
            session.send(answer)
            at += count
            count = min(len(part) * CACHED_OCTETS // len(answer) + 1, INDEX_SLICE)
        return Ok("Fetch completed.")

    def field_scope(self) -> Scope:
        """The command's scope with the reasons for which the cache may have to open mails."""
        return self.scope(item.reason for item in self.plan.fields)

    def body_scope(self) -> Scope:
        """The command's scope with the reasons for which mails are opened."""
        return self.scope(_reason(body.what) for body in self.plan.bodies)

    def scope(self, reasons: Iterable[str]) -> Scope:
        return Scope(self.run.scope, (), tuple(dict.fromkeys(reasons)))

    async def cached(self, scope: Scope, positions: Positions) -> list[tuple[bytes, list[bytes]]]:
        """Templates and columns of the cached items for a slice."""
        items = self.plan.fields
        if not items:
            return []
        names = list(dict.fromkeys(name for item in items for name in item.names))
        found = await fields(self.selected.view, scope, positions, names)
        values = dict(zip(names, found, strict=True))
        return [self.column(item, values) for item in items]

    def column(self, item: FieldItem, values: dict[str, list[bytes]]) -> tuple[bytes, list[bytes]]:
        """One cached item as template and column."""
        if not item.header_fields:
            return item.label + b" %b", values[item.names[0]]
        if len(item.names) == 1:
            headers = [lines + b"\r\n" for lines in values[item.names[0]]]
        else:
            *columns, orders = (values[name] for name in item.names)
            names = [name[len("hdr.") :].encode("latin-1") for name in item.names[:-1]]
            parts = zip(orders, *columns, strict=True)
            headers = [in_order(names, lines, order) + b"\r\n" for order, *lines in parts]
        if item.partial is not None:
            first, count = item.partial
            headers = [header[first : first + count] for header in headers]
        counts = self.run.session.counts
        counts.fetch_hdr_count += len(headers)
        counts.fetch_hdr_bytes += sum(map(len, headers))
        label = item.label.replace(b"%", b"%%")
        return label + b" %b", [b"{%d}\r\n%b" % (len(h), h) for h in headers]

    async def with_bodies(self, positions: Positions) -> Ok:
        """Messages that have to be read."""
        try:
            return await self.slices(positions)
        finally:
            mailbox = self.selected.mailbox
            await run_scripts(self.run, "flag", mailbox, self.seen, flags=(b"\\Seen",))

    async def slices(self, positions: Positions) -> Ok:
        """Slices of messages that have to be read."""
        session = self.run.session
        scope = self.body_scope()
        sizes = self.selected.records(positions)["size"]
        ends = np.cumsum(sizes)
        lost: errors.MailError | None = None
        at = 0
        while at < len(positions):
            if at:
                await session.breathe()
            before = int(ends[at - 1]) if at else 0
            fit = int(np.searchsorted(ends, before + BODY_OCTETS))
            until = min(max(fit, at + 1), at + BODY_SLICE)
            lost = await self.bodies(scope, positions[at:until]) or lost
            if lost is not None and session.settings.imap_fetch_failure == DISCONNECT_NOW:
                break
            at = until
        if lost is not None and session.settings.imap_fetch_failure != "no-after":
            session.bye("FETCH failed: some messages could not be read.", lost.code)
        if lost is not None:
            raise No("Some messages could not be read: " + lost.text, lost.code)
        return Ok("Fetch completed.")

    async def bodies(self, scope: Scope, positions: Positions) -> errors.MailError | None:
        r"""Read a slice, mark it ``\Seen``, send it."""
        view = self.selected.view
        texts: list[list[bytes]] = []
        read: list[int] = []
        lost: errors.MailError | None = None
        found = await view.read_each(scope, positions, OPENED_FOR)
        for position, data in zip(positions.tolist(), found, strict=True):
            if isinstance(data, errors.MailError):
                if not isinstance(data, errors.Unreadable | errors.Expunged):
                    raise data
                lost = data
                continue
            message = Message(data, view.mailbox.limits)
            if len(positions) == 1 and len(data) > BODY_OCTETS:
                await self.send_big(positions, message)
                break
            texts.append([b"".join(item) for item in self.items(message)])
            read.append(position)
        kept = np.array(read, np.int64)
        if len(kept):
            extra = await self.cached(self.field_scope(), kept)
            columns = list(zip(*texts, strict=True))
            extra += [(b"%b", list(column)) for column in columns]
            await self.send_seen(kept, extra)
        return lost

    def items(self, message: Message) -> Iterator[Item]:
        """The body items of one message."""
        counts = self.run.session.counts
        for section in self.plan.bodies:
            item = message.item(section)
            octets = len(item[0]) + len(item[1])
            if section.what in ("HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "MIME"):
                counts.fetch_hdr_count += 1
                counts.fetch_hdr_bytes += octets
            else:
                counts.fetch_body_count += 1
                counts.fetch_body_bytes += octets
            yield item

    async def mark_seen(self, positions: Positions) -> Positions:
        r"""Set ``\Seen`` where it is implied and not set yet; where that was."""
        selected = self.selected
        if self.plan.marks_seen and not selected.readonly:
            unseen = positions[(selected.records(positions)["flags"] & bits.SEEN) == 0]
            if len(unseen):
                result = await selected.view.store(
                    self.run.scope, unseen, "add", bits.SEEN, (), silent=True
                )
                if reacts(self.run.session.settings):
                    self.seen += selected.view.uids[result.changed].tolist()
                return result.changed
        return positions[:0]

    async def send_big(self, position: Positions, message: Message) -> None:
        r"""Set ``\Seen``, then send a message of which there shall be no second copy in memory."""
        session = self.run.session
        extra = await self.cached(self.field_scope(), position)
        changed = await self.mark_seen(position)
        work = self.with_flags(len(changed) > 0)
        text = work.render(position, extra).removesuffix(b")\r\n")
        between = b" " if work.plan.columns or extra else b""
        for label, octets in self.items(message):
            session.send(text + between + label)
            await session.send_slowly(octets)
            text, between = b"", b" "
        session.send(b")\r\n")

    async def send_seen(self, positions: Positions, extra: list[tuple[bytes, list[bytes]]]) -> None:
        r"""Set ``\Seen``, then send, FLAGS where it was not set before."""
        session = self.run.session
        changed = await self.mark_seen(positions)
        told = np.isin(positions, changed)
        for run in np.split(np.arange(len(positions)), np.flatnonzero(np.diff(told)) + 1):
            first, last = int(run[0]), int(run[-1]) + 1
            columns = [(template, values[first:last]) for template, values in extra]
            work = self.with_flags(bool(told[first]))
            await session.send_slowly(work.render(positions[first:last], columns))

    def with_flags(self, flags: bool) -> _Work:
        """This work with FLAGS (and MODSEQ, if enabled) added where they were not asked for."""
        if not flags:
            return self
        columns = list(self.plan.columns)
        if not self.plan.flags:
            columns.append(COLUMNS["FLAGS"])
        if self.run.session.condstore and not self.plan.modseq:
            columns.append(COLUMNS["MODSEQ"])
        return _Work(self.run, self.selected, Plan(columns, self.plan.fields, self.plan.bodies))


def _reason(what: str | None) -> str:
    if what == "HEADER":
        return "imap:fetch_header"
    if what in ("HEADER.FIELDS", "HEADER.FIELDS.NOT"):
        return "imap:fetch_header_fields"
    return "imap:fetch_body"
