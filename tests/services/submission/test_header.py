"""What a program has forgotten to write."""

from __future__ import annotations

import re

import pytest

from pillarbox.services.submission.header import missing


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (b"Subject: x\r\n\r\n", ["Date", "Message-ID"]),
        (b"date: x\r\nSubject: x\r\n\r\n", ["Message-ID"]),
        (b"Message-Id: <a@b>\r\n\r\nDate: in the body\r\n", ["Date"]),
        (b"Date: x\r\nMessage-ID:\r\n <a@b>\r\n\r\n", []),
        (b"no header at all\r\n", []),
        (b"", []),
    ],
)
def test_missing(head: bytes, names: list[str]) -> None:
    lines = missing(head, 1_700_000_000.5, "se:ss/1:2", "mail.example.com").split("\r\n")[:-1]
    assert [line.partition(":")[0] for line in lines] == names
    for line in lines:
        if line.startswith("Message-ID"):
            assert line == "Message-ID: <1700000000.se.ss.1.2@mail.example.com>"
        else:
            assert re.fullmatch(r"Date: \w{3}, \d+ Nov 2023 \d\d:\d\d:\d\d [+-]\d{4}", line)
