"""Show which events the servers of a test run really emitted, and that none got lost.

``event_coverage.py DIR`` reads what servers wrote to the folder that PILLARBOX_EVENT_COVERAGE
named, prints the table (event, times seen, fields seen of fields declared), and fails, naming what
is missing, if an event or a field of the baseline was not seen.  ``--update`` writes the baseline
anew; it must come from a run that used no program which is not always there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from pillarbox.cli.events import coverage_table
from pillarbox.events.coverage import Table, read

BASELINE: Final = Path(__file__).parent.parent / "tests" / "event_coverage.json"

Baseline = dict[str, list[str]]


def seen(table: Table) -> Baseline:
    """Event → fields, both in order."""
    return {name: sorted(table[name].fields) for name in sorted(table)}


def missing(baseline: Baseline, table: Table) -> list[str]:
    """What the baseline has and the table has not, a line each."""
    lines = []
    for name, fields in baseline.items():
        if name not in table:
            lines.append(f"{name}: never emitted")
        elif lacking := [field for field in fields if field not in table[name].fields]:
            lines.append(f"{name}: never with {', '.join(lacking)}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 1 if something is missing, 2 if there is nothing to look at."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what PILLARBOX_EVENT_COVERAGE named")
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--update", action="store_true", help="write the baseline anew")
    options = parser.parse_args(arguments)
    table = read(options.folder)
    if not table:
        print(f"{options.folder}: no server wrote anything there", file=sys.stderr)
        return 2
    print(coverage_table(table))
    if options.update:
        options.baseline.write_text(json.dumps(seen(table), indent=1) + "\n")
        return 0
    lines = missing(json.loads(options.baseline.read_text()), table)
    for line in lines:
        print(f"missing: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
