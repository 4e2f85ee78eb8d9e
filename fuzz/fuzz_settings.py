"""Settings files, templates, sizes and times from strangers: refused or taken, never a crash."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path

from pillarbox.settings.errors import SettingsError
from pillarbox.settings.load import load
from pillarbox.settings.positions import lines
from pillarbox.settings.units import parse_size, parse_time
from pillarbox.settings.variables import VariableError, expand

_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-settings-"))


def one(data: bytes) -> None:
    """Feed one input to every reader of settings."""
    text = data.decode("utf-8", "replace")
    try:
        expand(text, {"user": "bob@example.org", "home": "/home/bob"})
    except VariableError:
        pass
    for parse in (parse_size, parse_time):
        try:
            parse(text)
        except ValueError:
            pass
    _file(data, text)


def _file(data: bytes, text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    assert {(key,) for key in tree} <= set(lines(text))
    if "include" in tree:
        return
    path = _FOLDER / "fuzz.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except SettingsError as error:
        if not error.problems:
            raise


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
