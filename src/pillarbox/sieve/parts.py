"""Where a script is in the MIME tree of its message (RFC 5703), and how parts are exchanged.

A part is named by its path: the indexes of children from the message down.  Paths stay right when
the message changes under a loop, offsets would not.  `Loops` is the stack of foreverypart loops of
a run; the innermost one says what the current part is, the message itself outside of all loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pillarbox.mail.headers import split_header
from pillarbox.mail.mime import Part
from pillarbox.sieve.message import HeaderField, Message

Path = tuple[int, ...]

_MIME_FIELDS: Final = "CONTENT-"


@dataclass(slots=True)
class Loop:
    """One loop: the part it began at, the part it is at, and whether to leave out its children."""

    start: Path
    at: Path
    done_with_children: bool = False


@dataclass(slots=True)
class Loops:
    """The loops of a run, the innermost one last."""

    stack: list[Loop] = field(default_factory=list)
    changes: int = 0  # parts exchanged, messages enclosed

    @property
    def current(self) -> Path:
        """The current part."""
        return self.stack[-1].at if self.stack else ()


def part_at(message: Message, path: Path) -> Part | None:
    """The part of that path."""
    part = message.part
    for index in path:
        if index >= len(part.parts):
            return None
        part = part.parts[index]
    return part


def next_path(message: Message, loop: Loop) -> Path | None:
    """The part after the current one, depth first; None if the loop has seen all."""
    path = loop.at
    part = part_at(message, path)
    if part is not None and part.parts and not loop.done_with_children:
        return (*path, 0)
    while len(path) > len(loop.start):
        parent = part_at(message, path[:-1])
        if parent is not None and path[-1] + 1 < len(parent.parts):
            return (*path[:-1], path[-1] + 1)
        path = path[:-1]
    return None


def below(message: Message, path: Path) -> Iterator[Path]:
    """The part and all below it."""
    yield path
    part = part_at(message, path)
    for index in range(len(part.parts) if part is not None else 0):
        yield from below(message, (*path, index))


def fields_of(message: Message, path: Path, name: str) -> list[HeaderField]:
    """The fields of that name in the header of a part."""
    if not path:
        return message.fields(name)
    part = part_at(message, path)
    if part is None:
        return []
    wanted = name.upper().encode("ascii", "replace")
    return [
        HeaderField(name.upper(), message.data[start:end], value - start)
        for found, start, value, end in part.header.fields
        if found.upper() == wanted
    ]


def is_message_root(message: Message, path: Path) -> bool:
    """Whether the part is a message, with fields that do not belong to its MIME body."""
    if not path:
        return True
    parent = part_at(message, path[:-1])
    return parent is not None and parent.is_message


def exchange(message: Message, path: Path, content: bytes, extra: dict[str, bytes]) -> None:
    """Put ``content``, a MIME entity with its header, in place of a part.

    A message keeps its own fields; ``extra`` are lines by upper-case name that replace some.
    """
    if message.edited:
        message.replace(message.snapshot().render())
    part = part_at(message, path)
    if part is None:
        return
    if is_message_root(message, path):
        lines = _kept(message.data[part.start : part.body_start], extra)
        content = lines + b"MIME-Version: 1.0\r\n" + content
    message.replace(message.data[: part.start] + content + message.data[part.end :])


def _kept(header: bytes, extra: dict[str, bytes]) -> bytes:
    kept: list[bytes] = []
    waiting = dict(extra)
    for name, start, _, end in split_header(header).fields:
        upper = name.upper().decode("ascii", "replace")
        if upper.startswith(_MIME_FIELDS) or upper == "MIME-VERSION":
            continue
        line = header[start:end]
        if not line.endswith(b"\n"):
            line += b"\r\n"
        if upper in extra:
            new = waiting.pop(upper, None)
            if new is not None:
                kept += [new, b"Original-" + line]
            continue
        kept.append(line)
    return b"".join([*kept, *waiting.values()])
