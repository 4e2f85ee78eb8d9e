"""Brings in every module of the catalogue, so that the registry is whole.

Emitters import only the families that they use.  Whoever asks for all events (filters, listings,
the reference page, subscriptions without an event name) calls `registry`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

from pillarbox.events.event import REGISTRY, Event

FAMILIES: Final = (
    "auth",
    "auth_client",
    "auth_master",
    "cluster",
    "connection",
    "dict",
    "dns",
    "fs",
    "fts",
    "http_client",
    "http_server",
    "imap",
    "indexer",
    "login",
    "mail_cache",
    "mail_delivery",
    "mail_index",
    "mail_user",
    "mailbox",
    "managesieve",
    "message_hashing",
    "metacache",
    "obox",
    "pop3",
    "proxy",
    "push",
    "sieve",
    "smtp_server",
    "smtp_submit",
    "sql",
)


def registry() -> Mapping[str, Event[...]]:
    """All events of the catalogue by name; loads the families on first use."""
    for family in FAMILIES:
        importlib.import_module(f"pillarbox.events.catalogue.{family}")
    return REGISTRY
