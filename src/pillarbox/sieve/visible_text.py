"""The text of HTML as scripts see it: roughly what a reader sees, in one line.

Comments, styles, scripts and the head are left out, tags that begin or end a block part words, all
others vanish, and blanks of all kinds in a row are one, as in a browser.  So a phrase is found
however its sender broke the lines.

The text comes from strangers, so each step goes through it once.  Where something that is left out
has no end it is a tag like any other, and its end is not looked for again.
"""

from __future__ import annotations

import html
import re
from typing import Final

_OPENING: Final = re.compile(r"<!--|<(script|style|head)\b", re.IGNORECASE)
_CLOSING: Final = {
    "": re.compile(r"-->"),
    "script": re.compile(r"</script\b[^<>]*>", re.IGNORECASE),
    "style": re.compile(r"</style\b[^<>]*>", re.IGNORECASE),
    "head": re.compile(r"</head\b[^<>]*>|(?=<body\b)", re.IGNORECASE),
}
_BLOCK: Final = re.compile(
    r"</?(?:address|article|aside|blockquote|body|br|center|dd|div|dl|dt|fieldset|figure|footer|"
    r"form|h[1-6]|header|hr|html|li|main|nav|ol|option|p|pre|section|table|tbody|td|tfoot|th|"
    r"thead|title|tr|ul)\b[^<>]*>",
    re.IGNORECASE,
)
_TAG: Final = re.compile(r"</?[a-z!?][^<>]*>", re.IGNORECASE)


def visible_text(markup: str) -> str:
    """The text of HTML, roughly, with entities decoded."""
    text = _TAG.sub("", _BLOCK.sub(" ", _without_invisible(markup)))
    return " ".join(html.unescape(text).split())


def _without_invisible(markup: str) -> str:
    pieces: list[str] = []
    at = looking = 0
    endless: set[str] = set()
    while (opening := _OPENING.search(markup, looking)) is not None:
        kind = (opening[1] or "").lower()
        looking = opening.end()
        closing = None if kind in endless else _CLOSING[kind].search(markup, looking)
        if closing is None:
            endless.add(kind)
            continue
        pieces.append(markup[at : opening.start()])
        at = looking = closing.end()
    pieces.append(markup[at:])
    return " ".join(pieces)
