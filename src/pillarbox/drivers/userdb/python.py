"""A file of Python functions as a userdb: see `drivers.auth_script` for what they are."""

from __future__ import annotations

from pillarbox.drivers.auth_script import ScriptUserdb, userdb
from pillarbox.drivers.python_script import PythonScript
from pillarbox.drivers.userdb.api import Server
from pillarbox.settings.model import UserdbSettings


def make(block: UserdbSettings, server: Server) -> ScriptUserdb:
    """The userdb of a settings block.  Raises ValueError."""
    script = PythonScript(
        block.python_file, block.python_settings, block.script_max_requests, block.script_timeout
    )
    return userdb("python", script, server)
