"""Settings of a block that asks the system or a program: PAM, passwd, Lua, Python, deny lists."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.ldap import LdapPassdbBlock, LdapUserdbBlock


class ProgramPassdbBlock(LdapPassdbBlock, frozen=True, kw_only=True):
    """Passwords that a program or the system checks."""

    pam_service_name: Annotated[
        str, Doc("pam: PAM's service; may hold variables, such as `%{protocol}`.")
    ] = "pillarbox"
    pam_service_dir: Annotated[
        str, Doc("pam: folder of the service's file, instead of the system's.", kind="file")
    ] = ""
    pam_session: Annotated[bool, Doc("pam: open and close a PAM session at each login.")] = False
    pam_timeout: Annotated[float, Doc("pam: longest wait for an answer.", kind="time")] = (
        30 * SECOND
    )
    pam_max_requests: Annotated[int, Doc("pam: most questions at once.", least=1)] = 16
    deny_users: Annotated[tuple[str, ...], Doc("deny: names, with `*` and `?`.")] = ()
    deny_file: Annotated[
        str, Doc("deny: file with a name to a line, with `*` and `?`.", kind="file")
    ] = ""
    lua_file: Annotated[str, Doc("lua: the script.", kind="file")] = ""
    lua_settings: Annotated[dict[str, str], Doc("lua: given to the script's `script_init`.")] = (
        msgspec.field(default_factory=dict)
    )
    python_file: Annotated[str, Doc("python: the file with the functions.", kind="file")] = ""
    python_settings: Annotated[
        dict[str, str], Doc("python: given to the file's `script_init`.")
    ] = msgspec.field(default_factory=dict)
    script_max_requests: Annotated[int, Doc("lua, python: most calls at once.", least=1)] = 4
    script_timeout: Annotated[
        float, Doc("lua, python: longest wait for an answer.", kind="time")
    ] = 30 * SECOND


class ProgramUserdbBlock(LdapUserdbBlock, frozen=True, kw_only=True):
    """Users that a program or the system knows."""

    passwd_first_uid: Annotated[
        int, Doc("passwd: users whose uid is smaller do not exist for mail.")
    ] = 1000
    passwd_last_uid: Annotated[int, Doc("passwd: nor those whose uid is greater; 0: no end.")] = (
        59999
    )
    lua_file: Annotated[str, Doc("lua: the script.", kind="file")] = ""
    lua_settings: Annotated[dict[str, str], Doc("lua: given to the script's `script_init`.")] = (
        msgspec.field(default_factory=dict)
    )
    python_file: Annotated[str, Doc("python: the file with the functions.", kind="file")] = ""
    python_settings: Annotated[
        dict[str, str], Doc("python: given to the file's `script_init`.")
    ] = msgspec.field(default_factory=dict)
    script_max_requests: Annotated[int, Doc("lua, python: most calls at once.", least=1)] = 4
    script_timeout: Annotated[
        float, Doc("lua, python: longest wait for an answer.", kind="time")
    ] = 30 * SECOND
