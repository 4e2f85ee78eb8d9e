"""The base subject: a subject without its ``Re:``, ``Fwd:`` and list tags (RFC 5256 section 2.1).

Used for threading and for SORT SUBJECT.  The steps are the RFC's, in its order; the input is
already decoded text (RFC 2047), of which the first 1,000 characters count.
"""

from __future__ import annotations

import re
from typing import Final

_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_TRAILER: Final = re.compile(r"(?:\(fwd\)|[ \t])+\Z", re.IGNORECASE)
_BLOB: Final = r"\[[^\[\]]*\][ \t]*"
_LEADER: Final = re.compile(rf"(?:{_BLOB})*(?:re|fwd?)[ \t]*(?:{_BLOB})?:[ \t]*", re.IGNORECASE)
_LEADING_BLOB: Final = re.compile(_BLOB)
_FORWARD: Final = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE | re.DOTALL)


def base_subject(subject: str) -> tuple[str, bool]:
    """The base subject, and whether the subject says that it is a reply or a forward."""
    text = _BLANKS.sub(" ", subject[:1000])
    is_reply = False
    while True:
        trimmed = _TRAILER.sub("", text)
        is_reply = is_reply or "(fwd)" in text[len(trimmed) :].lower()
        text, replied = _without_leaders(trimmed)
        is_reply = is_reply or replied
        forward = _FORWARD.match(text)
        if forward is None:
            return text, is_reply
        text = forward[1]
        is_reply = True


def _without_leaders(text: str) -> tuple[str, bool]:
    """Steps 3 to 5: leaders and blobs taken off until nothing changes."""
    is_reply = False
    while True:
        before = text
        text = text.lstrip(" \t")
        leader = _LEADER.match(text)
        if leader is not None:
            text = text[leader.end() :]
            is_reply = True
        blob = _LEADING_BLOB.match(text)
        if blob is not None and blob.end() < len(text):
            text = text[blob.end() :]
        if text == before:
            return text, is_reply
