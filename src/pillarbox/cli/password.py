"""Asking for a new password: twice on a terminal, else the first line of standard input."""

from __future__ import annotations

import getpass
import sys

from pillarbox.auth.scheme import SchemeError
from pillarbox.auth.schemes import hash_password
from pillarbox.cli.failure import DATA, USAGE, CommandFailed


def new_password(prompt: str = "New password: ") -> str:
    """The password.  Raises CommandFailed for an empty one or two that differ."""
    if sys.stdin.isatty():
        password = getpass.getpass(prompt)
        if password != getpass.getpass("Once more: "):
            raise CommandFailed("the two passwords differ", DATA)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandFailed("an empty password is none", DATA)
    return password


def hashed(scheme: str, password: str, user: str = "") -> str:
    """The stored form with its ``{SCHEME}``.  Raises CommandFailed for an unknown scheme."""
    try:
        return hash_password(scheme, password, user)
    except SchemeError as error:
        raise CommandFailed(str(error), USAGE) from None
