"""``python -m bench``: tables of Pillarbox beside Dovecot, measured in the same run.

Sections may be named; without, all are measured: ``mailboxes`` is the table of this module, each of
the others is a module that can be run by itself, with options of its own.

Both servers are started on loopback with the same users and the same mailbox; each row is measured
on one and then on the other, so that both meet the same weather.  Ratios above 1 mean that
Pillarbox is faster (or smaller) than Dovecot with mdbox, the first of the two that it is measured
beside; the other is its maildir.  Without Dovecot the table has one column.

The last rows hold 10,000 connections open to each server, one after the other; a server of one
process per connection needs some 6 GB for that, and is left out where memory does not suffice.
"""

from __future__ import annotations

import argparse
import importlib
import math
import platform
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.servers import Dovecot, DovecotMaildir, Pillarbox, Server
from bench.work import BIG_IDLE, ROWS, Bench, Row, TooBig, load

QUICK = {
    "logins": ["--rounds=2"],
    "pop3": ["--rounds=2"],
    "submission": ["--rounds=2"],
    "proxy": ["--megabytes=40", "--runs=2"],
    "sieve": ["--rounds=2", "--deliveries=300"],
}
"""The sections that are modules, and how they are told to be quick."""


def main() -> int:
    """Parse the command line and measure the sections; status 1 if one says so."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=["mailboxes", *QUICK])
    parser.add_argument("--messages", type=int, default=100_000, help="size of the big mailbox")
    parser.add_argument("--quick", action="store_true", help="small numbers, for a look")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--no-maildir", action="store_true", help="leave out Dovecot's maildir")
    parser.add_argument("--no-10000", action="store_true", help="leave out 10,000 connections")
    parser.add_argument("--no-dovecot", action="store_true", help="Pillarbox alone")
    options = parser.parse_args()
    _raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    status = 0
    for section in options.sections or ["mailboxes", *QUICK]:
        if section == "mailboxes":
            _mailboxes(options)
            continue
        print(f"\n{section}\n", flush=True)
        module = importlib.import_module(f"bench.{section}")
        status = max(status, module.main(QUICK[section] if options.quick else []))
    return status


def _mailboxes(options: argparse.Namespace) -> None:
    """Start the servers, measure, print."""
    kinds: list[type[Server]] = [Pillarbox]
    if Dovecot.installed() and not options.no_dovecot:
        kinds += [Dovecot] if options.no_maildir else [Dovecot, DovecotMaildir]
    rows = [row for row in ROWS if options.only.lower() in row.name.lower()]
    if options.no_10000 or options.quick:
        rows = [row for row in rows if row not in BIG_IDLE]
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as folder:
        Path(folder).chmod(0o755)
        servers = [kind(Path(folder) / str(n)) for n, kind in enumerate(kinds)]
        try:
            benches = [_prepared(server, options) for server in servers]
            print(
                f"{platform.machine()}, Python {platform.python_version()}, "
                f"{options.messages} messages\n"
            )
            _measure(rows, benches)
        finally:
            for server in servers:
                server.stop()


def _prepared(server: Server, options: argparse.Namespace) -> Bench:
    server.start()
    bench = Bench(server, options.messages, options.quick)
    started = time.perf_counter()
    load(bench)
    print(f"{server.name}: loaded in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return bench


def _measure(rows: list[Row], benches: list[Bench]) -> None:
    names = [bench.server.name for bench in benches]
    print(f"{'':36}" + "".join(f"{name:>18}" for name in names) + f"{'ratio':>9}{'target':>8}")
    for row in rows:
        values = [_value(row, bench) for bench in benches]
        cells = "".join(f"{_shown(value, row.unit):>18}" for value in values)
        print(f"{row.name:36}{cells}{_ratio(row, values):>9}{_target(row):>8}", flush=True)


def _value(row: Row, bench: Bench) -> float:
    try:
        return row.run(bench)
    except TooBig:
        return math.inf
    except (OSError, RuntimeError) as error:
        print(f"{row.name} on {bench.server.name}: {error}", file=sys.stderr)
        return math.nan


def _ratio(row: Row, values: list[float]) -> str:
    if len(values) < 2 or not all(map(math.isfinite, values[:2])) or not values[0]:
        return ""
    ratio = values[0] / values[1] if row.is_rate else values[1] / values[0]
    met = "" if row.target is None or ratio >= row.target else " !"
    return f"{ratio:.2f}{met}"


def _target(row: Row) -> str:
    return "" if row.target is None else f"{row.target:g}"


def _shown(value: float, unit: str) -> str:
    if math.isnan(value):
        return "failed"
    if math.isinf(value):
        return "too big"
    if unit == "s":
        return f"{value * 1000:.2f} ms"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


if __name__ == "__main__":
    sys.exit(main())
