"""LIST and LSUB (RFC 3501 6.3.8-9, RFC 5258 LIST-EXTENDED, RFC 5819 LIST-STATUS, RFC 6154,
RFC 9590 LIST-METADATA).

All names of the user, mailboxes and the missing parents between them, go into one tree of
`Node`s; what a command asks is then a walk over it.  A missing parent is \\NonExistent, which
the basic form of LIST calls \\Noselect.  RECURSIVEMATCH and LSUB's ``%`` need to know of
subscribed descendants, so each node counts them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from pillarbox.mailstore import errors
from pillarbox.mailstore.list import MailboxList
from pillarbox.services.imap.metadata import metadata_line, require_metadata
from pillarbox.services.imap.run import Ok, Run
from pillarbox.services.imap.status import status_line
from pillarbox.wire.imap import response
from pillarbox.wire.imap.list import List, Lsub, compile_patterns

if TYPE_CHECKING:
    pass

_BATCH: Final = 32


@dataclass(slots=True)
class Node:
    """A name: whether a mailbox has it, and what is below it."""

    name: str
    exists: bool = False
    subscribed: bool = False
    children: bool = False
    subscribed_below: bool = False
    special_use: tuple[str, ...] = ()


def list_mailboxes(run: Run) -> Ok | Coroutine[Any, Any, Ok]:
    """LIST."""
    session = run.session
    args = cast(List, run.args)
    if args.root:
        separator = session.user.mailboxes.separator.encode("ascii")
        root, found, _ = args.reference.partition(session.user.mailboxes.separator)
        name = response.mailbox(root + found) if found else b'""'
        session.send(b'* LIST (\\Noselect) "%b" %b\r\n' % (separator, name))
        return Ok("List completed.")
    if args.metadata:
        require_metadata(session)
    if args.status or args.metadata:
        return _with_more(run, args)
    session.send(*[line for _, line in _lines(session.user.mailboxes, args)])
    return Ok("List completed.")


async def _with_more(run: Run, args: List) -> Ok:
    """Each LIST reply followed by its STATUS and METADATA; mailboxes that vanish have none."""
    session = run.session
    if "HIGHESTMODSEQ" in args.status:
        session.enable_condstore()
    entries = args.metadata
    for number, (node, line) in enumerate(_lines(session.user.mailboxes, args)):
        session.send(line)
        if node.exists:
            with contextlib.suppress(errors.NoSuchMailbox):
                if args.status:
                    session.send(status_line(session, node.name, args.status))
                if entries:
                    entries = await _send_metadata(run, node.name, entries)
        if number % _BATCH == _BATCH - 1:
            await session.breathe()
    return Ok("List completed.")


async def _send_metadata(run: Run, name: str, entries: tuple[str, ...]) -> tuple[str, ...]:
    """Send a mailbox's METADATA; which entries to ask of the next one: none if it cannot be now."""
    try:
        line = await metadata_line(run, name, entries)
    except errors.Temporary:
        return ()
    await run.session.send_slowly(line)
    return entries


def lsub(run: Run) -> Ok:
    """LSUB."""
    session = run.session
    args = cast(Lsub, run.args)
    mailboxes = session.user.mailboxes
    if args.pattern is None:
        return Ok("Lsub completed.")
    pattern = compile_patterns(args.reference, (args.pattern,), mailboxes.separator)
    separator = mailboxes.separator.encode("ascii")
    for node in tree(mailboxes).values():
        if not (node.subscribed or (node.subscribed_below and "%" in args.pattern)):
            continue
        if pattern.fullmatch(node.name) is None:
            continue
        attributes = b"" if node.subscribed else b"\\Noselect"
        name = response.mailbox(node.name)
        session.send(b'* LSUB (%b) "%b" %b\r\n' % (attributes, separator, name))
    return Ok("Lsub completed.")


def tree(mailboxes: MailboxList) -> dict[str, Node]:
    """Every name with its place in the hierarchy: parents before children."""
    separator = mailboxes.separator
    nodes: dict[str, Node] = {}
    for entry in mailboxes.entries():
        node = _node(nodes, entry.name, separator)
        node.exists = True
        node.special_use = mailboxes.special_use(entry)
        for parent in _parents(entry.name, separator):
            nodes[parent].children = True
    for name in sorted(mailboxes.subscriptions()):
        _node(nodes, name, separator).subscribed = True
        for parent in _parents(name, separator):
            nodes[parent].subscribed_below = True
    order = sorted(nodes, key=lambda name: (name.partition(separator)[0] != "INBOX", name))
    return {name: nodes[name] for name in order}


def _node(nodes: dict[str, Node], name: str, separator: str) -> Node:
    for parent in _parents(name, separator):
        if parent not in nodes:
            nodes[parent] = Node(parent)
    if name not in nodes:
        nodes[name] = Node(name)
    return nodes[name]


def _parents(name: str, separator: str) -> list[str]:
    levels = name.split(separator)
    return [separator.join(levels[:count]) for count in range(1, len(levels))]


def _lines(mailboxes: MailboxList, args: List) -> list[tuple[Node, bytes]]:
    """The nodes that a LIST asks for, each with its reply."""
    pattern = compile_patterns(args.reference, args.patterns, mailboxes.separator)
    separator = mailboxes.separator.encode("ascii")
    found: list[tuple[Node, bytes]] = []
    for node in tree(mailboxes).values():
        if not _selected(node, args) or pattern.fullmatch(node.name) is None:
            continue
        line = b'* LIST (%b) "%b" %b' % (
            b" ".join(_attributes(node, args)),
            separator,
            response.mailbox(node.name),
        )
        if "RECURSIVEMATCH" in args.selection and _below(node, args):
            line += b' ("CHILDINFO" ("SUBSCRIBED"))'
        found.append((node, line + b"\r\n"))
    return found


def _selected(node: Node, args: List) -> bool:
    """Whether the selection options take this name; without any, existing names and parents."""
    wanted = args.selection - {"REMOTE", "RECURSIVEMATCH"}
    if not wanted:
        return node.exists or node.children
    if "RECURSIVEMATCH" in args.selection and _below(node, args):
        return True
    return not (
        ("SUBSCRIBED" in wanted and not node.subscribed)
        or ("SPECIAL-USE" in wanted and not node.special_use)
    )


def _below(node: Node, args: List) -> bool:
    return "SUBSCRIBED" in args.selection and node.subscribed_below


def _attributes(node: Node, args: List) -> list[bytes]:
    attributes: list[bytes] = []
    if not node.exists:
        attributes.append(b"\\NonExistent" if args.extended else b"\\Noselect")
    # The extended form has what was asked for, the basic one what any client may want.
    if "CHILDREN" in args.returns or not args.extended:
        attributes.append(b"\\HasChildren" if node.children else b"\\HasNoChildren")
    asked = args.selection | args.returns
    if node.subscribed and "SUBSCRIBED" in asked:
        attributes.append(b"\\Subscribed")
    if "SPECIAL-USE" in asked or not args.extended:
        attributes.extend(use.encode("ascii") for use in node.special_use)
    return attributes
