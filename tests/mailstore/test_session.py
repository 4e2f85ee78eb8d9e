"""What a session costs is told once, at its end, in full."""

from __future__ import annotations

from typing import Any

from pillarbox.events.catalogue.mail_user import mail_user_session_finished
from pillarbox.events.event import Scope
from pillarbox.mailstore.session import UserSession


def test_the_event_has_every_field(watch_events: Any) -> None:
    seen = watch_events(mail_user_session_finished)
    session = UserSession(Scope(None, (), user="bob", session="s1", service="imap"))
    total = sum(range(300_000))
    with open("/dev/zero", "rb") as file:
        assert total
        file.read(100_000)
    session.close(11, 22)
    session.close(33, 44)
    [(scope, fields)] = seen
    assert scope.all_fields() == {"user": "bob", "session": "s1", "service": "imap"}
    assert set(fields) == set(mail_user_session_finished.own)
    assert (fields["net_in_bytes"], fields["net_out_bytes"]) == (11, 22)
    assert fields["rchar"] >= 100_000
    assert fields["syscr"] >= 1
    assert fields["utime"] + fields["stime"] > 0
    assert fields["vsz"] > fields["rss"] > 1_000_000
    assert all(isinstance(value, int) and value >= 0 for value in fields.values())


def test_nothing_is_emitted_when_nobody_watches() -> None:
    UserSession(Scope()).close()
