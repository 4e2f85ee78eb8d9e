"""Events of the metacache: index bundles that travel between local disk and object storage."""

from __future__ import annotations

from typing import Annotated, Final

from pillarbox.events.catalogue.inherited import MAILBOX, MAILBOX_GUID, SESSION
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_REFRESHES: Final = ("refresh_changed", "refresh_unchanged", "kept", "created")

_Filename = Annotated[str | None, F("File name of the bundle.")]
_BundleType = Annotated[
    str | None,
    F(
        "Whether the bundle is whole, a change to one, or one's own.",
        values=("diff", "base", "self"),
    ),
]
_BundleSize = Annotated[int | None, F("Size of the bundle, not compressed.", unit="bytes")]
_Changed = Annotated[str | None, F("What changed, so that the bundle was made.")]
_Status = Annotated[
    str | None, F("What the storage had: news, nothing new, or nothing at all.", values=_REFRESHES)
]
_Rescan = Annotated[
    str | None, F("Present when the storage must be listed as well.", values=("yes",))
]
_SourceHost = Annotated[str | None, F("Server that the metacache is pulled from.")]
_PullType = Annotated[str | None, F("Which end of the pull this is.", values=("server", "client"))]
_ExitCode = Annotated[int | None, F("Exit code of the pull command; 0 is success.")]
_MinPriority = Annotated[int | None, F("Indexes of this priority and less urgent are cleaned.")]


@declare(category="storage", inherits=MAILBOX)
def metacache_mailbox_bundle_download_started(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    error: Error = None,
) -> None:
    """A bundle of one mailbox's index is about to be fetched."""


@declare(category="storage", inherits=MAILBOX)
def metacache_mailbox_bundle_download_finished(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    error: Error = None,
) -> None:
    """A bundle of one mailbox's index was fetched, or could not be."""


@declare(category="storage", inherits=MAILBOX_GUID)
def metacache_mailbox_bundle_upload_started(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    reason: _Changed = None,
    error: Error = None,
) -> None:
    """A bundle of one mailbox's index is about to be stored."""


@declare(category="storage", inherits=MAILBOX_GUID)
def metacache_mailbox_bundle_upload_finished(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    reason: _Changed = None,
    error: Error = None,
) -> None:
    """A bundle of one mailbox's index was stored, or could not be."""


@declare(category="storage", inherits=MAILBOX)
def metacache_mailbox_refresh_started(
    scope: Scope,
    /,
    *,
    metacache_status: _Status = None,
    rescan: _Rescan = None,
    error: Error = None,
) -> None:
    """A mailbox is opened and the storage is about to be asked for news of it."""


@declare(category="storage", inherits=MAILBOX)
def metacache_mailbox_refresh_finished(
    scope: Scope,
    /,
    *,
    metacache_status: _Status = None,
    rescan: _Rescan = None,
    error: Error = None,
) -> None:
    """The storage has answered what is new in a mailbox."""


@declare(category="storage")
def metacache_pull_started(
    scope: Scope,
    /,
    *,
    source_host: _SourceHost = None,
    type: _PullType = None,
    exit_code: _ExitCode = None,
    error: Error = None,
) -> None:
    """A user's metacache is about to be fetched from another server."""


@declare(category="storage")
def metacache_pull_finished(
    scope: Scope,
    /,
    *,
    source_host: _SourceHost = None,
    type: _PullType = None,
    exit_code: _ExitCode = None,
    error: Error = None,
) -> None:
    """A user's metacache was fetched from another server, or could not be."""


@declare(category="storage", inherits=MAILBOX)
def metacache_upload_started(scope: Scope, /, *, error: Error = None) -> None:
    """Local changes are about to be stored."""


@declare(category="storage", inherits=MAILBOX)
def metacache_upload_finished(scope: Scope, /, *, error: Error = None) -> None:
    """Local changes were stored, or could not be."""


@declare(category="storage", inherits=SESSION)
def metacache_user_bundle_download_started(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    error: Error = None,
) -> None:
    """A bundle of a user's root index is about to be fetched."""


@declare(category="storage", inherits=SESSION)
def metacache_user_bundle_download_finished(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    error: Error = None,
) -> None:
    """A bundle of a user's root index was fetched, or could not be."""


@declare(category="storage", inherits=MAILBOX)
def metacache_user_bundle_upload_started(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    reason: _Changed = None,
    error: Error = None,
) -> None:
    """A bundle of a user's root index is about to be stored, perhaps because of one mailbox."""


@declare(category="storage", inherits=MAILBOX_GUID)
def metacache_user_bundle_upload_finished(
    scope: Scope,
    /,
    *,
    filename: _Filename = None,
    bundle_type: _BundleType = None,
    bundle_size: _BundleSize = None,
    reason: _Changed = None,
    error: Error = None,
) -> None:
    """A bundle of a user's root index was stored, or could not be."""


@declare(category="storage", inherits=SESSION)
def metacache_user_clean_started(
    scope: Scope, /, *, min_priority: _MinPriority = None, error: Error = None
) -> None:
    """A user's local indexes are about to be removed, all or only the least important."""


@declare(category="storage", inherits=SESSION)
def metacache_user_clean_finished(
    scope: Scope, /, *, min_priority: _MinPriority = None, error: Error = None
) -> None:
    """A user's local indexes were removed, or could not be."""


@declare(category="storage", inherits=SESSION)
def metacache_user_refresh_started(
    scope: Scope,
    /,
    *,
    metacache_status: _Status = None,
    rescan: _Rescan = None,
    error: Error = None,
) -> None:
    """A user is accessed and the storage is about to be asked for news of them."""


@declare(category="storage", inherits=SESSION)
def metacache_user_refresh_finished(
    scope: Scope,
    /,
    *,
    metacache_status: _Status = None,
    rescan: _Rescan = None,
    error: Error = None,
) -> None:
    """The storage has answered what is new of a user."""
