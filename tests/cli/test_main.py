"""The command line as a whole: help, mistakes, exit statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pillarbox.cli import main
from pillarbox.cli.failure import CommandFailed
from pillarbox.cli.options import overrides


def test_help_lists_all_commands(pillarbox) -> None:
    result = pillarbox("--help")
    assert result.status == 0
    for name, entry in main.COMMANDS.items():
        assert name in result.out
        assert entry.help[:40] in result.out


def test_every_group_has_short_help_too(pillarbox) -> None:
    result = pillarbox("config", "check", "-h")
    assert result.status == 0
    assert "Read the settings as the server would" in result.out


def test_version(pillarbox) -> None:
    result = pillarbox("--version")
    assert result.status == 0
    assert result.out.startswith("pillarbox 0.")


def test_an_unknown_command_names_the_nearest(pillarbox) -> None:
    result = pillarbox("confg")
    assert result.status == 2
    assert "No such command 'confg'. Did you mean 'config'?" in result.err


def test_an_unknown_option(pillarbox) -> None:
    result = pillarbox("config", "check", "--nothing")
    assert result.status == 2
    assert "No such option: --nothing" in result.err


def test_help_and_quick_commands_do_not_load_the_mail_store() -> None:
    code = (
        "import sys; from pillarbox.cli.main import run; run(['--help']); run(['config', '-h']);"
        "heavy = ('numpy', 'pillarbox.mailstore', 'aiohttp');"
        "sys.exit(any(m.startswith(heavy) for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _raise(error: BaseException):
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (CommandFailed("it is so\nand so", 65), 65, "pillarbox: it is so\npillarbox: and so\n"),
        (FileNotFoundError(2, "No such file", "/x"), 75, "pillarbox: /x: No such file\n"),
        (PermissionError(13, "Permission denied", "/x"), 77, "pillarbox: /x: Permission denied\n"),
        (OSError(28, "No space left on device"), 75, "pillarbox: No space left on device\n"),
        (KeyError("k"), 70, "pillarbox: this is a bug: KeyError: 'k' (PILLARBOX_DEBUG=1"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(7), 7, ""),
        (typer.Abort(), 130, ""),
    ],
)
def test_every_failure_is_a_sentence_and_a_status(
    monkeypatch: pytest.MonkeyPatch, pillarbox, error: BaseException, status: int, text: str
) -> None:
    monkeypatch.setattr("pillarbox.cli.config.app", _raise(error))
    result = pillarbox("config")
    assert result.status == status
    assert result.err.startswith(text)
    assert "Traceback" not in result.err


def test_a_bug_shows_where_only_when_asked(monkeypatch: pytest.MonkeyPatch, pillarbox) -> None:
    monkeypatch.setattr("pillarbox.cli.config.app", _raise(KeyError("k")))
    monkeypatch.setenv("PILLARBOX_DEBUG", "1")
    assert "Traceback" in pillarbox("config").err


def test_overrides() -> None:
    assert overrides(None) == {}
    assert overrides(["a = b=c", "x.y=1"]) == {"a": "b=c", "x.y": "1"}
    with pytest.raises(CommandFailed, match="-o takes NAME=VALUE, not 'x'"):
        overrides(["x"])


def test_a_settings_file_that_is_not_there(
    pillarbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PILLARBOX_CONFIG", raising=False)
    monkeypatch.setattr("pillarbox.cli.options.DEFAULT_CONFIG", tmp_path / "none.toml")
    result = pillarbox("config", "show")
    assert result.status == 78
    assert "name a settings file with -c FILE" in result.err
    result = pillarbox("config", "show", "-c", tmp_path / "x.toml")
    assert result.status == 78
    assert "x.toml: cannot be read: No such file or directory" in result.err
