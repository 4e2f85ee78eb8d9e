"""Settings of mail that leaves: how forwards, replies and notices are sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.proxy import ProxySettings


class SubmitSettings(ProxySettings, frozen=True, kw_only=True):
    """Where the mail that we write ourselves is handed to."""

    submission_host: Annotated[
        str,
        Doc(
            "SMTP server, as `host`, `host:port` or `[address]:port`, that takes the mail which "
            "the server itself sends: what Sieve redirects, replies, notices. Empty: "
            "`sendmail_path` does."
        ),
    ] = ""
    submission_ssl: Annotated[
        Literal["no", "smtps", "starttls"],
        Doc("TLS towards `submission_host`: none, from the first byte, or by STARTTLS."),
    ] = "no"
    submission_user: Annotated[str, Doc("User to log in as at `submission_host`; empty: none.")] = (
        ""
    )
    submission_password: Annotated[str, Doc("That user's password.", kind="secret")] = ""
    submission_timeout: Annotated[
        float,
        Doc(
            "How long `submission_host` or the program of `sendmail_path` may take for each step.",
            kind="time",
        ),
    ] = 30 * SECOND
    sendmail_path: Annotated[
        str,
        Doc(
            "Program that takes mail where there is no `submission_host`, called without a shell "
            "as `sendmail -i -f SENDER -- RECIPIENT ...`.",
            kind="path",
        ),
    ] = "/usr/sbin/sendmail"
