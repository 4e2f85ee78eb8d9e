"""All processes of one service: kept at their number, restarted, replaced, ended.

Each of the plan's processes has a slot.  A process that ends without having been told to is
started again in its slot after a pause that doubles while it keeps dying (up to 30 s) and is short
again after a minute of good health.  `replace` starts a new process in a slot and lets the old one
retire when the new one is ready: it then serves only the clients that it has.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from pillarbox.runtime.control import Bootstrap, ListenerFd, Reload, Retire, Stop
from pillarbox.runtime.log import Log
from pillarbox.services.master.plan import InetSocket, ServicePlan, Socket
from pillarbox.services.master.process import Process

LONGEST_DELAY: Final = 30.0
HEALTHY_SECONDS: Final = 60.0

Bootstrapper = Callable[[ServicePlan, int, list[ListenerFd], int], Bootstrap]


class Slot:
    """The place of one process."""

    __slots__ = ("crashes", "next", "process", "restarts", "timer")

    def __init__(self) -> None:
        self.process: Process | None = None
        self.next: Process | None = None
        self.crashes = 0
        self.restarts = 0
        self.timer: asyncio.TimerHandle | None = None


class Group:
    """One service's processes."""

    def __init__(
        self,
        plan: ServicePlan,
        log: Log,
        get_socket: Callable[[Socket], socket.socket | None],
        bootstrap: Bootstrapper,
        on_ready: Callable[[Group], None],
        on_crash: Callable[[Group, Process], None],
    ) -> None:
        self.plan = plan
        self.slots: list[Slot] = []
        self.retired: set[Process] = set()
        self._log = log
        self._get_socket = get_socket
        self._bootstrap = bootstrap
        self._on_ready = on_ready
        self._on_crash = on_crash
        self.failure = ""
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()

    @property
    def name(self) -> str:
        """The service's name as logs have it."""
        return self.plan.spec.title

    @property
    def ready(self) -> bool:
        """Whether every process of the plan serves."""
        return len(self.slots) == self.plan.processes and all(
            slot.process is not None and slot.process.state == "ready" and slot.next is None
            for slot in self.slots
        )

    def processes(self) -> list[Process]:
        """All that run, retired ones too."""
        current = [p for slot in self.slots for p in (slot.process, slot.next) if p is not None]
        return [*current, *self.retired]

    def start(self) -> None:
        """Start what the plan wants and does not run yet; retire what it no longer wants."""
        while len(self.slots) > self.plan.processes:
            self._remove(self.slots.pop())
        while len(self.slots) < self.plan.processes:
            slot = Slot()
            self.slots.append(slot)
            slot.process = self._spawn(len(self.slots) - 1)

    def reload(self, plan: ServicePlan, settings: bytes, replace: bool) -> None:
        """Take a new plan: give running processes the settings, or replace them."""
        self.plan = plan
        existing = list(self.slots[: plan.processes])
        self.start()
        for index, slot in enumerate(existing):
            if slot.process is None:
                continue
            if not replace:
                slot.process.send(Reload(settings))
            else:
                if slot.next is not None:
                    self._retire(slot.next)
                slot.next = self._spawn(index)
                if slot.next is None:
                    slot.process.send(Reload(settings))
        for process in self.retired:
            process.send(Reload(settings))

    async def stop(self, timeout: float) -> None:
        """Tell all to say goodbye; kill who has not ended in ``timeout`` seconds."""
        self._stopping = True
        for slot in self.slots:
            if slot.timer is not None:
                slot.timer.cancel()
        for process in self.processes():
            process.state = "stopping"
            process.send(Stop())
        for number, seconds in ((signal.SIGTERM, timeout), (signal.SIGKILL, 1.0), (None, 5.0)):
            if await self._wait_empty(seconds):
                return
            if number is None:
                self._log.error(None, f"{self.name}: processes cannot be killed")
                return
            for process in self.processes():
                if number == signal.SIGKILL:
                    self._log.warning(
                        None, f"{self.name}: process {process.pid} does not end, killing it"
                    )
                process.signal(number)

    async def _wait_empty(self, seconds: float) -> bool:
        self._empty.clear()
        if not self.processes():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _spawn(self, index: int) -> Process | None:
        plan = self.plan
        process = Process(self.name, index, self._log.sink, self._process_ready, self._ended)
        listeners: list[ListenerFd] = []
        for wanted in (*plan.sockets, *plan.own_sockets[index]):
            sock = self._get_socket(wanted)
            if sock is not None:
                inet = isinstance(wanted, InetSocket)
                listeners.append(
                    ListenerFd(
                        sock.fileno(),
                        wanted.name,
                        "inet" if inet else "unix",
                        isinstance(wanted, InetSocket) and wanted.ssl,
                        isinstance(wanted, InetSocket) and wanted.haproxy,
                    )
                )
        try:
            process.start(
                lambda log_fd: self._bootstrap(plan, index, listeners, log_fd),
                [listener.fd for listener in listeners],
                plan.identity,
            )
        except (OSError, ValueError) as error:
            who = "" if plan.identity.uid is None else f" as user {plan.identity.uid}"
            self.failure = f"{self.name}: a process cannot be started{who}: {error}"
            self._log.error(None, self.failure)
            return None
        return process

    def _process_ready(self, process: Process) -> None:
        for slot in self.slots:
            if slot.next is process:
                old, slot.process, slot.next = slot.process, process, None
                if old is not None:
                    self._retire(old)
        if self.ready:
            self._on_ready(self)

    def _retire(self, process: Process) -> None:
        if process.state != "ended":
            process.state = "retiring"
            self.retired.add(process)
            process.send(Retire())

    def _remove(self, slot: Slot) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
        for process in (slot.process, slot.next):
            if process is not None:
                self._retire(process)

    def _ended(self, process: Process) -> None:
        told = process.state_before_end in ("retiring", "stopping") or self._stopping
        if not told or process.exit_code != 0:
            self._log.error(None, f"{self.name}: process {process.pid} {process.why_ended()}")
        self.retired.discard(process)
        for index, slot in enumerate(self.slots):
            if slot.next is process:
                # The replacement died: the old process, which still serves, keeps its place.
                slot.next = None
                self._on_crash(self, process)
            elif slot.process is process:
                slot.process = None
                if not self._stopping:
                    self._on_crash(self, process)
                    self._restart_later(slot, index, process)
        if not self.processes():
            self._empty.set()

    def _restart_later(self, slot: Slot, index: int, process: Process) -> None:
        if time.time() - process.started > HEALTHY_SECONDS:
            slot.crashes = 0
        delay = min(self.plan.restart_delay * 2**slot.crashes, LONGEST_DELAY)
        slot.crashes = min(slot.crashes + 1, 20)
        slot.timer = self._loop.call_later(delay, self._restart, slot, index)

    def _restart(self, slot: Slot, index: int) -> None:
        slot.timer = None
        if self._stopping or slot not in self.slots or slot.process is not None:
            return
        slot.restarts += 1
        slot.process = self._spawn(index)
        if slot.process is None:
            slot.timer = self._loop.call_later(LONGEST_DELAY, self._restart, slot, index)

    def status(self) -> dict[str, object]:
        """For ``pillarbox status``."""
        return {
            "name": self.name,
            "processes": [
                {
                    "pid": process.pid,
                    "index": process.index,
                    "state": process.state,
                    "started": process.started,
                }
                for process in self.processes()
            ],
            "restarts": sum(slot.restarts for slot in self.slots),
        }


def listen_names(plan: ServicePlan) -> frozenset[tuple[object, ...]]:
    """What a process of this plan gets at its start and cannot be given later."""
    sockets = (
        (s.name, s.address, s.port, s.ssl, s.haproxy) if isinstance(s, InetSocket) else (s.path,)
        for s in plan.sockets
    )
    return frozenset([*sockets, ("client_limit", plan.client_limit), ("who", plan.identity)])


def must_replace(old: ServicePlan, new: ServicePlan) -> bool:
    """Whether a reload needs new processes."""
    return new.spec.replace_on_reload or listen_names(old) != listen_names(new)


Groups = Mapping[str, Group]
