"""mime, foreverypart, replace, enclose and extracttext (RFC 5703): scripts that look at parts.

foreverypart runs its block for the message and every part below it, depth first; a loop within a
loop sees what is below the current part.  ``:mime`` on tests looks at the header of the current
part, ``:anychild`` at those below it too.  replace changes the current part, outside of loops the
message; enclose wraps the message.  Both make new versions, as editheader does.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from pillarbox.mail.parameters import parameter, parse_parameters, without_comments
from pillarbox.sieve.addresses import bare_address
from pillarbox.sieve.core.tests import is_field_name
from pillarbox.sieve.encoded_words import header_line
from pillarbox.sieve.errors import SieveLimitError, SieveRunError
from pillarbox.sieve.extensions.body import part_text
from pillarbox.sieve.extensions.variables import assign, check_variable, modifier, split_name
from pillarbox.sieve.message import HeaderField
from pillarbox.sieve.outgoing import from_line, text_entity, written_entity
from pillarbox.sieve.parts import Loop, Loops, below, exchange, fields_of, next_path, part_at
from pillarbox.sieve.registry import (
    NUMBER,
    STRING,
    STRINGS,
    Added,
    Asking,
    CommandSpec,
    Extension,
    Flow,
    Positional,
    TagSpec,
)
from pillarbox.sieve.visible_text import visible_text

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator

_PART: Final = "part of a MIME field"
_MOST_CHANGES: Final = 200


# The tags of mime


def _mime_fields(
    run: Run, node: Node, use: TagUse, name: str, found: list[HeaderField]
) -> list[HeaderField]:
    path = run.state(Loops).current
    if "anychild" not in node.tags:
        return fields_of(run.message, path, name)
    fields: list[HeaderField] = []
    for other in below(run.message, path):
        run.spend(1)
        fields += fields_of(run.message, other, name)
    return fields


def _split(field: HeaderField) -> tuple[str, str]:
    """Type and subtype, or the disposition and "", lower-cased."""
    value = without_comments(field.raw).partition(b";")[0].strip().decode("ascii", "replace")
    kind, _, subtype = value.lower().partition("/")
    return kind.strip(), subtype.strip()


def _parts_of(
    run: Run, node: Node, use: TagUse, name: str, found: list[HeaderField]
) -> list[HeaderField]:
    is_type = name.lower() == "content-type"
    if not is_type and name.lower() != "content-disposition":
        return []
    fields: list[HeaderField] = []
    for field in found:
        kind, subtype = _split(field)
        match use.spec.name:
            case "type":
                fields.append(field.with_text(kind))
            case "subtype" if is_type:
                fields.append(field.with_text(subtype))
            case "contenttype":
                fields.append(field.with_text(f"{kind}/{subtype}" if is_type else kind))
    return fields


def _parameters(
    run: Run, node: Node, use: TagUse, name: str, found: list[HeaderField]
) -> list[HeaderField]:
    fields: list[HeaderField] = []
    for field in found:
        _, params = parse_parameters(field.raw)
        for wanted in run.texts(use.value):
            value = parameter(params, wanted.lower().encode("utf-8", "replace"))
            if value is not None:
                fields.append(field.with_text(value))
    return fields


# foreverypart


def _foreverypart(run: Run, node: Node) -> Asking[Flow | None]:
    loops = run.state(Loops)
    nested = bool(loops.stack)
    start = loops.current
    loop = Loop(start, start)
    loops.stack.append(loop)
    try:
        if nested:
            return (yield from _rest(run, node, loop))
        flow = yield from _once(run, node)
        if flow is None:
            return (yield from _rest(run, node, loop))
        return _out(run, node, flow)
    finally:
        loops.stack.pop()


def _rest(run: Run, node: Node, loop: Loop) -> Asking[Flow | None]:
    while (path := next_path(run.message, loop)) is not None:
        loop.at = path
        loop.done_with_children = False
        flow = yield from _once(run, node)
        if flow is not None:
            return _out(run, node, flow)
    return None


def _once(run: Run, node: Node) -> Asking[Flow | None]:
    run.spend(4)
    return (yield from run.block(node.block))


def _out(run: Run, node: Node, flow: Flow) -> Flow | None:
    if flow is Flow.BREAK and run.break_target == node.position:
        run.break_target = None
        return None
    return flow


def _check_break(v: Validator, node: Node) -> None:
    loops = [outer for outer in v.enclosing if outer.name == "foreverypart"]
    if not loops:
        v.error(node.position, "the break command must be within a foreverypart loop")
        return
    use = node.tags.get("name")
    if use is None:
        node.data = loops[-1].position
        return
    wanted = use.text().constant
    for outer in reversed(loops):
        name = outer.tags.get("name")
        if name is not None and name.text().constant == wanted:
            node.data = outer.position
            return
    v.error(use.position, f"there is no foreverypart loop named '{(wanted or '')[:80]}' around")


def _break(run: Run, node: Node) -> Flow:
    run.break_target = node.data
    return Flow.BREAK


# replace, enclose and extracttext


def _said(run: Run, node: Node, tag: str) -> str | None:
    use = node.tags.get(tag)
    return None if use is None else run.text(use.text())


def _count(run: Run) -> None:
    """Count a change: each one reads the whole message again."""
    loops = run.state(Loops)
    loops.changes += 1
    run.spend(len(run.message.data) >> 10)
    if loops.changes > _MOST_CHANGES:
        raise SieveLimitError(f"more than {_MOST_CHANGES} parts of the message are changed")


def _replace(run: Run, node: Node) -> None:
    loops = run.state(Loops)
    text = run.text(node.text("replacement"))
    extra: dict[str, bytes] = {}
    subject, sender = _said(run, node, "subject"), _said(run, node, "from")
    if subject is not None and not loops.current:
        extra["SUBJECT"] = header_line("Subject", subject)
    if sender is not None and not loops.current:
        if bare_address(sender) is None:
            raise SieveRunError(f"replace: the :from address '{sender[:80]}' is invalid")
        extra["FROM"] = from_line(sender)
    content = written_entity(text) if "mime" in node.tags else text_entity(text)
    _count(run)
    exchange(run.message, loops.current, content, extra)
    if loops.stack:
        loops.stack[-1].done_with_children = True


def _check_mime(v: Validator, node: Node) -> None:
    text = node.text("replacement").constant
    if "mime" in node.tags and text is not None:
        head = text.replace("\r\n", "\n").partition("\n\n")[0]
        if "content-type:" not in head.lower():
            v.warning(node.position, "the replacement has no Content-Type for :mime")


def _enclose(run: Run, node: Node) -> Asking[None]:
    now: datetime = yield from run.now()
    message = run.message
    _count(run)
    original = message.snapshot().render()
    names = run.texts(node.tags["headers"].value) if "headers" in node.tags else []
    lines = [
        field.line if field.line.endswith(b"\n") else field.line + b"\r\n"
        for name in names
        for field in message.fields(name)
    ]
    copied = {name.lower() for name in names}
    sender = run.environment.addresses[:1] or (run.envelope.recipient,)
    if "date" not in copied:
        lines.append(header_line("Date", format_datetime(now)))
    if "from" not in copied and sender[0]:
        lines.append(from_line(sender[0]))
    subject = _said(run, node, "subject")
    if subject is not None:
        lines.append(header_line("Subject", subject))
    boundary = b"=_enclosed_%d_%d" % (message.version, len(original))
    while boundary in original:
        boundary += b"_"
    head = (
        b"".join(lines)
        + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary="'
        + boundary
        + b'"\r\n\r\n'
    )
    mark = b"--" + boundary
    first = text_entity(run.text(node.text("text")))
    second = b"Content-Type: message/rfc822\r\n\r\n" + original
    message.replace(
        head
        + mark
        + b"\r\n"
        + first
        + b"\r\n"
        + mark
        + b"\r\n"
        + second
        + b"\r\n"
        + mark
        + b"--\r\n"
    )
    for loop in run.state(Loops).stack:
        loop.done_with_children = True
        loop.at = loop.start


def _check_headers(v: Validator, node: Node, use: TagUse) -> None:
    for text in use.value:
        if text.constant is not None and not is_field_name(text.constant):
            v.error(text.position, f"invalid header name '{text.constant[:80]}' for enclose")


def _extract(run: Run, node: Node) -> None:
    part = part_at(run.message, run.state(Loops).current)
    text = ""
    if part is not None and part.type == b"text":
        run.spend(part.size >> 10)
        text = part_text(run.message.data, part, run.limits.body_size)
        if part.subtype == b"html":
            text = visible_text(text)
    if "first" in node.tags:
        text = text[: node.tags["first"].value]
    text = text[: run.limits.variable_length]
    (namespace, name), modifiers = node.data
    for modify in modifiers:
        text = modify(text)
    assign(run, namespace, name, text)


def _check_extract(v: Validator, node: Node) -> None:
    if not any(outer.name == "foreverypart" for outer in v.enclosing):
        v.error(node.position, "the extracttext command must be within a foreverypart loop")
    if not v.enabled("variables"):
        v.error(node.position, 'the extracttext command needs require "variables"')
        return
    name = node.text("variable").constant or ""
    problem = check_variable(v, name)
    if problem is not None:
        v.error(node.text("variable").position, problem)
    uses = [use.spec for use in node.tags.values() if use.spec.modify is not None]
    uses.sort(key=lambda spec: -spec.order)
    node.data = (split_name(name), [spec.modify for spec in uses])


_MIME_TAGS = (
    TagSpec("mime", fields=_mime_fields),
    TagSpec("anychild", needs="mime"),
)

EXTENSIONS = (
    Extension(
        "mime",
        added=(
            Added(("header", "address", "exists"), _MIME_TAGS),
            Added(
                ("header",),
                (
                    TagSpec("type", group=_PART, needs="mime", order=20, fields=_parts_of),
                    TagSpec("subtype", group=_PART, needs="mime", order=20, fields=_parts_of),
                    TagSpec("contenttype", group=_PART, needs="mime", order=20, fields=_parts_of),
                    TagSpec(
                        "param", STRINGS, group=_PART, needs="mime", order=20, fields=_parameters
                    ),
                ),
            ),
        ),
    ),
    Extension(
        "foreverypart",
        commands=(
            CommandSpec(
                "foreverypart",
                _foreverypart,
                tags=(TagSpec("name", STRING, constant=True),),
                block=True,
            ),
            CommandSpec(
                "break",
                _break,
                tags=(TagSpec("name", STRING, constant=True),),
                validate=_check_break,
            ),
        ),
    ),
    Extension(
        "replace",
        commands=(
            CommandSpec(
                "replace",
                _replace,
                (Positional("replacement", STRING),),
                tags=(TagSpec("mime"), TagSpec("subject", STRING), TagSpec("from", STRING)),
                validate=_check_mime,
            ),
        ),
    ),
    Extension(
        "enclose",
        commands=(
            CommandSpec(
                "enclose",
                _enclose,
                (Positional("text", STRING),),
                tags=(
                    TagSpec("subject", STRING),
                    TagSpec("headers", STRINGS, validate=_check_headers),
                ),
            ),
        ),
    ),
    Extension(
        "extracttext",
        commands=(
            CommandSpec(
                "extracttext",
                _extract,
                (Positional("variable", STRING, constant=True),),
                tags=(
                    TagSpec("first", NUMBER),
                    modifier("lower", 40),
                    modifier("upper", 40),
                    modifier("lowerfirst", 30),
                    modifier("upperfirst", 30),
                    modifier("quotewildcard", 20),
                    modifier("length", 10),
                ),
                validate=_check_extract,
            ),
        ),
    ),
)
