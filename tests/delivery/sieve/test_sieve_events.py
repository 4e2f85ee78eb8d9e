"""Events of scripts that run at delivery, with every field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sieve_world import World

from pillarbox.events.catalogue.sieve import (
    sieve_action_finished,
    sieve_runtime_script_finished,
    sieve_runtime_script_started,
    sieve_script_closed,
    sieve_script_opened,
)

AROUND = {
    "user": "bob@example.com",
    "mail_from": "ann@example.net",
    "rcpt_to": "bob@example.com",
    "message_id": "<1@example.net>",
}


def _own(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def test_scripts(world: World, watch: Any) -> None:
    seen = watch(
        sieve_script_opened,
        sieve_runtime_script_started,
        sieve_runtime_script_finished,
        sieve_script_closed,
    )
    world.script("keep;")
    world.deliver()
    assert [name for name, _ in seen] == [
        "sieve_script_opened",
        "sieve_runtime_script_started",
        "sieve_runtime_script_finished",
        "sieve_script_closed",
    ]
    for name, fields in seen[1:3]:
        assert _own(fields, *AROUND) == AROUND, name
        assert fields["script_name"] == "main"
        assert fields["script_location"] == f"file:{world.home}/sieve/main.sieve"
        assert fields["binary_path"] == f"{world.home}/sieve/main.compiled"
        assert "error" not in fields
    seen.clear()
    world.script('require "variables"; set "a" "no address"; redirect "${a}";')
    world.deliver()
    _, fields = seen[2]
    assert fields["error"].startswith("main: line 1: error: specified redirect address")


def test_actions(world: World, watch: Any, tmp_path: Path) -> None:
    seen = watch(sieve_action_finished)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "true").symlink_to("/bin/true")
    world.settings(
        sieve_extensions=("+vnd.dovecot.pipe",), sieve_pipe_bin_dir=str(tmp_path / "bin")
    )
    world.script(
        'require ["fileinto", "copy", "enotify", "vacation", "vnd.dovecot.report",\n'
        '"vnd.dovecot.pipe"];\n'
        'fileinto "Archive"; keep; redirect :copy "carl@example.org";\n'
        'notify "mailto:a@example.org"; vacation "Away";\n'
        'report "abuse" "Spam" "abuse@example.org"; pipe :copy "true";\n'
    )
    world.deliver()
    world.script("discard;")
    world.deliver()
    world.script('require "reject"; reject "No";')
    world.deliver()
    found = {fields["action_name"]: fields for _, fields in seen}
    assert len(seen) == len(found) == 9
    for fields in found.values():
        assert _own(fields, *AROUND) == AROUND
        assert "sieve-action" in fields["categories"]
    places = {name: fields["action_script_location"] for name, fields in found.items()}
    assert places == {
        "redirect": "main: line 3",
        "pipe": "main: line 5",
        "fileinto": "main: line 3",
        "keep": "main: line 3",
        "notify": "main: line 4",
        "vacation": "main: line 4",
        "report": "main: line 5",
        "discard": "main: line 1",
        "reject": "main: line 1",
    }
    assert found["redirect"]["redirect_target"] == "carl@example.org"
    assert list(found["notify"]["notify_target"]) == ["a@example.org"]
    assert found["report"]["report_target"] == "abuse@example.org"
    assert found["report"]["report_type"] == "abuse"
    assert found["fileinto"]["fileinto_mailbox"] == "Archive"
    assert found["keep"]["fileinto_mailbox"] == "INBOX"
    assert found["pipe"]["pipe_program"] == "true"
