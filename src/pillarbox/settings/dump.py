"""Settings as TOML again: what differs from the defaults, or all of it with explanations.

What `to_toml` writes can be read back and gives equal settings, secrets excepted, which are shown
as dots unless asked for.  Sizes and times are written with units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from pillarbox.settings.convert import Setting, declared
from pillarbox.settings.model import Settings
from pillarbox.settings.units import format_size, format_time

HIDDEN = "••••••••"

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(
    settings: Settings, *, everything: bool = False, comments: bool = False, secrets: bool = False
) -> str:
    """A TOML document: only what is not default, unless ``everything``."""
    writer = _Writer(everything, comments, secrets)
    return "".join(writer.table(settings, Settings(), ()))


def one_setting(settings: Settings, setting: Setting, *, secrets: bool = False) -> str:
    """One setting as TOML, whether default or not; of a group all blocks."""
    writer = _Writer(True, False, secrets)
    value = getattr(settings, setting.name)
    if not isinstance(value, dict):
        return f"{setting.name} = {writer.value(setting, value)}\n"
    parts = writer.group(setting, value, {}, (setting.name,))
    return "".join(parts).lstrip("\n") or f"# there is no [{setting.name}.NAME]\n"


class _Writer:
    def __init__(self, everything: bool, comments: bool, secrets: bool) -> None:
        self.everything = everything
        self.comments = comments
        self.secrets = secrets

    def table(
        self, value: msgspec.Struct, base: msgspec.Struct | None, path: tuple[str, ...]
    ) -> Iterator[str]:
        """The lines of a table: first its values, then the tables in it."""
        settings = declared(type(value))
        plain = [s for s in settings.values() if not _is_group(getattr(value, s.name))]
        for setting in plain:
            yield from self._line(setting, getattr(value, setting.name), base)
        for setting in settings.values():
            group = getattr(value, setting.name)
            if not isinstance(group, dict):
                continue
            default = getattr(base, setting.name) if base is not None else {}
            if self.comments and not path:
                yield f"\n# {setting.doc.text}\n"
                if not group:
                    yield f"# [{setting.name}.NAME]\n"
            yield from self.group(setting, group, default, (*path, setting.name))

    def _line(self, setting: Setting, value: object, base: msgspec.Struct | None) -> Iterator[str]:
        default = setting.default if base is None else getattr(base, setting.name)
        if value is None or (value == default and not self.everything):
            return
        if self.comments:
            yield f"\n# {setting.doc.text}\n"
        yield f"{setting.name} = {self.value(setting, value)}\n"

    def group(
        self,
        setting: Setting,
        group: dict[str, object],
        default: dict[str, object],
        path: tuple[str, ...],
    ) -> Iterator[str]:
        """The tables of a group of blocks."""
        header = ".".join(_key(p) for p in path)
        texts = {k: v for k, v in group.items() if not isinstance(v, msgspec.Struct)}
        if texts and (texts != default or self.everything):
            yield f"\n[{header}]\n"
            yield from (f"{_key(k)} = {_quoted(str(v))}\n" for k, v in texts.items())
        for name, block in group.items():
            if not isinstance(block, msgspec.Struct):
                continue
            base = default.get(name)
            if block == base and not self.everything:
                continue
            inner = base if isinstance(base, msgspec.Struct) else None
            if not self.comments:
                yield f"\n[{header}.{_key(name)}]\n"
                yield from self.table(block, inner, (*path, name))
            else:
                quiet = _Writer(False, False, self.secrets)
                yield f"\n[{header}.{_key(name)}]\n"
                yield from quiet.table(block, None, (*path, name))

    def value(self, setting: Setting, value: object) -> str:
        """One value, hidden if it is a secret."""
        if setting.doc.kind == "secret" and value and not self.secrets:
            return _quoted(HIDDEN)
        return toml_value(setting, value)


def toml_value(setting: Setting, value: object) -> str:
    """One value as it would be written in a file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if setting.doc.kind == "mode" and isinstance(value, int):
            return f'"{value:04o}"'
        if setting.doc.kind == "size" and isinstance(value, int):
            return f'"{format_size(value)}"' if value else "0"
        if setting.type is float:
            return f'"{format_time(value)}"' if value else "0"
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_item(v) for v in value) + "]"
    return _quoted(str(value))


def _item(value: object) -> str:
    """One member of a list: a text, or an inline table of what is not default."""
    if not isinstance(value, msgspec.Struct):
        return _quoted(str(value))
    fields = [
        f"{s.name} = {toml_value(s, getattr(value, s.name))}"
        for s in declared(type(value)).values()
        if getattr(value, s.name) != s.default
    ]
    return "{ " + ", ".join(fields) + " }"


def _is_group(value: object) -> bool:
    return isinstance(value, dict)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's too, except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
