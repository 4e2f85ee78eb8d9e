"""Settings of Sieve that cannot work are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.settings.check import check
from pillarbox.settings.model import (
    DictBlockSettings,
    ImapSieveSettings,
    Settings,
    SieveListSettings,
)
from pillarbox.settings.schema.sieve_script import SieveScriptSettings
from pillarbox.settings.sieve_findings import sieve_findings

GLOBAL = {"g": SieveScriptSettings(type="global", path="/x")}


def texts(**settings: Any) -> list[str]:
    changed = msgspec.structs.replace(Settings(), **settings)
    found = sieve_findings(changed, lambda path, text, fatal: (path, text))
    return [f"{'.'.join(map(str, path))}: {text}" for path, text in found]


def test_what_is_good(tmp_path: Path) -> None:
    assert texts() == []
    assert not texts(
        sieve_dict="d",
        dict={"d": DictBlockSettings(driver="memory"), "memory": DictBlockSettings()},
        sieve_extlists_list={"l": SieveListSettings(dict="d")},
        sieve_redirect_envelope_from="<owner@example.com>",
        sieve_report_from="user_email",
        sieve_user_email="%{username}@example.com",
        sieve_pipe_bin_dir=str(tmp_path),
        imapsieve={"r": ImapSieveSettings(scripts=("x",))},
        sieve_script=GLOBAL,
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"sieve_dict": "none"}, "sieve_dict: there is no [dict.none]"),
        (
            {"sieve_extlists_list": {"l": SieveListSettings(dict="none")}},
            "sieve_extlists_list.l.dict: there is no [dict.none]",
        ),
        ({"dict": {"file": DictBlockSettings()}}, "dict.file: driver file needs dict_file_path"),
        (
            {"dict": {"m": DictBlockSettings(driver="memory", dict_file_path="%{x}")}},
            "dict.m.dict_file_path: dict_file_path cannot be understood",
        ),
        ({"sieve_redirect_envelope_from": "owner@x"}, "sieve_redirect_envelope_from is one of"),
        ({"sieve_user_email": "%{nobody}"}, "sieve_user_email cannot be understood"),
        ({"sieve_pipe_bin_dir": "/no/such"}, "sieve_pipe_bin_dir: there is no folder /no/such"),
        (
            {"imapsieve": {"r": ImapSieveSettings(scripts=("x",), causes=("expunge",))}},
            "imapsieve.r.causes: 'expunge' is none of append, copy, flag",
        ),
        ({"imapsieve": {"r": ImapSieveSettings()}}, "imapsieve.r: the rule names no scripts"),
        (
            {"imapsieve": {"r": ImapSieveSettings(scripts=("x",))}, "sieve_script": {}},
            "imapsieve.r: scripts need a [sieve_script] block of type global",
        ),
    ],
)
def test_what_is_wrong(settings: dict[str, Any], expected: str) -> None:
    [text] = texts(**{"sieve_script": GLOBAL, **settings})
    assert expected in text


def test_config_check_tells_them() -> None:
    settings = msgspec.structs.replace(Settings(), sieve_dict="none")
    assert any("[dict.none]" in one.text and one.fatal for one in check(settings))
