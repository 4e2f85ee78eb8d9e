"""Settings of where Sieve scripts are kept.

A `sieve_script` block is one place: the scripts that a user manages (`personal`), or scripts of the
administrator's that run before or after them, stand in for them, or can be included.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import MIB, Doc
from pillarbox.settings.schema.dict import DictSettings

ScriptType = Literal["personal", "before", "after", "default", "global", "discard"]


class SieveScriptSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One place of Sieve scripts."""

    type: Annotated[
        ScriptType,
        Doc(
            "`personal`: the user's own, managed over ManageSieve; `before` and `after`: run "
            "before and after it; `default`: run when the user has no active script; `global`: "
            "for `include :global`; `discard`: run for mail that is discarded."
        ),
    ] = "personal"
    driver: Annotated[str, Doc("How they are kept: `file`, `dict` or `ldap`.")] = "file"
    name: Annotated[
        str,
        Doc(
            "What the script of a place with one script is called; which one is meant, where the "
            "place has several."
        ),
    ] = ""
    path: Annotated[
        str,
        Doc(
            "file: a folder of `NAME.sieve` files, or one such file; `~/` is the user's home, and "
            "variables of the user may be used.",
            kind="path",
        ),
    ] = ""
    active_path: Annotated[
        str,
        Doc("file, personal: the symbolic link that names the active script.", kind="path"),
    ] = ""
    bin_path: Annotated[
        str,
        Doc(
            "file: folder of the compiled scripts; empty: beside the scripts, if they are the "
            "user's.",
            kind="path",
        ),
    ] = ""
    dict: Annotated[str, Doc("dict: name of the `dict` block that holds them.")] = ""
    ldap: Annotated[
        str, Doc("ldap: name of the `userdb` block that says which directory, and how to search.")
    ] = ""
    ldap_filter: Annotated[
        str, Doc("ldap: how the user's entry is found; empty: as that block says.")
    ] = ""
    ldap_script_attribute: Annotated[str, Doc("ldap: the attribute that holds the script.")] = (
        "mailSieveRuleSource"
    )
    precedence: Annotated[
        int, Doc("Order of places of one type: smaller numbers first, then that of the file.")
    ] = 1000


def _personal() -> dict[str, SieveScriptSettings]:
    return {"personal": SieveScriptSettings(path="~/sieve", active_path="~/.dovecot.sieve")}


class SieveScriptsSettings(DictSettings, frozen=True, kw_only=True):
    """Places of scripts, and how many a user may have."""

    sieve_script: Annotated[
        dict[str, SieveScriptSettings],
        Doc("Places of Sieve scripts; `personal` is there from the start."),
    ] = msgspec.field(default_factory=_personal)
    sieve_quota_script_count: Annotated[
        int, Doc("Scripts that a user may store; 0: any number.")
    ] = 0
    sieve_quota_storage_size: Annotated[
        int, Doc("Bytes of scripts that a user may store; 0: any number.", kind="size")
    ] = 0
    sieve_max_script_size: Annotated[
        int, Doc("Largest script that is stored or run.", kind="size", least=1)
    ] = MIB
