"""A Lua script as a passdb: see `drivers.auth_script` for its functions."""

from __future__ import annotations

from pillarbox.drivers.auth_script import ScriptPassdb, passdb
from pillarbox.drivers.lua_script import CATEGORIES, LuaScript
from pillarbox.drivers.passdb.api import Server
from pillarbox.settings.model import PassdbSettings


def make(block: PassdbSettings, server: Server) -> ScriptPassdb:
    """The passdb of a settings block.  Raises ValueError."""
    script = LuaScript(
        block.lua_file, block.lua_settings, block.script_max_requests, block.script_timeout
    )
    return passdb("lua", script, server, CATEGORIES)
