"""LDAP directories for passdb and userdb: searches and binds, by ldap3 in threads.

Each thread keeps two connections: one bound as ``ldap_auth_dn`` that searches, one that users'
passwords are tried on.  A connection that was lost is made again once, to the first server of the
list that can be reached; one that cannot is left alone for some seconds.

Whatever comes from a client is escaped where it is put: by RFC 4515 into filters, by RFC 4514 into
names.  An empty password is never tried, because servers take that for an anonymous bind and say
yes (RFC 4513 section 5.1.2).

The one trick: TLS is ours (`runtime.client_tls`); ldap3 is only told where to wrap its socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import ssl
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the ASN.1 library, about itself
    import ldap3
    from ldap3.core.exceptions import (
        LDAPCommunicationError,
        LDAPException,
        LDAPSASLPrepError,
    )
    from ldap3.utils.conv import escape_filter_chars

from pillarbox.drivers.passdb.api import DatabaseError, Query, Server
from pillarbox.runtime.client_tls import client_context
from pillarbox.runtime.tls import TlsError
from pillarbox.settings.schema.ldap import LdapBlock
from pillarbox.settings.variables import Expression, expand, parse, variables_of

T = TypeVar("T")
Verdict = Literal["ok", "password_mismatch", "user_disabled", "pass_expired"]
PAUSE_SECONDS: Final = 5.0
PAGE: Final = 500
_SCOPES: Final = {"base": ldap3.BASE, "onelevel": ldap3.LEVEL, "subtree": ldap3.SUBTREE}
_PAGED: Final = "1.2.840.113556.1.4.319"
_SUCCESS, _SIZE_LIMIT, _NO_OBJECT = 0, 4, 32
# Result codes of a bind (RFC 4511 appendix A), and what Active Directory adds to "wrong password".
_BIND: Final[Mapping[int, Verdict]] = {
    0: "ok",
    32: "password_mismatch",
    48: "password_mismatch",
    49: "password_mismatch",
    53: "user_disabled",
}
_ACTIVE_DIRECTORY: Final[Mapping[str, Verdict]] = {
    "data 532": "pass_expired",
    "data 533": "user_disabled",
    "data 701": "user_disabled",
    "data 773": "pass_expired",
    "data 775": "user_disabled",
}


@dataclass(frozen=True, slots=True)
class Found:
    """An entry: its name, and the values of its attributes by lower-case name."""

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def fields(self, templates: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
        """The fields that templates make of it.  Raises VariableError."""
        fields: dict[str, str] = {}
        for name, template in templates.items():
            known = {**values, **self._values(template)}
            missing = any(known[n] is None for n in _attributes_in(template))
            if not missing or "default(" in template:
                fields[name] = expand(template, known)
        return fields

    def _values(self, template: str) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for variable in _attributes_in(template):
            provider, _, name = variable.partition(":")
            texts = [_text(v) for v in self.attributes.get(name.lower(), ())]
            if name == "dn":
                texts = [self.dn]
            joined = ",".join(texts) if provider == "ldap_multi" else "".join(texts[:1])
            found[variable] = joined if texts else None
        return found


class LdapClient:
    """See the module.  Raises ValueError for settings that make no sense."""

    def __init__(self, block: LdapBlock, server: Server, templates: Mapping[str, str]) -> None:
        if not block.ldap_uris:
            raise ValueError("ldap_uris names no server")
        self.block = block
        self.templates = templates
        self._whole_seconds = max(1, math.ceil(block.ldap_timeout))
        self._tls = _tls(block, server)
        self._servers = [self._server(uri) for uri in block.ldap_uris]
        self._rests: dict[int, float] = {}
        self._threads = ThreadPoolExecutor(block.ldap_connection_limit, "ldap")
        self._local = threading.local()
        self._open: list[Any] = []
        self._lock = threading.Lock()  # for the list, which several threads change
        self._closed = False

    def cache_key(self, *templates: str) -> str:
        """A template of everything that an answer depends on."""
        names: set[str] = set()
        for template in (self.block.ldap_base, *templates, *self.templates.values()):
            names |= {n for n in variables_of(template) if not _is_attribute(n)}
        return "\t".join(f"%{{{name}}}" for name in sorted(names))

    async def find(self, query: Query) -> Found | None:
        """The user's entry, None if there is none.  Raises DatabaseError, VariableError."""
        block = self.block
        if any(ord(sign) < 32 for sign in query.user):
            return None  # servers see white space in these, and white space as nothing
        try:
            base = dn_of(block.ldap_base, query.values)
            text = filter_of(block.ldap_filter, query.values)
            text.encode(), base.encode()
        except UnicodeEncodeError:
            return None
        names = attributes_of(self.templates)
        found = await self._run(lambda: self._search(base, text, names))
        if len(found) > 1:
            raise DatabaseError("ldap: several entries for one user")
        return found[0] if found else None

    async def try_password(self, dn: str, password: str) -> Verdict:
        """Whether a bind with it works.  Raises DatabaseError."""
        try:
            dn.encode(), password.encode()
        except UnicodeEncodeError:
            return "password_mismatch"
        if not password or not dn:
            return "password_mismatch"
        return await self._run(lambda: self._bind(dn, password))

    async def pages(self, text: str, templates: Mapping[str, str]) -> AsyncIterator[list[Found]]:
        """All entries that match a filter, in pages (RFC 2696).  Raises DatabaseError."""
        names = attributes_of(templates)
        connection = await self._run(self._connect_to_search)
        cookie: bytes | None = None
        try:
            while True:
                found, cookie = await self._run(
                    lambda: self._page(connection, text, names, cookie)  # noqa: B023
                )
                yield found
                if not cookie:
                    return
        finally:
            await asyncio.to_thread(_unbind, connection)

    async def close(self) -> None:
        """Say goodbye to the servers."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            opened, self._open = self._open, []
        for connection in opened:
            await asyncio.to_thread(_unbind, connection)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # In the threads.

    def _server(self, uri: str) -> Any:
        if not uri.startswith(("ldap://", "ldaps://", "ldapi://")):
            raise ValueError(
                f"ldap_uris: {uri!r} does not begin with ldap://, ldaps:// or ldapi://"
            )
        try:
            return ldap3.Server(
                uri, get_info=ldap3.NONE, connect_timeout=self.block.ldap_timeout, tls=self._tls
            )
        except LDAPException as error:
            raise ValueError(f"ldap_uris: {uri!r}: {error}") from error

    def _connection(self, kind: str) -> tuple[Any, bool]:
        """This thread's connection of a kind, and whether it had been used before."""
        known = getattr(self._local, kind, None)
        if known is not None and not known.closed:
            return known, True
        connection = self._connect(bind=kind == "search")
        setattr(self._local, kind, connection)
        return connection, False

    def _connect(self, *, bind: bool) -> Any:
        """To the first server that can be reached.  Raises DatabaseError."""
        now = time.monotonic()
        why = "all servers were unreachable a moment ago"
        for number, server in enumerate(self._servers):
            if self._rests.get(number, 0.0) > now:
                continue
            connection = ldap3.Connection(
                server,
                self.block.ldap_auth_dn or None,
                self.block.ldap_auth_dn_password or None,
                authentication=ldap3.SIMPLE if self.block.ldap_auth_dn else ldap3.ANONYMOUS,
                check_names=False,
                auto_referrals=False,
                receive_timeout=self._whole_seconds,
            )
            try:
                self._begin(connection, bind)
            except (LDAPException, OSError, _Refused) as error:
                _unbind(connection)
                self._rests[number] = now + PAUSE_SECONDS
                why = f"{server.host}: {error}"
                continue
            self._rests.pop(number, None)
            with self._lock:
                self._open = [c for c in self._open if not c.closed] + [connection]
            if self._closed:  # while this thread was connecting
                _unbind(connection)
                raise DatabaseError("ldap: closed")
            return connection
        raise DatabaseError(f"ldap: {why}")

    def _begin(self, connection: Any, bind: bool) -> None:
        connection.open(read_server_info=False)
        if self.block.ldap_starttls and not connection.server.ssl:
            connection.start_tls(read_server_info=False)
        if bind and not connection.bind(read_server_info=False):
            raise _Refused(f"ldap_auth_dn: {connection.result['description']}")

    def _twice(self, kind: str, work: Callable[[Any], T]) -> T:
        """Do it, and again on a new connection if an old one turns out to be dead."""
        with _failures():
            connection, reused = self._connection(kind)
            try:
                return work(connection)
            except LDAPCommunicationError:
                _unbind(connection)
                setattr(self._local, kind, None)
                if not reused:
                    raise
            return work(self._connection(kind)[0])

    def _search(self, base: str, text: str, names: Sequence[str]) -> list[Found]:
        def work(connection: Any) -> list[Found]:
            connection.search(
                base,
                text,
                _SCOPES[self.block.ldap_scope],
                attributes=list(names),
                size_limit=2,
                time_limit=self._whole_seconds,
            )
            self._checked(connection, "%{" in self.block.ldap_base)
            return _entries(connection.response)

        return self._twice("search", work)

    def _connect_to_search(self) -> Any:
        with _failures():
            return self._connect(bind=True)

    def _page(
        self, connection: Any, text: str, names: Sequence[str], cookie: bytes | None
    ) -> tuple[list[Found], bytes | None]:
        """One page, and what to ask for the next one with."""
        with _failures():
            connection.search(
                self.block.ldap_base,
                text,
                _SCOPES[self.block.ldap_scope],
                attributes=list(names),
                paged_size=PAGE,
                paged_cookie=cookie,
            )
            self._checked(connection, False)
            control = (connection.result.get("controls") or {}).get(_PAGED, {})
            return _entries(connection.response), control.get("value", {}).get("cookie")

    @staticmethod
    def _checked(connection: Any, base_may_be_missing: bool) -> None:
        """Raise DatabaseError unless the search was answered."""
        code = connection.result["result"]
        if code in (_SUCCESS, _SIZE_LIMIT) or (code == _NO_OBJECT and base_may_be_missing):
            return
        raise DatabaseError(f"ldap: search: {connection.result['description']}")

    def _bind(self, dn: str, password: str) -> Verdict:
        def work(connection: Any) -> Verdict:
            try:
                connection.rebind(dn, password, authentication=ldap3.SIMPLE, read_server_info=False)
            except LDAPSASLPrepError:
                return "password_mismatch"
            result = connection.result
            verdict = _BIND.get(result["result"])
            if verdict is None:
                raise DatabaseError(f"ldap: bind: {result['description']}")
            if verdict == "password_mismatch":
                said = str(result.get("message", ""))
                return next((v for text, v in _ACTIVE_DIRECTORY.items() if text in said), verdict)
            return verdict

        return self._twice("bind", work)


