"""imapsieve (RFC 6785): scripts that run on APPEND, COPY and flag changes.

It brings items of the environment, read by the tests of the environment extension: imap.user,
imap.email, imap.cause (APPEND, COPY, FLAG), imap.mailbox, imap.changedflags.  Their values
come from the caller; where no IMAP session is, they match nothing.
"""

from __future__ import annotations

from pillarbox.sieve.registry import Extension

EXTENSION = Extension("imapsieve", implies=("environment",))
