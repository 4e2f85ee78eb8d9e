"""What the documentation tells people to write and to type exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox.cli.main import COMMANDS, load
from pillarbox.events.filter.filter import Filter
from pillarbox.settings.load import load as load_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[Any]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, found in enumerate(FENCE.finditer(text)):
            if found[1] == language:
                yield pytest.param(found[2], id=f"{page.stem}-{number}")


def commands() -> Iterator[Any]:
    for page in PAGES:
        for found in FENCE.finditer(page.read_text(encoding="utf-8")):
            for line in found[2].splitlines() if not found[1] else ():
                for part in line.split("|"):
                    if part.strip().removeprefix("$ ").startswith("pillarbox "):
                        yield pytest.param(
                            part.strip().removeprefix("$ "), id=f"{page.stem}: {part.strip()}"
                        )


@pytest.mark.parametrize("text", list(blocks("toml")))
def test_settings_can_be_loaded(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "x")
    monkeypatch.setenv("HOST", "x")
    if text.count("admin_password") > 1:  # alternatives, one to a line
        documents = [line for line in text.splitlines() if "file =" not in line]
    else:
        documents = [text]
    for number, document in enumerate(documents):
        path = tmp_path / f"{number}.toml"
        path.write_text(document, encoding="utf-8")
        settings = load_settings(path)
        for metric in settings.metric.values():
            parsed = Filter.parse(metric.filter)
            assert parsed.warnings() == []


@pytest.mark.parametrize("line", list(commands()))
def test_commands_and_options_exist(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if words[0].startswith("-"):
        return
    assert words[0] in COMMANDS, line
    command = load(words.pop(0))
    while getattr(command, "commands", None):
        assert words, f"{line}: no subcommand"
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    known = {name for p in command.params for name in [*p.opts, *p.secondary_opts]}
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in known, f"{line}: no option {word}"
        if word in ("--filter",):
            text = words[words.index(word) + 1]
            assert Filter.parse(text).warnings() == [], line


@pytest.mark.parametrize("page", ["events.md", "reference/filters.md"])
def test_filters_of_the_tables_can_be_parsed(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    filters = [
        found
        for row in text.splitlines()
        if row.startswith("| `")
        for found in re.findall(r"`([^`]+)`", row.split(" | ")[0])
        if re.search(r"\w *[=<>]", found)
    ]
    assert len(filters) >= 6
    for found in filters:
        Filter.parse(found)
