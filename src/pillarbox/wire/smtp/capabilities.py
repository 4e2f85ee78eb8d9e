"""What a server said it can do: the answer to EHLO or LHLO (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pillarbox.wire.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Keywords in capitals, each with its parameters as sent."""

    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        """Whether the server announced this keyword, which is given in capitals."""
        return keyword in self.keywords

    @property
    def size(self) -> int:
        """The largest message in bytes that the server takes; 0: it does not say."""
        first = next(iter(self.keywords.get("SIZE", ())), "0")
        return int(first) if first.isascii() and first.isdigit() and len(first) < 20 else 0

    @property
    def mechanisms(self) -> frozenset[str]:
        """The SASL mechanisms, in capitals."""
        return frozenset(name.upper() for name in self.keywords.get("AUTH", ()))

    @property
    def xclient(self) -> frozenset[str]:
        """The attributes that XCLIENT takes."""
        return frozenset(name.upper() for name in self.keywords.get("XCLIENT", ()))


def parse_capabilities(reply: Reply) -> Capabilities:
    """Read the answer; its first line is the server's name.

    ``AUTH=PLAIN LOGIN``, as some servers still write it beside the right form, counts as AUTH.
    """
    keywords: dict[str, tuple[str, ...]] = {}
    for line in reply.lines[1:]:
        words = line.replace("AUTH=", "AUTH ", 1).split()
        if words:
            name = words[0].upper()
            keywords[name] = (*keywords.get(name, ()), *words[1:])
    return Capabilities(keywords)
