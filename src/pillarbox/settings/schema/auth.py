"""Settings of authentication: mechanisms, names, delays, the cache, the chains of databases."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pillarbox.settings.schema.base import HOUR, SECOND, Doc
from pillarbox.settings.schema.databases import PassdbSettings, UserdbSettings
from pillarbox.settings.schema.login import LoginSettings


class AuthSettings(LoginSettings, frozen=True, kw_only=True):
    """How users log in."""

    auth_mechanisms: Annotated[
        tuple[str, ...],
        Doc(
            "SASL mechanisms that are offered: `plain`, `login`, `scram-sha-1`, `scram-sha-256` "
            "and their `-plus` forms, `cram-md5`, `digest-md5`, `external`, `anonymous`, "
            "`oauthbearer`, `xoauth2`, `gssapi`, `gss-spnego`; and POP3's `apop`. Those that do "
            "not send the password need it stored for them or in clear."
        ),
    ] = ("plain", "login")
    auth_allow_cleartext: Annotated[
        bool, Doc("Accept cleartext passwords on connections without TLS, from anywhere.")
    ] = False
    auth_cache_size: Annotated[int, Doc("Memory for the auth cache; 0: no cache.", kind="size")] = 0
    auth_cache_ttl: Annotated[
        float, Doc("How long a found user stays in the auth cache.", kind="time")
    ] = HOUR
    auth_cache_negative_ttl: Annotated[
        float, Doc("How long an unknown user stays in the auth cache.", kind="time")
    ] = HOUR
    auth_failure_delay: Annotated[
        float, Doc("Pause before a failed login is answered.", kind="time")
    ] = 2 * SECOND
    auth_internal_failure_delay: Annotated[
        float,
        Doc("Pause before a login that a broken database prevented is answered.", kind="time"),
    ] = 2 * SECOND
    auth_username_format: Annotated[
        str, Doc("What a login name is turned into before any lookup.")
    ] = "%{user | lower}"
    auth_username_chars: Annotated[
        str, Doc("Characters that a user name may have; empty: all.")
    ] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@+"
    auth_default_domain: Annotated[
        str, Doc("Domain that is added to a login name without one.")
    ] = ""
    auth_username_translation: Annotated[
        str,
        Doc("Characters of a login name that are replaced, in pairs of from and to, as `#@/@`."),
    ] = ""
    auth_realms: Annotated[
        tuple[str, ...], Doc("Realms that DIGEST-MD5 offers; none: the client takes its own.")
    ] = ()
    auth_master_user_separator: Annotated[
        str,
        Doc(
            "Separator with which a master user names whom to log in as: with `*`, "
            "`user*master`. Empty: only by the mechanism's authorization name."
        ),
    ] = ""
    auth_gssapi_hostname: Annotated[
        str,
        Doc(
            "Host in the service principals that tickets are accepted for, as `imap/HOST`; empty: "
            "`hostname`; `$ALL`: any key of the keytab."
        ),
    ] = ""
    auth_krb5_keytab: Annotated[str, Doc("Kerberos keytab; empty: the system's.", kind="file")] = ""
    auth_anonymous_username: Annotated[str, Doc("Who logs in by ANONYMOUS.")] = "anonymous"
    auth_allow_weak_schemes: Annotated[
        bool,
        Doc("Accept stored passwords of weak schemes (unsalted digests, MD5, DES)."),
    ] = False
    auth_rehash_on_login: Annotated[
        bool,
        Doc(
            "When a right password was stored in another scheme than `auth_password_scheme`, store "
            "it anew in that one; for databases that can be written."
        ),
    ] = False
    auth_penalty_max_delay: Annotated[
        float,
        Doc(
            "Longest pause before a login of an address or a user that guessed wrong passwords: a "
            "second after four of them, doubled with each more; 0: none.",
            kind="time",
        ),
    ] = 15 * SECOND
    auth_penalty_expire: Annotated[
        float, Doc("After how long wrong passwords are forgotten.", kind="time")
    ] = HOUR
    auth_verbose: Annotated[bool, Doc("Log why each failed login failed.")] = False
    auth_ssl_username_from_cert: Annotated[
        bool, Doc("The user name is that of the client certificate.")
    ] = False
    auth_ssl_require_client_cert: Annotated[
        bool, Doc("Nobody logs in without a valid client certificate.")
    ] = False
    auth_password_scheme: Annotated[
        str, Doc("Scheme that `pillarbox user` and `pillarbox pw` hash with.")
    ] = "ARGON2ID"  # noqa: S105
    passdb: Annotated[
        dict[str, PassdbSettings], Doc("Password databases, asked in this order.")
    ] = msgspec.field(default_factory=dict)
    userdb: Annotated[dict[str, UserdbSettings], Doc("User databases, asked in this order.")] = (
        msgspec.field(default_factory=dict)
    )
