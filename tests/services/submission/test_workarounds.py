"""What is understood of clients' mistakes."""

from __future__ import annotations

import pytest

from pillarbox.services.submission.workarounds import lenient
from pillarbox.wire.smtp.command import split

ON = ("mailbox-for-path",)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (b"MAIL FROM:a@b", b"MAIL FROM:<a@b>"),
        (b"mail from: a@b SIZE=3", b"mail from: <a@b> SIZE=3"),
        (b"RCPT TO:a@b", b"RCPT TO:<a@b>"),
        (b"RCPT TO:<a@b>", b"RCPT TO:<a@b>"),
        (b"RCPT TO:a@b>", b"RCPT TO:a@b>"),
        (b"RCPT TO:", b"RCPT TO:"),
        (b"VRFY TO:a@b", b"VRFY TO:a@b"),
    ],
)
def test_brackets(line: bytes, meant: bytes) -> None:
    assert lenient(split(line), ON) == split(meant)
    assert lenient(split(line), ()) == split(line)
