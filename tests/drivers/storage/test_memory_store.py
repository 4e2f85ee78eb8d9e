from __future__ import annotations

from pathlib import Path

from contract import StorageContract

from pillarbox.drivers.storage.api import MessageStore
from pillarbox.drivers.storage.memory import MemoryStore


class TestMemoryStore(StorageContract):
    persistent = False

    def make(self, path: Path) -> MessageStore:
        return MemoryStore()
