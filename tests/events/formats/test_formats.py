"""Events as records, JSON lines, tab-text lines, and lines for people."""

from __future__ import annotations

import json

import pytest

from pillarbox.events.bus import Bus
from pillarbox.events.catalogue.imap import imap_id_received
from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.event import REMOVED, Scope
from pillarbox.events.formats.line import EVERYTHING, formatter, rfc3339
from pillarbox.events.formats.record import HOSTNAME, Record, Recorded
from pillarbox.events.render import human_duration, one_line

SESSION = Scope(Scope(None, ("service:imap",)), ("imap",), user="bob", session="s1", gone="x")
MAIL = Scope(SESSION, (), ("imap:cmd_fetch",), mailbox="INBOX", gone=REMOVED, user=None)
RECORD = Record(
    "mail_opened",
    1.5,
    2.000001,
    ("mailbox", "storage"),
    {"user": "b\tob", "uid": 7, "reason_code": ["a", "b"], "duration": 1234},
)


def test_a_record_has_all_that_is_visible() -> None:
    found: list[Record] = []
    listening = Bus({"mail_opened": mail_opened})
    subscription = listening.subscribe(Recorded(found.append, source=True))
    assert mail_opened.emit is not None
    mail_opened.emit(MAIL, uid=7)
    listening.unsubscribe(subscription)
    (made,) = found
    duration = made.fields.pop("duration")
    assert isinstance(duration, int)
    assert made.fields == {
        "user": "bob",
        "session": "s1",
        "mailbox": "INBOX",
        "uid": 7,
        "reason_code": ("imap:cmd_fetch",),
    }
    assert made.categories == ("mailbox", "storage", "imap", "service:imap")
    assert made.end_time - made.start_time == pytest.approx(duration / 1e6, abs=1e-3)
    assert "test_formats.py:" in made.source


def test_expanded_fields_are_recorded() -> None:
    found: list[Record] = []
    listening = Bus({"imap_id_received": imap_id_received})
    subscription = listening.subscribe(Recorded(found.append))
    assert imap_id_received.emit is not None
    imap_id_received.emit(SESSION, params={"NAME": "x", "a b": None})
    imap_id_received.emit(SESSION)
    listening.unsubscribe(subscription)
    assert found[0].fields["id_param_name"] == "x"
    assert found[0].fields["id_invalid1"] == "a b "
    assert not any(name.startswith("id_") for name in found[1].fields)


def test_json() -> None:
    assert json.loads(formatter("json")(RECORD)) == {
        "event": "mail_opened",
        "hostname": HOSTNAME,
        "start_time": "1970-01-01T00:00:01.500000Z",
        "end_time": "1970-01-01T00:00:02.000001Z",
        "categories": ["mailbox", "storage"],
        "fields": RECORD.fields,
    }
    assert json.loads(formatter("json", ["timestamps"], "unix")(RECORD)) == {
        "start_time": 1.5,
        "end_time": 2.000001,
    }


def test_json_takes_any_value() -> None:
    odd = Record("x", 0, 0, fields={"path": HOSTNAME.__class__, "n": 2**80})
    assert json.loads(formatter("json", ["fields"])(odd))["fields"]["path"]


def test_json_shows_what_is_no_unicode() -> None:
    odd = Record("x", 0, 0, fields={"user": "b\udcffb", "list": ["\udc80", 5]})
    for include in (EVERYTHING, ["fields"]):
        line = json.loads(formatter("json", include)(odd))
        assert line["fields"] == {"user": "b?b", "list": ["?", 5]}


def test_tab_text() -> None:
    assert formatter("tab-text", set(EVERYTHING) - {"hostname"})(RECORD) == (
        b"event:mail_opened\tstart_time:1970-01-01T00:00:01.500000Z\t"
        b"end_time:1970-01-01T00:00:02.000001Z\tcategory:mailbox\tcategory:storage\t"
        b"field:user=b\x01tob\tfield:uid=7\tfield:reason_code=a,b\tfield:duration=1234"
    )


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="no event format xml"):
        formatter("xml")
    with pytest.raises(ValueError, match="knows no nothing"):
        formatter("json", ["nothing"])


def test_rfc3339_rounds_into_the_next_second() -> None:
    assert rfc3339(1.9999999) == "1970-01-01T00:00:02.000000Z"


def test_one_line() -> None:
    fields = {
        "user": "bob",
        "session": "s1",
        "cmd_name": "FETCH",
        "tagged_reply_state": "OK",
        "local_ip": "10.0.0.1",
        "net_out_bytes": 5210,
        "error": "bad\x1b[31m thing",
        "duration": 1234,
    }
    line = one_line(Record("imap_command_finished", 0, 0.25, (), fields))
    assert line.split(" ", 1)[1] == (
        "imap_command_finished bob <s1> FETCH OK net_out_bytes=5210 "
        "error='bad\\x1b[31m thing' 1.2ms"
    )
    assert "local_ip=10.0.0.1" in one_line(Record("x", 0, 0, (), fields), full=True)


def test_long_and_empty_values() -> None:
    fields = {"a": "y" * 100, "b": "", "c": ["p", "q"], "d": 'a "b"'}
    made = Record("x", 0, 0, (), fields, "f.py:3")
    assert one_line(made).endswith(f"a={'y' * 59}… c=p,q d='a \"b\"' (f.py:3)")
    assert one_line(made, full=True).endswith(f'a={"y" * 100} b="" c=p,q d=\'a "b"\' (f.py:3)')


@pytest.mark.parametrize(
    ("usecs", "text"),
    [(0, "0µs"), (999, "999µs"), (1000, "1.0ms"), (54_321, "54ms"), (1_500_000, "1.5s")],
)
def test_durations(usecs: int, text: str) -> None:
    assert human_duration(usecs) == text
