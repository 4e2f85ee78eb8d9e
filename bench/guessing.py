"""``python -m bench.guessing``: a server at which somebody guesses 100,000 passwords.

A hundred connections from one address try one name after the other, at full speed (a penalty of a
few milliseconds).  After each third of the guesses the memory of the processes that face them is
taken: auth, anvil and the login processes.  What is remembered of guessers is bounded and full by
the end of the first third, so nothing may grow from then on: more than `SLACK` is a failure.

Then the same connections guess at a server with the usual penalty, while others log in from
elsewhere.  How long their logins take is told as a ratio to a quiet server's, before or after,
whichever is slower; beyond `SLOWED` it is a failure.  What they would meet without any penalty is
told too, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.clients import Imap
from bench.servers import PASSWORD, Pillarbox, user

CONNECTIONS = 100
GUESSER = "127.0.0.7"
FACING = ("anvil", "auth", "imap-login")
SLACK = 2 << 20
SLOWED = 2.0
LOGINS = 200


class Guarded(Pillarbox):
    """Pillarbox with a penalty of this length at most, and no pause beside it."""

    def __init__(self, folder: Path, penalty: str) -> None:
        super().__init__(folder)
        self.penalty = penalty

    def command(self) -> list[str]:
        """The usual configuration with the penalty."""
        command = super().command()
        config = Path(command[-1])
        options = (
            f'auth_penalty_max_delay = "{self.penalty}"\n'
            'auth_failure_delay = "0"\nauth_cache_size = "4 MB"\n'
        )
        config.write_text(options + config.read_text())
        return command

    def memory(self) -> dict[str, int]:
        """Proportional set size by service, of those that face guessers, in bytes."""
        found = dict.fromkeys(FACING, 0)
        for pid in self.processes():
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip().partition("/")[0]
                if name in found:
                    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    found[name] += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
        return found


class Guesser(threading.Thread):
    """Guesses from now on, each name ``names`` guesses apart; ``guesses`` None: until `stop`."""

    def __init__(self, port: int, names: int, guesses: int | None = None) -> None:
        super().__init__(daemon=True)
        self.done = 0
        self._port = port
        self._names = names
        self._wanted = sys.maxsize if guesses is None else guesses
        self._begun = 0
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Guess with all connections at a time."""
        self._task = self._loop.create_task(self._all())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def stop(self) -> None:
        """Guess no more."""
        if self._task is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._guess())

    async def _guess(self) -> None:
        while self.done < self._wanted:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(GUESSER, 0)
            )
            with contextlib.suppress(ConnectionError):
                await reader.readline()
                while self.done < self._wanted and not reader.at_eof():
                    number = self._begun
                    self._begun += 1
                    name = f"guessed{number % self._names}@example.com"
                    writer.write(f"a LOGIN {name} guess{number}\r\n".encode())
                    answer = await reader.readline()
                    if b" OK" in answer:
                        raise RuntimeError(f"a guess was right: {answer!r}")
                    self.done += answer.startswith(b"a ")
            writer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Guess, measure, print; status 1 if memory grew or others were slowed."""
    parser = argparse.ArgumentParser(prog="python -m bench.guessing", description=__doc__)
    parser.add_argument("--guesses", type=int, default=100_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        with _started(Guarded(folder / "flood", "2 ms")) as server:
            steady = _memory(server, max(3, options.guesses))
            _others(server, "without a penalty to speak of")
        with _started(Guarded(folder / "usual", "15 s")) as server:
            ratio = _others(server, "with the usual penalty")
    return 0 if steady and ratio <= SLOWED else 1


@contextlib.contextmanager
def _started(server: Guarded) -> Iterator[Guarded]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _memory(server: Guarded, guesses: int) -> bool:
    """Guess so often; whether the memory stayed the same after the first third."""
    third = guesses // 3
    taken: list[dict[str, int]] = []
    started, done = time.perf_counter(), 0
    for _ in range(3):
        guesser = Guesser(server.imap_port, third, third)
        guesser.start()
        guesser.join()
        done += guesser.done
        taken.append(server.memory())
    rate = done / (time.perf_counter() - started)
    print(f"{done} wrong logins, {rate:.0f}/s; memory after each third:")
    steady = True
    for name in FACING:
        sizes = [one[name] for one in taken]
        grown = sizes[-1] - sizes[0]
        steady = steady and grown <= SLACK
        told = " ".join(f"{size / 2**20:7.1f}" for size in sizes)
        print(f"  {name:<12} {told} MB, grown by {grown / 2**20:+.1f} MB")
    return steady


def _others(server: Guarded, kind: str) -> float:
    """Time the logins of others, quiet and under attack, and tell the ratio."""
    quiet = _log_in_often(server)
    guesser = Guesser(server.imap_port, 10)
    guesser.start()
    try:
        while guesser.done < CONNECTIONS // 2:
            time.sleep(0.05)
        before, started = guesser.done, time.perf_counter()
        attacked = _log_in_often(server)
        rate = (guesser.done - before) / (time.perf_counter() - started)
    finally:
        guesser.stop()
    quiet = max(quiet, _log_in_often(server))
    ratio = attacked / quiet
    print(
        f"others' logins {kind} ({rate:.0f} guesses/s): "
        f"{attacked * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms, ratio {ratio:.2f}"
    )
    return ratio


def _log_in_often(server: Guarded) -> float:
    """The median time of a login, in seconds."""
    times = []
    for number in range(LOGINS):
        started = time.perf_counter()
        imap = Imap(server.imap_port)
        imap.login(user(number), PASSWORD)
        times.append(time.perf_counter() - started)
        imap.close()
        time.sleep(0.01)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
