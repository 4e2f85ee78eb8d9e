"""How many scripts a user may have, and how large: RFC 5804 sections 2.5 and 2.6.

The limits are the settings sieve_quota_script_count and sieve_quota_storage_size, or the userdb
fields of the same names; 0 means none.  A script that takes the place of another counts in its
stead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pillarbox.delivery.sieve_storage.errors import ScriptTooLarge, StorageFull, TooManyScripts
from pillarbox.drivers.script.api import Listed
from pillarbox.settings.model import Settings
from pillarbox.settings.units import parse_size


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits, 0 for none; sizes in bytes.  ``script_size`` is never 0."""

    scripts: int
    storage: int
    script_size: int

    def check(self, existing: Sequence[Listed], name: str, size: int) -> None:
        """Raises ScriptTooLarge, TooManyScripts or StorageFull if it may not be stored."""
        if size > self.script_size:
            raise ScriptTooLarge(f"The script is larger than {self.script_size} bytes.")
        others = [one for one in existing if one.name != name]
        if self.scripts and len(others) >= self.scripts:
            raise TooManyScripts(f"There cannot be more than {self.scripts} scripts.")
        if self.storage and sum(one.size for one in others) + size > self.storage:
            raise StorageFull(f"All scripts together cannot be larger than {self.storage} bytes.")


def quota_of(fields: Mapping[str, str], settings: Settings) -> Quota:
    """The user's limits.  Raises ValueError for a userdb field that is no size or number."""
    scripts = fields.get("sieve_quota_script_count")
    storage = fields.get("sieve_quota_storage_size")
    return Quota(
        settings.sieve_quota_script_count if scripts is None else int(scripts),
        settings.sieve_quota_storage_size if storage is None else parse_size(storage),
        settings.sieve_max_script_size,
    )
