"""The master with real processes: start, crash, reload, stop, identity, log."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

import pillarbox.runtime
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import InetListener, ServiceSpec, UnixListener
from pillarbox.services.master.supervisor import StartError, Supervisor
from pillarbox.settings.model import InetListenerSettings, ServiceSettings, Settings

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e"))

from ports import free_port

MODULES = Path(__file__).parent / "modules"
SPEC = ServiceSpec(
    name="obedient_one",
    module="obedient_service",
    process_limit=1,
    unix_listeners=(UnixListener("obedient/{index}"),),
)


class World:
    """A supervisor with its settings, its log, and clients."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[Line] = []
        self.log = Log("master", self.lines.append)
        self.folder = folder
        self.settings = msgspec.structs.replace(
            Settings(),
            base_dir=str(folder),
            default_login_user="",
            default_internal_user="",
            default_internal_group="",
            default_restart_delay=0.01,
            shutdown_timeout=5.0,
            login_greeting="one",
        )

    def change(self, **more: Any) -> Settings:
        self.settings = msgspec.structs.replace(self.settings, **more)
        return self.settings

    def texts(self) -> str:
        return "\n".join(f"{line.service} {line.level} {line.text}" for line in self.lines)

    async def connect(self, index: int = 0) -> Client:
        path = str(self.folder / "obedient" / str(index))
        return Client(*await asyncio.open_unix_connection(path))


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, command: str) -> list[str]:
        self.writer.write(command.encode() + b"\n")
        return (await self.reader.readline()).decode().split()

    def close(self) -> None:
        self.writer.close()


