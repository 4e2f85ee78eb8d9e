"""What ``pillarbox mailbox check`` and ``rebuild`` say of a mailbox, in sentences.

The work is done by `mailstore.rebuild`: a check mends nothing but what opening a mailbox mends
anyway, a rebuild keeps all that can be read and takes off what is lost.
"""

from __future__ import annotations

from pillarbox.mailstore.rebuild import Rebuilt, Report


def check_line(report: Report) -> str:
    """One line about a mailbox that was checked."""
    state = f"{len(report.problems)} damaged" if report.problems else "all can be read"
    return f"{report.name}: {report.messages} messages, {report.size} bytes, {state}"


def rebuild_line(rebuilt: Rebuilt) -> str:
    """One line about a mailbox that was rebuilt."""
    line = f"{rebuilt.name}: {rebuilt.before} messages before, {rebuilt.after} now"
    if rebuilt.lost:
        uids = ", ".join(map(str, rebuilt.lost))
        line += f"; taken off because their bytes are lost: UID {uids}"
    return line
