"""Every server mechanism by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pillarbox.wire.sasl import (
    anonymous,
    apop,
    bearer,
    cram_md5,
    digest_md5,
    external,
    gssapi,
    login,
    plain,
    scram,
)
from pillarbox.wire.sasl.exchange import Mechanism

MECHANISMS: Final[Mapping[str, Mechanism]] = {
    mechanism.name: mechanism
    for mechanism in (
        plain.MECHANISM,
        login.MECHANISM,
        scram.SHA1,
        scram.SHA256,
        scram.SHA1_PLUS,
        scram.SHA256_PLUS,
        cram_md5.MECHANISM,
        digest_md5.MECHANISM,
        apop.MECHANISM,
        external.MECHANISM,
        anonymous.MECHANISM,
        bearer.OAUTHBEARER,
        bearer.XOAUTH2,
        gssapi.GSSAPI,
        gssapi.SPNEGO,
    )
}
