"""Run the master with one obedient service: ``run_master.py <base_dir> [background]``.

The greeting of the settings is read from the file ``greeting`` at each reload; "bad" is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from pillarbox.runtime.service import ServiceSpec, UnixListener
from pillarbox.services.master import run
from pillarbox.settings.model import Settings

BASE = Path(sys.argv[1])
SPEC = ServiceSpec(
    name="obedient", module="obedient_service", unix_listeners=(UnixListener("obedient/{index}"),)
)


def load() -> Settings:
    greeting = (BASE.parent / "greeting").read_text().strip()
    if greeting == "bad":
        raise ValueError("greeting:1: bad")
    return msgspec.structs.replace(
        Settings(),
        base_dir=str(BASE),
        login_greeting=greeting,
        log_path=str(BASE.parent / "log"),
        default_login_user="",
        default_internal_user="",
        default_internal_group="",
    )


if __name__ == "__main__":
    run.find_services = lambda complain: [SPEC]  # type: ignore[assignment]
    sys.exit(run.serve(load(), None, foreground="background" not in sys.argv, load=load))
