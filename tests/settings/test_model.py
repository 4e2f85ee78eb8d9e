"""What holds for every declaration of a setting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pillarbox.settings import model
from pillarbox.settings.convert import Setting, declared
from pillarbox.settings.model import Settings

STRUCTS = [Settings, *(getattr(model, n) for n in model.__all__ if n != "Settings")]


def _all() -> Iterator[tuple[str, Setting]]:
    for struct in STRUCTS:
        for setting in declared(struct).values():
            yield f"{struct.__name__}.{setting.name}", setting


@pytest.mark.parametrize(("name", "setting"), list(_all()), ids=lambda v: v if str(v) == v else "")
def test_every_setting_is_explained(name: str, setting: Setting) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", setting.name), name
    assert len(setting.doc.text) >= 10, f"{name} says nothing"
    assert setting.doc.text.endswith("."), f"{name} is no sentence"
    if setting.doc.kind in ("size", "mode"):
        assert setting.type is int, f"{name} is written as {setting.doc.kind}"
    if setting.type is float:
        assert setting.doc.kind == "time", f"{name} is a float and no time"
    if setting.doc.kind == "time":
        assert setting.type is float, f"{name} is a time and no float"


def test_every_setting_is_read_by_something() -> None:
    package = Path(model.__file__).parents[1]
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "settings"
    )
    words = set(re.findall(r"\w+", code))
    unread = [name for name, setting in _all() if setting.name not in words]
    assert not unread, "settings that change nothing"


def test_defaults_do_not_share_their_blocks() -> None:
    first, second = Settings(), Settings()
    assert first.mailbox is not second.mailbox
    assert first.passdb is not second.passdb


def test_settings_are_one_flat_struct() -> None:
    names = [f.name for f in msgspec.structs.fields(Settings)]
    assert len(names) == len(set(names))
    assert {"base_dir", "ssl", "passdb", "mail_path", "imap_max_line_length", "metric"} <= set(
        names
    )
