"""`serve`: the master process, from the first check to the last child's end.

It refuses to start beside a running server on the same base_dir, writes the pid file, starts the
services, answers on the control socket, and then waits for signals: SIGTERM and SIGINT stop
(a second one at once), SIGHUP reloads and opens log files again, SIGUSR1 only opens log files
again.  systemd is told of all of it.

The exit code is 0 after an ordered stop and 1 when the server could not start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from pillarbox.runtime.listeners import ListenError, listen_unix
from pillarbox.runtime.log import log
from pillarbox.runtime.log_sinks import LogWriter
from pillarbox.runtime.privileges import raise_file_limit
from pillarbox.services.master.control import SOCKET_NAME, ControlServer, is_running
from pillarbox.services.master.discovery import find_services
from pillarbox.services.master.supervisor import StartError, Supervisor
from pillarbox.services.master.systemd import Systemd
from pillarbox.settings.load import load as load_settings
from pillarbox.settings.model import Settings

PID_FILE = "master.pid"

OnReady = Callable[[Supervisor], None]


class _Master:
    def __init__(self, settings: Settings, load: Callable[[], Settings], writer: LogWriter) -> None:
        self.base_dir = Path(settings.base_dir)
        self.load = load
        self.writer = writer
        self.systemd = Systemd()
        self.stopping = asyncio.Event()
        self.stopped = asyncio.Event()
        self.supervisor = Supervisor(settings, find_services(self._complain), log)
        self._tasks: set[asyncio.Task[Any]] = set()

    def _complain(self, text: str) -> None:
        log.error(None, text)

    async def run(self, on_ready: OnReady | None) -> int:
        if is_running(self.base_dir):
            log.fatal(None, f"a server is already running on {self.base_dir}")
            return 1
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._background, self.reload)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_log)
        pid_file = self.base_dir / PID_FILE
        control: ControlServer | None = None
        code = 0
        try:
            control = ControlServer(listen_unix(self.base_dir / SOCKET_NAME), self._command)
            pid_file.write_text(f"{os.getpid()}\n")
            await control.start()
            await self._start(on_ready)
        except (StartError, ListenError, OSError) as error:
            log.fatal(None, f"cannot start: {error}")
            code = 1
        self.systemd.stopping()
        await self.supervisor.stop()
        self.stopped.set()
        log.info(None, "Pillarbox stopped")
        await asyncio.sleep(0)  # lets the control connection that asked for it be answered
        if control is not None:
            control.close()
            (self.base_dir / SOCKET_NAME).unlink(missing_ok=True)
            pid_file.unlink(missing_ok=True)
        return code

    async def _start(self, on_ready: OnReady | None) -> None:
        begun = time.monotonic()
        starting = asyncio.ensure_future(self.supervisor.start())
        stopping = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        starting.result()
        addresses = ", ".join(self.supervisor.addresses()) or "no network listeners"
        log.info(None, f"Pillarbox ready in {time.monotonic() - begun:.2f} s: {addresses}")
        self.systemd.ready(f"Serving {addresses}")
        if self.systemd.watchdog_seconds:
            self._background(self._watchdog)
        if on_ready is not None:
            on_ready(self.supervisor)
        await stopping

    async def reload(self) -> str:
        """Read the settings again; why they are not used, or nothing."""
        self.systemd.reloading()
        why = await self.supervisor.reload(self.load)
        self._reopen_log()
        if why:
            log.error(None, f"Reload failed, the server goes on with its old settings: {why}")
        else:
            log.set_level("debug" if self.supervisor.settings.log_debug else "info")
            log.info(None, "Settings reloaded")
        self.systemd.ready("Reload failed" if why else "Reloaded")
        return why

    async def _command(self, request: dict[str, Any]) -> dict[str, Any]:
        command = request.get("command")
        if command == "status":
            return {"ok": True, **self.supervisor.status()}
        if command == "reload":
            why = await self.reload()
            return {"ok": False, "error": why} if why else {"ok": True}
        if command == "ask":
            name, arguments = str(request.get("name")), request.get("arguments") or {}
            texts = {str(key): str(value) for key, value in dict(arguments).items()}
            return {"ok": True, "values": await self.supervisor.ask(name, texts)}
        if command == "stop":
            self.stopping.set()
            await self.stopped.wait()
            return {"ok": True}
        return {"ok": False, "error": f"unknown command {command!r}"}

    def _stop_signal(self) -> None:
        if self.stopping.is_set():
            for group in self.supervisor.groups.values():
                for process in group.processes():
                    process.signal(signal.SIGKILL)
        self.stopping.set()

    def _reopen_log(self) -> None:
        try:
            self.writer.reopen(self.supervisor.settings)
        except OSError as error:
            log.error(None, f"log: {error}")

    async def _watchdog(self) -> None:
        while not self.stopped.is_set():
            self.systemd.watchdog()
            await asyncio.sleep(self.systemd.watchdog_seconds)

    def _background(self, work: Callable[[], Any]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def serve(
    settings: Settings,
    config_path: Path | None,
    foreground: bool = True,
    on_ready: OnReady | None = None,
    load: Callable[[], Settings] | None = None,
) -> int:
    """Run the server until it is stopped; the exit code.

    ``load`` gives the settings at a reload; by default ``config_path`` is read again, if given.
    ``foreground`` False returns 0 as soon as the server is ready in the background, or 1.
    ``on_ready`` is called in the master with its supervisor.
    """
    if not foreground:
        done = _detach()
        if done >= 0:
            return done
        on_ready = _also(on_ready, _report_ready)
    raise_file_limit()
    log.service = "master"
    log.pid = os.getpid()
    try:
        writer = LogWriter(settings)
    except OSError as error:
        log.fatal(None, f"log: {error}")
        return 1
    log.sink = writer
    log.set_level("debug" if settings.log_debug else "info")
    read = load or (lambda: settings if config_path is None else load_settings(config_path))

    async def main() -> int:
        return await _Master(settings, read, writer).run(on_ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


_ready_fd = -1


def _detach() -> int:
    """Fork; -1 in the new process, the exit code in the old one."""
    global _ready_fd
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            return 0 if pipe.read(1) == b"1" else 1
    os.close(read_end)
    os.setsid()
    _ready_fd = write_end
    return -1


def _report_ready(_supervisor: Supervisor) -> None:
    """Tell the process that was started by the user, and let go of its terminal."""
    os.write(_ready_fd, b"1")
    os.close(_ready_fd)
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def _also(first: OnReady | None, second: OnReady) -> OnReady:
    def both(supervisor: Supervisor) -> None:
        if first is not None:
            first(supervisor)
        second(supervisor)

    return both
