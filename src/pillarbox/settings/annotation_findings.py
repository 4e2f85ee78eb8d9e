"""What is wrong with settings of annotations (IMAP METADATA), and of scripts that they name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from pillarbox.settings.errors import nearest
from pillarbox.settings.model import Settings
from pillarbox.settings.positions import Path as KeyPath

F = TypeVar("F")

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_SIEVE_URL: Final = re.compile(r"sieve://[A-Za-z0-9@%:;/._~+-]+")


def annotation_findings(
    settings: Settings, finding: Callable[[KeyPath, str, bool], F]
) -> Iterator[F]:
    """Everything, each as ``finding(path, text, fatal)``."""
    name = settings.mail_attribute_dict
    if name and name not in settings.dict:
        text = f"there is no [dict.{name}]{nearest(name, settings.dict)}"
        yield finding(("mail_attribute_dict",), text, True)
    admin = settings.mail_server_admin
    if admin and not _URI.fullmatch(admin):
        text = "mail_server_admin is an URI, such as mailto:postmaster@example.com"
        yield finding(("mail_server_admin",), text, True)
    url = settings.imapsieve_url
    if url and not _SIEVE_URL.fullmatch(url):
        text = "imapsieve_url is an URL such as sieve://mail.example.com"
        yield finding(("imapsieve_url",), text, True)
    if url and not settings.imap_metadata:
        text = "imapsieve_url is not announced without imap_metadata"
        yield finding(("imapsieve_url",), text, False)
