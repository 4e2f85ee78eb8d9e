"""The metrics that are on without configuration.

They answer what is asked first of a mail server: who logs in and who fails, which commands run and
how long they take, what is delivered and what is refused, whether the cache works, whether a
database is slow, and whether anything was found damaged.  No label comes from the outside world
(no user, no address), so their number stays small.
"""

from __future__ import annotations

from typing import Final

from pillarbox.settings.model import GroupBySettings, MetricSettings


def _metric(
    description: str, events: str, group_by: tuple[str, ...] = (), fields: tuple[str, ...] = ()
) -> MetricSettings:
    return MetricSettings(
        filter=events,
        description=description,
        group_by=tuple(GroupBySettings(field=name) for name in group_by),
        fields=fields,
    )


DEFAULT_METRICS: Final[dict[str, MetricSettings]] = {
    "auth_request": _metric(
        "Authentications",
        "event=auth_request_finished",
        ("success", "mechanism", "service"),
        ("duration",),
    ),
    "auth_passdb": _metric(
        "Questions to password databases",
        "event=auth_passdb_request_finished",
        ("passdb", "result", "cache"),
        ("duration",),
    ),
    "auth_userdb": _metric(
        "Questions to user databases",
        "event=auth_userdb_request_finished",
        ("userdb", "result", "cache"),
        ("duration",),
    ),
    "login_aborted": _metric(
        "Connections that ended without a login",
        "event=login_aborted",
        ("service", "reason"),
    ),
    "client_connected": _metric(
        "Connections from clients", "event=client_connection_connected AND remote_ip=*"
    ),
    "client_disconnected": _metric(
        "Connections from clients that ended",
        "event=client_connection_disconnected AND remote_ip=*",
        (),
        ("duration", "net_in_bytes", "net_out_bytes"),
    ),
    "imap_command": _metric(
        "IMAP commands",
        "event=imap_command_finished",
        ("cmd_name", "tagged_reply_state"),
        ("duration",),
    ),
    "mail_session": _metric(
        "Sessions with the mail store",
        "event=mail_user_session_finished",
        ("service",),
        ("duration", "utime", "stime", "net_in_bytes", "net_out_bytes"),
    ),
    "mail_opened": _metric("Mails opened for their body", "event=mail_opened"),
    "mail_metadata_accessed": _metric(
        "Mails opened because the cache lacked something", "event=mail_metadata_accessed"
    ),
    "mail_expunged": _metric("Mails expunged", "event=mail_expunged"),
    "mail_delivery": _metric(
        "Deliveries that ended well", 'event=mail_delivery_finished AND error=""', (), ("duration",)
    ),
    "mail_delivery_failed": _metric(
        "Deliveries that failed", "event=mail_delivery_finished AND error=*"
    ),
    "smtp_server_command": _metric(
        "Commands of SMTP and LMTP clients",
        "event=smtp_server_command_finished",
        ("protocol", "cmd_name", "status_code"),
    ),
    "smtp_server_transaction": _metric(
        "Transactions of SMTP and LMTP clients",
        "event=smtp_server_transaction_finished",
        ("protocol", "status_code"),
        ("duration", "data_size"),
    ),
    "smtp_server_recipient": _metric(
        "Recipients settled",
        "event=smtp_server_transaction_rcpt_finished",
        ("protocol", "status_code", "enhanced_code"),
    ),
    "smtp_submit": _metric(
        "Messages that the server itself has sent",
        'event=smtp_submit_finished AND error=""',
        (),
        ("duration", "data_size"),
    ),
    "smtp_submit_failed": _metric(
        "Messages that the server itself could not send", "event=smtp_submit_finished AND error=*"
    ),
    "mail_index_recreated": _metric("Indexes made anew", "event=mail_index_recreated"),
    "mail_cache_corrupted": _metric(
        "Caches found damaged", "event=mail_cache_corrupted OR event=mail_cache_record_corrupted"
    ),
    "mail_cache_purge": _metric(
        "Caches rewritten", "event=mail_cache_purge_finished", (), ("duration",)
    ),
    "sql_query": _metric(
        "SQL queries", "event=sql_query_finished", ("query_first_word",), ("duration",)
    ),
    "sql_query_failed": _metric("SQL queries that failed", "event=sql_query_finished AND error=*"),
    "http_server_request": _metric(
        "Requests of HTTP clients",
        "event=http_server_request_finished",
        ("method", "status_code"),
        ("duration",),
    ),
}
