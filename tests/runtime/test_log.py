"""Log lines: what they carry, how they travel, how they are written."""

from __future__ import annotations

import asyncio
import json
import os
import syslog
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.events.event import Scope
from pillarbox.runtime import log_pipe
from pillarbox.runtime.frames import FrameReader
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.log_pipe import PipeSink
from pillarbox.runtime.log_sinks import LogWriter, render_json, render_text
from pillarbox.settings.model import Settings

Run = Callable[..., Any]


def line(**more: Any) -> Line:
    known: dict[str, Any] = {
        "time": 0.5,
        "level": "info",
        "service": "imap_login",
        "pid": 4711,
        "user": None,
        "session": None,
        "text": "Hello",
    }
    return Line(**{**known, **more})


def test_a_line_says_whose_it_is_and_cannot_be_forged() -> None:
    lines: list[Line] = []
    log = Log("imap", lines.append)
    scope = Scope(Scope(None, (), (), session="abc"), (), (), user="bob\nfake: Error")
    log.info(scope, "one\r\ntwo\x85\x7f")
    log.debug(scope, "not kept")
    log.error(None, "plain")
    assert [(x.level, x.session, x.user) for x in lines] == [
        ("info", "abc", "bob\\x0afake: Error"),
        ("error", None, None),
    ]
    assert lines[0].text == "one\\x0d\\x0atwo\\x85\\x7f"
    log.set_level("debug")
    log.debug(scope, "kept")
    assert lines[-1].level == "debug"


def test_a_broken_sink_harms_nobody() -> None:
    def broken(_line: Line) -> None:
        raise OSError("disk full")

    Log("imap", broken).error(None, "x")


def test_text() -> None:
    assert render_text(line(), "") == b"imap-login: Info: Hello\n"
    mine = line(user="bob", session="abc", service="imap", level="error")
    assert render_text(mine, "") == b"imap(bob)<4711><abc>: Error: Hello\n"
    assert render_text(line(session="abc"), "T ") == b"T imap-login<4711><abc>: Info: Hello\n"


def test_json() -> None:
    assert json.loads(render_json(line(user="bob", text='"\u00e4'))) == {
        "time": "1970-01-01T00:00:00.500000Z",
        "level": "info",
        "service": "imap-login",
        "pid": 4711,
        "user": "bob",
        "text": '"\u00e4',
    }


def writer(**more: Any) -> LogWriter:
    return LogWriter(msgspec.structs.replace(Settings(), log_timestamp="", **more))


def test_levels_go_to_their_files(tmp_path: Path) -> None:
    made = writer(
        log_path=str(tmp_path / "err"),
        info_log_path=str(tmp_path / "info"),
        debug_log_path=str(tmp_path / "debug"),
    )
    for level in ("debug", "info", "warning", "error", "fatal"):
        made(line(level=level, text=level))
    made.close()
    read = {p.name: [x.split()[-1] for x in p.read_text().splitlines()] for p in tmp_path.iterdir()}
    assert read == {"debug": ["debug"], "info": ["info"], "err": ["warning", "error", "fatal"]}
    assert (tmp_path / "err").stat().st_mode & 0o777 == 0o600


def test_a_rotated_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    settings = msgspec.structs.replace(Settings(), log_path=str(path), log_format="json")
    made = LogWriter(settings)
    made(line(text="one"))
    path.rename(tmp_path / "log.1")
    made(line(text="two"))
    made.reopen(settings)
    made(line(text="three"))
    made.close()
    texts = [json.loads(x)["text"] for x in (tmp_path / "log.1").read_text().splitlines()]
    assert texts == ["one", "two"]
    assert json.loads(path.read_text())["text"] == "three"


def test_a_file_that_cannot_be_opened_keeps_the_old_one(tmp_path: Path) -> None:
    made = writer(log_path=str(tmp_path / "log"))
    bad = msgspec.structs.replace(Settings(), log_path=str(tmp_path / "none" / "log"))
    with pytest.raises(OSError, match="none"):
        made.reopen(bad)
    made(line())
    made.close()
    assert (tmp_path / "log").read_text() == "imap-login: Info: Hello\n"


def test_syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, str]] = []
    opened: list[tuple[Any, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *a: opened.append(a))
    monkeypatch.setattr(syslog, "syslog", lambda p, t: sent.append((p, t)))
    made = writer(log_path="syslog", syslog_facility="local3")
    made(line(level="warning"))
    assert opened == [("pillarbox", syslog.LOG_NDELAY, syslog.LOG_LOCAL3)]
    assert sent == [(syslog.LOG_WARNING, "imap-login: Warning: Hello")]


def test_the_pipe_never_blocks_and_counts_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, uvrun: Run
) -> None:
    monkeypatch.setattr(log_pipe, "MAX_QUEUED", 100)
    read_end, write_end = os.pipe()

    async def scenario() -> None:
        sink = PipeSink(write_end)
        sink.attach(asyncio.get_running_loop())
        count = 5000
        for n in range(count):
            sink(line(text=f"{n} " + "x" * 200))
        frames = FrameReader(Line)
        got: list[Line] = []
        loop = asyncio.get_running_loop()
        os.set_blocking(read_end, False)
        loop.add_reader(read_end, lambda: got.extend(frames.feed(os.read(read_end, 65536))))
        while not got or int(got[-1].text.split()[0]) < 100:
            await asyncio.sleep(0)
        while sink._queue:
            await asyncio.sleep(0)
        sink(line(text="end"))
        while got[-1].text != "end":
            await asyncio.sleep(0)
        numbers = [int(x.text.split()[0]) for x in got[:-2]]
        assert numbers == list(range(len(numbers)))
        lost = count - len(numbers)
        assert lost > 0
        assert got[-2].text == f"{lost} log lines were lost: the log is too slow"
        assert got[-2].level == "warning"
        loop.remove_reader(read_end)
        sink.close()

    uvrun(scenario())
    os.close(read_end)
    os.close(write_end)


def test_a_line_longer_than_the_pipe_arrives_whole(uvrun: Run) -> None:
    read_end, write_end = os.pipe()

    async def scenario() -> None:
        sink = PipeSink(write_end)
        sink.attach(asyncio.get_running_loop())
        sink(line(text="y" * 300_000))
        os.set_blocking(read_end, False)
        frames = FrameReader(Line)
        got: list[Line] = []
        asyncio.get_running_loop().add_reader(
            read_end, lambda: got.extend(frames.feed(os.read(read_end, 65536)))
        )
        while not got:
            await asyncio.sleep(0)
        assert len(got[0].text) == 300_000
        asyncio.get_running_loop().remove_reader(read_end)
        sink.close()

    uvrun(scenario())
    os.close(read_end)
    os.close(write_end)
