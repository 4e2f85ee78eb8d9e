"""The filters of ``%{variable | filter | filter(argument)}``.

Each filter is a function of the value so far (text, bytes of a hash, or None for "not set") and of
its arguments; names and meaning follow Dovecot 2.4.  A filter that gets None gives None, except
`default`, `if` and `concat`, so a missing value stays missing until somebody says what it should
be.  Bytes that reach the end of the chain are written in hexadecimal.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final

Value = str | bytes | None
Argument = str | int | None


class FilterError(ValueError):
    """A filter cannot work with this value or these arguments; the text is for people."""


def as_text(value: Value) -> str:
    """The text of a value: nothing for None, hexadecimal for bytes."""
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else value


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else (value or "").encode()


def _number(argument: Argument, what: str) -> int:
    try:
        return int(argument or 0)
    except ValueError:
        raise FilterError(f"{what} must be a number, not {argument!r}") from None


def lower(value: Value) -> Value:
    """Lower case."""
    return as_text(value).lower()


def upper(value: Value) -> Value:
    """Upper case."""
    return as_text(value).upper()


def username(value: Value) -> Value:
    """What stands before the first @, or all of it."""
    return as_text(value).partition("@")[0]


def domain(value: Value) -> Value:
    """What stands after the first @, or nothing."""
    return as_text(value).partition("@")[2]


def domain_last(value: Value) -> Value:
    """What stands after the last @, or nothing."""
    _, at, last = as_text(value).rpartition("@")
    return last if at else ""


def truncate(value: Value, length: Argument) -> Value:
    """The first ``length`` characters (or bytes)."""
    size = max(0, _number(length, "the length of truncate"))
    return None if value is None else value[:size]


def substr(value: Value, offset: Argument, length: Argument = None) -> Value:
    """``length`` characters from ``offset``; negative numbers count from the end."""
    text = as_text(value)
    start = _number(offset, "the offset of substr")
    start = max(0, len(text) + start) if start < 0 else start
    if length is None:
        return text[start:]
    size = _number(length, "the length of substr")
    return text[start : len(text) + size] if size < 0 else text[start : start + size]


def hashed(value: Value, method: Argument, rounds: Argument = 1, salt: Argument = "") -> Value:
    """Digest by the named algorithm, of salt and value, again and again for more rounds."""
    try:
        digest = hashlib.new(str(method), usedforsecurity=False)
    except ValueError:
        raise FilterError(f"there is no hash named {method!r}") from None
    result = str(salt or "").encode() + _bytes(value)
    for _ in range(max(1, _number(rounds, "the rounds of a hash"))):
        step = digest.copy()
        step.update(result)
        result = step.digest()
    return result


def _fixed_hash(method: str) -> Callable[..., Value]:
    def digest(value: Value, rounds: Argument = 1, salt: Argument = "") -> Value:
        return hashed(value, method, rounds, salt)

    digest.__doc__ = f"{method.upper()} digest."
    return digest


def hexadecimal(value: Value, width: Argument = None) -> Value:
    """Hexadecimal, lower case: of the bytes, or with a width of the number.

    A number is filled with zeros on the left, or cut on the left, to just ``width`` digits.
    """
    if width is None:
        return _bytes(value).hex()
    digits = _number(width, "the width of hex")
    if digits < 1:
        raise FilterError("the width of hex is at least 1")
    return f"{_number(as_text(value), 'the value of hex(width)'):x}".rjust(digits, "0")[-digits:]


def unhex(value: Value) -> Value:
    """The bytes that hexadecimal text stands for."""
    try:
        return bytes.fromhex(as_text(value))
    except ValueError:
        raise FilterError("unhex needs hexadecimal digits") from None


def base64_encode(value: Value) -> Value:
    """Base64 (RFC 4648 section 4)."""
    return base64.b64encode(_bytes(value)).decode()


def base64_decode(value: Value) -> Value:
    """The bytes that base64 text stands for."""
    try:
        return base64.b64decode(as_text(value), validate=True)
    except ValueError:
        raise FilterError("unbase64 needs base64") from None


def text(value: Value) -> Value:
    """Bytes as UTF-8 text."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise FilterError("the bytes are no UTF-8 text") from None


