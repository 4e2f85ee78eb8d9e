"""What a session did, in numbers: for the line that is logged at its end (imap_logout_format)."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counts:
    """Counters named as the variables of imap_logout_format."""

    fetch_hdr_count: int = 0
    fetch_hdr_bytes: int = 0
    fetch_body_count: int = 0
    fetch_body_bytes: int = 0
    deleted: int = 0
    expunged: int = 0
    appended: int = 0
    autoexpunged: int = 0

    def variables(self, net_in: int, net_out: int) -> dict[str, str]:
        """All variables, those of the connection's octets included."""
        values = {name: str(count) for name, count in asdict(self).items()}
        return {**values, "input": str(net_in), "output": str(net_out)}
