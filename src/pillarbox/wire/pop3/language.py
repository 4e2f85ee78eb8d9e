"""LANG: the language of the texts in replies (RFC 6856 section 3).

All texts are in English, so there is one language to list; ``*`` asks for whatever the server
thinks best, which is that one too.
"""

from __future__ import annotations

from pillarbox.wire.pop3.command import Lang
from pillarbox.wire.pop3.response import Err, listing, ok


def reply(lang: Lang) -> bytes:
    """The answer to LANG.  Raises Err for a language that there is not."""
    if lang.tag is None:
        return listing("Language listing follows:", [b"en English"])
    if lang.tag == "*" or lang.tag.lower() in ("en", "i-default"):
        return ok("en Texts are in English.")
    raise Err("There is no such language.")
