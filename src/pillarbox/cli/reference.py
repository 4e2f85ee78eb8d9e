"""Reference pages of the documentation, made from the declarations.

``python -m pillarbox.cli.reference docs/reference`` writes a page of all settings, one of all
commands and one of all events.  A test compares the pages in the repository with what would be
written, so they cannot drift from the code.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from pillarbox.cli.main import COMMANDS, load
from pillarbox.events import reference as events
from pillarbox.settings.convert import Setting, declared
from pillarbox.settings.dump import toml_value
from pillarbox.settings.model import Settings
from pillarbox.settings.schema.base import BaseSettings

_NOTE: Final = "<!-- Made by `python -m pillarbox.cli.reference`; do not edit. -->\n"

_KINDS: Final = {
    "size": "size",
    "time": "time",
    "path": "path",
    "file": "file",
    "secret": "secret",
    "mode": "file mode",
    "filter": "event filter",
}


def pages() -> dict[str, str]:
    """File name to content of every page."""
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "events.md": events.markdown(),
    }


def settings_page() -> str:
    """All settings, by family."""
    lines = [
        "# Settings",
        _NOTE,
        "How the file is read, and how sizes, times, variables and secrets are written, is said in "
        "[Configuration](../configuration.md). `pillarbox config default NAME` prints any of this.",
        "",
    ]
    known: set[str] = set()
    for family in _families():
        lines += _family(family, known)
        known |= set(declared(family))
    return "\n".join(lines).rstrip() + "\n"


def _families() -> list[type[msgspec.Struct]]:
    """The chain of declarations, first family first."""
    chain = [c for c in Settings.__mro__ if issubclass(c, BaseSettings)]
    return [c for c in reversed(chain) if c not in (BaseSettings, Settings)]


def _family(family: type[msgspec.Struct], known: set[str]) -> Iterator[str]:
    module = inspect.getdoc(sys.modules[family.__module__]) or family.__module__
    yield f"## {module.splitlines()[0].rstrip('.')}"
    yield ""
    for setting in declared(family).values():
        if setting.name not in known:
            yield from _setting(setting)


def _setting(setting: Setting) -> Iterator[str]:
    inner = _block(setting)
    if inner is None:
        yield f"### `{setting.name}`"
        yield ""
        yield f"{setting.doc.text}"
        yield ""
        yield f"*{_type(setting)}*, default: {_default(setting)}"
        yield ""
        return
    yield f"### `[{setting.name}.NAME]`"
    yield ""
    yield setting.doc.text
    yield ""
    if setting.default:
        yield "Default: " + ", ".join(f"`{name}`" for name in setting.default) + "."
        yield ""
    yield from _table(inner)


def _table(block: type[msgspec.Struct]) -> Iterator[str]:
    """The settings of a block; blocks within it by their names."""
    yield "| Setting | Type | Default | Meaning |"
    yield "|---|---|---|---|"
    nested = []
    for setting in declared(block).values():
        inner = _block(setting)
        if inner is not None:
            nested.append((setting, inner))
            continue
        text = _cell(setting.doc.text)
        yield f"| `{setting.name}` | {_type(setting)} | {_cell(_default(setting))} | {text} |"
    yield ""
    for setting, inner in nested:
        yield f"**`[… .{setting.name}.NAME]`** {setting.doc.text}"
        yield ""
        yield from _table(inner)
    for setting in declared(block).values():
        item = _item(setting)
        if item is not None:
            yield f"A member of `{setting.name}` that is a table:"
            yield ""
            yield from _table(item)


def _block(setting: Setting) -> type[msgspec.Struct] | None:
    """The struct of a group of blocks, if the setting is one."""
    return _struct_in(setting, dict, -1)


def _item(setting: Setting) -> type[msgspec.Struct] | None:
    """The struct of a list's members, if the setting is a list of tables."""
    return _struct_in(setting, tuple, 0)


def _struct_in(setting: Setting, origin: type, place: int) -> type[msgspec.Struct] | None:
    if typing.get_origin(setting.type) is not origin:
        return None
    inner: Any = typing.get_args(setting.type)[place]
    return inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None


def _type(setting: Setting) -> str:
    kind = setting.type
    if setting.doc.kind in _KINDS:
        return _KINDS[setting.doc.kind]
    if kind in (bool, int, str, float):
        return {bool: "true or false", int: "number", str: "text", float: "number"}[kind]
    origin = getattr(kind, "__origin__", None)
    if origin is dict:
        return "table of texts"
    if origin is tuple:
        return "list"
    return "one of " + ", ".join(f"`{choice}`" for choice in kind.__args__)


def _default(setting: Setting) -> str:
    default = setting.default
    if default is None:
        return "that of the service"
    if default is msgspec.NODEFAULT:
        return "must be given"
    if isinstance(default, dict):
        return ", ".join(f"`{k} = {v}`" for k, v in default.items()) or "none"
    return f"`{toml_value(setting, default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands_page() -> str:
    """All commands with their arguments and options."""
    lines = [
        "# Commands",
        _NOTE,
        "Every command takes `--help`. The settings file is named by `-c FILE`, else by "
        "`PILLARBOX_CONFIG`, else it is `/etc/pillarbox/pillarbox.toml`.",
        "",
    ]
    for name in COMMANDS:
        lines += _command(load(name), f"pillarbox {name}", 2)
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Any, path: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{path}`"
    yield ""
    if text := inspect.cleandoc(command.help or ""):
        yield text
        yield ""
    children = getattr(command, "commands", None)
    if children is not None:
        for name, child in children.items():
            if not child.hidden:
                yield from _command(child, f"{path} {name}", level + 1)
        return
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join([path, *(_argument(a) for a in arguments), *(["[OPTION]..."] * bool(options))])
    yield f"```\n{usage}\n```"
    yield ""
    rows = [(f"`{_argument(a)}`", a.help) for a in arguments] + [
        (_option(o), o.help) for o in options
    ]
    if rows:
        yield "| | |"
        yield "|---|---|"
        for left, right in rows:
            yield f"| {_cell(left)} | {_cell(right or '')} |"
        yield ""


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper().replace("_", "-"))


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    return f"{names} `{option.metavar or option.name.upper().rstrip('_')}`"


def main() -> None:
    """Write all pages into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
