"""``pillarbox sieve put|get|list|activate|deactivate|delete|rename`` for a user."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pillarbox.cli.main import run

GOOD = b'require "fileinto";\r\nfileinto "x";\r\n'


@pytest.fixture
def sieve(config: Path, pillarbox: Any, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Any:
    """Run the command for the user bob; its status, output and errors."""
    assert pillarbox("user", "add", "bob", stdin="secret\n").status == 0

    def call(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, bytes, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        status = run(["sieve", *map(str, arguments), "-u", "bob"])
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return call


@pytest.fixture
def pillarbox(config: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Commands that set a user up."""
    from types import SimpleNamespace

    monkeypatch.setattr("os.umask", lambda mask: mask)

    def call(*arguments: str, stdin: str = "") -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        return SimpleNamespace(status=run(list(arguments)))

    return call


def test_the_life_of_scripts(sieve: Any, tmp_path: Path) -> None:
    file = tmp_path / "script"
    file.write_bytes(GOOD)
    assert sieve("put", "rules", file) == (0, b"", "")
    assert sieve("put", "--activate", "other", stdin=b"keep;") == (0, b"", "")
    assert sieve("list") == (0, b"other\tACTIVE\nrules\n", "")
    assert sieve("get", "rules") == (0, GOOD, "")
    assert sieve("activate", "rules") == (0, b"", "")
    assert (tmp_path / "home" / "bob" / ".dovecot.sieve").read_bytes() == GOOD
    assert sieve("rename", "rules", "filters") == (0, b"", "")
    assert sieve("list") == (0, b"filters\tACTIVE\nother\n", "")
    status, _, err = sieve("delete", "filters")
    assert (status, err) == (65, "pillarbox: The active script cannot be deleted.\n")
    assert sieve("deactivate") == (0, b"", "")
    assert sieve("delete", "filters") == (0, b"", "")
    assert sieve("list") == (0, b"other\n", "")


def test_what_is_refused(sieve: Any, tmp_path: Path) -> None:
    status, _, err = sieve("put", "bad", stdin=b"nonsense;\nfileinto;\n")
    assert status == 65
    assert "bad: line 1: error:" in err
    assert err.endswith("pillarbox: the script has errors\n")
    assert sieve("list") == (0, b"", "")
    status, _, err = sieve("put", "w", stdin=b'require "include"; include "nowhere";')
    assert status == 0
    assert "warning" in err
    for words in (("get", "x"), ("activate", "x"), ("delete", "x"), ("rename", "x", "y")):
        assert sieve(*words)[::2] == (65, "pillarbox: There is no script by that name.\n")
    assert sieve("put", "a/b", stdin=b"keep;")[0] == 65
    assert sieve("put", "a", tmp_path / "missing")[0] == 66
    assert sieve("list", "-o", "sieve_script.personal.driver=nonsense")[0] in (75, 78)


def test_whoever_is_not_there(config: Path, sieve: Any) -> None:
    assert run(["sieve", "list", "-u", "nobody"]) == 67


def test_a_script_that_was_written_by_hand_is_listed(sieve: Any, tmp_path: Path) -> None:
    (tmp_path / "home" / "bob").mkdir(parents=True)
    (tmp_path / "home" / "bob" / ".dovecot.sieve").write_bytes(b"stop;")
    assert sieve("list") == (0, b"main script\tACTIVE\n", "")
    assert sieve("get", "main script") == (0, b"stop;", "")
