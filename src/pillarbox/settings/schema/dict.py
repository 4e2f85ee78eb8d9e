"""Settings of dictionaries: small stores of keys and values."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pillarbox.settings.schema.base import Doc
from pillarbox.settings.schema.submission import SubmissionSettings


class DictBlockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One dict."""

    driver: Annotated[str, Doc("`file` or `memory`; empty: the block's name.")] = ""
    dict_file_path: Annotated[
        str, Doc("file: its path; may hold variables of the user.", kind="file")
    ] = ""


_Blocks = dict[str, DictBlockSettings]


class DictSettings(SubmissionSettings, frozen=True, kw_only=True):
    """Where small things are remembered."""

    dict: Annotated[
        _Blocks, Doc("Dicts by name, which settings such as `sieve_dict` refer to.")
    ] = msgspec.field(default_factory=_Blocks)
