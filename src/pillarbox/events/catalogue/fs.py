"""Events of the fs family: files, iterations, and the dict that maps paths to stored objects."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Path = Annotated[str | None, F("Path of the object as the dict maps it.")]
_ObjectId = Annotated[str | None, F("Identifier of the object in the storage.")]
_FileType = Annotated[str | None, F("What the file holds for the mail store.")]
_Access = Annotated[str | None, F("What the file was accessed for.")]
_MaxBucket = Annotated[int | None, F("The highest bucket in use.")]


@declare(category="fs")
def fs(scope: Scope, /) -> None:
    """A filesystem driver was set up; files and iterations inherit from it."""


@declare(category="fs")
def fs_file(scope: Scope, /) -> None:
    """A file was handled, inside whatever work needed it."""


@declare(category="fs")
def fs_iter(scope: Scope, /, *, file_type: _FileType = None, reason: _Access = None) -> None:
    """A directory was listed, inside whatever work needed it."""


@declare(category="fs")
def fs_dictmap_dict_write_uncertain(
    scope: Scope,
    /,
    *,
    path: _Path = None,
    object_id: _ObjectId = None,
    cleanup: Annotated[
        str | None,
        F(
            "What became of the attempt to take the object away again.",
            values=("success", "failed", "disabled"),
        ),
    ] = None,
    error: Error = None,
) -> None:
    """A write to the dict failed in a way that may yet have succeeded."""


@declare(category="fs")
def fs_dictmap_empty_bucket_iterated(
    scope: Scope,
    /,
    *,
    empty_bucket: Annotated[int | None, F("Number of the empty bucket.")] = None,
    max_bucket: _MaxBucket = None,
    deleted_count: Annotated[
        int | None, F("How many keys have been deleted from that bucket.")
    ] = None,
    file_type: _FileType = None,
    reason: _Access = None,
) -> None:
    """An iteration met an empty bucket that is not the last one."""


@declare(category="fs")
def fs_dictmap_max_bucket_changed(
    scope: Scope,
    /,
    *,
    reason: Annotated[
        str | None,
        F("Whether saving a file or iterating them led to it.", values=("file", "iter")),
    ] = None,
    old_max_bucket: Annotated[int | None, F("The highest bucket before.")] = None,
    max_bucket: _MaxBucket = None,
    error: Error = None,
    file_type: _FileType = None,
) -> None:
    """A mailbox's highest bucket changed: one was filled, found beyond the end, or found empty."""


@declare(category="fs")
def fs_dictmap_object_lost(
    scope: Scope,
    /,
    *,
    path: _Path = None,
    object_id: _ObjectId = None,
    deleted: Annotated[
        str | None, F("Present when the dict's entry was removed.", values=("yes",))
    ] = None,
) -> None:
    """The dict names an object that the storage does not have."""


@declare(category="fs")
def fs_object_write_uncertain(
    scope: Scope,
    /,
    *,
    cleanup: Annotated[
        str | None,
        F(
            "What became of the attempt to take the object away again.",
            values=("success", "failed"),
        ),
    ] = None,
    error: Error = None,
) -> None:
    """Writing an object failed in a way that may yet have succeeded, as a timeout."""
