"""What settings make of the language."""

from __future__ import annotations

from msgspec.structs import replace

from pillarbox.delivery.sieve.language import Language
from pillarbox.settings.model import Settings


def test_defaults() -> None:
    language = Language(Settings())
    assert language.limits.redirects == 4
    assert language.limits.actions == 32
    assert "fileinto" in language.capabilities["personal"]
    assert "vnd.dovecot.pipe" not in language.capabilities["global"]
    assert "vnd.dovecot.testsuite" not in language.capabilities["global"]
    assert language.texts["sieve_vacation_min_period"] == "86400"
    assert language.texts["sieve_vacation_send_from_recipient"] == "no"


def test_extensions() -> None:
    settings = replace(
        Settings(),
        sieve_extensions=("+vnd.dovecot.pipe", "-vacation", "+vnd.dovecot.testsuite", "+nonsense"),
        sieve_global_extensions=("+vnd.dovecot.filter", "vacation"),
    )
    personal = Language(settings).capabilities["personal"]
    assert "vnd.dovecot.pipe" in personal
    assert not personal & {"vacation", "vnd.dovecot.testsuite", "nonsense", "vnd.dovecot.filter"}
    assert {"vnd.dovecot.filter", "vacation"} <= Language(settings).capabilities["global"]
    only = Language(replace(Settings(), sieve_extensions=("fileinto", "copy")))
    assert only.capabilities["personal"] == {"fileinto", "copy"}


def test_limits_and_texts() -> None:
    settings = replace(
        Settings(),
        sieve_max_redirects=0,
        sieve_max_script_size=1000,
        sieve_include_max_nesting_depth=3,
        sieve_editheader_protected=("X-A", "X-B"),
        sieve_spamtest_text_value={"1": "no", "10": "yes certainly"},
    )
    language = Language(settings)
    assert (language.limits.redirects, language.limits.script_size) == (0, 1000)
    assert language.limits.include_depth == 3
    assert language.texts["sieve_editheader_protected"] == "X-A X-B"
    assert language.texts["sieve_spamtest_text_value10"] == "yes certainly"
