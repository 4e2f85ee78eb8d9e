"""mbox files from strangers: read, or refused with ValueError."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from pillarbox.cli.mbox import read_mbox, write_mbox

_PATH = Path(tempfile.mkdtemp(prefix="fuzz-mbox-")) / "x.mbox"


def one(data: bytes) -> None:
    """Read one file, write its messages, and read these again."""
    first = b"From a Thu Jan  1 00:00:00 1970\n"
    _PATH.write_bytes(data if data.startswith(b"From ") else first + data)
    try:
        mails = list(read_mbox(_PATH))
    except ValueError:
        return
    file = io.BytesIO()
    for mail in mails:
        write_mbox(file, mail)
    _PATH.write_bytes(file.getvalue())
    again = list(read_mbox(_PATH))
    if len(again) > len(mails):
        raise AssertionError(f"{len(mails)} messages became {len(again)}")


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