class _Refused(Exception):
    """The server does not let ``ldap_auth_dn`` in."""


class _Tls(ldap3.Tls):  # type: ignore[misc]
    """Wraps ldap3's socket with our context; the handshake has a time limit, as all else has."""

    def __init__(self, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__()
        self._context = context
        self._timeout = timeout

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Called by ldap3 for ldaps:// and StartTLS alike."""
        connection.socket.settimeout(self._timeout)
        connection.socket = self._context.wrap_socket(
            connection.socket,
            do_handshake_on_connect=do_handshake,
            server_hostname=connection.server.host,
        )
        connection.socket.settimeout(None)


def dn_of(template: str, values: Mapping[str, object]) -> str:
    """The name that a template makes of values.  Raises VariableError."""
    return _escaped(template, values, _escape_name)


def filter_of(template: str, values: Mapping[str, object]) -> str:
    """The filter that a template makes of values.  Raises VariableError."""
    return _escaped(template, values, escape_filter_chars)


def _escape_name(value: str) -> str:
    """RFC 4514 section 2.4."""
    text = re.sub(r'([,+"\\<>;=])', r"\\\1", value).replace("\0", "\\00")
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and len(text) > 2 else text


def _escaped(template: str, values: Mapping[str, object], escape: Callable[[str], str]) -> str:
    """A template whose values are escaped and whose own text is not."""
    parts = parse(template)
    return "".join(
        escape(part.evaluate(values)) if isinstance(part, Expression) else part for part in parts
    )


def attributes_of(templates: Mapping[str, str]) -> list[str]:
    """The attributes that templates need; ``1.1``, which is none (RFC 4511 4.5.1.8), if none."""
    names = {n.partition(":")[2] for t in templates.values() for n in _attributes_in(t)}
    return sorted(names - {"dn"}) or ["1.1"]


def _attributes_in(template: str) -> list[str]:
    return [name for name in variables_of(template) if _is_attribute(name)]


def _is_attribute(variable: str) -> bool:
    return variable.startswith(("ldap:", "ldap_multi:"))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _entries(response: Sequence[Mapping[str, Any]] | None) -> list[Found]:
    return [
        Found(
            entry["dn"],
            {name.lower(): values for name, values in entry["raw_attributes"].items()},
        )
        for entry in response or ()
        if entry["type"] == "searchResEntry"
    ]


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (LDAPException, OSError) as error:
        raise DatabaseError(f"ldap: {error}") from error


def _unbind(connection: Any) -> None:
    """Hang up; also on a server that never answered, whose socket ldap3 forgets to close.

    While another thread uses the connection ldap3 may fail in any way.
    """
    sock = connection.socket
    with contextlib.suppress(Exception):
        connection.unbind()
    if sock is not None:
        sock.close()


def _tls(block: LdapBlock, server: Server) -> _Tls | None:
    if not block.ldap_starttls and not any(u.startswith("ldaps://") for u in block.ldap_uris):
        return None
    try:
        return _Tls(client_context(server.settings), block.ldap_timeout)
    except TlsError as error:
        raise ValueError(str(error)) from error
