"""The mails that the benchmarks load: the same ones, byte for byte, at every run.

About 2 KB each: a third is plain text, a third multipart/alternative, a third has an attachment,
so that BODYSTRUCTURE and ENVELOPE have something to say.
"""

from __future__ import annotations

import base64
import random

# fmt: off
_WORDS = [
    "harbour", "letter", "morning", "report", "train", "invoice", "garden", "window", "question",
    "answer", "meeting", "river", "copper", "winter", "signal", "paper", "bridge", "market",
    "summer", "engine", "planet", "silver", "orange", "teacher",
]
# fmt: on


def mail(number: int) -> bytes:
    """Message ``number``, with CRLF line ends."""
    rnd = random.Random(number)
    body = "\r\n".join(" ".join(rnd.choices(_WORDS, k=11)) for _ in range(9))
    clock = f"Mon, 01 Jun 2026 10:{number // 60 % 60:02}:{number % 60:02} +0000"
    head = (
        f"Return-Path: <sender{number % 97}@example.org>\r\n"
        f"Received: from mx{number % 7}.example.org (mx.example.org [192.0.2.{number % 250}])\r\n"
        f"\tby mail.example.com with ESMTPS id {number:08x}\r\n"
        f"\tfor <user@example.com>; {clock}\r\n"
        f"Date: {clock}\r\n"
        f"From: Sender {number % 97} <sender{number % 97}@example.org>\r\n"
        f'To: "User, A." <user@example.com>, Other <other{number % 13}@example.net>\r\n'
        f"Cc: team@example.com\r\n"
        f"Subject: {rnd.choice(_WORDS)} {rnd.choice(_WORDS)} {number}\r\n"
        f"Message-ID: <{number}.bench@example.org>\r\n"
        f"MIME-Version: 1.0\r\n"
    )
    boundary = f"=_b{number:x}"
    if number % 3 == 0:
        return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode()
    first = f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
    if number % 3 == 1:
        kind = "alternative"
        second = f"Content-Type: text/html; charset=utf-8\r\n\r\n<p>{body}</p>\r\n"
    else:
        kind = "mixed"
        blob = base64.encodebytes(rnd.randbytes(300)).decode().replace("\n", "\r\n")
        second = (
            f'Content-Type: application/octet-stream; name="file{number}.bin"\r\n'
            f"Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="file{number}.bin"\r\n\r\n{blob}'
        )
    return (
        f'{head}Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'
        f"{first}--{boundary}\r\n{second}--{boundary}--\r\n"
    ).encode()
