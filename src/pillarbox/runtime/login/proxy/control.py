"""The sessions that a login process passes on: telling them, and ending them, when asked.

The questions come from `pillarbox proxy list|kick` through the master, to retiring processes too.
Masks are those of file names: ``*@example.com``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from pillarbox.runtime.login.proxy.session import Proxied
from pillarbox.runtime.service import ServiceContext

LIST: Final = "proxy_list"
KICK: Final = "proxy_kick"
KICKED: Final = "Kicked by the administrator"

Told = dict[str, object]


def answer_questions(ctx: ServiceContext, sessions: Iterable[Proxied]) -> None:
    """Answer for the sessions of this process, whatever they are when it is asked."""
    ctx.on_question(LIST, lambda asked: [_told(found) for found in _find(sessions, asked)])
    ctx.on_question(KICK, lambda asked: [_kick(found) for found in _find(sessions, asked)])


def _find(sessions: Iterable[Proxied], asked: Mapping[str, str]) -> Iterator[Proxied]:
    """The sessions whose user and destination match the masks, where masks are given."""
    for session in list(sessions):
        hosts = (session.leg.target.host, str(session.leg.scope.get("dest_ip")))
        if fnmatchcase(session.user, asked.get("user", "*")) and any(
            fnmatchcase(host, asked.get("host", "*")) for host in hosts
        ):
            yield session


def _told(session: Proxied) -> Told:
    scope, target, relay = session.leg.scope, session.leg.target, session.relay
    ip, dest_ip = scope.get("remote_ip"), scope.get("dest_ip")
    return {
        "user": session.user,
        "service": scope.get("service"),
        "ip": None if ip is None else str(ip),
        "host": target.host,
        "dest_ip": None if dest_ip is None else str(dest_ip),
        "port": target.port,
        "session": scope.get("session"),
        "since": session.since,
        "net_in_bytes": relay.to_client,
        "net_out_bytes": relay.to_worker,
    }


def _kick(session: Proxied) -> Told:
    told = _told(session)
    session.kick(KICKED)
    return told
