"""Settings of TLS: certificates, versions, client certificates, SNI.

`ssl` says whether TLS is offered; certificates are read again on reload.  `local_name` blocks
choose another certificate by the name that a client asks for (SNI, RFC 6066 section 3).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import Doc
from pillarbox.settings.schema.service import ServicesSettings


class LocalNameSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate for one server name; the block's name may be `*.example.com`."""

    ssl_server_cert_file: Annotated[str, Doc("Certificate and its chain, in PEM.", kind="file")] = (
        ""
    )
    ssl_server_key_file: Annotated[str, Doc("Private key, in PEM.", kind="file")] = ""
    ssl_server_key_password: Annotated[str, Doc("Password of the private key.", kind="secret")] = ""


class SslSettings(ServicesSettings, frozen=True, kw_only=True):
    """TLS of listeners, and towards other servers."""

    ssl: Annotated[
        Literal["no", "yes", "required"],
        Doc("Whether TLS is offered; `required`: no login without it, whatever the mechanism."),
    ] = "yes"
    ssl_server_cert_file: Annotated[
        str, Doc("Certificate and its chain, in PEM. Empty: no TLS is offered.", kind="file")
    ] = ""
    ssl_server_key_file: Annotated[
        str, Doc("Private key, in PEM; empty: in the same file as the certificate.", kind="file")
    ] = ""
    ssl_server_key_password: Annotated[str, Doc("Password of the private key.", kind="secret")] = ""
    ssl_min_protocol: Annotated[
        Literal["TLSv1.2", "TLSv1.3"], Doc("Oldest TLS version that is accepted.")
    ] = "TLSv1.2"
    ssl_cipher_list: Annotated[
        str, Doc("Ciphers for TLS 1.2 in OpenSSL's notation; empty: OpenSSL's own choice.")
    ] = ""
    ssl_server_ca_file: Annotated[
        str, Doc("Authorities that client certificates are checked against.", kind="file")
    ] = ""
    ssl_request_client_cert: Annotated[
        bool, Doc("Ask clients for a certificate; needs `ssl_server_ca_file`.")
    ] = False
    ssl_server_cert_username_field: Annotated[
        str, Doc("Field of a client certificate's subject that is the user name.")
    ] = "commonName"
    ssl_client_ca_file: Annotated[
        str,
        Doc(
            "Authorities that the certificates of other servers are checked against; empty: "
            "the system's.",
            kind="file",
        ),
    ] = ""
    ssl_client_ca_dir: Annotated[
        str, Doc("Folder of such authorities, with OpenSSL's hashed names.", kind="file")
    ] = ""
    ssl_client_require_valid_cert: Annotated[
        bool, Doc("Connect to no server by TLS whose certificate is not valid for its name.")
    ] = True
    ssl_client_cert_file: Annotated[
        str, Doc("Certificate to show to other servers, in PEM.", kind="file")
    ] = ""
    ssl_client_key_file: Annotated[
        str, Doc("Its private key; empty: in the same file.", kind="file")
    ] = ""
    ssl_client_key_password: Annotated[str, Doc("Password of that key.", kind="secret")] = ""
    local_name: Annotated[
        dict[str, LocalNameSettings],
        Doc("Other certificates, by the server name that the client asks for (SNI)."),
    ] = msgspec.field(default_factory=dict)
