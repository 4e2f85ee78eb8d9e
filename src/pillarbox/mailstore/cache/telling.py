"""The events of a cache's decisions and purges, each filled in one place."""

from __future__ import annotations

from pillarbox.events.catalogue.mail_cache import (
    mail_cache_decision_changed,
    mail_cache_purge_drop_field,
    mail_cache_purge_finished,
    mail_cache_purge_started,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore.cache.decisions import NAMES, NO, Change, FieldState
from pillarbox.mailstore.cache.purge import Purge


def tell_change(scope: Scope, state: FieldState, old: int, change: Change, last_used: int) -> None:
    """A field's decision is another now; ``last_used`` as it was before, 0 for never."""
    if mail_cache_decision_changed.emit is not None:
        mail_cache_decision_changed.emit(
            scope,
            field=state.name,
            last_used=last_used or state.last_used,
            reason=change.reason,
            uid=change.uid or None,
            old_decision=NAMES[old],
            new_decision=NAMES[change.decision],
        )


def tell_purge_started(scope: Scope, purge: Purge) -> None:
    """A purge has chosen what it keeps and begins to write."""
    if mail_cache_purge_started.emit is not None:
        mail_cache_purge_started.emit(
            scope,
            file_seq=purge.file_seq,
            prev_file_seq=purge.prev_file_seq,
            prev_file_size=purge.prev_file_size,
            prev_deleted_records=purge.prev_deleted_records,
            reason=purge.reason,
        )


def tell_dropped(scope: Scope, purge: Purge, state: FieldState) -> None:
    """A purge has dropped a field that nobody wanted for long."""
    if mail_cache_purge_drop_field.emit is not None:
        mail_cache_purge_drop_field.emit(
            scope,
            field=state.name,
            decision=NAMES[state.decision],
            last_used=state.last_used,
            file_seq=purge.file_seq,
            prev_file_seq=purge.prev_file_seq,
            prev_file_size=purge.prev_file_size,
            prev_deleted_records=purge.prev_deleted_records,
            reason=purge.reason,
        )
    tell_change(scope, state, state.decision, Change(NO, purge.reason, 0), state.last_used)


def tell_purge_finished(scope: Scope, purge: Purge) -> None:
    """The new file is in place."""
    if mail_cache_purge_finished.emit is not None:
        mail_cache_purge_finished.emit(
            scope,
            file_size=purge.file_size,
            max_uid=purge.max_uid,
            file_seq=purge.file_seq,
            prev_file_seq=purge.prev_file_seq,
            prev_file_size=purge.prev_file_size,
            prev_deleted_records=purge.prev_deleted_records,
            reason=purge.reason,
        )
