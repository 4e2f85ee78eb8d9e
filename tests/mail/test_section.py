"""BODY[<section>] against a message with everything in it."""

from __future__ import annotations

import pytest

from pillarbox.mail.mime import parse
from pillarbox.mail.section import What, section

INNER = b"From: in@x\r\nSubject: inner\r\n\r\ninner text\r\n"
MESSAGE = (
    b"From: a@b\r\nTo: c@d\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\nX-Wrap: 1\r\n\r\n" + INNER + b"\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("path", "what", "names", "expected"),
    [
        ((), None, (), MESSAGE),
        ((), "HEADER", (), MESSAGE[: MESSAGE.index(b"--b")]),
        ((), "TEXT", (), MESSAGE[MESSAGE.index(b"--b") :]),
        ((), "MIME", (), None),
        ((), "HEADER.FIELDS", (b"TO", b"X"), b"To: c@d\r\n\r\n"),
        ((), "HEADER.FIELDS.NOT", (b"TO", b"CONTENT-TYPE"), b"From: a@b\r\n\r\n"),
        ((1,), None, (), b"first"),
        ((1,), "MIME", (), b"Content-Type: text/plain\r\n\r\n"),
        ((1,), "HEADER", (), None),
        ((1,), "TEXT", (), None),
        ((2,), None, (), INNER),
        ((2,), "MIME", (), b"Content-Type: message/rfc822\r\nX-Wrap: 1\r\n\r\n"),
        ((2,), "HEADER", (), b"From: in@x\r\nSubject: inner\r\n\r\n"),
        ((2,), "TEXT", (), b"inner text\r\n"),
        ((2,), "HEADER.FIELDS", (b"SUBJECT",), b"Subject: inner\r\n\r\n"),
        ((2,), "HEADER.FIELDS.NOT", (b"SUBJECT",), b"From: in@x\r\n\r\n"),
        ((2, 1), None, (), b"inner text\r\n"),
        ((2, 1), "MIME", (), b"From: in@x\r\nSubject: inner\r\n\r\n"),
        ((3,), None, (), None),
        ((2, 2), "MIME", (), None),
    ],
)
def test_sections(
    path: tuple[int, ...], what: What | None, names: tuple[bytes, ...], expected: bytes | None
) -> None:
    for data in (MESSAGE, memoryview(bytearray(MESSAGE))):
        found = section(data, parse(data), path, what, names)
        assert (None if found is None else bytes(found)) == expected
