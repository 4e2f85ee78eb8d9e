"""What a lookup found, or why it found nothing, and for how long that is true."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.runtime.dns_client import Code


@dataclass(frozen=True, slots=True)
class Answer:
    """``ttl`` is in seconds; 0 means "do not remember"."""

    values: tuple[str, ...] = ()
    ttl: float = 0.0
    error: str = ""
    code: Code | None = None

    @property
    def negative(self) -> bool:
        """Whether name servers said that there is nothing."""
        return self.code in ("NXDOMAIN", "NODATA")
