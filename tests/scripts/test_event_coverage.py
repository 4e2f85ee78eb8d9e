"""The gate that no event and no field gets lost."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "event_coverage.py"


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    found: Callable[[list[str]], int] = runpy.run_path(str(SCRIPT))["main"]
    return found


def write(folder: Path, **events: dict[str, int]) -> None:
    table = {name: {"times": 1, "fields": fields} for name, fields in events.items()}
    folder.mkdir(exist_ok=True)
    (folder / "imap.1.json").write_text(json.dumps(table))


def test_what_was_seen_before_must_be_seen_again(
    main: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, baseline = tmp_path / "seen", tmp_path / "baseline.json"
    words = [str(seen), "--baseline", str(baseline)]
    write(seen, mail_opened={"uid": 1, "seq": 1}, mail_expunged={"uid": 1})
    assert main([*words, "--update"]) == 0
    assert json.loads(baseline.read_text()) == {
        "mail_expunged": ["uid"],
        "mail_opened": ["seq", "uid"],
    }
    assert main(words) == 0
    write(seen, mail_opened={"uid": 1, "seq": 1, "reason": 1}, mail_expunged={"uid": 1})
    assert main(words) == 0
    write(seen, mail_opened={"uid": 1})
    capsys.readouterr()
    assert main(words) == 1
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "missing: mail_expunged: never emitted",
        "missing: mail_opened: never with seq",
    ]
    assert "2 of 130" not in told.out
    assert "1 of 130 events seen" in told.out


def test_nothing_to_look_at(main: Callable[[list[str]], int], tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2
