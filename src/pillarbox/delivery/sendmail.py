"""Handing a message to a sendmail program: no shell, a time limit, its exit status understood.

The program gets the sender by ``-f`` and the recipients behind ``--``, so that no address is ever
taken for an option; DSN options are not used, since programs of that name do not agree on them.
Its exit status is one of sysexits.h: what says that the address or the message is at fault is
final, and everything else may be tried again.  What it wrote to stderr is for the log; it goes to
a file and not to a pipe, since a child that delivers in the background may keep it open for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from typing import IO, Final, Literal

from pillarbox.wire.smtp.address import Address

MOST_ERROR_TEXT: Final = 500

# EX_DATAERR, EX_NOUSER, EX_NOHOST, EX_UNAVAILABLE, EX_NOPERM
_FINAL: Final = frozenset({65, 67, 68, 69, 77})


async def run_sendmail(
    path: str, sender: Address, recipients: Sequence[Address], message: bytes, timeout: float
) -> tuple[Literal["sent", "refused", "temporary"], str | None]:
    """What became of it, and why if it was not sent."""
    words = [path, "-i", "-f", str(sender) or "<>", "--", *map(str, recipients)]
    with tempfile.TemporaryFile() as errors:
        try:
            status = await _run(words, message.replace(b"\r\n", b"\n"), errors, timeout)
        except (OSError, ValueError) as error:
            return "temporary", f"{path} cannot be run: {error}"
        if status is None:
            return "temporary", f"{path} took longer than {timeout:g} s"
        if status == 0:
            return "sent", None
        errors.seek(0)
        text = " ".join(errors.read(MOST_ERROR_TEXT).decode("utf-8", "replace").split())
    how = f"was killed by signal {-status}" if status < 0 else f"gave exit status {status}"
    error_text = f"{path} {how}{': ' if text else ''}{text}"
    return ("refused" if status in _FINAL else "temporary"), error_text


async def _run(
    words: Sequence[str], message: bytes, errors: IO[bytes], timeout: float
) -> int | None:
    """The exit status; None: it was killed for taking too long.  Raises OSError, ValueError."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=PIPE, stdout=DEVNULL, stderr=errors, start_new_session=True
    )
    try:
        async with asyncio.timeout(timeout):
            await process.communicate(message)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode
