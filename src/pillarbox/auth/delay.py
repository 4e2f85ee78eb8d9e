"""``delay_until``: a passdb's wish that the answer to a login waits until some moment.

The field is a UNIX timestamp, ``1700000000``, and perhaps ``+5`` for up to five seconds more, drawn
by lot so that clients do not come back all at once.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final

LONGEST: Final = 300.0
"""No answer waits longer: the client would have gone."""
_FORM: Final = re.compile("([0-9]{1,12})(?:[+]([0-9]{1,6}))?")


def seconds(fields: Mapping[str, str], now: float) -> float:
    """How long to wait from ``now``, a UNIX time; 0 without the field, or if it makes no sense."""
    found = _FORM.fullmatch(fields.get("delay_until", ""))
    if found is None:
        return 0.0
    until = int(found[1]) + random.uniform(0, int(found[2] or 0))
    return min(max(until - now, 0.0), LONGEST)
