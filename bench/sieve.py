"""``python -m bench.sieve``: what Sieve costs at delivery, beside Debian's dovecot-sieve.

One half of the users have the script of `rules.sieve`, the other half have none; the runs of both
halves, and of both servers, take turns, so that all meet the same weather.  What is told are the
medians of the rounds, and ratios: of a delivery with the script to one without, and of Pillarbox to
Dovecot.  With ten clients that is done twice: mail to many users, and mail to one.

Then the script alone: runs in a second within a process that is there already, what compiling it
costs and what loading its compiled form does, and whole processes (``pillarbox sieve test``,
``sieve-test``), which compile it first.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.clients import deliver_many
from bench.mails import mail
from bench.servers import USERS, Dovecot, Pillarbox, Server, user
from pillarbox.sieve.compiled import dump, load
from pillarbox.sieve.driver import run_script
from pillarbox.sieve.environment import Envelope
from pillarbox.sieve.questions import Now, Question
from pillarbox.sieve.script import compile

RULES = Path(__file__).with_name("rules.sieve")
MOST_COST = 0.20
LEAST_RATIO = 2.0
MOST_LOADING = 0.25
HALF = USERS // 2
WARM = 4


class DovecotSieve(Dovecot):
    """Dovecot with Pigeonhole; the same scripts in the same places."""

    name = "dovecot-sieve"

    def command(self) -> list[str]:
        """The usual configuration, with the plugin."""
        command = super().command()
        with Path(command[-1]).open("a") as config:
            config.write(
                "protocol lmtp {\n  mail_plugins = sieve\n}\n"
                "plugin {\n  sieve = file:~/sieve;active=~/.dovecot.sieve\n}\n"
            )
        return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the servers, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.sieve", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deliveries", type=int, default=1000, help="in one round")
    options = parser.parse_args(arguments)
    kinds: list[type[Server]] = [Pillarbox]
    if Dovecot.installed() and shutil.which("sieve-test"):
        kinds.append(DovecotSieve)
    with tempfile.TemporaryDirectory(prefix="pillarbox-sieve-") as folder:
        Path(folder).chmod(0o755)
        servers = [kind(Path(folder) / str(n)) for n, kind in enumerate(kinds)]
        try:
            for server in servers:
                server.start()
                _write_scripts(server)
            for clients, users in ((1, HALF), (10, HALF), (10, 1)):
                _deliveries(servers, clients, users, options.rounds, options.deliveries)
        finally:
            for server in servers:
                server.stop()
        _alone(Path(folder))
    return 0


def _write_scripts(server: Server) -> None:
    """The second half of the users get the script."""
    for number in range(HALF, USERS):
        home = server.folder / "home" / str(number)
        (home / "sieve").mkdir()
        shutil.copy(RULES, home / "sieve" / "rules.sieve")
        (home / ".dovecot.sieve").symlink_to("sieve/rules.sieve")
        owner = home.stat()
        for path in (home / "sieve", home / "sieve" / "rules.sieve"):
            shutil.chown(path, owner.st_uid, owner.st_gid)
        subprocess.run(
            ["chown", "-h", f"{owner.st_uid}:{owner.st_gid}", home / ".dovecot.sieve"], check=True
        )


def _deliveries(servers: list[Server], clients: int, users: int, rounds: int, count: int) -> None:
    rates: dict[tuple[str, bool], list[float]] = {}
    for turn in range(rounds + WARM):
        for server in servers:
            for scripted in (False, True):
                first = HALF if scripted else 0
                work = [(user(first + n % users), mail(n)) for n in range(count)]
                rate, failed = deliver_many(server.lmtp_port, clients, work)
                if failed:
                    raise RuntimeError(f"{failed} deliveries failed on {server.name}")
                if turn >= WARM:  # before, mailboxes are made, and every process compiles
                    rates.setdefault((server.name, scripted), []).append(rate)
    to = "one user" if users == 1 else f"{users} users"
    print(f"LMTP, {clients} client{'s' * (clients > 1)}, to {to}: deliveries/s", flush=True)
    medians = {key: statistics.median(values) for key, values in rates.items()}
    for server in servers:
        without, with_script = medians[server.name, False], medians[server.name, True]
        cost = without / with_script - 1
        target = f"  (target: at most {MOST_COST:.0%})" if server is servers[0] else ""
        print(
            f"  {server.name:14} without {without:8.0f}  with script {with_script:8.0f}"
            f"  the script costs {cost:+.0%}{target}",
            flush=True,
        )
    if len(servers) > 1:
        ratio = medians[servers[0].name, True] / medians[servers[1].name, True]
        target = f"  (target: {LEAST_RATIO:g})" if clients == 10 else ""
        shown = f"{servers[0].name} to {servers[1].name}: {ratio:.2f}{target}"
        print(f"  with the script, {shown}", flush=True)


def _compiling() -> None:
    """Compile the script and load its compiled form, in turns."""
    source = RULES.read_bytes()
    script, _ = compile(source, "rules")
    octets = None if script is None else dump(script)
    if octets is None:
        raise RuntimeError("the script has no compiled form")
    times: dict[str, list[float]] = {"compile": [], "load": []}
    for _ in range(1500):
        started = time.perf_counter()
        compile(source, "rules")
        between = time.perf_counter()
        if load(octets, source, "rules") is None:
            raise RuntimeError("the compiled form cannot be loaded")
        times["compile"].append(between - started)
        times["load"].append(time.perf_counter() - between)
    compiling, loading = (statistics.median(values) for values in times.values())
    print(
        f"  compiled in {1e6 * compiling:.0f} µs, loaded in {1e6 * loading:.0f} µs: "
        f"{loading / compiling:.2f}  (target: at most {MOST_LOADING:g})"
    )


def _alone(folder: Path) -> None:
    script, diagnostics = compile(RULES.read_bytes(), "rules")
    if script is None:
        raise RuntimeError("\n".join(map(str, diagnostics)))
    now = datetime.now().astimezone()

    def answer(question: Question) -> Any:
        return now if isinstance(question, Now) else question.default

    mails = [mail(number) for number in range(100)]
    envelope = Envelope("sender@example.org", "user@example.com")
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < 3:
        for one in mails:
            result = run_script(script, one, envelope, answer=answer)
            if result.error is not None:
                raise RuntimeError(str(result.error))
        count += len(mails)
    rate = count / (time.perf_counter() - started)
    print(f"The script alone: {rate:.0f} runs/s in one process")
    _compiling()
    rules = folder / "rules.sieve"  # sieve-test keeps its binary beside the script
    shutil.copy(RULES, rules)
    message = folder / "message"
    message.write_bytes(mails[0])
    ours = [sys.executable, "-m", "pillarbox.cli.main", "sieve", "test"]
    commands = {"pillarbox sieve test": ours}
    if shutil.which("sieve-test"):
        commands["sieve-test"] = ["sieve-test", "-o", "mail_uid=nobody", "-o", "mail_gid=nogroup"]
    for name, command in commands.items():
        words = [*command, str(rules), str(message)]
        times = []
        for _ in range(7):
            started = time.perf_counter()
            subprocess.run(words, check=True, capture_output=True)
            times.append(time.perf_counter() - started)
        print(f"  a process of {name}: {1000 * statistics.median(times):.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
