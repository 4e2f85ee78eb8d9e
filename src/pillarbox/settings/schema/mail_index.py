"""Settings of the index and of its log."""

from __future__ import annotations

from typing import Annotated

from pillarbox.settings.schema.base import KIB, MIB, MINUTE, Doc
from pillarbox.settings.schema.mail import MailSettings


class MailIndexSettings(MailSettings, frozen=True, kw_only=True):
    """When the index's snapshot is rewritten, and how long its locks wait."""

    mail_index_log_rotate_min_size: Annotated[
        int, Doc("Log size from which a new snapshot may be written.", kind="size")
    ] = 64 * KIB
    mail_index_log_rotate_max_size: Annotated[
        int, Doc("Log size at which a new snapshot is written in any case.", kind="size")
    ] = 4 * MIB
    mail_index_lock_timeout: Annotated[
        float, Doc("How long a writer waits for another before it gives up.", kind="time")
    ] = 2 * MINUTE
