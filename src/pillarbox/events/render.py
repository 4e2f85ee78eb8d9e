"""One event as one line for people: time, name, whose, what, how long.

    12:00:00.123 imap_command_finished bob <d4Xk2> FETCH OK net_out_bytes=5210 1.2ms

The fields that say what happened come first and bare; what is on every line (addresses, ports),
what is long and what is empty is left out unless ``full`` asks for it.  Control characters are
shown escaped: lines hold what strangers sent.
"""

from __future__ import annotations

import time
from typing import Final

from pillarbox.events.formats.record import Record

_BARE: Final = (
    "cmd_name",
    "tagged_reply_state",
    "status_code",
    "result",
    "method",
    "target",
    "query_first_word",
    "mechanism",
    "mailbox",
    "mail_from",
    "rcpt_to",
)
_ELSEWHERE: Final = frozenset(("user", "session", "duration"))
_DULL: Final = frozenset(
    (
        "local_ip",
        "local_port",
        "remote_port",
        "real_local_ip",
        "real_local_port",
        "real_remote_ip",
        "real_remote_port",
        "service",
        "connection_id",
        "transaction_id",
        "original_user",
        "cmd_tag",
        "cmd_input_name",
        "cmd_args",
        "tagged_reply",
        "mailbox_guid",
        "last_run_time",
        "passdb_id",
        "userdb_id",
        "client_id",
        "tls_cipher_bits",
        "tls_pfs",
        "minor_faults",
        "major_faults",
        "vol_cs",
        "invol_cs",
        "rss",
        "vsz",
        "rchar",
        "wchar",
        "syscr",
        "syscw",
        "reason_code",
        "remote_pid",
        "remote_uid",
        "prev_file_seq",
        "translated_user",
        "transport",
        "passdb_name",
        "userdb_name",
        "running_usecs",
        "lock_wait_usecs",
        "id",
        "message_vsize",
    )
)
_LONGEST: Final = 60


def one_line(record: Record, full: bool = False) -> str:
    """The line, without a line end."""
    fields = record.fields
    stamp = time.strftime("%H:%M:%S", time.localtime(record.end_time))
    parts = [f"{stamp}.{int(record.end_time % 1 * 1000):03d}", record.event]
    if fields.get("user"):
        parts.append(_value(fields["user"], full))
    if fields.get("session"):
        parts.append(f"<{_value(fields['session'], full)}>")
    parts.extend(_value(fields[name], full) for name in _BARE if name in fields)
    for name, value in fields.items():
        if name in _ELSEWHERE or name in _BARE:
            continue
        if full or not (name in _DULL or value == "" or (name == "remote_ip" and "user" in fields)):
            parts.append(f"{name}={_value(value, full)}")
    if record.source:
        parts.append(f"({record.source})")
    duration = fields.get("duration")
    if isinstance(duration, int):
        parts.append(human_duration(duration))
    return " ".join(parts)


def human_duration(usecs: int) -> str:
    """Microseconds in three digits or so and a unit.

    >>> human_duration(950), human_duration(1234), human_duration(65_000_000)
    ('950µs', '1.2ms', '65s')
    """
    if usecs < 1000:
        return f"{usecs}µs"
    if usecs < 1_000_000:
        value, unit = usecs / 1000, "ms"
    else:
        value, unit = usecs / 1_000_000, "s"
    return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"


def _value(value: object, full: bool) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if len(text) > _LONGEST and not full:
        text = text[: _LONGEST - 1] + "…"
    if text.isprintable() and '"' not in text:
        return text if text and " " not in text else f'"{text}"'
    return repr(text)
