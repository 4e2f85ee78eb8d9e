"""Fuzz what servers behind a proxy may say: splits must make no difference, nothing may crash."""

from __future__ import annotations

import sys

from pillarbox.wire.imap import login_client as imap
from pillarbox.wire.managesieve import login_client as managesieve
from pillarbox.wire.pop3 import login_client as pop3
from pillarbox.wire.proxy import forward
from pillarbox.wire.proxy.dialogue import (
    Credentials,
    Dialogue,
    Origin,
    ProtocolError,
    Reader,
    Send,
    StartTls,
)
from pillarbox.wire.proxy.reader import LineReader, LiteralReader
from pillarbox.wire.proxy.xclient import BadXclient, parse
from pillarbox.wire.smtp import login_client as smtp

ORIGIN = Origin("192.0.2.1", 1, "192.0.2.2", 2, "s", 3)


def _played(dialogue: Dialogue, reader: Reader, chunks: list[bytes]) -> object:
    said: list[object] = []
    answer: bytes | None = None
    try:
        while True:
            ask = dialogue.send(answer)  # type: ignore[arg-type]
            if isinstance(ask, Send):
                said.append(ask.data)
                answer = b""
            elif isinstance(ask, StartTls):
                return [*said, "TLS"]
            else:
                while (response := reader.next()) is None:
                    if not chunks:
                        return said
                    reader.feed(chunks.pop(0))
                answer = response
    except StopIteration as stop:
        return [*said, stop.value]
    except ProtocolError as error:
        return [*said, str(error)]


def one(data: bytes) -> None:
    """One input, for each protocol."""
    kind, cut, data = (data[:1] or b"\0")[0], (data[1:2] or b"\0")[0], data[2:]
    mechanism = ("PLAIN", "LOGIN", "SCRAM-SHA-256")[kind % 3]
    credentials = Credentials("u", "p", "", mechanism, "nonce", bool(kind & 64))
    for make, reader in (
        (imap.login, LiteralReader),
        (pop3.login, LineReader),
        (managesieve.login, LiteralReader),
        (lambda c, o: smtp.login(c, o, "x"), LineReader),
    ):
        found = [
            _played(make(credentials, ORIGIN), reader(), chunks)
            for chunks in ([data], [data[:cut], data[cut:]])
        ]
        if found[0] != found[1]:
            raise AssertionError(f"a split made a difference: {found}")
    try:
        parse(data.split())
    except BadXclient:
        pass
    fields = forward.read_either(data.decode("latin-1"))
    if forward.read(forward.write(fields)) != fields:
        raise AssertionError(f"not the same fields: {fields}")


def main() -> None:
    """Run the fuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
