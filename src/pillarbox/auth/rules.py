"""What follows an answer of one database of a chain: Dovecot's result rules, as a table.

A chain keeps a standing answer (yes, no, or none yet).  Each database's success, failure or
internal failure leads by its settings to a rule: ``return`` ends the chain with the standing
answer, ``return-ok`` and ``return-fail`` set it first, ``continue`` goes on, ``continue-ok`` and
``continue-fail`` set it and go on; ``next`` is ``continue``.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

Rule = Literal[
    "return-ok", "return", "return-fail", "continue", "continue-ok", "continue-fail", "next"
]


class Effect(NamedTuple):
    """``ends`` the chain or not; ``sets`` the standing answer, None to leave it."""

    ends: bool
    sets: bool | None


EFFECTS: Final[dict[Rule, Effect]] = {
    "return-ok": Effect(True, True),
    "return": Effect(True, None),
    "return-fail": Effect(True, False),
    "continue": Effect(False, None),
    "continue-ok": Effect(False, True),
    "continue-fail": Effect(False, False),
    "next": Effect(False, None),
}


def user_matches(user: str, patterns: tuple[str, ...]) -> bool:
    """Whether a ``username_filter`` lets this user through: no pattern against it, one for it.

    Without any pattern for (only ``!`` ones, or none at all) everybody not excluded passes.
    """
    against = [p[1:] for p in patterns if p.startswith("!")]
    wanted = [p for p in patterns if not p.startswith("!")]
    if any(fnmatchcase(user, p) for p in against):
        return False
    return not wanted or any(fnmatchcase(user, p) for p in wanted)
