"""Settings of a passdb block that checks tokens of an OAuth2 or OpenID Connect provider.

Requests to the provider, TLS included, follow the `http_client_*` and `ssl_client_*` settings.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import HOUR, Doc
from pillarbox.settings.schema.programs import ProgramPassdbBlock


class Oauth2Block(ProgramPassdbBlock, frozen=True, kw_only=True):
    """How tokens are checked, and whose they are."""

    oauth2_openid_configuration_url: Annotated[
        str,
        Doc(
            "oauth2: the provider's description of itself (OpenID Discovery), which names the URLs "
            "and the issuer that are not set here; clients are told of it."
        ),
    ] = ""
    oauth2_introspection_mode: Annotated[
        Literal["", "auth", "get", "post", "local"],
        Doc(
            "oauth2: how a token is checked: `auth`: GET with the token as authorization "
            "(userinfo); `get`: GET with the token at the URL's end; `post`: RFC 7662; `local`: "
            "here, by its signature, if it is a JWT, else by `post` or `auth` where that is known "
            "how. Empty: by `oauth2_tokeninfo_url` alone."
        ),
    ] = ""
    oauth2_introspection_url: Annotated[str, Doc("oauth2: where that is done.")] = ""
    oauth2_tokeninfo_url: Annotated[
        str, Doc("oauth2: URL that is asked first, with the token at its end.")
    ] = ""
    oauth2_force_introspection: Annotated[
        bool, Doc("oauth2: introspect although `oauth2_tokeninfo_url` told who it is.")
    ] = False
    oauth2_grant_url: Annotated[
        str,
        Doc(
            "oauth2: where a user name and a password get a token (the password grant), for "
            "mechanisms that are none of OAuth2's. Empty: such logins are not tried here."
        ),
    ] = ""
    oauth2_client_id: Annotated[str, Doc("oauth2: who we are to the provider.")] = ""
    oauth2_client_secret: Annotated[
        str, Doc("oauth2: our secret for the provider.", kind="secret")
    ] = ""
    oauth2_username_attribute: Annotated[
        str, Doc("oauth2: the attribute of a token that is the user's name.")
    ] = "email"
    oauth2_username_validation_format: Annotated[
        str, Doc("oauth2: what that attribute is turned into before it is compared.")
    ] = "%{user | lower}"
    oauth2_active_attribute: Annotated[
        str, Doc("oauth2: attribute that tokens of enabled accounts have. Empty: not looked at.")
    ] = ""
    oauth2_active_value: Annotated[str, Doc("oauth2: the value that it must have; empty: any.")] = (
        ""
    )
    oauth2_scope: Annotated[
        tuple[str, ...], Doc("oauth2: a token must have one of these scopes; none: any scope.")
    ] = ()
    oauth2_issuers: Annotated[
        tuple[str, ...],
        Doc("oauth2: who may have issued a token; none: whom discovery names, or anybody."),
    ] = ()
    oauth2_audience: Annotated[
        tuple[str, ...],
        Doc("oauth2: one of these a token must be meant for; none: `oauth2_client_id`, if set."),
    ] = ()
    oauth2_fields: Annotated[
        dict[str, str],
        Doc("oauth2: fields as templates of `%{oauth2:attribute}` and `%{oauth2:access_token}`."),
    ] = msgspec.field(default_factory=dict)
    oauth2_jwks_url: Annotated[
        str, Doc("oauth2: local: where the provider's keys are (a JWK set).")
    ] = ""
    oauth2_jwks_ttl: Annotated[
        float, Doc("oauth2: local: when those keys are looked at again.", kind="time")
    ] = HOUR
    oauth2_local_validation_folder: Annotated[
        str,
        Doc(
            "oauth2: local: folder with a key in each file `azp/ALG/kid`, in PEM, as a JWK, or, "
            "for HS256 and its kin, in base64.",
            kind="file",
        ),
    ] = ""
    oauth2_local_validation_dict: Annotated[
        str, Doc("oauth2: local: dict with such keys as `shared/azp/ALG/kid`.")
    ] = ""
