"""ESMTP parameters of MAIL and RCPT (RFC 5321 section 4.1.2).

Known for MAIL: SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), AUTH (RFC 4954),
RET and ENVID (RFC 3461), BY (RFC 2852).  Known for RCPT: NOTIFY and ORCPT (RFC 3461, RFC 6533),
XRCPTFORWARD (`wire.proxy.forward`, in xtext).
The DSN and AUTH ones are understood even where they are not announced, since they do no harm and
are worth logging; BODY=BINARYMIME, BY and XRCPTFORWARD are for a server to refuse that cannot do
them.  What is unknown gets 555, what is given twice or malformed 501.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.wire.smtp import xtext
from pillarbox.wire.smtp.address import parse_path
from pillarbox.wire.smtp.reply import Refused, refused

_PARAMETER: Final = re.compile(
    rb"[ \t]+([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\x80-\xff]+))?"
)
_MAX_SIZE_DIGITS: Final = 20
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_BY: Final = re.compile(r"-?[0-9]{1,9};[NR]T?")
_UNICODE_CHAR: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What came with MAIL; ``size`` in bytes, ``auth`` and ``envid`` decoded, ``by`` as given."""

    size: int | None = None
    body: str | None = None
    smtputf8: bool = False
    auth: str | None = None
    envid: str | None = None
    ret: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """What came with RCPT; ``notify`` as given in capitals, ``orcpt`` the decoded address.

    ``forward`` is decoded text.
    """

    notify: str | None = None
    orcpt: str | None = None
    orcpt_type: str | None = None
    forward: str | None = None


NO_MAIL_PARAMETERS: Final = MailParameters()
NO_RCPT_PARAMETERS: Final = RcptParameters()


def parse_mail_parameters(line: bytes, at: int) -> MailParameters:
    """The parameters from ``line[at:]``, which is the rest of the line.  Raises Refused."""
    if at == len(line):
        return NO_MAIL_PARAMETERS
    return MailParameters(**_parse(line, at, _MAIL))  # type: ignore[arg-type]


def parse_rcpt_parameters(line: bytes, at: int) -> RcptParameters:
    """The parameters from ``line[at:]``, which is the rest of the line.  Raises Refused."""
    if at == len(line):
        return NO_RCPT_PARAMETERS
    return RcptParameters(**_parse(line, at, _RCPT))  # type: ignore[arg-type]


Fields = dict[str, object]
Reader = Callable[[str | None], Fields]


def _parse(line: bytes, at: int, readers: Mapping[str, Reader]) -> Fields:
    """Read ``KEYWORD[=value]`` pairs to the end of the line."""
    fields: Fields = {}
    seen: set[str] = set()
    end = len(line)
    while at < end:
        match = _PARAMETER.match(line, at)
        if match is None:
            if line[at:].strip(b" \t") == b"":
                break
            raise refused(501, "5.5.4", "Invalid parameters")
        at = match.end()
        if at < end and line[at] not in b" \t":
            raise refused(501, "5.5.4", "Invalid parameters")
        keyword = match[1].decode().upper()
        reader = readers.get(keyword)
        if reader is None:
            raise refused(555, "5.5.4", f"Unsupported parameter {keyword}")
        if keyword in seen:
            raise refused(501, "5.5.4", f"Parameter {keyword} given twice")
        seen.add(keyword)
        try:
            fields |= reader(None if match[2] is None else match[2].decode())
        except (ValueError, Refused):
            raise refused(501, "5.5.4", f"Invalid value for parameter {keyword}") from None
    return fields


def _size(value: str | None) -> Fields:
    if value is None or not value.isascii() or not value.isdigit():
        raise ValueError
    if len(value) > _MAX_SIZE_DIGITS:
        raise ValueError
    return {"size": int(value)}


def _choice(field: str, allowed: frozenset[str]) -> Reader:
    def read(value: str | None) -> Fields:
        if value is None or value.upper() not in allowed:
            raise ValueError
        return {field: value.upper()}

    return read


def _smtputf8(value: str | None) -> Fields:
    if value is not None:
        raise ValueError
    return {"smtputf8": True}


def _auth(value: str | None) -> Fields:
    if value is None:
        raise ValueError
    if value == "<>":
        return {"auth": "<>"}
    decoded = xtext.decode(value)
    parse_path(f"<{decoded}>".encode())
    return {"auth": decoded}


def _envid(value: str | None) -> Fields:
    if value is None or len(value) > 100:
        raise ValueError
    decoded = xtext.decode(value)
    if not decoded.isprintable():
        raise ValueError
    return {"envid": decoded}


def _by(value: str | None) -> Fields:
    if value is None or not _BY.fullmatch(value.upper()):
        raise ValueError
    return {"by": value.upper()}


def _notify(value: str | None) -> Fields:
    if value is None:
        raise ValueError
    words = value.upper().split(",")
    if words != ["NEVER"] and not _NOTIFY.issuperset(words):
        raise ValueError
    return {"notify": ",".join(words)}


def _orcpt(value: str | None) -> Fields:
    kind, colon, address = (value or "").partition(";")
    if not colon or not kind or not address or len(address) > 500:
        raise ValueError
    if kind.lower() == "utf-8":
        decoded = _UNICODE_CHAR.sub(lambda m: chr(int(m[1], 16)), address)
    else:
        decoded = xtext.decode(address)
    if not decoded.isprintable():
        raise ValueError
    return {"orcpt": decoded, "orcpt_type": kind.lower()}


def _forward(value: str | None) -> Fields:
    return {"forward": xtext.decode(value or "")}


_MAIL: Final[Mapping[str, Reader]] = {
    "SIZE": _size,
    "BODY": _choice("body", frozenset({"7BIT", "8BITMIME", "BINARYMIME"})),
    "SMTPUTF8": _smtputf8,
    "AUTH": _auth,
    "RET": _choice("ret", frozenset({"FULL", "HDRS"})),
    "ENVID": _envid,
    "BY": _by,
}
_RCPT: Final[Mapping[str, Reader]] = {
    "NOTIFY": _notify,
    "ORCPT": _orcpt,
    "XRCPTFORWARD": _forward,
}
