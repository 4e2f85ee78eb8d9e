"""IDLE (RFC 2177): news as it happens, until DONE.

The handler only switches the session's state; the session reads DONE and sends the tagged reply.
What happened between the last command and IDLE is told at once.
"""

from __future__ import annotations

from pillarbox.services.imap.run import Run


def idle(run: Run) -> None:
    """IDLE."""
    run.session.begin_idle(run)
