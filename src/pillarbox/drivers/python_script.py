"""Scripts in Python: see `auth_script` for their functions.

The file is loaded once, as a module of its own.  Functions get a request whose attributes are the
known variables (``request.user``, ``request.remote_ip``) and whose methods verify passwords and
log; they run in threads, several at once, unless they are ``async``: these run on the event loop of
the auth service, which they must not block.  Results are the words of the catalogue (``"ok"``,
``"user_unknown"``, ``"password_mismatch"`` …).  A function may also give the fields alone, for
"ok", or None, for "unknown".
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from pillarbox.drivers.auth_script import OK, USER_UNKNOWN, ScriptError, ScriptRequest
from pillarbox.drivers.blocking import Blocking
from pillarbox.drivers.passdb.api import DatabaseError

_LIST: Final = "auth_userdb_iterate"


class PythonRequest:
    """A request whose values are attributes; None for what is not known."""

    def __init__(self, request: ScriptRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if hasattr(type(self._request), name):
            return getattr(self._request, name)
        return self._request.values.get(name)


class PythonScript:
    """See the module.  Raises ValueError for a file that cannot be loaded."""

    def __init__(
        self, path: str, settings: Mapping[str, str], most: int = 4, timeout: float = 30.0
    ) -> None:
        if not path:
            raise ValueError("python_file is not set")
        self._timeout = timeout
        self._calls = Blocking("python", most, timeout)
        self._module = _load(path)
        self._path = path
        if self.has("script_init"):
            self._started("script_init", dict(settings))

    def has(self, function: str) -> bool:
        """Whether the file defines this function."""
        return callable(getattr(self._module, function, None))

    def start(self, function: str) -> str | None:
        """The answer of a function without arguments, while loading."""
        return str(self._started(function)) if self.has(function) else None

    async def call(self, function: str, *arguments: object) -> tuple[Any, ...]:
        """Call it, in a thread or, if it is asynchronous, here."""
        given = [PythonRequest(a) if isinstance(a, ScriptRequest) else a for a in arguments]
        work = getattr(self._module, function)
        try:
            if inspect.iscoroutinefunction(work):
                async with asyncio.timeout(self._timeout):
                    answer = await work(*given)
            else:
                answer = await self._calls.run(lambda: work(*given))
        except DatabaseError:
            raise
        except Exception as error:
            raise ScriptError(f"{type(error).__name__}: {error}") from error
        if function == _LIST:
            return (answer,)
        if isinstance(answer, tuple):
            return answer
        if answer is None:
            return (USER_UNKNOWN,)
        return (answer,) if isinstance(answer, str) else (OK, answer)

    async def close(self) -> None:
        """Call ``script_deinit``."""
        if self.has("script_deinit"):
            try:
                await asyncio.to_thread(self._module.script_deinit)
            except Exception:
                pass

    def _started(self, function: str, *arguments: object) -> Any:
        try:
            return getattr(self._module, function)(*arguments)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise ValueError(f"python_file {self._path}: {function}: {text}") from error


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("pillarbox_auth_script", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"python_file {path}: its name does not end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"python_file {path}: {type(error).__name__}: {error}") from error
    return module
