"""The reference page names everything that is declared."""

from __future__ import annotations

from pillarbox.events.catalogue.categories import CATEGORIES
from pillarbox.events.catalogue.load import registry
from pillarbox.events.catalogue.reasons import REASONS
from pillarbox.events.event import COMMON
from pillarbox.events.reference import markdown


def test_everything_is_there() -> None:
    page = markdown()
    assert all(f"### {name}\n" in page for name in registry())
    assert all(f"`{name}`" in page for name in (*CATEGORIES, *REASONS))
    for event in registry().values():
        section = page.split(f"### {event.name}\n", 1)[1].split("\n#", 1)[0]
        assert all(f"| `{f}` |" in section for f in event.fields if f not in COMMON)


def test_tables_are_well_formed() -> None:
    for block in markdown().split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.replace("\\|", "").count("|") for row in rows}) <= 1
