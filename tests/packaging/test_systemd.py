"""The files for systemd name what there is: commands, options, statuses, users, capabilities."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pillarbox.cli import failure
from pillarbox.cli.main import app

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging/systemd/pillarbox.service"
USERS = ROOT / "packaging/sysusers.d/pillarbox.conf"
FOLDERS = ROOT / "packaging/tmpfiles.d/pillarbox.conf"
DOCS = (ROOT / "docs/configuration.md", ROOT / "docs/operations.md")


def unit() -> dict[str, list[str]]:
    """The words of each setting of the unit, over all its lines."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "[")):
            found.setdefault(name, []).extend(shlex.split(value))
    return found


def rows(path: Path) -> list[list[str]]:
    """The lines of a file for systemd's tools, in words."""
    lines = path.read_text().splitlines()
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", ["ExecStart", "ExecReload"])
def test_commands_exist(name: str) -> None:
    program, *words = unit()[name]
    assert Path(program).name == "pillarbox"
    command = get_command(app)
    for word in words:
        assert word in command.commands, word  # type: ignore[attr-defined]
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_a_start_that_can_only_fail_again_is_not_repeated(tmp_path: Path) -> None:
    statuses = set(map(int, unit()["RestartPreventExitStatus"]))
    assert failure.CONFIG in statuses
    config = tmp_path / "pillarbox.toml"
    config.write_text("no_such_setting = 1\n")
    result = CliRunner().invoke(app, [*unit()["ExecStart"][1:], "-c", str(config)])
    assert isinstance(result.exception, failure.CommandFailed)
    assert result.exception.status in statuses


def test_readiness_is_told_and_the_master_alone_is_told_to_stop() -> None:
    found = unit()
    assert found["Type"] == ["notify"]
    assert found["KillMode"] == ["mixed"]
    assert float(found["WatchdogSec"][0]) > 0
    assert "UMask" not in found  # base_dir is for everybody to enter


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace(unit()["ExecStart"][0], shutil.which("true") or ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(here)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, told) == (0, []), done.stderr


def test_the_users_are_those_of_the_documentation() -> None:
    made = {row[1] for row in rows(USERS)}
    assert made == {"pillarbox", "pillarbox-login", "vmail"}
    for user in made:
        assert any(re.search(rf"\b{user}\b", path.read_text()) for path in DOCS)
    assert {word for row in rows(FOLDERS) for word in row[3:5]} <= made


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="needs systemd-sysusers")
def test_systemd_makes_the_users(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(USERS)], check=True)
    lines = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    assert {line[0] for line in lines} == {"pillarbox", "pillarbox-login", "vmail"}
    assert {line[6] for line in lines} == {"/usr/sbin/nologin"}
    assert {line[5] for line in lines if line[0] == "vmail"} == {"/var/mail/vmail"}


def test_the_defaults_are_these_users() -> None:
    from pillarbox.settings.model import Settings

    settings = Settings()
    assert settings.default_internal_user == "pillarbox"
    assert settings.default_internal_group == "pillarbox"
    assert settings.default_login_user == "pillarbox-login"
