"""The whole of the settings: one frozen struct, one attribute per setting.

`Settings` is the end of the inheritance chain over `pillarbox.settings.schema`, so every setting of
every family is an attribute of it, and ``Settings()`` holds all defaults.  Make variants with
``msgspec.structs.replace``; read files with `pillarbox.settings.load.load`.
"""

from __future__ import annotations

from pillarbox.settings.schema.databases import PassdbSettings, UserdbSettings
from pillarbox.settings.schema.dict import DictBlockSettings
from pillarbox.settings.schema.mail import MailboxSettings
from pillarbox.settings.schema.service import (
    InetListenerSettings,
    ServiceSettings,
    UnixListenerSettings,
)
from pillarbox.settings.schema.sieve import SieveListSettings
from pillarbox.settings.schema.sieve_programs import ImapSieveSettings
from pillarbox.settings.schema.ssl import LocalNameSettings
from pillarbox.settings.schema.stats import (
    EventExporterSettings,
    GroupBySettings,
    MetricSettings,
    StatsSettings,
)

__all__ = [
    "DictBlockSettings",
    "EventExporterSettings",
    "GroupBySettings",
    "ImapSieveSettings",
    "InetListenerSettings",
    "LocalNameSettings",
    "MailboxSettings",
    "MetricSettings",
    "PassdbSettings",
    "ServiceSettings",
    "Settings",
    "SieveListSettings",
    "UnixListenerSettings",
    "UserdbSettings",
]


class Settings(StatsSettings, frozen=True, kw_only=True):
    """All settings of the server; immutable, and safe to share."""
