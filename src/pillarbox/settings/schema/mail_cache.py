"""Settings of the cache: which fields of mails are kept, how long, and when it is cleaned."""

from __future__ import annotations

from typing import Annotated

from pillarbox.settings.schema.base import DAY, GIB, KIB, Doc
from pillarbox.settings.schema.mail_index import MailIndexSettings


class MailCacheSettings(MailIndexSettings, frozen=True, kw_only=True):
    """Decisions, sizes and purging of the per-mailbox cache."""

    mail_cache_fields: Annotated[
        tuple[str, ...],
        Doc(
            "Fields that a new mailbox caches from its first mail on; others are cached from when "
            "a client first asks for them."
        ),
    ] = ()
    mail_always_cache_fields: Annotated[
        tuple[str, ...], Doc("Fields that are cached whatever clients ask for.")
    ] = ()
    mail_never_cache_fields: Annotated[tuple[str, ...], Doc("Fields that are never cached.")] = ()
    mail_cache_unaccessed_field_drop: Annotated[
        float, Doc("A field that nobody asked for this long is no longer cached.", kind="time")
    ] = 30 * DAY
    mail_cache_max_size: Annotated[
        int, Doc("Largest cache file; beyond it the cache begins anew.", kind="size")
    ] = 1 * GIB
    mail_cache_max_headers_count: Annotated[
        int, Doc("Header fields that one mailbox caches; 0: any number.")
    ] = 100
    mail_cache_max_header_name_length: Annotated[
        int, Doc("Longest header name that is cached.")
    ] = 100
    mail_cache_purge_min_size: Annotated[
        int, Doc("Smaller cache files are not purged.", kind="size")
    ] = 32 * KIB
    mail_cache_purge_delete_percentage: Annotated[
        int, Doc("Share of dead records at which the cache is purged.")
    ] = 20
