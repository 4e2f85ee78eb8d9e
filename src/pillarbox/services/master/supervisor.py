"""The server as a whole: stages of services, start, reload, stop.

Starting goes stage by stage: a stage's processes are started when every process of the stage
before is ready, so that nobody looks for a socket whose service is not there.  A process that
ends before the server has become ready fails the start.  Stopping goes the other way round, and
each stage has the whole ``shutdown_timeout``, because what is said at a session's end (events,
counters) is addressed to the services of earlier stages.

A reload makes the new plan completely before anything is changed; if settings, users, sockets or
certificates are wrong, the server goes on as it is and says why.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from pillarbox.runtime.control import Bootstrap, ListenerFd
from pillarbox.runtime.listeners import ListenError
from pillarbox.runtime.log import Log
from pillarbox.runtime.privileges import IdentityError
from pillarbox.runtime.service import ServiceSpec
from pillarbox.runtime.tls import TlsError, tls_contexts
from pillarbox.services.master.group import Group, must_replace
from pillarbox.services.master.plan import ServicePlan, make_plan
from pillarbox.services.master.process import Process
from pillarbox.services.master.sockets import SocketKeeper, inet_addresses
from pillarbox.settings.load import encode
from pillarbox.settings.model import Settings

START_TIMEOUT = 60.0
ANSWER_TIMEOUT = 5.0

Problems = (ListenError, IdentityError, TlsError)


class StartError(Exception):
    """The server cannot start; the text says why."""


class Supervisor:
    """All services of one server."""

    def __init__(self, settings: Settings, specs: Iterable[ServiceSpec], log: Log) -> None:
        self.settings = settings
        self.started = time.time()
        self.groups: dict[str, Group] = {}
        self.keeper = SocketKeeper()
        self.reloads = 0
        self.running = False
        self._specs = list(specs)
        self._log = log
        self._encoded = encode(settings)
        self._plans: dict[str, ServicePlan] = {}
        self._changed = asyncio.Event()
        self._failed = ""
        self._busy = asyncio.Lock()

    async def start(self) -> None:
        """Start everything; returns when all processes are ready.  Raises StartError."""
        async with self._busy:
            try:
                self._plans = make_plan(self.settings, self._specs)
                tls_contexts(self.settings)
                self.keeper.update(self._plans.values())
            except Problems as error:
                raise StartError(str(error)) from error
            self._warn_of_root()
            for _stage, plans in groupby(self._plans.values(), key=lambda plan: plan.spec.stage):
                groups = [self._group(plan) for plan in plans]
                for group in groups:
                    group.start()
                await self._wait_ready(groups, START_TIMEOUT)
            self.running = True

    async def reload(self, load: Callable[[], Settings]) -> str:
        """Take what ``load`` returns; an empty text, or why the old settings stay.

        Whatever ``load`` raises is a reason, not an error of the server.
        """
        async with self._busy:
            try:
                settings = load()
                plans = make_plan(settings, self._specs)
                tls_contexts(settings)
                if settings.base_dir != self.settings.base_dir:
                    return "base_dir cannot change while the server runs"
                self.keeper.update(plans.values())
            except Exception as error:
                return str(error) or type(error).__name__
            self.settings, old = settings, self._plans
            self._plans = plans
            self._encoded = encode(settings)
            self.reloads += 1
            self._failed = ""
            for name in [name for name in self.groups if name not in plans]:
                await self.groups.pop(name).stop(settings.shutdown_timeout)
            for name, plan in plans.items():
                if name not in self.groups:
                    self._group(plan).start()
                else:
                    replace = must_replace(old[name], plan)
                    self.groups[name].reload(plan, self._encoded, replace)
            try:
                await self._wait_ready(list(self.groups.values()), START_TIMEOUT)
            except StartError as error:
                return str(error)
            return ""

    async def stop(self) -> None:
        """Stop everything, the last stage first."""
        self.running = False
        self._failed = "the server was told to stop"
        self._changed.set()
        async with self._busy:
            timeout = self.settings.shutdown_timeout
            stages = sorted({group.plan.spec.stage for group in self.groups.values()}, reverse=True)
            for stage in stages:
                await asyncio.gather(
                    *(g.stop(timeout) for g in self.groups.values() if g.plan.spec.stage == stage)
                )
            self.keeper.close()

    def status(self) -> dict[str, object]:
        """For ``pillarbox status``."""
        return {
            "pid": os.getpid(),
            "instance_name": self.settings.instance_name,
            "started": self.started,
            "uptime": time.time() - self.started,
            "reloads": self.reloads,
            "running": self.running,
            "listeners": self.addresses(),
            "services": [group.status() for group in self.groups.values()],
        }

    async def ask(
        self, name: str, arguments: dict[str, str], timeout: float = ANSWER_TIMEOUT
    ) -> list[dict[str, Any]]:
        """What all processes have to say to a question, those that retire included."""
        processes = [process for group in self.groups.values() for process in group.processes()]
        answers = await asyncio.gather(*(p.ask(name, arguments, timeout) for p in processes))
        return [value for answer in answers for value in answer]

    def addresses(self) -> list[str]:
        """``name address:port`` of every TCP listener."""
        return inet_addresses(self._plans.values(), self.keeper)

    def _warn_of_root(self) -> None:
        if os.geteuid() == 0:
            names = [p.spec.title for p in self._plans.values() if p.identity.uid is None]
            if names:
                text = "default_login_user, default_internal_user, mail_uid"
                self._log.warning(None, f"Running as root: {', '.join(names)} (see {text})")

    def _group(self, plan: ServicePlan) -> Group:
        group = Group(plan, self._log, self.keeper.get, self._bootstrap, self._ready, self._crashed)
        self.groups[plan.spec.name] = group
        return group

    def _bootstrap(
        self, plan: ServicePlan, index: int, listeners: list[ListenerFd], log_fd: int
    ) -> Bootstrap:
        return Bootstrap(
            name=plan.spec.name,
            module=plan.spec.module,
            index=index,
            processes=plan.processes,
            client_limit=plan.client_limit,
            peers={name: other.processes for name, other in self._plans.items()},
            base_dir=self.settings.base_dir,
            settings=self._encoded,
            listeners=listeners,
            log_fd=log_fd,
            master_pid=os.getpid(),
        )

    def _ready(self, _group: Group) -> None:
        self._changed.set()

    def _crashed(self, group: Group, process: Process) -> None:
        if process.state_before_end == "starting":
            self._failed = f"{group.name}: process {process.pid} {process.why_ended()}"
            self._changed.set()

    async def _wait_ready(self, groups: list[Group], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not all(group.ready for group in groups):
                    self._changed.clear()
                    if self._failed:
                        raise StartError(f"{self._failed} before it was ready")
                    for group in groups:
                        if group.failure and not group.processes():
                            raise StartError(group.failure)
                    await self._changed.wait()
        except TimeoutError:
            late = ", ".join(group.name for group in groups if not group.ready)
            raise StartError(f"not ready after {timeout:.0f} seconds: {late}") from None
