"""Settings as TOML again."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from pillarbox.settings.dump import HIDDEN, to_toml
from pillarbox.settings.load import load
from pillarbox.settings.model import (
    GroupBySettings,
    InetListenerSettings,
    LocalNameSettings,
    MailboxSettings,
    MetricSettings,
    PassdbSettings,
    ServiceSettings,
    Settings,
    UnixListenerSettings,
)

CHANGED = msgspec.structs.replace(
    Settings(),
    base_dir="/run/x",
    hostname='we"ird\\ \x7f é\n',
    imap_max_line_length=12345,
    imap_idle_timeout=0.25,
    login_timeout=7200.0,
    auth_mechanisms=("plain",),
    admin_password="geheim",
    mailbox={**Settings().mailbox, "Spam": MailboxSettings(special_use=("\\Junk",))},
    passdb={
        "z": PassdbSettings(driver="sql", fields={"uid": "5"}),
        "a": PassdbSettings(driver="static", static_password="x"),
    },
    local_name={"*.example.org": LocalNameSettings(ssl_server_cert_file="/c")},
    service={
        "lmtp": ServiceSettings(
            process_limit=3, unix_listener={"lmtp": UnixListenerSettings(mode=0o60)}
        ),
        "imap_login": ServiceSettings(
            inet_listener={"imap": InetListenerSettings(port=0, address=())}
        ),
    },
    metric={
        "m": MetricSettings(
            filter="event=*",
            group_by=(
                GroupBySettings(field="cmd_name"),
                GroupBySettings(field="duration", method="linear", linear_min=-5, linear_max=7),
            ),
        )
    },
)


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("comments", [False, True])
@pytest.mark.parametrize("settings", [Settings(), CHANGED], ids=["defaults", "changed"])
def test_what_is_written_can_be_read(
    tmp_path: Path, settings: Settings, everything: bool, comments: bool
) -> None:
    path = tmp_path / "x.toml"
    text = to_toml(settings, everything=everything, comments=comments, secrets=True)
    path.write_text(text, encoding="utf-8")
    again = load(path)
    assert again == settings
    assert list(again.passdb) == list(settings.passdb)


def test_defaults_are_left_out() -> None:
    assert to_toml(Settings()) == ""
    changed = msgspec.structs.replace(Settings(), hostname="x", mail_max_size=2048)
    assert to_toml(changed) == 'hostname = "x"\nmail_max_size = "2KB"\n'


def test_secrets_are_hidden() -> None:
    tree = tomllib.loads(to_toml(CHANGED))
    assert tree["admin_password"] == HIDDEN
    assert tree["passdb"]["a"]["static_password"] == HIDDEN
    assert "geheim" not in to_toml(CHANGED)
    assert tomllib.loads(to_toml(Settings(), everything=True))["admin_password"] == ""
