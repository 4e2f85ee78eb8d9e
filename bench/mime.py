"""How fast a message becomes a tree, an ENVELOPE and a BODYSTRUCTURE; run it directly.

Prints microseconds (best of several rounds) for a 50 KB multipart with 20 header fields, a
message with a 5 MB attachment, and the standard library's parser on the same messages.
"""

from __future__ import annotations

import base64
import email
import random
import timeit
from collections.abc import Callable

from pillarbox.mail.bodystructure import bodystructure
from pillarbox.mail.envelope import envelope
from pillarbox.mail.headers import split_header
from pillarbox.mail.mime import parse


def message(attachment: int, text: int, parts: int = 3) -> bytes:
    """A multipart/mixed with a multipart/alternative and attachments, CRLF line ends."""
    rng = random.Random(1)
    received = "".join(
        f"Received: from mx{i}.example.org (mx{i}.example.org [192.0.2.{i}])\r\n"
        f"\tby mail.example.com (Postfix) with ESMTPS id 4F{i}ABC\r\n"
        f"\tfor <ann@example.com>; Mon, 6 Jan 2025 10:00:0{i} +0100 (CET)\r\n"
        for i in range(5)
    )
    line = "The quick brown fox jumps over the lazy dog and walks on, as foxes do.\r\n"
    words = line * (text // len(line))
    blobs = ""
    for number in range(parts):
        blob = base64.encodebytes(rng.randbytes(attachment // parts * 3 // 4)).decode()
        blobs += (
            "--=_outer_0123456789abcdef0123\r\n"
            f'Content-Type: application/pdf; name="report{number}.pdf"\r\n'
            "Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="report{number}.pdf"\r\n\r\n'
            + blob.replace("\n", "\r\n")
        )
    return (
        received + "From: =?utf-8?q?Ren=C3=A9?= <rene@example.org>\r\n"
        'To: "Ann Example" <ann@example.com>, bob@example.net\r\n'
        "Cc: Carol <carol@example.net>\r\nSubject: Re: the report for January\r\n"
        "Date: Mon, 6 Jan 2025 10:00:00 +0100\r\nMessage-ID: <abc@example.org>\r\n"
        "In-Reply-To: <def@example.com>\r\nReferences: <1@example.com> <def@example.com>\r\n"
        "User-Agent: Example/1.0\r\nX-Spam-Status: No, score=-1.0\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="=_outer_0123456789abcdef0123"\r\n\r\n'
        "This is a multi-part message in MIME format.\r\n"
        "--=_outer_0123456789abcdef0123\r\n"
        'Content-Type: multipart/alternative; boundary="=_inner_0123456789abcdef0123"\r\n\r\n'
        "--=_inner_0123456789abcdef0123\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        f"{words}\r\n--=_inner_0123456789abcdef0123\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"\r\n{words}\r\n--=_inner_0123456789abcdef0123--\r\n\r\n"
        f"{blobs}--=_outer_0123456789abcdef0123--\r\n"
    ).encode()


def best(work: Callable[[], object], number: int) -> float:
    """Microseconds per call, best of seven rounds."""
    return min(timeit.repeat(work, number=number, repeat=7)) / number * 1e6


def main() -> None:
    """Print the table."""
    for name, data, number in (
        ("50 KB multipart", message(30_000, 10_000), 100),
        ("5 MB attachment", message(5_000_000, 10_000, 1), 3),
    ):
        tree = parse(data)
        block = split_header(data)
        print(f"{name} ({len(data):,} octets)")
        for what, work in (
            ("tree", lambda data=data: parse(data)),
            ("tree + bodystructure", lambda data=data: bodystructure(data, parse(data), True)),
            ("bodystructure alone", lambda data=data, tree=tree: bodystructure(data, tree, True)),
            ("header", lambda data=data: split_header(data)),
            ("envelope", lambda data=data, block=block: envelope(data, block)),
        ):
            print(f"  {what:24} {best(work, number):10.1f} µs")
        usual = best(lambda data=data: email.message_from_bytes(data), 1)
        print(f"  {'standard library':24} {usual:10.1f} µs")


if __name__ == "__main__":
    main()
