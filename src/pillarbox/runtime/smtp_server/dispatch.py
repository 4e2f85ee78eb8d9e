"""One command line, from the table of states to its answer.

Refused by the table, refused by the grammar, or obeyed by the service.  A BDAT that is refused is
followed by its bytes all the same, which are read and dropped; one whose size cannot be read ends
the connection, since nobody can tell where the next command begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pillarbox.wire.smtp.command import Bdat, CommandLine
from pillarbox.wire.smtp.reply import Refused

if TYPE_CHECKING:
    from pillarbox.runtime.smtp_server.connection import SmtpConnection

_COMPLAINTS: Final = frozenset({500, 501, 502, 503, 555})


def dispatch(client: SmtpConnection[Any], line: CommandLine) -> None:
    """Obey one command, or refuse it."""
    scope = client.running.begin(client.scope, line)
    try:
        refusal = client.session.refusal(line)
        parsed = client.read(line) if refusal is None or line.name == "BDAT" else None
        answer = refusal or client.obey(parsed, line, scope)
        if refusal is not None and isinstance(parsed, Bdat):
            client.body = None
            client.session.start_chunk(parsed.size, False)
    except Refused as refused:
        answer = refused.reply
        if line.name == "BDAT":
            client.put(answer)
            client.running.end(scope, answer)
            client.finish("Invalid BDAT")
            return
    if answer is None:
        return
    if answer.success:
        client.good()
        client.put(answer)
    elif answer.code in _COMPLAINTS:
        client.bad(answer)
    else:
        client.put(answer)
    client.running.end(scope, answer)
    client.obeyed(line, answer)
