"""Checks of the settings of annotations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pillarbox.settings.annotation_findings import annotation_findings
from pillarbox.settings.check import check
from pillarbox.settings.model import DictBlockSettings, Settings


def found(**settings: Any) -> list[tuple[str, bool]]:
    changed = msgspec.structs.replace(Settings(), **settings)
    return list(annotation_findings(changed, lambda path, text, fatal: (text, fatal)))


def test_what_is_good() -> None:
    assert found() == []
    assert not found(
        mail_attribute_dict="d",
        dict={"d": DictBlockSettings(driver="memory")},
        mail_server_admin="mailto:root@example.com",
        imap_metadata=True,
        imapsieve_url="sieve://mail.example.com:4190",
    )


@pytest.mark.parametrize(
    ("settings", "expected", "fatal"),
    [
        ({"mail_attribute_dict": "none"}, "there is no [dict.none]", True),
        ({"mail_server_admin": "root@example.com"}, "mail_server_admin is an URI", True),
        (
            {"imapsieve_url": "sieve://[::1]", "imap_metadata": True},
            "imapsieve_url is an URL",
            True,
        ),
        ({"imapsieve_url": "mail.example", "imap_metadata": True}, "imapsieve_url is", True),
        ({"imapsieve_url": "sieve://x"}, "is not announced without imap_metadata", False),
    ],
)
def test_what_is_wrong(settings: dict[str, Any], expected: str, fatal: bool) -> None:
    ((text, is_fatal),) = found(**settings)
    assert expected in text
    assert is_fatal is fatal


def test_config_check_tells_them() -> None:
    settings = msgspec.structs.replace(Settings(), mail_attribute_dict="none")
    assert any("[dict.none]" in one.text and one.fatal for one in check(settings))
