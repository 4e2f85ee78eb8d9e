"""What can be wrong with a request about scripts, as errors that are their own reply.

Texts may be shown to the user; ``code`` is a response code of ManageSieve (RFC 5804 section 1.3)
or None.  `TryLater` alone is a temporary failure: what went wrong is in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pillarbox.sieve.errors import Diagnostic


class ScriptRefused(Exception):
    """A request that cannot be met; ``text`` says why."""

    code: ClassVar[str | None] = None

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class InvalidName(ScriptRefused):
    """No script can have this name."""


class NonExistent(ScriptRefused):
    """There is no such script."""

    code = "NONEXISTENT"


class AlreadyExists(ScriptRefused):
    """There is such a script."""

    code = "ALREADYEXISTS"


class IsActive(ScriptRefused):
    """The active script cannot be deleted."""

    code = "ACTIVE"


class TooManyScripts(ScriptRefused):
    """sieve_quota_script_count."""

    code = "QUOTA/MAXSCRIPTS"


class ScriptTooLarge(ScriptRefused):
    """sieve_max_script_size."""

    code = "QUOTA/MAXSIZE"


class StorageFull(ScriptRefused):
    """sieve_quota_storage_size."""

    code = "QUOTA"


class TryLater(ScriptRefused):
    """The storage cannot be used now; nothing is known to have changed."""

    code = "TRYLATER"

    def __init__(self, text: str = "Scripts cannot be accessed now, try again later.") -> None:
        super().__init__(text)


class BadScript(ScriptRefused):
    """The script does not compile."""

    def __init__(self, text: str, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(text)
        self.diagnostics = list(diagnostics)
