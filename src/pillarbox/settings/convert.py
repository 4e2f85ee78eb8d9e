"""From the values of a TOML file to the types of the settings.

The declarations drive it: the annotation of a setting says its type, its `Doc` how people write
it (sizes, times, modes, files).  Nothing is raised for a wrong value: `Converter.problem` is told,
with the path of the key, and the default stands in, so that all mistakes come out in one run.

A string may come from elsewhere, so that secrets need not be in the file: ``{ file = "…" }``,
``{ env = "…" }``, or ``%{env:NAME}`` within it.
"""

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from pillarbox.settings.errors import nearest
from pillarbox.settings.positions import Path as KeyPath
from pillarbox.settings.renamed import RENAMED
from pillarbox.settings.schema.base import Doc
from pillarbox.settings.units import parse_size, parse_time
from pillarbox.settings.variables import VariableError, parse

_BOOLEANS: Final = {
    "yes": True,
    "true": True,
    "on": True,
    "no": False,
    "false": False,
    "off": False,
}
_ENV: Final = re.compile(r"(?<!%)%\{\s*env:([A-Za-z_][A-Za-z0-9_]*)\s*\}")
_LOG_WORDS: Final = frozenset({"stderr", "syslog"})


class Setting(NamedTuple):
    """A declared setting: its type without None, whether None is allowed, and what it says."""

    name: str
    type: Any
    optional: bool
    doc: Doc
    default: Any


class _Wrong(Exception):
    """A value that does not fit; the text completes the sentence "<name> ..."."""


