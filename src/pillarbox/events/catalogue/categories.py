"""The event categories, their parents and meanings.

A filter on a category matches events of all categories below it.  ``service:<name>`` stands for
one category per running service, which `lineage` accepts for any name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Category:
    """A category: its name, the one above it, and what belongs to it."""

    name: str
    parent: str | None
    doc: str


_LIST: Final = (
    Category("auth", None, "Authentication, in the auth process"),
    Category("auth-client", None, "Authentication, in whoever asks the auth process"),
    Category("cassandra", "sql", "Cassandra databases"),
    Category("dict", None, "Dicts and their drivers"),
    Category("dict-server", None, "The dict process, which serves dicts to others"),
    Category("dns", None, "Name lookups, in whoever asks for them"),
    Category("dns-worker", None, "Name lookups, in the process that does them"),
    Category("fs", None, "The fs family: local files and object storage alike"),
    Category("fts", None, "Full-text search"),
    Category("fts-flatcurve", None, "The flatcurve engine of full-text search"),
    Category("http-client", None, "Requests to HTTP services"),
    Category("http-server", None, "Requests from HTTP clients"),
    Category("imap", None, "IMAP sessions"),
    Category("imap-hibernate", None, "IMAP sessions that sleep"),
    Category("imap-urlauth", None, "IMAP URLs fetched for others"),
    Category("imapc", "storage", "Mailboxes on another IMAP server"),
    Category("lda", None, "Delivery by command"),
    Category("lmtp", None, "The LMTP server"),
    Category("local-delivery", None, "Delivery into mailboxes, whatever brought the mail"),
    Category("lua", None, "Scripts of the administrator"),
    Category("mail-cache", None, "The cache file of a mailbox"),
    Category("mail-index", None, "The index files of a mailbox"),
    Category("mailbox", "storage", "Mailboxes and the mails in them"),
    Category("maildir", "storage", "Mailboxes in Maildir format"),
    Category("managesieve", None, "ManageSieve sessions"),
    Category("mbox", "storage", "Mailboxes in mbox format"),
    Category("mdbox", "storage", "Mailboxes with many mails per container file"),
    Category("mysql", "sql", "MySQL and MariaDB databases"),
    Category("pgsql", "sql", "PostgreSQL databases"),
    Category("pop3", None, "POP3 sessions"),
    Category("pop3c", "storage", "Mailboxes on another POP3 server"),
    Category("push-notification", None, "Notifications of changes sent elsewhere"),
    Category("quota-status", None, "Quota answers for mail transfer agents"),
    Category("sdbox", "storage", "Mailboxes with one mail per file"),
    Category("service:<name>", None, "Everything in the processes of one service"),
    Category("sieve", None, "All of Sieve"),
    Category("sieve-action", "sieve", "Single actions of scripts"),
    Category("sieve-execute", "sieve", "All that scripts do for one message"),
    Category("sieve-runtime", "sieve", "Single scripts being run"),
    Category("sieve-storage", "sieve", "Stored scripts"),
    Category("smtp-client", None, "SMTP and LMTP connections to other servers"),
    Category("smtp-server", None, "SMTP and LMTP connections from clients"),
    Category("smtp-submit", None, "Messages that the server itself sends out"),
    Category("sql", None, "All databases spoken to in SQL"),
    Category("sqlite", "sql", "SQLite databases"),
    Category("sqlpool", "sql", "Pools of database connections"),
    Category("ssl", None, "TLS connections, in both directions"),
    Category("ssl-client", None, "TLS connections to other servers"),
    Category("ssl-server", None, "TLS connections from clients"),
    Category("storage", None, "All of mail storage"),
    Category("submission", None, "Submission sessions"),
)

CATEGORIES: Final[dict[str, Category]] = {c.name: c for c in _LIST}

# The events of name lookups carry a category that is not on the list: it belongs to dns.
UNLISTED: Final = {"dns-client": "dns"}

# Log messages have their level as a category, so that filters can tell them apart.
LEVELS: Final = ("debug", "info", "warning", "error", "fatal", "panic")


def lineage(name: str) -> tuple[str, ...]:
    """The category itself and the ones above it, nearest first."""
    names = [name]
    while True:
        known = CATEGORIES.get(names[-1])
        parent = known.parent if known else UNLISTED.get(names[-1])
        if parent is None:
            return tuple(names)
        names.append(parent)


def is_known(name: str) -> bool:
    """Whether events can have this category."""
    return name in CATEGORIES or name in UNLISTED or name in LEVELS or name.startswith("service:")
