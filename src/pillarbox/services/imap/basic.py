"""The commands about the session itself: CAPABILITY, NOOP, CHECK, LOGOUT, NAMESPACE, ENABLE,
COMPRESS, UNSELECT and CLOSE (RFC 3501 6.1 and 6.4, RFC 2342, RFC 5161, RFC 4978, RFC 3691).

NOOP and CHECK do nothing: what they are for, the client's news, comes with every tagged reply.
COMPRESS answers in clear; `stream` begins with what is sent and read after that.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from pillarbox.services.imap.capability import capabilities
from pillarbox.services.imap.run import Ok, Run
from pillarbox.services.imap.stream import Deflated
from pillarbox.wire.imap.compress import Compress
from pillarbox.wire.imap.enable import Enable
from pillarbox.wire.imap.response import No
from pillarbox.wire.imap.states import State


def capability(run: Run) -> Ok:
    """CAPABILITY."""
    run.session.send(b"* CAPABILITY %b\r\n" % capabilities(run.session.settings))
    return Ok("Capability completed.")


def noop(run: Run) -> Ok:
    """NOOP."""
    return _NOOP


_NOOP = Ok("NOOP completed.")


def check(run: Run) -> Ok:
    """CHECK."""
    return Ok("Check completed.")


def logout(run: Run) -> Ok:
    """LOGOUT; the connection closes behind the tagged reply."""
    session = run.session
    session.send(b"* BYE Logging out\r\n")
    session.unselect()
    session.protocol_state = State.LOGOUT
    run.then = partial(session.finish, "Logged out")
    return Ok("Logout completed.")


def namespace(run: Run) -> Ok:
    """NAMESPACE: one personal namespace without a prefix."""
    separator = run.session.user.mailboxes.separator.encode("ascii")
    run.session.send(b'* NAMESPACE (("" "%b")) NIL NIL\r\n' % separator)
    return Ok("Namespace completed.")


def enable(run: Run) -> Ok:
    """ENABLE: CONDSTORE and QRESYNC are what can be enabled."""
    session = run.session
    names = cast(Enable, run.args).capabilities
    enabled: list[bytes] = []
    if "CONDSTORE" in names and not session.condstore:
        enabled.append(b"CONDSTORE")
    if "QRESYNC" in names and not session.qresync:
        enabled.append(b"QRESYNC")
    session.send(b" ".join([b"* ENABLED", *enabled]) + b"\r\n")
    if enabled:
        session.qresync = session.qresync or b"QRESYNC" in enabled
        session.enable_condstore()
    return Ok("Enabled.")


def compress(run: Run) -> Ok:
    """COMPRESS."""
    session = run.session
    if cast(Compress, run.args).algorithm != "DEFLATE":
        raise No("Only DEFLATE is supported.", b"CANNOT")
    if session.stream is not None:
        raise No("DEFLATE is active already.", b"COMPRESSIONACTIVE")
    run.then = partial(session.begin_compression, Deflated())
    return Ok("Begin compression.")


def unselect(run: Run) -> Ok:
    """UNSELECT."""
    run.session.unselect()
    return Ok("Unselect completed.")
