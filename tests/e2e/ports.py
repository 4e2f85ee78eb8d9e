"""Ports for servers that tests start.

A port that the kernel would also give to a client's connection may be taken between looking and
listening.  So these come from below its range, and every worker of pytest has some of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from typing import Final

_FIRST: Final = 10_000
_EACH: Final = 3_000
_WORKERS: Final = 7


def _candidates() -> Iterator[int]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = _FIRST + int(worker) % _WORKERS * _EACH
    start = random.SystemRandom().randrange(_EACH)
    return (first + number % _EACH for number in itertools.count(start))


_PORTS: Final = _candidates()


def free_port() -> int:
    """A port that is free now, and was not given before for a long time."""
    for port in itertools.islice(_PORTS, _EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
