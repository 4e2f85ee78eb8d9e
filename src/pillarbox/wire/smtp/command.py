"""Command lines of SMTP, LMTP and submission (RFC 5321 section 4.1, RFC 2033, RFC 3030).

Two steps, because logs and events want a command's name even when its arguments are nonsense:
`split` cuts a line in verb and arguments and cannot fail; `parse` makes one of the dataclasses
below of it or raises `Refused` with the reply.  Verbs are case-insensitive; an unknown one has
the name ``"unknown"``.  Which verbs a service takes, and when, is `session`'s business.

A client's name in EHLO that cannot be one (``my pc``) is no reason to turn it away: what is odd in
it becomes a dash, so that it can stand in a Received header.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pillarbox.wire.smtp.address import Address, parse_path
from pillarbox.wire.smtp.parameters import (
    MailParameters,
    RcptParameters,
    parse_mail_parameters,
    parse_rcpt_parameters,
)
from pillarbox.wire.smtp.reply import refused

UNKNOWN: Final = "unknown"


class CommandLine(NamedTuple):
    """A line: ``name`` in capitals or "unknown", ``input_name`` as sent, ``args`` the rest."""

    name: str
    input_name: str
    args: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """LHLO, EHLO or HELO with the client's name or address literal, made fit to be shown."""

    verb: str
    domain: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM."""

    sender: Address
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT TO."""

    recipient: Address
    parameters: RcptParameters


@dataclass(frozen=True, slots=True)
class Data:
    """DATA."""


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT: ``size`` bytes of message follow the line (RFC 3030)."""

    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Simple:
    """RSET, NOOP, QUIT, STARTTLS, HELP, VRFY, EXPN, XCLIENT; ``argument`` may be empty."""

    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH (RFC 4954): ``initial`` is the undecoded initial response, None without one."""

    mechanism: str
    initial: str | None


Command = Hello | Mail | Rcpt | Data | Bdat | Simple | Auth

_DOMAIN: Final = re.compile(rb"[A-Za-z0-9._:\x80-\xff-]+|\[[\x21-\x5a\x5e-\x7e]+\]")
_ODD: Final = re.compile(rb"[^A-Za-z0-9._:-]+")
_BROKEN_SENDER: Final = re.compile(rb"(FROM:[ \t]*)<[^\x00-\x20\x7f>]+>(?=[ \t]|\Z)", re.IGNORECASE)
_FROM: Final = re.compile(rb"FROM:[ \t]*", re.IGNORECASE)
_TO: Final = re.compile(rb"TO:[ \t]*", re.IGNORECASE)
_BDAT: Final = re.compile(rb"([0-9]{1,19})(?:[ \t]+(LAST))?[ \t]*", re.IGNORECASE)
_AUTH: Final = re.compile(rb"[ \t]*([A-Za-z0-9_-]{1,20})(?:[ \t]+([!-~]+))?[ \t]*")


def split(line: bytes) -> CommandLine:
    """Cut a line (without CRLF) in verb and arguments."""
    verb, _, args = line.partition(b" ")
    upper = verb.decode("ascii", "replace").upper()
    name = upper if upper in _READERS else UNKNOWN
    return CommandLine(name, verb.decode("utf-8", "replace"), args)


def parse(line: CommandLine) -> Command:
    """The command with its arguments read.  Raises Refused."""
    reader = _READERS.get(line.name)
    if reader is None:
        raise refused(500, "5.5.1", "Unknown command")
    return reader(line)


def without_sender(line: CommandLine) -> CommandLine | None:
    """A MAIL whose sender cannot be read, with the null sender in its place; None for all else.

    Only what is between angle brackets and has no blank in it counts as one.
    """
    if line.name != "MAIL" or not _BROKEN_SENDER.match(line.args):
        return None
    return line._replace(args=_BROKEN_SENDER.sub(rb"\1<>", line.args, count=1))


def _hello(line: CommandLine) -> Hello:
    domain = line.args.strip(b" \t")
    if not domain:
        raise refused(501, "5.5.4", f"Usage: {line.name} <domain>")
    if _DOMAIN.fullmatch(domain):
        with contextlib.suppress(UnicodeDecodeError):
            return Hello(line.name, domain.decode())
    return Hello(line.name, _ODD.sub(b"-", domain).decode())


def _mail(line: CommandLine) -> Mail:
    match = _FROM.match(line.args)
    if match is None:
        raise refused(501, "5.5.4", "Usage: MAIL FROM:<address> [parameters]")
    sender, at = parse_path(line.args, match.end(), null=True)
    parameters = parse_mail_parameters(line.args, at)
    if not parameters.smtputf8 and not sender.is_ascii:
        raise refused(550, "5.6.7", "Non-ASCII address needs SMTPUTF8")
    return Mail(sender, parameters)


def _rcpt(line: CommandLine) -> Rcpt:
    match = _TO.match(line.args)
    if match is None:
        raise refused(501, "5.5.4", "Usage: RCPT TO:<address> [parameters]")
    recipient, at = parse_path(line.args, match.end())
    return Rcpt(recipient, parse_rcpt_parameters(line.args, at))


def _data(line: CommandLine) -> Data:
    if line.args.strip(b" \t"):
        raise refused(501, "5.5.4", "DATA takes no parameters")
    return Data()


def _bdat(line: CommandLine) -> Bdat:
    match = _BDAT.fullmatch(line.args)
    if match is None:
        raise refused(501, "5.5.4", "Usage: BDAT <size> [LAST]")
    return Bdat(int(match[1]), match[2] is not None)


def _simple(line: CommandLine) -> Simple:
    return Simple(line.name, line.args.decode("utf-8", "replace").strip(" \t"))


def _bare(line: CommandLine) -> Simple:
    if line.args.strip(b" \t"):
        raise refused(501, "5.5.4", f"{line.name} takes no parameters")
    return Simple(line.name, "")


def _auth(line: CommandLine) -> Auth:
    match = _AUTH.fullmatch(line.args)
    if match is None:
        raise refused(501, "5.5.4", "Usage: AUTH <mechanism> [initial response]")
    initial = match[2]
    return Auth(match[1].decode().upper(), None if initial is None else initial.decode())


_READERS: Final[Mapping[str, Callable[[CommandLine], Command]]] = {
    "LHLO": _hello,
    "EHLO": _hello,
    "HELO": _hello,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "BDAT": _bdat,
    "RSET": _bare,
    "QUIT": _bare,
    "STARTTLS": _bare,
    "NOOP": _simple,
    "HELP": _simple,
    "VRFY": _simple,
    "EXPN": _simple,
    "AUTH": _auth,
    "XCLIENT": _simple,
}
