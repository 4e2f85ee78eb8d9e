"""Run every fuzzer in fuzz/ for a bounded time; exit 1 when one of them finds a crash.

Each ``fuzz/fuzz_<name>.py`` is a program of its own (atheris); this starts them one after the
other with a time limit and prints one line for each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "fuzz"


def main() -> int:
    """Parse the command line and run the fuzzers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long each one runs")
    parser.add_argument("names", nargs="*", help="only these, without the fuzz_ before them")
    options = parser.parse_args()
    failed = 0
    for program in sorted(FOLDER.glob("fuzz_*.py")):
        name = program.stem.removeprefix("fuzz_")
        if options.names and name not in options.names:
            continue
        failed += not run(program, name, options.seconds)
    print(f"{failed} fuzzers found something" if failed else "no fuzzer found anything")
    return 1 if failed else 0


def run(program: Path, name: str, seconds: int) -> bool:
    """One fuzzer, in a folder of its own so that its crash files stay out of the way."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        done = subprocess.run(
            [sys.executable, str(program), f"-max_total_time={seconds}", "-max_len=4096"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds + 120,
            check=False,
        )
    print(f"{name:24} {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode:
        print(done.stdout[-4000:])
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
