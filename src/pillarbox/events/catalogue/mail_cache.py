"""Events of the per-mailbox cache file: decisions about its fields, purges, damage."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.own import Reason
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Field = Annotated[str | None, F("Name of the cached field, as `imap.envelope` or `hdr.subject`.")]
_LastUsed = Annotated[
    int | None, F("When the field was last wanted, to a day.", unit="s since 1970")
]
_Corrupt = Annotated[str | None, F("What was found to be wrong.")]
_FileSeq = Annotated[int | None, F("Sequence number of the new cache file.")]
_PrevFileSeq = Annotated[int | None, F("Sequence number of the file that is purged.")]
_PrevFileSize = Annotated[int | None, F("Size of the file that is purged.", unit="bytes")]
_PrevDeleted = Annotated[int | None, F("Mails marked as deleted in the file that is purged.")]
_PurgeReason = Annotated[str | None, F("Why the file is purged, in words for people.")]


@declare(category="mail-cache")
def mail_cache_corrupted(scope: Scope, /, *, reason: _Corrupt = None) -> None:
    """The cache file is damaged and was thrown away whole; it grows again as it is used."""


@declare(category="mail-cache")
def mail_cache_record_corrupted(
    scope: Scope,
    /,
    *,
    reason: _Corrupt = None,
    uid: Annotated[int | None, F("UID of the mail whose record it was.")] = None,
) -> None:
    """The cached fields of one mail are damaged and were dropped."""


@declare(category="mail-cache")
def mail_cache_decision_changed(
    scope: Scope,
    /,
    *,
    field: _Field = None,
    last_used: _LastUsed = None,
    reason: Annotated[
        str | None,
        F(
            "What changed it: the field was wanted for the first time, wanted of an old mail, "
            "wanted out of order, or the file was purged.",
            values=("add", "old_mail", "unordered_access", "(a cache purge reason)"),
        ),
    ] = None,
    uid: Annotated[int | None, F("UID of the mail that led to it, where one did.")] = None,
    old_decision: Annotated[
        str | None, F("The decision so far.", values=("no", "temp", "yes"))
    ] = None,
    new_decision: Annotated[
        str | None,
        F("The decision now: never, for new mails, or for ever.", values=("no", "temp", "yes")),
    ] = None,
) -> None:
    """Whether a field is cached has been decided anew."""


@declare(category="mail-cache")
def mail_cache_decision_rejected(
    scope: Scope,
    /,
    *,
    field: _Field = None,
    reason: Annotated[
        str | None, F("Which limit stood in the way.", values=("too_many_headers",))
    ] = None,
) -> None:
    """A field was wanted but is not going to be cached."""


@declare(category="mail-cache")
def mail_cache_purge_started(
    scope: Scope,
    /,
    *,
    file_seq: _FileSeq = None,
    prev_file_seq: _PrevFileSeq = None,
    prev_file_size: _PrevFileSize = None,
    prev_deleted_records: _PrevDeleted = None,
    reason: _PurgeReason = None,
) -> None:
    """The cache file is about to be rewritten without what is dead in it."""


@declare(category="mail-cache")
def mail_cache_purge_drop_field(
    scope: Scope,
    /,
    *,
    field: _Field = None,
    decision: Annotated[str | None, F("The decision so far.", values=("temp", "yes"))] = None,
    last_used: _LastUsed = None,
    file_seq: _FileSeq = None,
    prev_file_seq: _PrevFileSeq = None,
    prev_file_size: _PrevFileSize = None,
    prev_deleted_records: _PrevDeleted = None,
    reason: _PurgeReason = None,
) -> None:
    """A purge drops a field that nobody has wanted for 30 days."""


@declare(category="mail-cache")
def mail_cache_purge_finished(
    scope: Scope,
    /,
    *,
    file_size: Annotated[int | None, F("Size of the new cache file.", unit="bytes")] = None,
    max_uid: Annotated[int | None, F("Highest UID in the new cache file.")] = None,
    file_seq: _FileSeq = None,
    prev_file_seq: _PrevFileSeq = None,
    prev_file_size: _PrevFileSize = None,
    prev_deleted_records: _PrevDeleted = None,
    reason: Reason = None,
) -> None:
    """The cache file has been rewritten."""
