"""Events of mailboxes in object storage: merging indexes, rebuilding, rescanning, throttling."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import MAILBOX
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_New = Annotated[int | None, F("Mails found that the index did not know.")]
_TempLost = Annotated[int | None, F("Mails that the dict names but the storage lacks for now.")]
_Lost = Annotated[int | None, F("Mails of the index that the storage no longer has.")]
_LostMeanwhile = Annotated[int | None, F("New mails that were gone when their GUID was asked.")]
_Kept = Annotated[int | None, F("Mails that index and storage both have.")]
_Total = Annotated[int | None, F("Mails in the mailbox afterwards.")]
_Lookups = Annotated[int | None, F("Mails whose GUID was read from their metadata.")]
_Skipped = Annotated[int | None, F("Mails whose GUID was not read, since the limit was reached.")]
_Renumbered = Annotated[int | None, F("Number of UIDs concerned.")]


@declare(category="storage", inherits=MAILBOX)
def obox_index_merge_started(scope: Scope, /) -> None:
    """Two states of one mailbox's index are about to be merged."""


@declare(category="storage", inherits=MAILBOX)
def obox_index_merge_finished(scope: Scope, /) -> None:
    """Two states of one mailbox's index have been merged."""


@declare(category="storage", inherits=MAILBOX)
def obox_index_merge_uids_renumbered(
    scope: Scope, /, *, renumber_count: _Renumbered = None
) -> None:
    """A merge had to give mails new UIDs, because both states had used the same ones."""


@declare(category="storage", inherits=MAILBOX)
def obox_index_merge_skip_uid_renumbering(
    scope: Scope, /, *, renumber_count: _Renumbered = None
) -> None:
    """A merge should have given mails new UIDs, but there were more than the settings allow."""


@declare(category="storage", inherits=MAILBOX)
def obox_index_merge_uidvalidity_changed(scope: Scope, /) -> None:
    """A merge had to change the mailbox's UIDVALIDITY."""


@declare(category="storage")
def obox_mailbox_rebuild_started(
    scope: Scope,
    /,
    *,
    mails_new: _New = None,
    mails_temp_lost: _TempLost = None,
    mails_lost: _Lost = None,
    mails_lost_during_resync: _LostMeanwhile = None,
    mails_kept: _Kept = None,
    mails_total: _Total = None,
    guid_lookups: _Lookups = None,
    guid_lookups_skipped: _Skipped = None,
    error: Error = None,
) -> None:
    """A damaged mailbox is about to be rebuilt from what the storage lists."""


@declare(category="storage")
def obox_mailbox_rebuild_finished(
    scope: Scope,
    /,
    *,
    mails_new: _New = None,
    mails_temp_lost: _TempLost = None,
    mails_lost: _Lost = None,
    mails_lost_during_resync: _LostMeanwhile = None,
    mails_kept: _Kept = None,
    mails_total: _Total = None,
    guid_lookups: _Lookups = None,
    guid_lookups_skipped: _Skipped = None,
    error: Error = None,
) -> None:
    """A damaged mailbox has been rebuilt from what the storage lists."""


@declare(category="storage")
def obox_mailbox_rescan_started(
    scope: Scope,
    /,
    *,
    mails_new: _New = None,
    mails_temp_lost: _TempLost = None,
    mails_lost: _Lost = None,
    mails_lost_during_resync: _LostMeanwhile = None,
    mails_kept: _Kept = None,
    mails_total: _Total = None,
    guid_lookups: _Lookups = None,
    guid_lookups_skipped: _Skipped = None,
    error: Error = None,
) -> None:
    """A mailbox opened for the first time on this server is about to be compared with storage."""


@declare(category="storage")
def obox_mailbox_rescan_finished(
    scope: Scope,
    /,
    *,
    mails_new: _New = None,
    mails_temp_lost: _TempLost = None,
    mails_lost: _Lost = None,
    mails_lost_during_resync: _LostMeanwhile = None,
    mails_kept: _Kept = None,
    mails_total: _Total = None,
    guid_lookups: _Lookups = None,
    guid_lookups_skipped: _Skipped = None,
    error: Error = None,
) -> None:
    """A mailbox opened for the first time on this server has been compared with storage."""


@declare(category="storage")
def obox_save_throttling(
    scope: Scope,
    /,
    *,
    pending_save: Annotated[int | None, F("Saves that have not completed.")] = None,
    pending_copy: Annotated[int | None, F("Copies that have not completed.")] = None,
) -> None:
    """A save or copy waits, because as many as the settings allow are under way."""
