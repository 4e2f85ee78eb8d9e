"""One server shared by the tests of a module, and the mails that they use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import Running, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running server with the defaults."""
    with running(tmp_path_factory.mktemp("server")) as one:
        yield one
