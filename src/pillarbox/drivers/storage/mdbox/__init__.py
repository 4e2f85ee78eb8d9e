"""The default message store: see `store` for what it promises, `container` for the files."""

from pillarbox.drivers.storage.mdbox.store import open_store

__all__ = ["open_store"]
