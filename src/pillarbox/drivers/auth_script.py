"""Passdbs and userdbs that are functions of a script, in Lua or Python: what both have in common.

The functions are those of Dovecot's Lua interface:

- ``auth_passdb_lookup(request)`` gives a result and the fields, ``password`` among them;
- ``auth_password_verify(request, password)`` checks the password itself;
- ``auth_userdb_lookup(request)`` gives a result and the userdb fields;
- ``auth_userdb_iterate()`` gives all user names;
- ``auth_passdb_get_cache_key()``, ``auth_userdb_get_cache_key()`` give a template of what answers
  depend on; without one nothing is cached;
- ``script_init(settings)`` and ``script_deinit()`` come first and last.

Fields are a mapping, or text such as ``"password={PLAIN}x nologin"``.  A language gives a `Script`;
what it calls runs in threads with a time limit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Query, Server, Wrong
from pillarbox.settings.variables import expand

OK: Final = "ok"
USER_UNKNOWN: Final = "user_unknown"
PASSWORD_MISMATCH: Final = "password_mismatch"  # noqa: S105
USER_DISABLED: Final = "user_disabled"
PASS_EXPIRED: Final = "pass_expired"  # noqa: S105
NEXT: Final = "next"
SCHEME_NOT_AVAILABLE: Final = "scheme_not_available"
INTERNAL_FAILURE: Final = "internal_failure"
PASSDB_RESULTS: Final = (
    OK,
    USER_UNKNOWN,
    PASSWORD_MISMATCH,
    USER_DISABLED,
    PASS_EXPIRED,
    NEXT,
    SCHEME_NOT_AVAILABLE,
    INTERNAL_FAILURE,
)
FUNCTIONS: Final = (
    "auth_passdb_lookup",
    "auth_password_verify",
    "auth_userdb_lookup",
    "auth_userdb_iterate",
    "auth_passdb_get_cache_key",
    "auth_userdb_get_cache_key",
)
USERDB_RESULTS: Final = (OK, USER_UNKNOWN, INTERNAL_FAILURE)


class ScriptError(Exception):
    """The script raised an error, or gave what makes no sense; the text is for the log."""


class Script(Protocol):
    """A loaded script."""

    def has(self, function: str) -> bool:
        """Whether it defines this function."""

    def start(self, function: str) -> str | None:
        """The answer of a function without arguments, while loading.  Raises ScriptError."""

    async def call(self, function: str, *arguments: object) -> tuple[Any, ...]:
        """The answers of a function.  Raises ScriptError, DatabaseError."""

    async def close(self) -> None:
        """Let it say goodbye."""


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """What a function is told of the request, and what it can do with it."""

    values: Mapping[str, object]
    query: Query
    server: Server

    def password_verify(self, stored: str, password: str) -> bool:
        """Whether a password is the stored one (``{SCHEME}…``)."""
        verify = self.server.verify_password
        if verify is None:
            raise ScriptError("passwords cannot be verified here")
        return verify(stored, password)

    def var_expand(self, template: str) -> str:
        """A template with ``%{variables}``."""
        return expand(template, self.query.values)

    def log_debug(self, text: str) -> None:
        """To the log, at this level."""
        self.server.log.debug(self.query.scope, text)

    def log_info(self, text: str) -> None:
        """To the log, at this level."""
        self.server.log.info(self.query.scope, text)

    def log_warning(self, text: str) -> None:
        """To the log, at this level."""
        self.server.log.warning(self.query.scope, text)

    def log_error(self, text: str) -> None:
        """To the log, at this level."""
        self.server.log.error(self.query.scope, text)


def request_of(query: Query, server: Server) -> ScriptRequest:
    """The request with what is known; names as variables have them, with ``_`` for ``:``."""
    known = {n.replace(":", "_"): v for n, v in query.values.items() if v is not None}
    return ScriptRequest({**known, "user": query.user}, query, server)


class ScriptPassdb:
    """A script that looks users up."""

    def __init__(
        self, name: str, script: Script, server: Server, categories: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.categories = categories
        self._script = script
        self._server = server
        self.cache_key = script.start("auth_passdb_get_cache_key") or ""

    async def lookup(self, query: Query) -> Entry | None:
        """What ``auth_passdb_lookup`` says."""
        if not self._script.has("auth_passdb_lookup"):
            raise NoLookup
        request = request_of(query, self._server)
        result, fields = await self._ask("auth_passdb_lookup", request)
        if result in (USER_DISABLED, PASS_EXPIRED):
            fields[result] = ""
        elif result == PASSWORD_MISMATCH:
            fields.pop("password", None)
        return self._entry(result, fields)

    async def close(self) -> None:
        """End the script."""
        await self._script.close()

    async def _ask(self, function: str, *arguments: object) -> tuple[str, dict[str, str]]:
        try:
            return answer_of(await self._script.call(function, *arguments), PASSDB_RESULTS)
        except ScriptError as error:
            raise DatabaseError(f"{self.name}: {function}: {error}") from error

    @staticmethod
    def _entry(result: str, fields: dict[str, str]) -> Entry | None:
        if result == USER_UNKNOWN:
            return None
        if result == SCHEME_NOT_AVAILABLE:
            raise NoLookup
        if result == NEXT:
            fields["noauthenticate"] = ""
        return Entry(fields.pop("password", None), fields)


class VerifyingScriptPassdb(ScriptPassdb):
    """A script that checks passwords itself."""

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        """What ``auth_password_verify`` says."""
        request = request_of(query, self._server)
        result, fields = await self._ask("auth_password_verify", request, password)
        if result in (PASSWORD_MISMATCH, USER_DISABLED, PASS_EXPIRED):
            return Wrong(result)  # type: ignore[arg-type]
        return self._entry(result, fields)


class ScriptUserdb:
    """A script that knows where users live."""

    needs_passdb = False

    def __init__(
        self, name: str, script: Script, server: Server, categories: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.categories = categories
        self._script = script
        self._server = server
        self.cache_key = script.start("auth_userdb_get_cache_key") or ""

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """What ``auth_userdb_lookup`` says."""
        try:
            answers = await self._script.call("auth_userdb_lookup", request_of(query, self._server))
            result, fields = answer_of(answers, USERDB_RESULTS)
        except ScriptError as error:
            raise DatabaseError(f"{self.name}: auth_userdb_lookup: {error}") from error
        return None if result == USER_UNKNOWN else fields

    async def close(self) -> None:
        """End the script."""
        await self._script.close()


class IterableScriptUserdb(ScriptUserdb):
    """A script that can also list its users."""

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """The names that ``auth_userdb_iterate`` gives."""
        try:
            [names, *_] = await self._script.call("auth_userdb_iterate")
            if isinstance(names, str) or not isinstance(names, Iterable):
                raise ScriptError("gives no list of names")
        except ScriptError as error:
            raise DatabaseError(f"{self.name}: auth_userdb_iterate: {error}") from error
        for name in names:
            yield str(name)


def passdb(
    name: str, script: Script, server: Server, categories: tuple[str, ...] = ()
) -> ScriptPassdb:
    """The passdb that a script is.  Raises ValueError for one that is none."""
    if script.has("auth_password_verify"):
        return VerifyingScriptPassdb(name, script, server, categories)
    if not script.has("auth_passdb_lookup"):
        raise ValueError("defines neither auth_passdb_lookup nor auth_password_verify")
    return ScriptPassdb(name, script, server, categories)


def userdb(
    name: str, script: Script, server: Server, categories: tuple[str, ...] = ()
) -> ScriptUserdb:
    """The userdb that a script is.  Raises ValueError for one that is none."""
    if not script.has("auth_userdb_lookup"):
        raise ValueError("does not define auth_userdb_lookup")
    kind = IterableScriptUserdb if script.has("auth_userdb_iterate") else ScriptUserdb
    return kind(name, script, server, categories)


def answer_of(answers: tuple[Any, ...], results: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Result and fields of what a function gave.  Raises ScriptError, DatabaseError."""
    result, given = (*answers, None, None)[:2]
    if result not in results:
        raise ScriptError(f"gives {result!r} as its result")
    if result == INTERNAL_FAILURE:
        raise DatabaseError(str(given) if isinstance(given, str) else "the script says so")
    return result, _fields(given) if result != USER_UNKNOWN else {}


def _fields(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, str):
        pairs = (word.partition("=") for word in given.split())
        return {name: value for name, _, value in pairs if name}
    if not isinstance(given, Mapping):
        raise ScriptError("gives fields that are no mapping")
    return {str(n): _value(v) for n, v in given.items() if v is not None and v is not False}


def _value(given: object) -> str:
    """True is a bare field; a whole float is what Lua makes of a number."""
    if given is True:
        return ""
    if isinstance(given, float) and given.is_integer():
        return str(int(given))
    return str(given)
