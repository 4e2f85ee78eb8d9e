"""Programs of pipe, filter and execute."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sieve_world import MAIL, World

from pillarbox.delivery.outcome import Kind
from pillarbox.delivery.sieve import programs
from pillarbox.delivery.sieve.programs import Ended, ProgramError, Programs
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n" + text)
    file.chmod(0o755)


@pytest.fixture
def bin_dir(world: World, tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for kind in ("pipe", "filter", "execute"):
        world.settings(**{f"sieve_{kind}_bin_dir": str(folder)})
    world.settings(
        sieve_extensions=("+vnd.dovecot.pipe", "+vnd.dovecot.filter", "+vnd.dovecot.execute")
    )
    return folder


def run(folder: Path, name: str, *arguments: str, data: bytes | None = None, **more: Any) -> Ended:
    given = {"socket_dir": "", "timeout": 10.0, "line_end": "crlf", **more}
    kind = Programs(str(folder), **given)
    return asyncio.run(kind.run(name, arguments, data, {"USER": "bob"}, Scope(), Log()))


def test_arguments_input_environment(tmp_path: Path) -> None:
    program(tmp_path, "p", 'echo "$USER/$HOME/$1/$2"; cat; echo oops >&2; exit 3')
    assert run(tmp_path, "p", "a b", "$USER;", data=b"in\r\n") == Ended(
        3, b"bob//a b/$USER;\nin\r\n", "oops"
    )
    assert run(tmp_path, "p", data=b"in\r\n", line_end="lf").output.endswith(b"\nin\n")
    assert run(tmp_path, "p").output == b"bob///\n"


def test_a_program_that_does_not_read(tmp_path: Path) -> None:
    program(tmp_path, "p", "exit 0")
    assert run(tmp_path, "p", data=b"x" * 10_000_000).status == 0


@pytest.mark.parametrize("name", ["none", "../p", "", ".", "folder"])
def test_what_is_no_program(tmp_path: Path, name: str) -> None:
    program(tmp_path, "p", "exit 0")
    (tmp_path / "folder").mkdir()
    (tmp_path / "inner").mkdir()
    with pytest.raises(ProgramError):
        run(tmp_path / "inner" if name == "../p" else tmp_path, name)


def test_too_slow_and_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "slow", "sleep 100 & sleep 100")
    with pytest.raises(ProgramError, match="longer than"):
        run(tmp_path, "slow", timeout=0.2)
    monkeypatch.setattr(programs, "MOST_OUTPUT", 1000)
    program(tmp_path, "much", "yes")
    with pytest.raises(ProgramError, match="more than 1000 bytes"):
        run(tmp_path, "much")
    (tmp_path / "plain").write_text("no program")
    with pytest.raises(ProgramError, match="Permission denied"):
        run(tmp_path, "plain")


def test_what_no_program_can_be_given(tmp_path: Path) -> None:
    program(tmp_path, "p", "exit 0")
    with pytest.raises(ProgramError, match="null byte"):
        run(tmp_path, "p", "a\0b")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_a_program_cannot_become_root_again() -> None:
    with tempfile.TemporaryDirectory(prefix="pillarbox-") as folder:
        Path(folder).chmod(0o755)
        program(
            Path(folder), "who", "id -ru; id -u; id -rg; id -g; grep ^[UG]id: /proc/self/status"
        )
        os.setegid(65534)
        os.seteuid(65534)
        try:
            ended = run(Path(folder), "who")
        finally:
            os.seteuid(0)
            os.setegid(0)
    assert ended.status == 0
    assert set(re.findall(rb"[0-9]+", ended.output)) == {b"65534"}


def test_a_socket(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data.upper() + b"\n7\n")
        writer.close()

    async def main() -> Ended:
        path = tmp_path / "server"
        async with await asyncio.start_unix_server(serve, path):
            assert stat.S_ISSOCK(path.stat().st_mode)
            kind = Programs("", str(tmp_path), 10.0, "crlf")
            return await kind.run("server", ("a", "b"), b"in", {}, Scope(), Log())

    assert asyncio.run(main()) == Ended(7, b"A\nB\n\nIN\n")


def test_pipe(world: World, bin_dir: Path, tmp_path: Path) -> None:
    program(
        bin_dir, "save", f'cat > {tmp_path}/out; echo "$1 $SENDER $RECIPIENT" >> {tmp_path}/out'
    )
    world.script('require "vnd.dovecot.pipe"; pipe "save" ["x"];')
    outcome = world.deliver()
    assert (outcome.kind, outcome.mailbox) == (Kind.STORED, None)
    saved = (tmp_path / "out").read_bytes()
    assert saved.endswith(MAIL + b"x ann@example.net bob@example.com\n")
    assert "piped to program save" in world.log()


@pytest.mark.parametrize(
    ("status", "kind", "mailbox"),
    [(1, Kind.STORED, "INBOX"), (75, Kind.TEMPORARY, None)],
)
def test_pipe_that_fails(
    world: World, bin_dir: Path, status: int, kind: Kind, mailbox: str | None
) -> None:
    program(bin_dir, "broken", f"exit {status}")
    world.script('require "vnd.dovecot.pipe"; pipe "broken";')
    outcome = world.deliver()
    assert (outcome.kind, outcome.mailbox) == (kind, mailbox)
    assert f"it ended with status {status}" in world.log()


def test_pipe_to_nothing_is_a_keep(world: World, bin_dir: Path) -> None:
    world.script('require "vnd.dovecot.pipe"; pipe :try "none";')
    assert world.deliver().mailbox == "INBOX"
    world.script('require ["vnd.dovecot.pipe", "copy"]; pipe :copy "none";')
    assert world.deliver().mailbox == "INBOX"
    assert world.counts() == {"INBOX": 2}


def test_filter_and_execute(world: World, bin_dir: Path) -> None:
    program(bin_dir, "mark", "printf 'X-Marked: yes\\r\\n'; cat")
    program(bin_dir, "say", 'printf "$1"')
    program(bin_dir, "fail", "exit 1")
    world.script(
        'require ["vnd.dovecot.filter", "vnd.dovecot.execute", "variables", "fileinto"];\n'
        'filter "mark";\n'
        'if execute :output "box" "say" "Archive" { set "ok" "1"; }\n'
        'if not execute "fail" { set "ok" "${ok}2"; }\n'
        'if allof(string "${ok}" "12", exists "x-marked") { fileinto "${box}"; }\n'
    )
    assert world.deliver().mailbox == "Archive"
    assert b"X-Marked: yes\r\n" in world.mail()["Archive"][0][0]
