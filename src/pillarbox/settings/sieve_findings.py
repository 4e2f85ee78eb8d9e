"""What is wrong with settings of Sieve: names of what is not there, rules, variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Final, TypeVar

from pillarbox.settings.errors import nearest
from pillarbox.settings.model import Settings
from pillarbox.settings.positions import Path as KeyPath
from pillarbox.settings.variables import VariableError, expand

F = TypeVar("F")

_USER: Final = {"user": "u@d", "username": "u", "domain": "d", "home": "/home"}
_CAUSES: Final = ("append", "copy", "flag")
_SENDERS: Final = ("sender", "recipient", "orig_recipient", "user_email", "postmaster")
_ADDRESS: Final = re.compile(r"<[^<>\s]*>")


def sieve_findings(settings: Settings, finding: Callable[[KeyPath, str, bool], F]) -> Iterator[F]:
    """Everything, each as ``finding(path, text, fatal)``."""
    for path, text in (*_dicts(settings), *_senders(settings), *_rules(settings)):
        yield finding(path, text, True)
    for name in ("sieve_pipe_bin_dir", "sieve_filter_bin_dir", "sieve_execute_bin_dir"):
        folder = getattr(settings, name)
        if folder and not FilePath(folder).is_dir():
            yield finding((name,), f"{name}: there is no folder {folder}", False)


def _dicts(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    named: list[tuple[KeyPath, str]] = [(("sieve_dict",), settings.sieve_dict)]
    for name, block in settings.sieve_extlists_list.items():
        named.append((("sieve_extlists_list", name, "dict"), block.dict))
    for path, name in named:
        if name and name not in settings.dict:
            yield path, f"there is no [dict.{name}]{nearest(name, settings.dict)}"
    for name, one in settings.dict.items():
        try:
            expand(one.dict_file_path, _USER)
        except VariableError as error:
            yield ("dict", name, "dict_file_path"), f"dict_file_path cannot be understood: {error}"
        if (one.driver or name) == "file" and not one.dict_file_path:
            yield ("dict", name), "driver file needs dict_file_path"


def _senders(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    for name in (
        "sieve_redirect_envelope_from",
        "sieve_notify_mailto_envelope_from",
        "sieve_report_from",
    ):
        value = getattr(settings, name)
        if value and value not in _SENDERS and not _ADDRESS.fullmatch(value):
            yield (name,), f"{name} is one of {', '.join(_SENDERS)}, or an <address>"
    try:
        expand(settings.sieve_user_email, _USER)
    except VariableError as error:
        yield ("sieve_user_email",), f"sieve_user_email cannot be understood: {error}"


def _rules(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    for name, rule in settings.imapsieve.items():
        for cause in rule.causes:
            if cause not in _CAUSES:
                yield ("imapsieve", name, "causes"), f"{cause!r} is none of {', '.join(_CAUSES)}"
        if not rule.scripts:
            yield ("imapsieve", name), "the rule names no scripts"
        elif not any(place.type == "global" for place in settings.sieve_script.values()):
            yield ("imapsieve", name), "scripts need a [sieve_script] block of type global"
