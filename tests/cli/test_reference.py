"""The reference pages of the documentation are those that the code would write."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.cli import reference
from pillarbox.cli.main import COMMANDS
from pillarbox.settings.convert import declared
from pillarbox.settings.model import Settings

PAGES = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "events.md"])
def test_the_page_is_current(name: str) -> None:
    written = (PAGES / name).read_text(encoding="utf-8")
    made = reference.pages()[name]
    assert written == made, "run: python -m pillarbox.cli.reference docs/reference"


def test_nothing_is_left_out() -> None:
    settings = reference.settings_page()
    for name in declared(Settings):
        assert f"### `{name}`" in settings or f"### `[{name}.NAME]`" in settings
    commands = reference.commands_page()
    for name in COMMANDS:
        assert f"## `pillarbox {name}`" in commands
