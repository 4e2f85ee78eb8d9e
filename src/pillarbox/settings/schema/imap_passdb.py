"""Settings of a passdb block that asks another IMAP server; TLS follows `ssl_client_*`."""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.oauth2 import Oauth2Block


class ImapPassdbBlock(Oauth2Block, frozen=True, kw_only=True):
    """Which server is asked, and how."""

    imap_host: Annotated[
        str, Doc("imap: the server that knows the passwords; may hold variables of the user.")
    ] = ""
    imap_port: Annotated[int, Doc("imap: its port; 0: 143, or 993 with `imap_ssl = imaps`.")] = 0
    imap_ssl: Annotated[
        Literal["no", "imaps", "starttls"], Doc("imap: how the way to it is secured.")
    ] = "starttls"
    imap_user: Annotated[str, Doc("imap: the name to log in with there.")] = "%{user}"
    imap_mechanism: Annotated[
        str,
        Doc(
            "imap: the SASL mechanism for passwords; `LOGIN` the command is used where a server "
            "has no SASL PLAIN. Tokens are passed on by the mechanism that brought them."
        ),
    ] = "PLAIN"
    imap_timeout: Annotated[
        float, Doc("imap: how long connecting and logging in may take together.", kind="time")
    ] = 30 * SECOND
