"""One service process as the master sees it: started, ready, ending, gone.

`Process.start` makes the channels (control, log, standard error), starts the program and sends
the bootstrap; from then on callbacks tell when it is ready and when it has ended.  Its log frames
go to the master's log writer, and whatever it prints to standard error, a traceback for example,
becomes error lines of its service.

The end is seen through a pidfd, so no other child of this process is ever waited for by mistake.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec

from pillarbox.runtime.control import Answer, Bootstrap, FromChild, Question, ToChild
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.log import Line, Sink
from pillarbox.runtime.log_pipe import F_SETPIPE_SZ, PIPE_SIZE
from pillarbox.runtime.privileges import Identity

MAX_STDERR_LINE = 8192


class Process:
    """A running (or ended) process; ``state`` is starting, ready, retiring, stopping or ended."""

    def __init__(
        self,
        title: str,
        index: int,
        log: Sink,
        on_ready: Callable[[Process], None],
        on_exit: Callable[[Process], None],
    ) -> None:
        self.title = title
        self.index = index
        self.state = "starting"
        self.state_before_end = ""
        self.started = time.time()
        self.exit_code: int | None = None
        self._log = log
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._frames: FrameReader[FromChild] = FrameReader(cast(type[FromChild], FromChild))
        self._questions: dict[int, asyncio.Future[list[dict[str, Any]]]] = {}
        self._asked = 0
        self._lines = FrameReader(Line)
        self._stderr = b""
        self._out = bytearray()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def start(self, bootstrap: Callable[[int], Bootstrap], fds: list[int], who: Identity) -> None:
        """Start the program.  ``bootstrap`` gets the log descriptor.  Raises OSError."""
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            fcntl.fcntl(log_write, F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            pass  # Beyond what the system allows a user: the default size serves too.
        message = bootstrap(log_write)
        try:
            self._popen = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "pillarbox.runtime.child"),
                    str(theirs.fileno()),
                    f"{message.name}/{message.index}",  # for whoever reads a list of processes
                ],
                stdin=subprocess.DEVNULL,
                stdout=err_write,
                stderr=err_write,
                pass_fds=[*fds, theirs.fileno(), log_write],
                user=who.uid,
                group=who.gid,
                extra_groups=who.groups,
            )
        except BaseException:
            ours.close()
            os.close(log_read)
            os.close(err_read)
            raise
        finally:
            theirs.close()
            os.close(err_write)
            os.close(log_write)
        self._control, self._log_fd, self._err_fd = ours, log_read, err_read
        self._pidfd = os.pidfd_open(self._popen.pid)
        ours.setblocking(False)
        for fd, callback in (
            (log_read, self._log_readable),
            (err_read, self._stderr_readable),
            (ours.fileno(), self._control_readable),
            (self._pidfd, self._ended),
        ):
            if fd != self._pidfd:
                os.set_blocking(fd, False)
            self._loop.add_reader(fd, callback)
        self.send(message)

    def send(self, message: ToChild) -> None:
        """Send an order; what the socket does not take at once follows."""
        if self.state != "ended":
            waiting = bool(self._out)
            self._out += encode_frame(message)
            if not waiting:
                self._flush()

    async def ask(
        self, name: str, arguments: dict[str, str], timeout: float
    ) -> list[dict[str, Any]]:
        """What the process has to say to a question; nothing if it does not say it in time."""
        if self.state not in ("ready", "retiring"):
            return []
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[list[dict[str, Any]]] = self._loop.create_future()
        self._questions[number] = answer
        self.send(Question(number, name, arguments))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            return []
        finally:
            del self._questions[number]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.state != "ended":
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def why_ended(self) -> str:
        """For the log: how the process ended."""
        code = self.exit_code
        if code is not None and code < 0:
            return f"killed by signal {-code} ({signal.strsignal(-code)})"
        return f"ended with exit code {code}"

    def _flush(self) -> None:
        fd = self._control.fileno()
        try:
            sent = self._control.send(self._out)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._out.clear()
            self._loop.remove_writer(fd)
            return
        del self._out[:sent]
        if self._out:
            self._loop.add_writer(fd, self._flush)
        else:
            self._loop.remove_writer(fd)

    def _control_readable(self) -> None:
        try:
            data = self._control.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control.fileno())
            return
        try:
            for message in self._frames.feed(data):
                if isinstance(message, Answer):
                    self._answered(message.id, message.values)
                elif self.state == "starting":
                    self.state = "ready"
                    self._on_ready(self)
        except (FrameTooLong, msgspec.MsgspecError) as error:
            self._say(f"Bad message to the master: {error}")

    def _answered(self, number: int, values: list[dict[str, Any]]) -> None:
        waiting = self._questions.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(values)

    def _log_readable(self) -> None:
        data = _read(self._log_fd)
        if data == b"":
            self._loop.remove_reader(self._log_fd)
        try:
            for line in self._lines.feed(data or b""):
                self._log(line)
        except (FrameTooLong, msgspec.MsgspecError) as error:
            self._say(f"Bad log line: {error}")

    def _stderr_readable(self) -> None:
        data = _read(self._err_fd)
        if data == b"":
            self._loop.remove_reader(self._err_fd)
        *lines, self._stderr = (self._stderr + (data or b"")).split(b"\n")
        if len(self._stderr) > MAX_STDERR_LINE:
            lines.append(self._stderr)
            self._stderr = b""
        for line in lines:
            self._say(line.decode("utf-8", "replace"))

    def _say(self, text: str) -> None:
        if text.strip():
            self._log(Line(time.time(), "error", self.title, self.pid, None, None, text.rstrip()))

    def _ended(self) -> None:
        code = self._popen.poll()
        if code is None:
            return
        self.exit_code = code
        for read in (self._log_readable, self._stderr_readable):
            read()
        if self._stderr:
            self._say(self._stderr.decode("utf-8", "replace"))
        self.state_before_end, self.state = self.state, "ended"
        for number in list(self._questions):
            self._answered(number, [])
        for fd in (self._log_fd, self._err_fd, self._pidfd):
            self._loop.remove_reader(fd)
            os.close(fd)
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())
        self._control.close()
        self._on_exit(self)


def _read(fd: int) -> bytes | None:
    """What is there; None for nothing now, empty for the end."""
    try:
        return os.read(fd, 1 << 20)
    except (BlockingIOError, InterruptedError):
        return None
