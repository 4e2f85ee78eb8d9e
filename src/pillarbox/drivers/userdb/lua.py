"""A Lua script as a userdb: see `drivers.auth_script` for its functions."""

from __future__ import annotations

from pillarbox.drivers.auth_script import ScriptUserdb, userdb
from pillarbox.drivers.lua_script import CATEGORIES, LuaScript
from pillarbox.drivers.userdb.api import Server
from pillarbox.settings.model import UserdbSettings


def make(block: UserdbSettings, server: Server) -> ScriptUserdb:
    """The userdb of a settings block.  Raises ValueError."""
    script = LuaScript(
        block.lua_file, block.lua_settings, block.script_max_requests, block.script_timeout
    )
    return userdb("lua", script, server, CATEGORIES)
