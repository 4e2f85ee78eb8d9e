"""ENVELOPE, byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.envelope import envelope
from pillarbox.mail.headers import split_header


def of(header: bytes) -> bytes:
    data = header.replace(b"\n", b"\r\n") + b"\r\nbody"
    return envelope(data, split_header(data))


def test_the_example_of_the_rfc() -> None:
    assert of(
        b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\n"
        b"From: Terry Gray <gray@cac.washington.edu>\n"
        b"Subject: IMAP4rev1 WG mtg summary and minutes\n"
        b"To: imap@cac.washington.edu\n"
        b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n"
        b"Message-Id: <B27397-0100000@cac.washington.edu>\n"
        b"MIME-Version: 1.0\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\n"
    ) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" '
        b'"IMAP4rev1 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) '
        b'NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_nothing() -> None:
    assert of(b"") == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def test_empty_fields_and_defaults() -> None:
    assert of(b"From: a@b\nSender:\nReply-To: c@d\nTo:\nSubject:\n") == (
        b'(NIL "" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) NIL NIL NIL NIL NIL)'
    )


def test_repeated_fields() -> None:
    assert of(b"To: a@b\nSubject: one\nTo: c@d\nSubject: two\n") == (
        b'(NIL "one" NIL NIL NIL ((NIL NIL "a" "b")(NIL NIL "c" "d")) NIL NIL NIL NIL)'
    )


def test_group() -> None:
    assert of(b"To: friends: a@b, c@d;\n") == (
        b'(NIL NIL NIL NIL NIL ((NIL NIL "friends" NIL)(NIL NIL "a" "b")(NIL NIL "c" "d")'
        b"(NIL NIL NIL NIL)) NIL NIL NIL NIL)"
    )


def test_odd_strings() -> None:
    who = b'(({4}\r\nRen\xe9 NIL "r" "x"))'
    assert of(b'Subject: say "hi"\n\tand \\\nFrom: Ren\xe9 <r@x>\nIn-Reply-To: a\0b\n') == (
        b'(NIL "say \\"hi\\" and \\\\" %b %b %b NIL NIL NIL "ab" NIL)' % (who, who, who)
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"From", b"To", b"Subject", b"Sender", b"Date", b"Bcc"]),
            st.binary(max_size=30),
        )
    )
)
def test_never_raises_and_balances(fields: list[tuple[bytes, bytes]]) -> None:
    data = b"".join([name + b": " + value + b"\r\n" for name, value in fields])
    written = envelope(data, split_header(data))
    assert written.startswith(b"(")
    assert written.endswith(b")")