@cache
def declared(kind: type[msgspec.Struct]) -> dict[str, Setting]:
    """All settings of a struct in the order of their declaration."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found: dict[str, Setting] = {}
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        doc = Doc("")
        if typing.get_origin(hint) is typing.Annotated:
            hint, *notes = typing.get_args(hint)
            doc = next((n for n in notes if isinstance(n, Doc)), doc)
        options = [a for a in typing.get_args(hint) if a is not type(None)]
        optional = typing.get_origin(hint) is types.UnionType and len(options) == 1
        default = (
            field.default_factory()
            if field.default_factory is not msgspec.NODEFAULT
            else field.default
        )
        found[field.name] = Setting(
            field.name, options[0] if optional else hint, optional, doc, default
        )
    return found


class Converter:
    """Converts one tree of values; ``folder`` gives the folder of the file that a key is in."""

    def __init__(
        self,
        problem: Callable[[KeyPath, str], None],
        folder: Callable[[KeyPath], Path | None],
    ) -> None:
        self.problem = problem
        self.folder = folder

    def struct(
        self,
        kind: type[msgspec.Struct],
        tree: Mapping[str, object],
        path: KeyPath = (),
        base: msgspec.Struct | None = None,
    ) -> msgspec.Struct | None:
        """The struct that a table describes, over the values of ``base`` if there is one."""
        settings = declared(kind)
        values = {} if base is None else {n: getattr(base, n) for n in settings}
        for name, written in tree.items():
            setting = settings.get(name)
            if setting is None:
                self.problem((*path, name), self._unknown(kind, name, path))
                continue
            try:
                current = values.get(name, setting.default)
                values[name] = self.value(setting, written, (*path, name), current)
            except _Wrong as wrong:
                self.problem((*path, name), f"{name} {wrong}")
        missing = [s.name for s in settings.values() if s.default is msgspec.NODEFAULT]
        missing = [name for name in missing if name not in values]
        for name in missing:
            if name not in tree:
                self.problem(path, f"{name} is missing here")
        return None if missing else kind(**values)

    def value(self, setting: Setting, written: object, path: KeyPath, current: object) -> Any:
        """The typed value of one setting."""
        kind = setting.type
        origin = typing.get_origin(kind)
        if origin is dict:
            return self._blocks(setting, written, path, current)
        if origin is tuple:
            return self._list(setting, written, path)
        written = self._resolve(written, path)
        if origin is typing.Literal:
            return _choice(typing.get_args(kind), written)
        if kind is bool:
            return _boolean(written)
        if kind is str:
            return self._text(setting, written, path)
        return _number(setting, written)

    def _unknown(self, kind: type[msgspec.Struct], name: str, path: KeyPath) -> str:
        where = f" in {'.'.join(map(str, path))}" if path else ""
        if not path and (advice := RENAMED.get(name)):
            return f"there is no setting {name}; {advice}"
        return f"there is no setting {name}{where}{nearest(name, declared(kind))}"

    def _blocks(self, setting: Setting, written: object, path: KeyPath, current: object) -> Any:
        if not isinstance(written, dict):
            raise _Wrong(f"is a group of its own: write [{'.'.join(map(str, path))}], not a value")
        inner = typing.get_args(setting.type)[1]
        result = dict(current) if isinstance(current, dict) else {}
        for name, value in written.items():
            where = (*path, name)
            if inner is str:
                try:
                    result[name] = self._plain(self._resolve(value, where))
                except _Wrong as wrong:
                    self.problem(where, f"{name} {wrong}")
            elif not isinstance(value, dict):
                if name in declared(inner):
                    example = ".".join(map(str, path))
                    self.problem(where, f"blocks have a name: write [{example}.NAME], {name} in it")
                else:
                    self.problem(where, f"{name} is a block: write [{'.'.join(map(str, where))}]")
            else:
                block = self.struct(inner, value, where, result.get(name))
                if block is not None:
                    result[name] = block
        return result

    def _list(self, setting: Setting, written: object, path: KeyPath) -> Any:
        inner = typing.get_args(setting.type)[0]
        written = self._resolve(written, path) if not isinstance(written, list) else written
        items = written.split() if isinstance(written, str) else written
        if not isinstance(items, list):
            raise _Wrong(f"is a list of texts, not {_show(written)}")
        result: list[Any] = []
        for position, item in enumerate(items):
            if inner is str:
                if not isinstance(item, str):
                    raise _Wrong(f"is a list of texts; {_show(item)} is none")
                result.append(self._environment(item))
            elif typing.get_origin(inner) is typing.Literal:
                result.append(_choice(typing.get_args(inner), item))
            elif isinstance(item, str):
                first = next(iter(declared(inner)))
                result.append(inner(**{first: item}))
            elif isinstance(item, dict):
                made = self.struct(inner, item, (*path, position))
                result.extend([] if made is None else [made])
            else:
                raise _Wrong(f"is a list of names or tables; {_show(item)} is neither")
        return tuple(result)

    def _resolve(self, written: object, path: KeyPath) -> object:
        """The value itself, or what the file or variable of the environment holds."""
        if isinstance(written, str):
            return self._environment(written)
        if not isinstance(written, dict):
            return written
        if len(written) == 1 and isinstance(name := written.get("env"), str):
            return _environment(name)
        if len(written) == 1 and isinstance(name := written.get("file"), str):
            place = (self.folder(path) or Path()) / name
            try:
                return place.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise _Wrong(f"cannot be read from {place}: {reason}") from None
        raise _Wrong('is one value, or { file = "…" } or { env = "…" }')

    def _environment(self, text: str) -> str:
        return _ENV.sub(lambda found: _environment(found[1]), text)

    def _plain(self, written: object) -> str:
        if isinstance(written, bool):
            return "yes" if written else "no"
        if isinstance(written, str | int | float):
            return str(written)
        raise _Wrong(f"is a text, not {_show(written)}")

    def _text(self, setting: Setting, written: object, path: KeyPath) -> str:
        if setting.name.endswith(("_uid", "_gid")) and isinstance(written, int):
            written = str(written)
        if not isinstance(written, str):
            raise _Wrong(f"is a text, not {_show(written)}")
        if "\0" in written:
            raise _Wrong("has a NUL byte in it")
        if setting.doc.kind != "secret":
            try:
                parse(written)
            except VariableError as error:
                raise _Wrong(f"cannot be understood: {error}") from None
        if setting.doc.kind == "file":
            return self._file(written, path)
        return written

    def _file(self, written: str, path: KeyPath) -> str:
        """A path that is absolute, counted from the folder of the file that names it."""
        folder = self.folder(path)
        if not written or written in _LOG_WORDS or written[0] in "/%" or folder is None:
            return written
        return str(folder / os.path.expanduser(written))


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise _Wrong(f"wants {name} of the environment, which is not set")
    return value


def _choice(choices: tuple[str, ...], written: object) -> str:
    if isinstance(written, bool) and {"yes", "no"} & set(choices):
        written = "yes" if written else "no"
    for choice in choices:
        if isinstance(written, str) and written.lower() == choice.lower():
            return choice
    hint = nearest(written, choices) if isinstance(written, str) else ""
    raise _Wrong(f"is one of {', '.join(choices)}; not {_show(written)}{hint}")


def _boolean(written: object) -> bool:
    if isinstance(written, bool):
        return written
    if isinstance(written, str) and written.lower() in _BOOLEANS:
        return _BOOLEANS[written.lower()]
    raise _Wrong(f"is true or false, not {_show(written)}")


def _number(setting: Setting, written: object) -> int | float:
    """A size, time, mode or count."""
    kind = setting.doc.kind
    result: int | float
    try:
        if isinstance(written, str) and kind == "mode":
            result = int(written.removeprefix("0o"), 8)
        elif isinstance(written, str) and kind == "size":
            result = parse_size(written)
        elif isinstance(written, str) and setting.type is float:
            result = parse_time(written)
        elif isinstance(written, str):
            result = int(written)
        elif isinstance(written, bool) or not isinstance(written, int | float):
            raise _Wrong(f"is a {_noun(setting)}, not {_show(written)}")
        else:
            result = written
    except ValueError as error:
        raise _Wrong(_unreadable(setting, written, error)) from None
    if setting.type is int and not isinstance(result, int):
        raise _Wrong(f"is a whole number, not {_show(written)}")
    if setting.type is float:
        result = float(result)
    if kind == "mode" and not 0 <= result <= 0o777:
        raise _Wrong(f'is a file mode such as "0660" or 0o660, not {_show(written)}')
    if not setting.doc.least <= result < 2**63:
        least = setting.doc.least
        raise _Wrong(
            f"must be {least} or more, not {_show(written)}"
            if result < least
            else f"is too large: {_show(written)}"
        )
    return result


def _unreadable(setting: Setting, written: object, error: ValueError) -> str:
    if setting.doc.kind == "mode":
        return f'is a file mode such as "0660" or 0o660, not {_show(written)}'
    if setting.doc.kind == "size" or setting.type is float:
        return f"cannot be understood: {error}"
    return f"is a whole number, not {_show(written)}"


def _noun(setting: Setting) -> str:
    if setting.doc.kind == "mode":
        return 'file mode such as "0660"'
    if setting.doc.kind == "size":
        return "size such as 10MB"
    return "time such as 30s" if setting.type is float else "whole number"


def _show(written: object) -> str:
    """How a wrong value is quoted in a sentence."""
    if isinstance(written, bool):
        return "true" if written else "false"
    if isinstance(written, dict):
        return "a table"
    if isinstance(written, list):
        return "a list"
    return repr(written) if len(repr(written)) <= 60 else repr(written)[:57] + "..."
