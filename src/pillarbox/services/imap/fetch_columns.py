"""FETCH items that the index or the cache knows: a column of values for many messages at once.

A `Column` says how an item looks in the reply (``UID %d``) and gives its values for a slice.
FLAGS that are the same in all of a slice, as those of old mail often are, are part of the form.
`Plan.of` sorts a command's items: ``columns`` come from the records without waiting, ``fields``
from `mailstore.fields` in batches, ``bodies`` from the messages themselves.  Columns, rows and
all are then one big formatting operation (`selected.rows`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pillarbox.mail.dates import format_internal_date
from pillarbox.mailstore.index.records import Records
from pillarbox.services.imap.selected import Selected
from pillarbox.wire.imap.fetch import BodySection, Item

Values = list[Any]
_DAY: Final = 86400
HEADER_ORDER: Final = "imap.header_order"


@dataclass(slots=True)
class Column:
    """One item from the records: its form, and a column of values for each ``%`` of it."""

    template: bytes
    values: Callable[[Selected, Records], list[Values]]
    common: Callable[[Selected, Records], bytes | None] = lambda selected, records: None

    def of(self, selected: Selected, records: Records) -> tuple[bytes, list[Values]]:
        """Form and values for a slice."""
        common = self.common(selected, records)
        if common is not None:
            return common, []
        return self.template, self.values(selected, records)


@dataclass(slots=True)
class FieldItem:
    """One item from the cache: the cache's names whose values make it, and the reply's label.

    Where several header fields make it, the last name is that of their order.
    """

    names: tuple[str, ...]
    label: bytes
    header_fields: bool
    reason: str
    partial: tuple[int, int] | None = None


@dataclass(slots=True)
class Plan:
    """A FETCH's items, by where they come from."""

    columns: list[Column] = field(default_factory=list)
    fields: list[FieldItem] = field(default_factory=list)
    bodies: list[BodySection] = field(default_factory=list)
    flags: bool = False
    modseq: bool = False

    @property
    def marks_seen(self) -> bool:
        r"""Whether an item sets ``\\Seen``."""
        return any(not body.peek for body in self.bodies)

    @classmethod
    def of(cls, items: tuple[Item, ...], uid: bool, modseq: bool) -> Plan:
        """Sort the items; ``uid`` and ``modseq`` add those if they were not asked for."""
        plan = cls()
        names = list(items)
        if uid and "UID" not in names:
            names.insert(0, "UID")
        if modseq and "MODSEQ" not in names:
            names.append("MODSEQ")
        for item in names:
            plan._add(item)
        return plan

    def _add(self, item: Item) -> None:
        if isinstance(item, str):
            self.flags = self.flags or item == "FLAGS"
            self.modseq = self.modseq or item == "MODSEQ"
            if item in COLUMNS:
                self.columns.append(COLUMNS[item])
            else:
                self.fields.append(CACHED[item])
        elif item.what == "HEADER.FIELDS" and not item.path and item.peek:
            names = dict.fromkeys(f"hdr.{name.decode('latin-1').lower()}" for name in item.names)
            order = (HEADER_ORDER,) if len(names) > 1 else ()
            reason = "imap:fetch_header_fields"
            self.fields.append(FieldItem((*names, *order), item.label, True, reason, item.partial))
        else:
            self.bodies.append(item)


def internal_dates(selected: Selected, records: Records) -> list[Values]:
    """INTERNALDATE as its date's text, which is made once per day, hours, minutes and seconds."""
    dates = records["internal_date"]
    days = dates // _DAY
    clock = dates - days * _DAY
    different, which = np.unique(days, return_inverse=True)
    texts = [format_internal_date(day * _DAY)[:12] for day in different.tolist()]
    return [
        list(map(texts.__getitem__, which.tolist())),
        (clock // 3600).tolist(),
        (clock // 60 % 60).tolist(),
        (clock % 60).tolist(),
    ]


def _numbers(name: str) -> Callable[[Selected, Records], list[Values]]:
    return lambda selected, records: [records[name].tolist()]


def _flags(selected: Selected, records: Records) -> list[Values]:
    return [selected.flags.render(records, selected.view.recent_among(records["uid"]))]


def _common_flags(selected: Selected, records: Records) -> bytes | None:
    text = selected.flags.of_all(records, selected.view.recent_among(records["uid"]))
    return None if text is None else b"FLAGS (%b)" % text.replace(b"%", b"%%")


COLUMNS: Final = {
    "UID": Column(b"UID %d", _numbers("uid")),
    "FLAGS": Column(b"FLAGS (%b)", _flags, _common_flags),
    "INTERNALDATE": Column(b'INTERNALDATE "%b%02d:%02d:%02d +0000"', internal_dates),
    "RFC822.SIZE": Column(b"RFC822.SIZE %d", _numbers("size")),
    "MODSEQ": Column(b"MODSEQ (%d)", _numbers("modseq")),
}

CACHED: Final = {
    "ENVELOPE": FieldItem(("imap.envelope",), b"ENVELOPE", False, "imap:fetch_header"),
    "BODYSTRUCTURE": FieldItem(
        ("imap.bodystructure",), b"BODYSTRUCTURE", False, "imap:fetch_bodystructure"
    ),
    "BODY": FieldItem(("imap.body",), b"BODY", False, "imap:fetch_bodystructure"),
}
