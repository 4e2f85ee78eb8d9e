"""A file of Python functions as a passdb: see `drivers.auth_script` for what they are."""

from __future__ import annotations

from pillarbox.drivers.auth_script import ScriptPassdb, passdb
from pillarbox.drivers.passdb.api import Server
from pillarbox.drivers.python_script import PythonScript
from pillarbox.settings.model import PassdbSettings


def make(block: PassdbSettings, server: Server) -> ScriptPassdb:
    """The passdb of a settings block.  Raises ValueError."""
    script = PythonScript(
        block.python_file, block.python_settings, block.script_max_requests, block.script_timeout
    )
    return passdb("python", script, server)
