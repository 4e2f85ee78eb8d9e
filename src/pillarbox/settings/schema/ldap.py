"""Settings of a block that asks an LDAP directory.

TLS, by ``ldaps://`` or ``ldap_starttls``, follows the `ssl_client_*` settings.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.sql import SqlBlock


class LdapBlock(SqlBlock, frozen=True, kw_only=True):
    """Which directory, as whom, and where in it."""

    ldap_uris: Annotated[
        tuple[str, ...],
        Doc(
            "ldap: servers, as `ldap://name`, `ldaps://name` or `ldapi://` with the socket's path; "
            "the first that works is used."
        ),
    ] = ("ldap://localhost",)
    ldap_starttls: Annotated[bool, Doc("ldap: begin TLS on `ldap://` connections.")] = False
    ldap_auth_dn: Annotated[str, Doc("ldap: who searches; empty: anonymous.")] = ""
    ldap_auth_dn_password: Annotated[str, Doc("ldap: its password.", kind="secret")] = ""
    ldap_base: Annotated[str, Doc("ldap: where searches begin; may hold variables.")] = ""
    ldap_scope: Annotated[
        Literal["base", "onelevel", "subtree"], Doc("ldap: how deep searches go.")
    ] = "subtree"
    ldap_filter: Annotated[str, Doc("ldap: how a user is found; values are escaped.")] = (
        "(&(objectClass=posixAccount)(uid=%{user}))"
    )
    ldap_connection_limit: Annotated[
        int, Doc("ldap: most searches and binds at once.", least=1)
    ] = 4
    ldap_timeout: Annotated[
        float, Doc("ldap: longest wait for a connection or an answer.", kind="time")
    ] = 10 * SECOND


class LdapPassdbBlock(LdapBlock, frozen=True, kw_only=True):
    """How passwords are checked."""

    ldap_fields: Annotated[
        dict[str, str],
        Doc(
            "ldap: fields as templates of `%{ldap:attribute}`; one whose attribute is missing is "
            "left out."
        ),
    ] = msgspec.field(default_factory=lambda: {"password": "%{ldap:userPassword}"})
    ldap_bind: Annotated[
        bool, Doc("ldap: check passwords by binding as the user instead of reading them.")
    ] = False
    ldap_bind_userdn: Annotated[
        str, Doc("ldap: with `ldap_bind`: the user's DN as a template, without any search.")
    ] = ""


class LdapUserdbBlock(LdapBlock, frozen=True, kw_only=True):
    """What is known of users, and who they are."""

    ldap_fields: Annotated[
        dict[str, str],
        Doc(
            "ldap: fields as templates of `%{ldap:attribute}`; one whose attribute is missing is "
            "left out."
        ),
    ] = msgspec.field(
        default_factory=lambda: {
            "home": "%{ldap:homeDirectory}",
            "uid": "%{ldap:uidNumber}",
            "gid": "%{ldap:gidNumber}",
        }
    )
    ldap_iterate_filter: Annotated[str, Doc("ldap: which entries are users.")] = (
        "(objectClass=posixAccount)"
    )
    ldap_iterate_fields: Annotated[
        dict[str, str], Doc("ldap: the name of a listed user, as the field `user`.")
    ] = msgspec.field(default_factory=lambda: {"user": "%{ldap:uid}"})
