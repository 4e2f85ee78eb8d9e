"""body (RFC 5173): tests on the text of a message.

``:raw`` is the body as it stands.  ``:content`` gives the decoded text of each part of a wanted
type; of a multipart its prologue and epilogue, of an attached message its header.  ``:text``, the
default, gives each text part, HTML as its reader sees it.  Matching sets no variables.  What is
looked at in one test is limited; the rest of a huge message is not seen, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pillarbox.mail.charsets import decode_text, guess
from pillarbox.mail.mime import Part
from pillarbox.mail.search_text import charset_of, header_text
from pillarbox.sieve.registry import KEYS, STRINGS, Extension, TagSpec, TestSpec
from pillarbox.sieve.visible_text import visible_text

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node


def part_text(data: bytes, part: Part, limit: int) -> str:
    """The decoded text of one part, of any type."""
    octets = data[part.body_start : min(part.end, part.body_start + limit)]
    return decode_text(octets, part.encoding, charset_of(part))


class _Texts:
    """Decoded texts of one message, kept because scripts look at them again and again."""

    def __init__(self) -> None:
        self.version = -1
        self.known: dict[tuple[str, ...], list[str]] = {}


def _matches_type(part: Part, wanted: str) -> bool:
    if not wanted:
        return True
    kind, slash, subtype = wanted.lower().partition("/")
    if wanted.count("/") > 1 or not kind or (slash and not subtype):
        return False
    if part.type.decode("ascii", "replace") != kind:
        return False
    return not slash or part.subtype.decode("ascii", "replace") == subtype


def _multipart_frame(data: bytes, part: Part, limit: int) -> Iterator[str]:
    """Prologue and epilogue, as far as there is any text in them."""
    if not part.parts:
        return
    first = data.rfind(b"--", part.body_start, part.parts[0].start)
    prologue = data[part.body_start : max(first, part.body_start)]
    last = data.find(b"\n--", max(part.parts[-1].end - 2, 0), part.end)
    line = data.find(b"\n", last + 1, part.end) if last >= 0 else -1
    epilogue = data[line + 1 : part.end] if line >= 0 else b""
    for text in (prologue, epilogue):
        if text.strip():
            yield guess(text[:limit])


def _content(data: bytes, root: Part, wanted: list[str], limit: int) -> Iterator[str]:
    for part in root.walk():
        if not any(_matches_type(part, kind) for kind in wanted):
            continue
        if part.is_multipart:
            yield from _multipart_frame(data, part, limit)
        elif part.is_message:
            if part.parts:
                yield header_text(data, part.parts[0])
        else:
            yield part_text(data, part, limit)


def _text(data: bytes, root: Part, limit: int) -> Iterator[str]:
    for part in root.walk():
        if part.type == b"text":
            text = part_text(data, part, limit)
            yield visible_text(text) if part.subtype == b"html" else text


def _values(run: Run, node: Node) -> list[str]:
    message = run.message
    cache = run.state(_Texts)
    if cache.version != message.version:
        cache.version = message.version
        cache.known.clear()
    use = node.tags.get("content")
    if use is not None:
        wanted = run.texts(use.value)
        key: tuple[str, ...] = ("content", *wanted)
    else:
        wanted = []
        key = ("raw",) if "raw" in node.tags else ("text",)
    if key not in cache.known:
        run.spend(len(message.data) >> 12)
        limit = run.limits.body_size
        if len(message.data) > limit:
            run.warn(f"the message is larger than {limit} bytes; only so much of each part is seen")
        if use is not None:
            cache.known[key] = list(_content(message.data, message.part, wanted, limit))
        elif "raw" in node.tags:
            start = message.part.body_start
            cache.known[key] = [guess(message.data[start : start + limit])]
        else:
            cache.known[key] = list(_text(message.data, message.part, limit))
    found = cache.known[key]
    run.spend(sum(map(len, found)) >> 10)
    return found


_TRANSFORM = "body transform"

EXTENSION = Extension(
    "body",
    tests=(
        TestSpec(
            "body",
            values=_values,
            arguments=(KEYS,),
            tags=(
                TagSpec("raw", group=_TRANSFORM),
                TagSpec("content", STRINGS, group=_TRANSFORM),
                TagSpec("text", group=_TRANSFORM),
            ),
            keys="keys",
            captures=False,
        ),
    ),
)
