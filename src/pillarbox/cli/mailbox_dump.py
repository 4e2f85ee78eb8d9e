"""An index as text, for people who want to see what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pillarbox.mailstore.flags import flag_names
from pillarbox.mailstore.mailbox import Mailbox


def dump_mailbox(mailbox: Mailbox) -> Iterator[str]:
    """Header lines with ``#``, then a tab-separated line per message in the order of UIDs."""
    status = mailbox.status()
    yield f"# mailbox {mailbox.name}"
    yield f"# guid {mailbox.guid.hex()}"
    yield f"# uidvalidity {status.uidvalidity} uidnext {status.uidnext}"
    yield f"# highestmodseq {status.highestmodseq}"
    yield f"# messages {status.messages} unseen {status.unseen} deleted {status.deleted}"
    for number, keyword in enumerate(mailbox.keywords):
        yield f"# keyword {number} {keyword.decode('ascii', 'backslashreplace')}"
    yield "uid\tmodseq\tflags\treceived\tsaved\tsize\tcontainer\toffset\tguid"
    for record in mailbox.records:
        names = flag_names(int(record["flags"]), int(record["keywords"]), mailbox.keywords)
        yield "\t".join(
            (
                str(record["uid"]),
                str(record["modseq"]),
                " ".join(name.decode("ascii", "backslashreplace") for name in names) or "-",
                _time(int(record["internal_date"])),
                _time(int(record["save_date"])),
                str(record["size"]),
                str(record["container"]),
                str(record["offset"]),
                record["guid"].tobytes().hex(),
            )
        )


def _time(unix: int) -> str:
    try:
        return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(unix)
