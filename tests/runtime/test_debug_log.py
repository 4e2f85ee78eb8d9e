"""Events as debug lines, by the filter of ``log_debug``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pillarbox.events.bus import Bus
from pillarbox.events.catalogue.connection import client_connection_connected
from pillarbox.events.catalogue.login import login_aborted
from pillarbox.events.event import REGISTRY, Scope
from pillarbox.runtime.debug_log import follow
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import Settings


def settings(wanted: str) -> Settings:
    return msgspec.structs.replace(Settings(), log_debug=wanted)


def emit_both(user: str) -> None:
    scope = Scope(None, user=user, session="s1")
    if login_aborted.emit is not None:
        login_aborted.emit(scope, reason="auth_failed", auth_attempts=2)
    if client_connection_connected.emit is not None:
        client_connection_connected.emit(scope)


def test_what_matches_is_written_and_a_reload_changes_it(tmp_path: Path) -> None:
    lines: list[Line] = []
    log = Log("test", lines.append, "debug")
    events = Bus(REGISTRY)
    ctx = ServiceContext("test", settings("event=login_aborted AND user=bob"), tmp_path, log=log)
    follow(ctx, events)
    emit_both("bob")
    emit_both("eve")
    assert [(line.level, line.user, line.session) for line in lines] == [("debug", "bob", "s1")]
    assert lines[0].text.startswith("Event login_aborted bob")
    assert "auth_failed" in lines[0].text

    ctx.reload(settings(""))
    emit_both("bob")
    assert len(lines) == 1
    assert login_aborted.emit is None
    assert client_connection_connected.emit is None

    ctx.reload(settings("(("))
    emit_both("bob")
    assert [line.level for line in lines] == ["debug", "error"]
    assert "log_debug" in lines[-1].text
