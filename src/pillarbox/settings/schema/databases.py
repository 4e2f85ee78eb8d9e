"""Settings of the databases that know passwords and users.

`passdb` blocks say who somebody is (they verify passwords), `userdb` blocks where a user's mail
lives; both are tried in the order of the file.  The SQLite defaults know one table, ``users``
(username, password, home, uid, gid, quota_storage_size, active), which `pillarbox user` keeps.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import Doc
from pillarbox.settings.schema.imap_passdb import ImapPassdbBlock
from pillarbox.settings.schema.programs import ProgramUserdbBlock

Result = Literal[
    "return-ok", "return", "return-fail", "continue", "continue-ok", "continue-fail", "next"
]


class PassdbSettings(ImapPassdbBlock, frozen=True, kw_only=True):
    """One password database."""

    driver: Annotated[
        str,
        Doc(
            "`passwd-file`, `sql`, `ldap`, `pam`, `passwd`, `imap`, `oauth2`, `lua`, `python`, "
            "`deny` or `static`; empty: the block's name."
        ),
    ] = ""
    default_password_scheme: Annotated[
        str, Doc("Scheme of stored passwords that carry no `{SCHEME}` prefix.")
    ] = "PLAIN"  # noqa: S105
    passwd_file_path: Annotated[
        str, Doc("passwd-file: its path; may hold variables of the user.", kind="file")
    ] = ""
    sql_query: Annotated[
        str,
        Doc("sql: query whose row has `password` and, if wanted, `user` and `userdb_*` columns."),
    ] = "SELECT password FROM users WHERE username = '%{user}' AND active = 1"
    static_password: Annotated[
        str, Doc("static: the password of everybody, for tests.", kind="secret")
    ] = ""
    fields: Annotated[
        dict[str, str], Doc("Fields that every successful lookup gets unless it has them.")
    ] = msgspec.field(default_factory=dict)
    override_fields: Annotated[
        dict[str, str], Doc("Fields that replace those of every successful lookup.")
    ] = msgspec.field(default_factory=dict)
    username_filter: Annotated[
        tuple[str, ...],
        Doc("Patterns of user names that this database is asked for; `!` excludes."),
    ] = ()
    mechanisms_filter: Annotated[
        tuple[str, ...], Doc("Mechanisms that this database is asked for; none: all.")
    ] = ()
    skip: Annotated[
        Literal["never", "authenticated", "unauthenticated"],
        Doc("Whether to skip it when an earlier database has already decided."),
    ] = "never"
    deny: Annotated[bool, Doc("Who is found here is refused.")] = False
    master: Annotated[
        bool,
        Doc("Its users are master users, who may log in as others; it is asked for nobody else."),
    ] = False
    result_success: Annotated[Result, Doc("What follows a success.")] = "return-ok"
    result_failure: Annotated[Result, Doc("What follows a failure.")] = "continue"
    result_internalfail: Annotated[Result, Doc("What follows when the database is broken.")] = (
        "continue"
    )
    use_cache: Annotated[bool, Doc("Keep this database's answers in the auth cache.")] = True


class UserdbSettings(ProgramUserdbBlock, frozen=True, kw_only=True):
    """One user database."""

    driver: Annotated[
        str,
        Doc(
            "`passwd-file`, `sql`, `ldap`, `passwd`, `lua`, `python`, `static` or `prefetch`; "
            "empty: the block's name."
        ),
    ] = ""
    passwd_file_path: Annotated[
        str, Doc("passwd-file: its path; may hold variables of the user.", kind="file")
    ] = ""
    sql_query: Annotated[
        str, Doc("sql: query whose row's columns are the user's fields; NULL is absent.")
    ] = (
        "SELECT home, uid, gid, quota_storage_size FROM users "
        "WHERE username = '%{user}' AND active = 1"
    )
    sql_iterate_query: Annotated[
        str, Doc("sql: query that lists all users, as column `user` or `username`.")
    ] = "SELECT username FROM users WHERE active = 1 ORDER BY username"
    static_allow_all_users: Annotated[
        bool, Doc("static: say that every user exists, without asking a passdb.")
    ] = False
    fields: Annotated[
        dict[str, str], Doc("Fields that every successful lookup gets unless it has them.")
    ] = msgspec.field(default_factory=dict)
    override_fields: Annotated[
        dict[str, str], Doc("Fields that replace those of every successful lookup.")
    ] = msgspec.field(default_factory=dict)
    username_filter: Annotated[
        tuple[str, ...],
        Doc("Patterns of user names that this database is asked for; `!` excludes."),
    ] = ()
    skip: Annotated[
        Literal["never", "found", "notfound"],
        Doc("Whether to skip it when an earlier database has already decided."),
    ] = "never"
    result_success: Annotated[Result, Doc("What follows a success.")] = "return-ok"
    result_failure: Annotated[Result, Doc("What follows a failure.")] = "continue"
    result_internalfail: Annotated[Result, Doc("What follows when the database is broken.")] = (
        "continue"
    )
    use_cache: Annotated[bool, Doc("Keep this database's answers in the auth cache.")] = True