def default(value: Value, other: Argument = "") -> Value:
    """Another value where there is none or an empty one."""
    return value or str(other if other is not None else "")


def concat(value: Value, *more: Argument) -> Value:
    """The value and the arguments, joined."""
    return as_text(value) + "".join(str(m) for m in more if m is not None)


def literal(value: Value, words: Argument) -> Value:
    """The argument itself."""
    del value
    return str(words)


def index(value: Value, separator: Argument, position: Argument) -> Value:
    """One part of the value split at a separator; negative positions count from the end."""
    parts = as_text(value).split(str(separator) or " ")
    try:
        return parts[_number(position, "the position of index")]
    except IndexError:
        return None


def lfill(value: Value, width: Argument, filler: Argument = " ") -> Value:
    """Filled on the left to a width."""
    return as_text(value).rjust(_number(width, "the width of lfill"), _one(filler))


def rfill(value: Value, width: Argument, filler: Argument = " ") -> Value:
    """Filled on the right to a width."""
    return as_text(value).ljust(_number(width, "the width of rfill"), _one(filler))


def _one(filler: Argument) -> str:
    if len(str(filler)) != 1:
        raise FilterError("a filler is one character")
    return str(filler)


def regexp(value: Value, pattern: Argument, replacement: Argument) -> Value:
    """Every match of a regular expression replaced; ``\\1`` is the first group."""
    try:
        return re.sub(str(pattern), str(replacement), as_text(value))
    except re.error as error:
        raise FilterError(f"the regular expression is wrong: {error}") from None


def _like(value: str, pattern: str) -> bool:
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "*": _like,
    "!*": lambda a, b: not _like(a, b),
    "~": lambda a, b: re.search(b, a) is not None,
    "!~": lambda a, b: re.search(b, a) is None,
}

_COMPARE_NUMBERS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def choose(value: Value, operator: Argument, other: Argument, yes: Argument, no: Argument) -> Value:
    """``yes`` or ``no`` by a comparison: eq ne lt le gt ge, == != < <= > >=, * !* ~ !~."""
    sign = str(operator)
    if sign in _COMPARE_NUMBERS:
        left = _number(as_text(value), "the value that if compares")
        hit = _COMPARE_NUMBERS[sign](left, _number(other, "the number that if compares with"))
    elif sign in _COMPARE:
        try:
            hit = _COMPARE[sign](as_text(value), str(other))
        except re.error as error:
            raise FilterError(f"the regular expression is wrong: {error}") from None
    else:
        raise FilterError(f"if knows no comparison {sign!r}")
    chosen = yes if hit else no
    return None if chosen is None else str(chosen)


FILTERS: Final[Mapping[str, Callable[..., Value]]] = {
    "lower": lower,
    "upper": upper,
    "username": username,
    "domain": domain,
    "domain_last": domain_last,
    "truncate": truncate,
    "substr": substr,
    "hash": hashed,
    "md5": _fixed_hash("md5"),
    "sha1": _fixed_hash("sha1"),
    "sha256": _fixed_hash("sha256"),
    "sha384": _fixed_hash("sha384"),
    "sha512": _fixed_hash("sha512"),
    "hex": hexadecimal,
    "unhex": unhex,
    "base64": base64_encode,
    "unbase64": base64_decode,
    "text": text,
    "default": default,
    "concat": concat,
    "literal": literal,
    "index": index,
    "lfill": lfill,
    "rfill": rfill,
    "regexp": regexp,
    "if": choose,
}

TAKES_NONE: Final = frozenset({"default", "concat", "literal", "if"})
"""Filters that see a missing value; all others pass it on."""

STARTS: Final = frozenset({"concat", "literal", "if"})
"""Filters that may stand first, as a function of their arguments."""
