"""Programs that scripts may use: from one folder, without a shell, for a limited time.

A script names a program; it is a file of the folder that the settings give for that kind of use,
or a UNIX socket of another folder, which is tried first.  A program gets the message on its
standard input and a small environment (USER, HOME, HOST, SENDER, RECIPIENT, ORIG_RECIPIENT); what
it says on standard output is taken up to a limit, its standard error goes to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from pillarbox.delivery.sieve.program_socket import NoStatus, ProgramConnection, TooMuchOutput
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings

Kind = Literal["pipe", "filter", "execute"]

MOST_OUTPUT: Final = 64 * 1024 * 1024
MOST_ERRORS: Final = 2048
TEMPORARY_STATUS: Final = 75  # EX_TEMPFAIL


class ProgramError(Exception):
    """A program could not be run, or not to its end; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; ``errors`` is what it said on standard error."""

    status: int
    output: bytes = b""
    errors: str = ""


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one kind."""

    bin_dir: str
    socket_dir: str
    timeout: float
    line_end: Literal["crlf", "lf"]

    @classmethod
    def of(cls, kind: Kind, settings: Settings) -> Programs:
        """As the settings have them."""
        match kind:
            case "pipe":
                return cls(
                    settings.sieve_pipe_bin_dir,
                    settings.sieve_pipe_socket_dir,
                    settings.sieve_pipe_exec_timeout,
                    settings.sieve_pipe_input_eol,
                )
            case "filter":
                return cls(
                    settings.sieve_filter_bin_dir,
                    settings.sieve_filter_socket_dir,
                    settings.sieve_filter_exec_timeout,
                    settings.sieve_filter_input_eol,
                )
            case "execute":
                return cls(
                    settings.sieve_execute_bin_dir,
                    settings.sieve_execute_socket_dir,
                    settings.sieve_execute_exec_timeout,
                    settings.sieve_execute_input_eol,
                )

    async def run(
        self,
        program: str,
        arguments: Sequence[str],
        data: bytes | None,
        environment: Mapping[str, str],
        scope: Scope,
        log: Log,
    ) -> Ended:
        """Run a program to its end, as part of the work of ``scope``.  Raises ProgramError."""
        if self.line_end == "lf" and data is not None:
            data = data.replace(b"\r\n", b"\n")
        try:
            async with asyncio.timeout(self.timeout or None):
                socket = _found(self.socket_dir, program, stat.S_ISSOCK)
                if socket is not None:
                    connection = ProgramConnection(scope, log, MOST_OUTPUT)
                    return Ended(*await connection.ask(socket, arguments, data))
                file = _found(self.bin_dir, program, stat.S_ISREG)
                if file is None:
                    raise ProgramError(f"there is no program {program!r}")
                return await _execute(file, arguments, data, environment)
        except TimeoutError:
            raise ProgramError(f"{program} took longer than {self.timeout:g} seconds") from None
        except TooMuchOutput:
            raise ProgramError(f"the program wrote more than {MOST_OUTPUT} bytes") from None
        except NoStatus:
            raise ProgramError(f"{program} gave no exit status") from None
        except OSError as error:
            raise ProgramError(f"{program}: {error.strerror or error}") from error
        except ValueError as error:  # what no program can be given, such as a NUL
            raise ProgramError(f"{program}: {error}") from error


def _found(folder: str, program: str, kind: Callable[[int], bool]) -> Path | None:
    """The file of that name; names that lead out of the folder are none."""
    if not folder or "/" in program or "\0" in program or program in ("", ".", ".."):
        return None
    path = Path(folder, program)
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return path if kind(mode) else None


async def _execute(
    file: Path, arguments: Sequence[str], data: bytes | None, environment: Mapping[str, str]
) -> Ended:
    process = await asyncio.create_subprocess_exec(
        file,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL if data is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, **environment},
        start_new_session=True,
        **_identity(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        output, errors, _ = await asyncio.gather(
            _limited(process.stdout, MOST_OUTPUT),
            _limited(process.stderr, MOST_ERRORS, cut=True),
            _feed(process.stdin, data),
        )
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            # Who holds the pipes or does not read them must not be waited for, and asyncio has no
            # public way to let go of them.
            cast(Any, process)._transport.close()
            await asyncio.shield(process.wait())
    return Ended(status, output, errors.decode("utf-8", "replace").strip())


def _identity() -> dict[str, Any]:
    """Root that has become a user for a while lets no program become root again."""
    if os.getuid() == os.geteuid():
        return {}
    return {"user": os.geteuid(), "group": os.getegid()}


async def _feed(stream: asyncio.StreamWriter | None, data: bytes | None) -> None:
    if stream is None:
        return
    with contextlib.suppress(ConnectionError):
        stream.write(data or b"")
        await stream.drain()
    stream.close()
    with contextlib.suppress(ConnectionError):
        await stream.wait_closed()


async def _limited(stream: asyncio.StreamReader, most: int, *, cut: bool = False) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await stream.read(64 * 1024):
        size += len(piece)
        if size <= most:
            pieces.append(piece)
        elif not cut:
            raise ProgramError(f"the program wrote more than {most} bytes")
        elif size - len(piece) < most:
            pieces.append(piece[: most - size])
    return b"".join(pieces)
