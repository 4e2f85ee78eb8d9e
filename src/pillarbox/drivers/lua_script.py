"""Scripts in Lua, by lupa: see `auth_script` for their functions.

A Lua state can do one thing at a time, so there are several, each with the whole script in it,
made as they are needed; global variables are not shared between them.  The results are constants
of the table ``pillarbox.auth`` (``PASSDB_RESULT_OK``, ``USERDB_RESULT_USER_UNKNOWN`` …), which is
also named ``dovecot.auth``, so that scripts made for Dovecot work.  A script sees nothing of
Python: what it is given are tables and functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lupa import LuaError, LuaRuntime, lua_type

from pillarbox.drivers.auth_script import (
    FUNCTIONS,
    PASSDB_RESULTS,
    USERDB_RESULTS,
    ScriptError,
    ScriptRequest,
)
from pillarbox.drivers.blocking import Blocking

CATEGORIES: Final = ("lua",)
_METHODS: Final = (
    "password_verify",
    "var_expand",
    "log_debug",
    "log_info",
    "log_warning",
    "log_error",
)


class LuaScript:
    """See the module.  Raises ValueError for a file that cannot be loaded."""

    def __init__(
        self, path: str, settings: Mapping[str, str], most: int = 4, timeout: float = 30.0
    ) -> None:
        if not path:
            raise ValueError("lua_file is not set")
        try:
            self._source = Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"lua_file {path}: {error.strerror}") from error
        self._path = path
        self._settings = dict(settings)
        self._calls = Blocking("lua", most, timeout)
        try:
            first = self._load()
        except ScriptError as error:
            raise ValueError(f"lua_file {path}: {error}") from error
        self._first = first
        self._idle = [first]
        shared = first.globals()
        self._functions = frozenset(n for n in FUNCTIONS if lua_type(shared[n]) == "function")

    def has(self, function: str) -> bool:
        """Whether the script defines this function; never asks a state, which may be busy."""
        return function in self._functions

    def start(self, function: str) -> str | None:
        """The answer of a function without arguments, while loading."""
        if not self.has(function):
            return None
        try:
            return str(self._first.globals()[function]())
        except LuaError as error:
            raise ValueError(f"lua_file {self._path}: {function}: {_first_line(error)}") from error

    async def call(self, function: str, *arguments: object) -> tuple[Any, ...]:
        """Call it in a thread, in a state of its own."""
        return await self._calls.run(lambda: self._call(function, arguments))

    async def close(self) -> None:
        """Call ``script_deinit`` in every state that rests."""
        idle, self._idle = self._idle, []
        for state in idle:
            await asyncio.to_thread(_deinit, state)

    # In the threads.

    def _load(self) -> LuaRuntime:
        state = LuaRuntime(
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=_nothing,
        )
        names = {f"PASSDB_RESULT_{r.upper()}": r for r in PASSDB_RESULTS}
        names |= {f"USERDB_RESULT_{r.upper()}": r for r in USERDB_RESULTS}
        table = state.table_from({"auth": state.table_from(names)})
        shared = state.globals()
        shared.pillarbox = shared.dovecot = table
        shared.python = None
        try:
            state.execute(self._source, name=f"@{self._path}")
            if lua_type(shared.script_init) == "function":
                shared.script_init(state.table_from(self._settings))
        except LuaError as error:
            raise ScriptError(_first_line(error)) from error
        return state

    def _call(self, function: str, arguments: tuple[object, ...]) -> tuple[Any, ...]:
        state = self._idle.pop() if self._idle else self._load()
        try:
            given = [_request(state, a) if isinstance(a, ScriptRequest) else a for a in arguments]
            answers = state.globals()[function](*given)
        except LuaError as error:
            raise ScriptError(_first_line(error)) from error
        except Exception as error:  # of what the script called, through Lua
            raise ScriptError(f"{type(error).__name__}: {error}") from error
        found = answers if isinstance(answers, tuple) else (answers,)
        made = tuple(_plain(answer) for answer in found)
        self._idle.append(state)
        return made


def _request(state: LuaRuntime, request: ScriptRequest) -> Any:
    """The request as a table whose methods are called with ``:``."""
    table = {name: _fit(value) for name, value in request.values.items()}

    def method(name: str) -> Any:
        return lambda this, *arguments: getattr(request, name)(*arguments)

    for name in _METHODS:
        table[name] = method(name)
    table["response_from_template"] = method("var_expand")
    return state.table_from(table)


def _fit(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) else str(value)


def _plain(answer: Any) -> Any:
    """Tables become mappings, or lists where they count from 1."""
    if lua_type(answer) != "table":
        return answer
    items = dict(answer.items())
    if items and set(items) == set(range(1, len(items) + 1)):
        return [items[number] for number in range(1, len(items) + 1)]
    return items


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _nothing(target: object, name: object, setting: bool) -> object:
    raise AttributeError("Lua sees nothing of Python objects")


def _deinit(state: LuaRuntime) -> None:
    try:
        if lua_type(state.globals().script_deinit) == "function":
            state.globals().script_deinit()
    except LuaError:
        pass