Scenario = Callable[[Supervisor], Awaitable[None]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{MODULES}:{inherited}".rstrip(":"))
    return World(tmp_path)


def drive(world: World, scenario: Scenario, *specs: ServiceSpec) -> None:
    """Start a supervisor, run the scenario, stop it; nothing may be left running."""

    async def main() -> None:
        supervisor = Supervisor(world.settings, specs or [SPEC], world.log)
        pids: set[int] = set()
        try:
            await supervisor.start()
            await scenario(supervisor)
        finally:
            for group in supervisor.groups.values():
                pids.update(process.pid for process in group.processes())
            await supervisor.stop()
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_processes_get_their_own_sockets_settings_and_confinement(world: World) -> None:
    world.change(service={"obedient_one": ServiceSettings(process_limit=2)})

    async def scenario(supervisor: Supervisor) -> None:
        pids = set()
        for index in (0, 1):
            client = await world.connect(index)
            pid, number, greeting = await client.ask("who")
            assert (number, greeting) == (str(index), "one")
            pids.add(pid)
            assert await client.ask("prctl") == ["1", "9"]
            client.close()
        assert len(pids) == 2
        status = supervisor.status()
        assert status["running"] is True
        [service] = status["services"]
        assert service["name"] == "obedient-one"
        assert [p["state"] for p in service["processes"]] == ["ready", "ready"]
        assert {str(p["pid"]) for p in service["processes"]} == pids

    drive(world, scenario)
    assert not (world.folder / "obedient" / "0").exists()
    assert "error" not in world.texts()


def test_a_crashed_process_is_replaced_and_waiting_clients_are_served(world: World) -> None:
    async def scenario(supervisor: Supervisor) -> None:
        first = await world.connect()
        pid = (await first.ask("who"))[0]
        assert await first.ask("die") == []
        # The master's socket is still there: this one waits in its backlog.
        second = await world.connect()
        assert (await second.ask("who"))[0] != pid
        first.close()
        second.close()
        assert supervisor.groups["obedient_one"].status()["restarts"] == 1

    drive(world, scenario)
    assert "killed by signal 9" in world.texts()


class Timers:
    """A group's loop that remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def call_later(self, delay: float, *call: Any) -> asyncio.TimerHandle:
        self.delays.append(delay)
        return asyncio.get_running_loop().call_later(delay, *call)


def test_restarts_back_off_while_a_process_keeps_dying(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is: the process never lived long enough to count as healthy.
    monkeypatch.setattr("pillarbox.services.master.group.HEALTHY_SECONDS", 3600.0)

    async def scenario(supervisor: Supervisor) -> None:
        group = supervisor.groups["obedient_one"]
        timers = Timers()
        monkeypatch.setattr(group, "_loop", timers)
        slot = group.slots[0]
        for count in (1, 2, 3):
            client = await world.connect()
            await client.ask("die")
            client.close()
            await until(lambda count=count: len(timers.delays) == count)
            await until(lambda: slot.process is not None and slot.process.state == "ready")
        assert timers.delays == [0.01, 0.02, 0.04]

    drive(world, scenario)


def test_a_reload_gives_settings_to_running_processes(world: World) -> None:
    async def scenario(supervisor: Supervisor) -> None:
        client = await world.connect()
        pid = (await client.ask("who"))[0]
        assert await supervisor.reload(lambda: world.change(login_greeting="two")) == ""
        async with asyncio.timeout(10):
            while (answer := await client.ask("who"))[2] != "two":
                pass
        assert answer[0] == pid
        client.close()

    drive(world, scenario)


def test_a_reload_replaces_login_processes_and_keeps_their_clients(world: World) -> None:
    spec = msgspec_replace(SPEC, replace_on_reload=True)

    async def scenario(supervisor: Supervisor) -> None:
        old = await world.connect()
        pid, _, _greeting = await old.ask("who")
        assert await supervisor.reload(lambda: world.change(login_greeting="two")) == ""
        group = supervisor.groups["obedient_one"]
        assert [process.pid for process in group.retired] == [int(pid)]
        # Until the old process has heard that it is to retire, it may still accept.
        async with asyncio.timeout(10):
            while True:
                new = await world.connect()
                new_pid, _, new_greeting = await new.ask("who")
                if new_pid != pid:
                    break
                new.close()
        assert new_greeting == "two"
        # The session that idled through the reload is where it was.
        assert (await old.ask("who"))[0] == pid
        old.close()
        await until(lambda: not group.retired)
        assert (await new.ask("who"))[0] == new_pid
        new.close()

    drive(world, scenario, spec)
    assert "error" not in world.texts()


def msgspec_replace(spec: ServiceSpec, **more: Any) -> ServiceSpec:
    import dataclasses

    return dataclasses.replace(spec, **more)


def test_bad_settings_change_nothing_and_say_why(world: World) -> None:
    async def scenario(supervisor: Supervisor) -> None:
        client = await world.connect()
        before = await client.ask("who")

        def broken() -> Settings:
            raise ValueError("pillarbox.toml:3: unknown setting")

        assert "pillarbox.toml:3" in await supervisor.reload(broken)
        bad_certificate = msgspec.structs.replace(
            world.settings, ssl_server_cert_file="/nonexistent.pem", login_greeting="two"
        )
        why = await supervisor.reload(lambda: bad_certificate)
        assert "/nonexistent.pem" in why
        moved = msgspec.structs.replace(world.settings, base_dir="/elsewhere")
        assert "base_dir" in await supervisor.reload(lambda: moved)
        assert await client.ask("who") == before
        assert supervisor.settings is world.settings
        assert supervisor.reloads == 0
        client.close()

    drive(world, scenario)


def test_a_reload_moves_a_network_listener(world: World) -> None:
    one, two = free_port(), free_port()
    spec = msgspec_replace(SPEC, inet_listeners=(InetListener("tcp", one),))
    world.change(listen=("127.0.0.1",))

    async def scenario(supervisor: Supervisor) -> None:
        assert supervisor.addresses() == [f"tcp 127.0.0.1:{one}"]
        old = Client(*await asyncio.open_connection("127.0.0.1", one))
        await old.ask("who")
        listeners = {"tcp": InetListenerSettings(port=two)}
        changed = world.change(service={"obedient_one": ServiceSettings(inet_listener=listeners)})
        assert await supervisor.reload(lambda: changed) == ""
        new = Client(*await asyncio.open_connection("127.0.0.1", two))
        assert (await new.ask("who"))[0] != (await old.ask("who"))[0]
        assert await old.ask("who")
        old.close()
        new.close()

    drive(world, scenario, spec)


def test_a_busy_port_stops_the_start_and_is_named(world: World) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        world.change(listen=("127.0.0.1",))
        spec = msgspec_replace(SPEC, inet_listeners=(InetListener("tcp", port),))

        async def scenario(_supervisor: Supervisor) -> None:
            raise AssertionError("started")

        with pytest.raises(StartError, match=f"127.0.0.1:{port}: Address already in use"):
            drive(world, scenario, spec)


def test_a_service_that_cannot_start_stops_the_start(world: World) -> None:
    world.change(login_greeting="broken")

    async def scenario(_supervisor: Supervisor) -> None:
        raise AssertionError("started")

    with pytest.raises(StartError, match=r"obedient-one: process [0-9]+ ended with exit code 1"):
        drive(world, scenario)
    assert "this service cannot start" in world.texts()


def test_what_a_service_prints_and_logs_reaches_the_log(world: World) -> None:
    async def scenario(supervisor: Supervisor) -> None:
        client = await world.connect()
        await client.ask("log")
        await client.ask("print")
        client.close()

    drive(world, scenario)
    assert "obedient-one info logged by the service" in world.texts()
    assert "obedient-one error printed by the service" in world.texts()


def test_stopping_says_goodbye(world: World) -> None:
    clients: list[Client] = []

    async def scenario(supervisor: Supervisor) -> None:
        client = await world.connect()
        await client.ask("who")
        stopping = asyncio.ensure_future(supervisor.stop())
        assert await client.reader.read() == b"bye\n"
        await stopping
        clients.append(client)
        client.close()

    drive(world, scenario)
    assert clients


def test_a_process_that_does_not_end_is_killed(world: World) -> None:
    world.change(login_greeting="stubborn", shutdown_timeout=0.1)

    async def scenario(_supervisor: Supervisor) -> None:
        return None

    drive(world, scenario)
    assert "does not end, killing it" in world.texts()


def python_for(uid: int) -> str | None:
    """An interpreter that this user may run and that finds the packages."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            tried = subprocess.run(
                [candidate, "-P", "-c", "import uvloop, pillarbox.runtime.child"],
                user=uid,
                extra_groups=(),
                capture_output=True,
                timeout=60,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return candidate
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_privileges_are_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    site = Path(msgspec.__file__).parent.parent
    source = Path(pillarbox.runtime.__file__).parent.parent.parent
    monkeypatch.setenv("PYTHONPATH", f"{MODULES}:{source}:{site}")
    python = python_for(nobody.pw_uid)
    if python is None:
        pytest.skip("no interpreter that the user nobody may run")
    monkeypatch.setattr(sys, "executable", python)
    world.change(
        default_internal_user="nobody", default_internal_group=str(nobody.pw_gid), mail_uid=""
    )

    async def scenario(_supervisor: Supervisor) -> None:
        path = world.folder / "obedient" / "0"
        assert path.stat().st_uid == nobody.pw_uid
        assert path.stat().st_mode & 0o777 == 0o600
        client = await world.connect()
        uid, euid, gid, *groups = map(int, await client.ask("ids"))
        assert (uid, euid, gid) == (nobody.pw_uid, nobody.pw_uid, nobody.pw_gid)
        assert set(groups) <= {nobody.pw_gid}
        assert await client.ask("prctl") == ["1", "9"]
        client.close()

    drive(world, scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="without root identities are ignored")
def test_an_unknown_user_stops_the_start(world: World) -> None:
    world.change(default_internal_user="no-such-user")

    async def scenario(_supervisor: Supervisor) -> None:
        raise AssertionError("started")

    with pytest.raises(StartError, match="default_internal_user: there is no system user"):
        drive(world, scenario)
