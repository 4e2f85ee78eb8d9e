"""The declarations meet the catalogue, both ways, and are typed and described."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events import catalogue
from pillarbox.events.catalogue import load
from pillarbox.events.catalogue.categories import CATEGORIES, is_known, lineage
from pillarbox.events.catalogue.imap import id_fields
from pillarbox.events.catalogue.reasons import REASONS
from pillarbox.events.event import Event
from pillarbox.events.field import Field

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "catalogue" / "catalogue.json"
EVENTS = load.registry()


def wanted() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((HERE / "catalogue.json").read_text())
    return data


def as_entry(field: Field) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": field.type}
    if field.values:
        entry["values"] = list(field.values)
    return entry


def as_catalogue(event: Event[...]) -> dict[str, Any]:
    return {
        "category": event.category,
        "fields": {name: as_entry(field) for name, field in event.fields.items()},
    }


def test_the_copy_is_the_list_to_meet() -> None:
    if SHARED.exists():
        assert json.loads(SHARED.read_text()) == wanted()


def test_the_same_events() -> None:
    assert set(EVENTS) == set(wanted()["events"])
    assert len(EVENTS) == 130


@pytest.mark.parametrize("name", sorted(wanted()["events"]))
def test_event_is_as_listed(name: str) -> None:
    assert as_catalogue(EVENTS[name]) == wanted()["events"][name]


def test_the_same_number_of_fields() -> None:
    assert sum(len(e.fields) for e in EVENTS.values()) == wanted()["counts"]["fields"] == 1364


def test_categories_are_as_listed() -> None:
    ours = [{"name": c.name, "parent": c.parent} for c in CATEGORIES.values()]
    assert ours == wanted()["categories"]
    assert len(ours) == 51


def test_reasons_are_as_listed() -> None:
    assert list(REASONS) == wanted()["reason_codes"]
    assert len(REASONS) == 58


def test_every_event_has_a_known_category() -> None:
    assert [e.name for e in EVENTS.values() if e.category and not is_known(e.category)] == []


def test_everything_is_described() -> None:
    texts = [e.doc for e in EVENTS.values()] + list(REASONS.values())
    texts += [f.doc for e in EVENTS.values() for f in e.fields.values()]
    texts += [c.doc for c in CATEGORIES.values()]
    assert [t for t in texts if len(t) < 8] == []


def test_every_event_is_an_attribute_of_its_module() -> None:
    for event in EVENTS.values():
        assert getattr(importlib.import_module(event.module), event.name) is event


def test_load_knows_every_family() -> None:
    modules = {m.name for m in pkgutil.iter_modules(catalogue.__path__)}
    support = {"categories", "inherited", "load", "own", "reasons"}
    assert modules - support == set(load.FAMILIES)


def test_own_and_inherited_fields_do_not_overlap() -> None:
    assert [e.name for e in EVENTS.values() if set(e.own) & set(e.inherited)] == []


def test_lineage() -> None:
    assert lineage("mailbox") == ("mailbox", "storage")
    assert lineage("dns-client") == ("dns-client", "dns")
    assert lineage("service:imap") == ("service:imap",)


def test_id_parameters_become_fields() -> None:
    assert id_fields({"NAME": "Thing", "x y": "odd", "os": None, "é": "z"}) == {
        "id_param_name": "Thing",
        "id_invalid1": "x y odd",
        "id_param_os": "",
        "id_invalid2": "é z",
    }
