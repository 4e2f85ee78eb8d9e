"""Unique ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mailstore.index.records import RECORD
from pillarbox.services.pop3 import uidl
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import expand


def records(*uids: int) -> np.ndarray:
    made = np.zeros(len(uids), RECORD)
    made["uid"] = uids
    made["guid"] = [np.void(bytes([uid % 256]) * 16) for uid in uids]
    return made


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (Settings().pop3_uidl_format, [b"0000000a499602d2", b"ffffffff499602d2"]),
        ("%{uidvalidity | hex(8)}%{uid | hex(8)}", [b"499602d20000000a", b"499602d2ffffffff"]),
        ("%{uidvalidity}.%{uid}", [b"1234567890.10", b"1234567890.4294967295"]),
        ("100%-%{uid}", [b"100%-10", b"100%-4294967295"]),
        ("%{uid}", [b"10", b"4294967295"]),
        ("%{uid | hex(2)}", [b"0a", b"ff"]),
        ("%{guid}", [b"0a" * 16, b"ff" * 16]),
        ("%{guid | truncate(4)}-%{uid}", [b"0a0a-10", b"ffff-4294967295"]),
        ("%{uid | md5}", [None, None]),
    ],
)
def test_formats(template: str, expected: list[bytes | None]) -> None:
    made = uidl.own(template, 1234567890, records(10, 4294967295))
    for text, wanted, uid in zip(made, expected, (10, 4294967295)):
        values = {
            "uid": str(uid),
            "uidvalidity": "1234567890",
            "guid": bytes([uid % 256] * 16).hex(),
        }
        assert text.decode() == expand(template, values)
        assert wanted is None or text == wanted


@pytest.mark.parametrize(
    "template", ["", "%{nothing}", "%{uid} %{uid}", "%{filename}", "x" * 70 + "%{uid}", "%{uid"]
)
def test_formats_that_cannot_work(template: str) -> None:
    with pytest.raises(uidl.BadFormat):
        uidl.own(template, 1, records(1, 2))


def test_nothing_in_the_mailbox() -> None:
    assert uidl.own("%{guid}", 1, records()) == []
    assert uidl.own(Settings().pop3_uidl_format, 1, records()) == []


def test_x_uidl_wins_where_it_is_valid() -> None:
    headers = [
        b"X-UIDL: abc\r\n",
        b"",
        b"X-UIDL: has space\r\n",
        b"X-UIDL:\r\n",
        b"X-UIDL: first\r\nX-UIDL: second\r\n",
        b"x-uidl: " + b"y" * 71 + b"\r\n",
    ]
    made = uidl.chosen([b"%d" % n for n in range(6)], headers)
    assert made == [b"abc", b"1", b"2", b"3", b"first", b"5"]


def test_duplicates() -> None:
    made = uidl.without_duplicates([b"a", b"b", b"a", b"a", b"a-2", b"b"])
    assert made == [b"a", b"b", b"a-3", b"a-4", b"a-2", b"b-2"]


@given(st.lists(st.sampled_from([b"a", b"a-2", b"a-3", b"b", b"z" * 70, b"z" * 69 + b"-"])))
def test_no_two_are_the_same_and_first_ones_stay(uidls: list[bytes]) -> None:
    made = uidl.without_duplicates(uidls)
    assert len(set(made)) == len(made) == len(uidls)
    assert all(map(uidl.valid, made))
    for index, text in enumerate(uidls):
        if text not in uidls[:index]:
            assert made[index] == text
