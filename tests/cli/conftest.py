"""A settings file to run commands with."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pillarbox.cli.main import run

CONFIG = """
base_dir = "run"
ssl = "no"
mail_home = "home/%{user}"
mail_uid = "MAIL_UID"
default_internal_user = ""
default_internal_group = ""
default_login_user = ""
auth_password_scheme = "SSHA256"

[passdb.users]
driver = "passwd-file"
passwd_file_path = "users"

[userdb.users]
driver = "passwd-file"
passwd_file_path = "users"
"""


@dataclass
class Result:
    """What a command wrote and how it ended."""

    status: int
    out: str
    err: str


Pillarbox = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file for one passwd-file, named by the environment."""
    path = tmp_path / "pillarbox.toml"
    path.write_text(CONFIG.replace("MAIL_UID", str(os.getuid())), encoding="utf-8")
    monkeypatch.setenv("PILLARBOX_CONFIG", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    return path


@pytest.fixture
def pillarbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pillarbox:
    """Run one command line in this process."""
    monkeypatch.setattr(os, "umask", lambda mask: mask)

    def call(*arguments: str | Path, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = run([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return Result(status, out, err)

    return call
