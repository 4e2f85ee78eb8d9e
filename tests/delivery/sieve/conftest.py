"""The world of these tests is imported by name from this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sieve_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A user without scripts."""
    return World(tmp_path)
