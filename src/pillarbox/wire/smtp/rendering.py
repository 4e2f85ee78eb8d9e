"""Commands as a client sends them, and what of their parameters a server can take.

`mail` and `rcpt` write every parameter that they are given; `for_server` leaves out those that the
server did not announce, and `missing` names them for a caller that would rather give up.  What is
written can never be two lines: a value with a control character raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pillarbox.wire.smtp import xtext
from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.capabilities import Capabilities
from pillarbox.wire.smtp.parameters import MailParameters, RcptParameters

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UTF8_ADDRESS: Final = re.compile(r"[^!-*,-<>-\[\]-~]")


def line(*words: str) -> bytes:
    """A command of these words.  Raises ValueError for one that would be more than a line."""
    text = " ".join(words)
    if _CONTROL.search(text):
        raise ValueError("control character in a command")
    return text.encode() + b"\r\n"


def mail(sender: Address, parameters: MailParameters) -> bytes:
    """MAIL FROM."""
    words = [f"MAIL FROM:<{sender}>"]
    if parameters.size is not None:
        words.append(f"SIZE={parameters.size}")
    if parameters.body is not None:
        words.append(f"BODY={parameters.body}")
    if parameters.smtputf8:
        words.append("SMTPUTF8")
    if parameters.ret is not None:
        words.append(f"RET={parameters.ret}")
    if parameters.envid is not None:
        words.append(f"ENVID={xtext.encode(parameters.envid)}")
    if parameters.auth is not None:
        words.append("AUTH=" + ("<>" if parameters.auth == "<>" else xtext.encode(parameters.auth)))
    if parameters.by is not None:
        words.append(f"BY={parameters.by}")
    return line(*words)


def rcpt(recipient: Address, parameters: RcptParameters) -> bytes:
    """RCPT TO."""
    words = [f"RCPT TO:<{recipient}>"]
    if parameters.notify is not None:
        words.append(f"NOTIFY={parameters.notify}")
    if parameters.orcpt is not None:
        kind = parameters.orcpt_type or "rfc822"
        encode = _utf8_xtext if kind == "utf-8" else xtext.encode
        words.append(f"ORCPT={kind};{encode(parameters.orcpt)}")
    if parameters.forward is not None:
        words.append(f"XRCPTFORWARD={xtext.encode(parameters.forward)}")
    return line(*words)


def xclient(attributes: Mapping[str, str | None]) -> bytes:
    """XCLIENT (Postfix); None is an attribute that is known not to be there."""
    words = [
        f"{name}={'[UNAVAILABLE]' if value is None else xtext.encode(value)}"
        for name, value in attributes.items()
    ]
    return line("XCLIENT", *words)


def missing(
    parameters: MailParameters, recipient: RcptParameters | None, server: Capabilities
) -> str | None:
    """The first parameter that the server has no extension for, or None."""
    wanted = (
        ("BODY", "8BITMIME", parameters.body == "8BITMIME"),
        ("BODY", "BINARYMIME", parameters.body == "BINARYMIME"),
        ("BODY", "CHUNKING", parameters.body == "BINARYMIME"),
        ("SMTPUTF8", "SMTPUTF8", parameters.smtputf8),
        ("RET", "DSN", parameters.ret is not None),
        ("ENVID", "DSN", parameters.envid is not None),
        ("BY", "DELIVERBY", parameters.by is not None),
        ("NOTIFY", "DSN", recipient is not None and recipient.notify is not None),
        ("ORCPT", "DSN", recipient is not None and recipient.orcpt is not None),
    )
    return next((name for name, keyword, on in wanted if on and keyword not in server), None)


def for_server(parameters: MailParameters, server: Capabilities) -> MailParameters:
    """The parameters without those that the server would refuse."""
    dsn = "DSN" in server
    body = parameters.body
    if body == "8BITMIME" and "8BITMIME" not in server:
        body = None
    return replace(
        parameters,
        size=parameters.size if "SIZE" in server else None,
        body=body,
        ret=parameters.ret if dsn else None,
        envid=parameters.envid if dsn else None,
        auth=parameters.auth if "AUTH" in server else None,
        by=parameters.by if "DELIVERBY" in server else None,
    )


def rcpt_for_server(parameters: RcptParameters, server: Capabilities) -> RcptParameters:
    """The same for RCPT."""
    forward = parameters.forward if "XRCPTFORWARD" in server else None
    return (
        replace(parameters, forward=forward) if "DSN" in server else RcptParameters(forward=forward)
    )


def _utf8_xtext(text: str) -> str:
    """The form of RFC 6533 section 3 for an address with characters outside of ASCII."""
    return _UTF8_ADDRESS.sub(lambda m: f"\\x{{{ord(m[0]):02X}}}", text)
