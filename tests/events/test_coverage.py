"""Coverage counts what was really emitted, and adds processes up."""

from __future__ import annotations

from pathlib import Path

from pillarbox.events.bus import Bus
from pillarbox.events.catalogue.imap import imap_id_received
from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.coverage import Coverage, Seen, declared_name, read
from pillarbox.events.event import Event, Scope

EVENTS: dict[str, Event[...]] = {"mail_opened": mail_opened, "imap_id_received": imap_id_received}


def test_events_and_fields_are_counted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        bus = Bus(EVENTS)
        coverage = Coverage(tmp_path / "cov", name)
        subscription = coverage.subscribe(bus)
        scope = Scope(None, (), ("imap:cmd_fetch",), user="bob", not_declared="x")
        assert mail_opened.emit is not None
        assert imap_id_received.emit is not None
        mail_opened.emit(scope, uid=1)
        mail_opened.emit(scope)
        imap_id_received.emit(Scope(None), params={"name": "x", "os": "y"})
        coverage.write()
        coverage.write()
        bus.unsubscribe(subscription)
    (tmp_path / "cov" / "broken.json").write_text("{")
    assert read(tmp_path / "cov") == {
        "mail_opened": Seen(4, {"duration": 4, "reason_code": 4, "user": 4, "uid": 2}),
        "imap_id_received": Seen(2, {"duration": 2, "id_param_<param>": 2}),
    }


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    blocker = tmp_path / "cov"
    blocker.write_text("")
    bus = Bus(EVENTS)
    coverage = Coverage(blocker, "one")
    subscription = coverage.subscribe(bus)
    assert mail_opened.emit is not None
    mail_opened.emit(Scope(None))
    bus.unsubscribe(subscription)
    coverage.write()
    blocker.unlink()
    coverage.write()
    assert read(blocker)["mail_opened"].times == 1


def test_declared_names() -> None:
    assert declared_name(imap_id_received, "id_param_x") == "id_param_<param>"
    assert declared_name(imap_id_received, "id_invalid2") == "id_invalid<num>"
    assert declared_name(imap_id_received, "other") is None
