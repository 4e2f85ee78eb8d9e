"""From a raw command to a typed one: `parse_command` (RFC 3501 section 6).

The table `PARSERS` names every command the server knows, ``UID FETCH`` and its like being
commands of their own, and the function that reads its arguments.  A command without arguments
has None.  `BadCommand` carries what a reply needs: the tag, or ``*`` if none was readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.wire.imap.append import Append, parse_append
from pillarbox.wire.imap.compress import Compress, parse_compress
from pillarbox.wire.imap.copy import (
    Copy,
    UidExpunge,
    parse_copy,
    parse_uid_copy,
    parse_uid_expunge,
)
from pillarbox.wire.imap.enable import Enable, parse_enable
from pillarbox.wire.imap.fetch import Fetch, parse_fetch, parse_uid_fetch
from pillarbox.wire.imap.filter import Filter, parse_filter, parse_uid_filter
from pillarbox.wire.imap.id import Id, parse_id
from pillarbox.wire.imap.lexer import MAX_NESTING, BadSyntax, Lexer
from pillarbox.wire.imap.list import List, Lsub, parse_list, parse_lsub
from pillarbox.wire.imap.login import Authenticate, Login, parse_authenticate, parse_login
from pillarbox.wire.imap.mailbox import (
    Create,
    Mailbox,
    Rename,
    parse_create,
    parse_mailbox,
    parse_rename,
)
from pillarbox.wire.imap.metadata import (
    GetMetadata,
    SetMetadata,
    parse_getmetadata,
    parse_setmetadata,
)
from pillarbox.wire.imap.reader import RawCommand, read_tag
from pillarbox.wire.imap.search_syntax import Search, parse_search, parse_uid_search
from pillarbox.wire.imap.select import Select, parse_select
from pillarbox.wire.imap.status import Status, parse_status
from pillarbox.wire.imap.store import Store, parse_store, parse_uid_store

Arguments = (
    Append
    | Authenticate
    | Compress
    | Copy
    | Create
    | Enable
    | Fetch
    | Filter
    | GetMetadata
    | Id
    | List
    | Login
    | Lsub
    | Mailbox
    | Rename
    | Search
    | Select
    | SetMetadata
    | Status
    | Store
    | UidExpunge
    | None
)


@dataclass(slots=True)
class Command:
    """A parsed command.

    ``name`` is canonical (``UID FETCH``), ``input_name`` as the client wrote it, ``at`` where
    the arguments begin in ``raw.text``.
    """

    tag: bytes
    name: str
    args: Arguments
    raw: RawCommand
    at: int

    @property
    def input_name(self) -> str:
        """The command's name in the client's own spelling."""
        start = len(self.tag) + 1
        return self.raw.text[start : self.at].decode("ascii", "replace")


class BadCommand(Exception):
    """A command that cannot be read; ``text`` and ``code`` make the tagged reply.

    ``name`` is the command's name when that much could be read, for it is an event's field;
    ``at`` is where its arguments begin, 0 when unknown.
    """

    def __init__(
        self,
        tag: bytes,
        name: str | None,
        text: str,
        code: bytes | None = None,
        state: str = "BAD",
        at: int = 0,
    ) -> None:
        super().__init__(text)
        self.tag = tag
        self.name = name
        self.text = text
        self.code = code
        self.state = state
        self.at = at


def _nothing(lexer: Lexer) -> None:
    lexer.finish()


PARSERS: Final[dict[str, Callable[[Lexer], Arguments]]] = {
    "APPEND": parse_append,
    "AUTHENTICATE": parse_authenticate,
    "CAPABILITY": _nothing,
    "CHECK": _nothing,
    "CLOSE": _nothing,
    "COMPRESS": parse_compress,
    "COPY": parse_copy,
    "CREATE": parse_create,
    "DELETE": parse_mailbox,
    "ENABLE": parse_enable,
    "EXAMINE": parse_select,
    "EXPUNGE": _nothing,
    "FETCH": parse_fetch,
    "FILTER": parse_filter,
    "GETMETADATA": parse_getmetadata,
    "ID": parse_id,
    "IDLE": _nothing,
    "LIST": parse_list,
    "LOGIN": parse_login,
    "LOGOUT": _nothing,
    "LSUB": parse_lsub,
    "MOVE": parse_copy,
    "NAMESPACE": _nothing,
    "NOOP": _nothing,
    "RENAME": parse_rename,
    "SEARCH": parse_search,
    "SELECT": parse_select,
    "SETMETADATA": parse_setmetadata,
    "STARTTLS": _nothing,
    "STATUS": parse_status,
    "STORE": parse_store,
    "SUBSCRIBE": parse_mailbox,
    "UID COPY": parse_uid_copy,
    "UID EXPUNGE": parse_uid_expunge,
    "UID FETCH": parse_uid_fetch,
    "UID FILTER": parse_uid_filter,
    "UID MOVE": parse_uid_copy,
    "UID SEARCH": parse_uid_search,
    "UID STORE": parse_uid_store,
    "UNSELECT": _nothing,
    "UNSUBSCRIBE": parse_mailbox,
}

_HEAD: Final = re.compile(
    rb"([!#$&'\x2c-\x5b\x5d-\x7a|}~]+) (UID [A-Z]+|[A-Z]+)(?= |\Z)", re.IGNORECASE
)
_NAME_FOLLOWS: Final = re.compile(rb" +\{[0-9]+\}\r\n")
_KNOWN: Final = {
    name.encode("ascii"): (name, None if parser is _nothing else parser)
    for name, parser in PARSERS.items()
}


def look_ahead(raw: RawCommand, max_nesting: int = MAX_NESTING) -> Command:
    """What a command can be told to be while the client waits to send a literal of it.

    ``raw`` has an empty one in that literal's place.  An APPEND that waits for a message comes
    complete but for that message's data, of other commands there are no arguments yet.  Raises
    BadCommand if whatever follows cannot make it right.
    """
    tag, name, parser, at = _head(raw)
    if parser is None:
        raise BadCommand(tag, name, f"{name} takes no arguments", at=at)
    if name == "APPEND" and _NAME_FOLLOWS.fullmatch(raw.text, at) is None:
        return parse_command(raw, max_nesting)
    return Command(tag, name, None, raw, at)


def parse_command(raw: RawCommand, max_nesting: int = MAX_NESTING) -> Command:
    """Read a whole command.  Raises BadCommand."""
    tag, name, parser, at = _head(raw)
    if parser is None:
        if at != len(raw.text) and raw.text[at:].strip(b" "):
            raise BadCommand(tag, name, f"{name} takes no arguments", at=at)
        return Command(tag, name, None, raw, at)
    try:
        return Command(tag, name, parser(Lexer(raw, at, max_nesting)), raw, at)
    except BadSyntax as error:
        text = f"{name}: {error.text}" if error.state == "BAD" else error.text
        raise BadCommand(tag, name, text, error.code, error.state, at) from None


def _head(raw: RawCommand) -> tuple[bytes, str, Callable[[Lexer], Arguments] | None, int]:
    """Tag, name, the function for the arguments (None: there are none), where they begin."""
    head = _HEAD.match(raw.text)
    if head is None:
        tag = read_tag(raw.text)
        text = "Missing command" if raw.text.startswith(tag) else "Invalid tag"
        raise BadCommand(tag, None, text)
    tag = head.group(1)
    written = head.group(2)
    known = _KNOWN.get(written) or _KNOWN.get(written.upper())
    at = head.end()
    if known is None:
        unknown = written[:32].decode("ascii").upper()
        raise BadCommand(tag, None, f"Unknown command {unknown}", at=at)
    return tag, *known, at
