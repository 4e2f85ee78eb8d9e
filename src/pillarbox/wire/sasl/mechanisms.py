"""Every server mechanism by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pillarbox.wire.sasl import login, plain, scram
from pillarbox.wire.sasl.exchange import Mechanism

MECHANISMS: Final[Mapping[str, Mechanism]] = {
    mechanism.name: mechanism
    for mechanism in (plain.MECHANISM, login.MECHANISM, scram.SHA1, scram.SHA256)
}
