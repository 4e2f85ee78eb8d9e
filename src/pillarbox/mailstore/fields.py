"""Cached fields of mails: from the cache where it has them, else made from the mails, and kept.

Names: ``imap.envelope``, ``imap.bodystructure``, ``imap.body`` (bytes as FETCH sends them),
``hdr.<name>`` (every field of that lower-cased name, lines as they stand in the mail, empty for
none), ``imap.header_order`` (the names of all header fields in their order), ``date.sent``
(``unix zone-minutes`` of the Date field, empty if it cannot be read).

What is missing is read and parsed in a thread, one batch after the other, and given to the cache,
whose decisions say whether it stays.  Opening a mail for this is a mail_metadata_accessed, with
the reason codes of what was missing.  A mail that is lost gives the values of an empty message;
they are not cached, and it is logged.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import numpy as np

from pillarbox.events.catalogue.mailbox import mail_metadata_accessed
from pillarbox.events.event import Scope
from pillarbox.mailstore.cache.cache import MailCache
from pillarbox.mailstore.index.records import Positions, Uids
from pillarbox.mailstore.metadata import metadata
from pillarbox.mailstore.reading import batches, each
from pillarbox.mailstore.view import View

_WEEK: Final = 7 * 86_400

_REASONS: Final = {
    "imap.envelope": "mail:imap_envelope",
    "imap.bodystructure": "mail:imap_bodystructure",
    "imap.body": "mail:imap_bodystructure",
    "date.sent": "mail:date",
}


async def fields(
    view: View, scope: Scope, positions: Positions, names: Sequence[str]
) -> list[list[bytes]]:
    """The values of fields for some mails: one list per name, in the order of the positions.

    Raises KeyError for a name that is no field.
    """
    cache = view.mailbox.cache
    uids = view.uids[positions]
    new = first_new_uid(view)
    scope = view.mailbox_scope(scope)
    columns = [cache.lookup(name, uids, scope, new) for name in names]
    missing = {
        number: {i for i, value in enumerate(column) if value is None}
        for number, column in enumerate(columns)
        if not all(column) and None in column
    }
    if missing:
        wanted = np.array(sorted(set().union(*missing.values())), np.int64)
        lacking = [names[number] for number in missing]
        scope = Scope(scope, (), _reasons(lacking))
        for part in batches(view, positions[wanted]):
            values = await _read(view, scope, part, lacking)
            indexes = wanted[: len(part)].tolist()
            wanted = wanted[len(part) :]
            for column_values, (number, absent) in zip(values, missing.items()):
                _fill(columns[number], indexes, column_values, absent)
                _keep(cache, scope, names[number], uids, indexes, column_values, absent)
    await maintain(view, scope, new)
    empty = metadata(b"", names) if missing else [b""] * len(names)
    return [
        [nothing if value is None else value for value in column] if number in missing else column  # type: ignore[misc]
        for number, (column, nothing) in enumerate(zip(columns, empty))
    ]


def _reasons(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_REASONS.get(name, "mail:header_fields") for name in names))


def _fill(
    column: list[bytes | None], indexes: list[int], values: list[bytes | None], absent: set[int]
) -> None:
    for index, value in zip(indexes, values):
        if index in absent:
            column[index] = value


def _keep(
    cache: MailCache,
    scope: Scope,
    name: str,
    uids: Uids,
    indexes: list[int],
    values: list[bytes | None],
    absent: set[int],
) -> None:
    """Give the cache what it did not have and the mail did."""
    pairs = [(i, v) for i, v in zip(indexes, values) if v is not None and i in absent]
    if pairs and cache.wants(name):
        cache.add(scope, name, uids[[i for i, _ in pairs]], [v for _, v in pairs])


async def _read(
    view: View, scope: Scope, positions: Positions, names: Sequence[str]
) -> list[list[bytes | None]]:
    """Open mails and make fields of them: one list per name, None for a lost mail."""
    scopes: list[Scope] = []
    watched = mail_metadata_accessed.emit is not None
    limits = view.mailbox.limits

    def work(_: int, message: memoryview) -> list[bytes]:
        if watched:
            scopes.append(Scope(scope))
        return metadata(message, names, limits)

    rows = await each(view, scope, positions, work)
    opened = [p for p, row in zip(positions.tolist(), rows) if row is not None]
    for one, position in zip(scopes, opened):
        if mail_metadata_accessed.emit is not None:
            uid = int(view.uids[position])
            mail_metadata_accessed.emit(one, seq=position + 1, uid=uid)
    return [[None if row is None else row[n] for row in rows] for n in range(len(names))]


def first_new_uid(view: View) -> int:
    """The UID of the first mail saved within a week; one behind the last if there is none."""
    if not len(view.uids):
        return 0
    # Not searchsorted: it would first copy the whole column out of the records.
    index = bisect_left(view.records["save_date"], int(time.time()) - _WEEK)
    return int(view.uids[index]) if index < view.exists else int(view.uids[-1]) + 1


async def maintain(view: View, scope: Scope, new: int) -> None:
    """Purge the cache if it is time for that."""
    cache = view.mailbox.cache
    if not cache.due():
        return
    live = view.mailbox.records["uid"].astype(np.uint32)
    reason = cache.purge_reason(live)
    if reason is not None:
        await cache.purge_in_thread(scope, live, reason, new)
