"""What no running server gives a value to yet, of the events that are complete: the whole list.

`ABSENT` says why, field by field.  Everything else that these events declare is proven by the
tests beside this one and kept by the baseline of ``scripts/event_coverage.py``; here the two are
held against each other, so that a field cannot get lost between them, and a field that comes to
life must leave the list.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from pillarbox.events.catalogue.load import registry

BASELINE: Final = Path(__file__).parent.parent / "event_coverage.json"

NO_REASON: Final = {"reason_code": "happens for its own sake: it is nested in no other work"}
LOOKUP: Final = {"mechanism": "a look-up without credentials has no mechanism"}
NO_ERROR: Final = {"error": "what has only begun cannot have failed"}
UNKNOWN_YET: Final = {
    "user": "who logs in is known when the auth service has answered",
    "original_user": "who logs in is known when the auth service has answered",
    "auth_user": "who logs in is known when the auth service has answered",
}

ABSENT: Final[dict[str, dict[str, str]]] = {
    "auth_client_passdb_lookup_started": {**LOOKUP, **NO_ERROR},
    "auth_client_passdb_lookup_finished": LOOKUP,
    "auth_client_request_started": {**NO_REASON, **UNKNOWN_YET, **NO_ERROR},
    "auth_client_request_challenged": {**NO_REASON, **UNKNOWN_YET, **NO_ERROR},
    "auth_client_request_continued": {**NO_REASON, **UNKNOWN_YET, **NO_ERROR},
    "auth_client_request_finished": NO_REASON,
    "auth_client_userdb_list_started": {**NO_REASON, **LOOKUP},
    "auth_client_userdb_list_finished": {**NO_REASON, **LOOKUP},
    "auth_client_userdb_lookup_started": {**LOOKUP, **NO_ERROR},
    "auth_client_userdb_lookup_finished": LOOKUP,
    "auth_master_client_login_started": NO_REASON,
    "auth_master_client_login_finished": NO_REASON,
    "auth_passdb_request_started": NO_REASON,
    "auth_passdb_request_finished": NO_REASON,
    "auth_policy_request_finished": NO_REASON,
    "auth_request_finished": NO_REASON,
    "auth_userdb_request_started": NO_REASON,
    "auth_userdb_request_finished": NO_REASON,
    "client_connection_connected": NO_REASON,
    "client_connection_disconnected": NO_REASON,
    "dict_created": {"error": "opening the drivers that servers can have cannot fail"},
    "dict_destroyed": {
        **NO_REASON,
        "error": "closing the drivers that servers can have cannot fail",
    },
    "dict_iteration_finished": {},
    "dict_lookup_finished": {},
    "dict_transaction_finished": {
        "write_uncertain": "a file knows what was written, and there is no driver for a network"
    },
    "dns_request_started": NO_REASON,
    "dns_request_finished": NO_REASON,
    "dns_worker_request_started": NO_REASON,
    "dns_worker_request_finished": NO_REASON,
    "http_request_finished": NO_REASON,
    "http_request_redirected": NO_REASON,
    "http_request_retried": NO_REASON,
    "http_server_request_started": NO_REASON,
    "http_server_request_finished": NO_REASON,
    "imap_command_finished": {},
    "imap_id_received": {},
    "login_aborted": NO_REASON,
    "mail_cache_corrupted": {},
    "mail_cache_decision_changed": {},
    "mail_cache_decision_rejected": {},
    "mail_cache_purge_drop_field": {},
    "mail_cache_purge_finished": {},
    "mail_cache_purge_started": {},
    "mail_cache_record_corrupted": {},
    "mail_delivery_started": {},
    "mail_delivery_finished": {},
    "mail_expunge_requested": {},
    "mail_expunged": {},
    "mail_index_recreated": {
        "reason_code": "an open index belongs to all sessions of the process, not to a command"
    },
    "mail_metadata_accessed": {},
    "mail_opened": {},
    "mail_user_session_finished": {},
    "managesieve_command_finished": NO_REASON,
    "pop3_command_finished": {},
    "proxy_session_started": NO_REASON,
    "proxy_session_established": NO_REASON,
    "proxy_session_finished": NO_REASON,
    "server_connection_connected": {},
    "server_connection_disconnected": {},
    "sieve_action_finished": {},
    "sieve_runtime_script_started": NO_ERROR,
    "sieve_runtime_script_finished": {},
    "sieve_script_activated": NO_REASON,
    "sieve_script_closed": {},
    "sieve_script_deleted": NO_REASON,
    "sieve_script_opened": {},
    "sieve_script_renamed": NO_REASON,
    "sieve_storage_save_started": {**NO_REASON, **NO_ERROR},
    "sieve_storage_save_finished": NO_REASON,
    "smtp_server_command_started": {},
    "smtp_server_command_finished": {},
    "smtp_server_transaction_started": {"data_size": "no data have come yet"},
    "smtp_server_transaction_finished": {},
    "smtp_server_transaction_rcpt_finished": {},
    "smtp_submit_started": {},
    "smtp_submit_finished": {},
    "sql_connection_finished": NO_REASON,
    "sql_query_finished": {
        **NO_REASON,
        "consistency": "Cassandra only, which there is no driver for",
        "error_consistency": "Cassandra only, which there is no driver for",
    },
    "sql_transaction_finished": NO_REASON,
}

ABORT_TESTS: Final = ("test_events_login.py", "test_login_proxy.py")


def test_the_list_is_of_all_that_servers_emit() -> None:
    assert set(ABSENT) == set(json.loads(BASELINE.read_text()))
    assert set(ABSENT) <= set(registry())


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_every_field_is_proven_or_said_to_be_absent(name: str) -> None:
    proven = set(json.loads(BASELINE.read_text())[name])
    declared = set(registry()[name].fields)
    assert declared - proven == set(ABSENT[name])
    assert proven <= declared


def test_every_abort_reason_is_proven() -> None:
    values = registry()["login_aborted"].fields["reason"].values or ()
    proven = "".join((Path(__file__).parent / name).read_text() for name in ABORT_TESTS)
    assert [value for value in values if f'"{value}"' not in proven] == []
