"""What a session did, in numbers: for the line that is logged at its end (pop3_logout_format)."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counts:
    """Counters named as the variables of pop3_logout_format."""

    top_count: int = 0
    top_bytes: int = 0
    retr_count: int = 0
    retr_bytes: int = 0
    deleted_count: int = 0
    deleted_bytes: int = 0
    message_count: int = 0
    message_bytes: int = 0

    def variables(self, net_in: int, net_out: int) -> dict[str, str]:
        """All variables, those of the connection's octets included."""
        values = {name: str(count) for name, count in asdict(self).items()}
        return {**values, "input": str(net_in), "output": str(net_out)}
