"""What a failed login is in SMTP."""

from __future__ import annotations

import pytest

from pillarbox.runtime.auth_client import Failure
from pillarbox.runtime.handoff import HandoffReply
from pillarbox.runtime.login import verdict
from pillarbox.services.submission_login.verdicts import farewell_of, reply_of


@pytest.mark.parametrize(
    ("found", "code", "enhanced"),
    [
        (verdict.AUTH_FAILED, 535, "5.7.8"),
        (verdict.TEMPORARY, 454, "4.7.0"),
        (verdict.NOT_READY, 454, "4.7.0"),
        (verdict.INTERNAL, 454, "4.7.0"),
        (verdict.CLEARTEXT, 538, "5.7.11"),
        (verdict.TLS_FIRST, 530, "5.7.0"),
        (verdict.NO_CERTIFICATE, 535, "5.7.8"),
        (verdict.INVALID_MECHANISM, 504, "5.5.4"),
        (verdict.INVALID_BASE64, 501, "5.5.2"),
        (verdict.ABORTED, 501, "5.7.0"),
        (verdict.of_refusal(HandoffReply(False, "connection_limit")), 454, "4.7.0"),
        (verdict.of_refusal(HandoffReply(False, "process_full")), 454, "4.7.0"),
    ],
)
def test_replies(found: verdict.Verdict, code: int, enhanced: str) -> None:
    answer = reply_of(found)
    assert (answer.code, answer.enhanced, answer.text) == (code, enhanced, found.text)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("user_disabled", "5.7.13"), ("pass_expired", "4.7.12"), ("authz_fail", "5.7.1")],
)
def test_codes_of_the_auth_service(code: str, expected: str) -> None:
    assert (
        reply_of(verdict.of_failure(Failure(code, False, "u", "", {"user": "u"}))).enhanced
        == expected
    )


def test_farewells() -> None:
    assert farewell_of("Disconnected for inactivity.", None).enhanced == "4.4.2"
    assert farewell_of("Server shutting down.", b"UNAVAILABLE").enhanced == "4.3.2"
    assert farewell_of("Too many commands.", None).enhanced == "4.7.0"
