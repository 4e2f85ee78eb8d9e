"""Header fields from the cache come in the order of the message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.headers import field_lines, select_fields, split_header
from pillarbox.services.imap.header_order import in_order

NAMES = (b"from", b"to", b"subject", b"received")


def apart(message: bytes, names: tuple[bytes, ...]) -> tuple[list[bytes], bytes]:
    block = split_header(message)
    order = b" ".join([name for name, *_ in block.fields if name]).lower()
    return [field_lines(message, block, name) for name in names], order


def test_repeated_fields_are_dealt_out() -> None:
    message = b"Received: 1\r\n x\r\nTo: b\r\nreceived: 2\r\nFrom: a\r\nX: y\r\n\r\nbody"
    lines, order = apart(message, NAMES)
    assert in_order(NAMES, lines, order) == (
        b"Received: 1\r\n x\r\nTo: b\r\nreceived: 2\r\nFrom: a\r\n"
    )


def test_what_the_order_does_not_know_comes_last() -> None:
    lines = [b"From: a\r\n", b"", b"Subject: s\r\n", b"Received: 1\r\nReceived: 2\r\n"]
    assert in_order(NAMES, lines, b"received") == (
        b"Received: 1\r\nFrom: a\r\nSubject: s\r\nReceived: 2\r\n"
    )
    assert in_order(NAMES[:2], [b"", b""], b"") == b""


@given(st.lists(st.sampled_from([b"From", b"TO", b"subject", b"Received", b"X", b"no field"])))
def test_as_selected_from_the_message(names: list[bytes]) -> None:
    message = b"".join(
        b"%b%b %d\r\n more\r\n" % (name, b"" if b" " in name else b":", number)
        for number, name in enumerate(names)
    )
    message += b"\r\nbody"
    lines, order = apart(message, NAMES)
    wanted = select_fields(message, split_header(message), {name.upper() for name in NAMES})
    assert in_order(NAMES, lines, order) + b"\r\n" == wanted
