"""What can go wrong with a mailbox, as errors that are their own reply.

Each class carries the IMAP response code (RFC 5530, RFC 9051 §7.1) that tells a client which
kind it is, and a text that is safe to show to it: no paths, no exception texts.  ``code`` is the
code's bytes without brackets, or None.  `Temporary` and its children mean "try again": nothing
was changed.
"""

from __future__ import annotations

from typing import ClassVar


class MailError(Exception):
    """A mailbox operation that could not be done; ``text`` may be shown to the client."""

    code: ClassVar[bytes | None] = None
    default: ClassVar[str] = "It could not be done"

    def __init__(self, text: str | None = None) -> None:
        self.text = text if text is not None else self.default
        super().__init__(self.text)


class NoSuchMailbox(MailError):
    """There is no mailbox of this name."""

    code = b"NONEXISTENT"
    default = "Mailbox doesn't exist"


class MailboxDeleted(NoSuchMailbox):
    """The mailbox was deleted while it was in use."""

    default = "Mailbox was deleted under us"


class MailboxExists(MailError):
    """A mailbox of this name is there already."""

    code = b"ALREADYEXISTS"
    default = "Mailbox already exists"


class NoPermission(MailError):
    """The user may not do this."""

    code = b"NOPERM"
    default = "Permission denied"


class ReadOnly(MailError):
    """The mailbox was opened with EXAMINE."""

    default = "Mailbox is read-only"


class OverQuota(MailError):
    """The user has no room for the message (RFC 9208)."""

    code = b"OVERQUOTA"
    default = "Quota exceeded (mailbox for user is full)"


class CannotDelete(MailError):
    """The mailbox may not be deleted, for instance INBOX."""

    code = b"CANNOT"
    default = "Mailbox can't be deleted"


class InvalidName(MailError):
    """No mailbox can have this name."""

    code = b"CANNOT"
    default = "Invalid mailbox name"


class LimitExceeded(MailError):
    """A limit of the server's settings; the text says which."""

    code = b"LIMIT"
    default = "Limit exceeded"


class TooManyKeywords(LimitExceeded):
    """The mailbox's keyword table is full."""

    default = "Too many different keywords in this mailbox"


class UnsupportedUse(MailError):
    """A special use that no mailbox can be given (RFC 6154)."""

    code = b"USEATTR"
    default = "Special use is not supported"


class InvalidAnnotation(MailError):
    """No annotation can have this name: the client's mistake (BAD, not NO)."""

    default = "Invalid name of an annotation"


class AnnotationTooLarge(MailError):
    """The value of an annotation is larger than mail_attribute_max_value_size."""

    default = "The annotation is too large"


class TooManyAnnotations(MailError):
    """There are mail_attribute_max_count annotations already (RFC 5464)."""

    code = b"METADATA TOOMANY"
    default = "There are too many annotations"


class BadSequence(MailError):
    """A sequence number beyond the end of the mailbox: the client's mistake (BAD, not NO)."""

    default = "Invalid message sequence number"


class Expunged(MailError):
    """Some of the messages are gone, and the command needs them all (RFC 5530)."""

    code = b"EXPUNGEISSUED"
    default = "Some of the requested messages no longer exist"


class Unreadable(MailError):
    """The index knows the message, but its bytes are lost or damaged; it was logged."""

    code = b"SERVERBUG"
    default = "The message's text is lost or damaged"


class Temporary(MailError):
    """Not now: nothing was changed, the same request may succeed later."""

    code = b"UNAVAILABLE"
    default = "Temporary internal failure, try again later"


class LockTimeout(Temporary):
    """Somebody else kept the mailbox locked for longer than mail_max_lock_timeout."""

    code = b"INUSE"
    default = "Timeout while waiting for the mailbox lock"


class NoSpace(Temporary):
    """The disk is full."""

    default = "No space left for mail, try again later"
