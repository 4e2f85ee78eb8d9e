"""What login services share, piece by piece."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pillarbox.runtime.auth_client import AuthClient, Failure
from pillarbox.runtime.handoff import HandoffReply
from pillarbox.runtime.login.log_text import LoginText, describe_abort
from pillarbox.runtime.login.policy import Policy
from pillarbox.runtime.login.routing import Router
from pillarbox.runtime.login.verdict import of_failure, of_nologin, of_refusal
from pillarbox.settings.model import Settings


def test_users_keep_their_worker_and_the_others_stand_in(tmp_path: Path) -> None:
    router = Router(tmp_path, "pop3", 3, "user")
    paths = router.paths("bob")
    assert paths == router.paths("bob")
    assert sorted(paths) == [str(tmp_path / "pop3" / str(n)) for n in range(3)]
    assert {router.paths(f"user{n}")[0] for n in range(50)} == set(paths)


def test_workers_take_turns(tmp_path: Path) -> None:
    router = Router(tmp_path, "imap", 2, "round-robin")
    assert [router.paths("bob")[0][-1] for _ in range(4)] == ["0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("ssl", "cleartext", "secured", "names", "password"),
    [
        ("yes", False, False, ["SCRAM-SHA-256"], False),
        ("yes", True, False, ["PLAIN", "SCRAM-SHA-256"], True),
        ("yes", False, True, ["PLAIN", "SCRAM-SHA-256"], True),
        ("required", True, False, [], False),
        ("required", False, True, ["PLAIN", "SCRAM-SHA-256"], True),
    ],
)
def test_policy(
    tmp_path: Path, ssl: str, cleartext: bool, secured: bool, names: list[str], password: bool
) -> None:
    settings = msgspec.structs.replace(Settings(), ssl=ssl, auth_allow_cleartext=cleartext)
    auth = AuthClient(tmp_path / "auth", "pop3")
    auth.mechanisms = {
        "PLAIN": frozenset({"plaintext"}),
        "SCRAM-SHA-256": frozenset({"active"}),
        "INNER": frozenset({"private"}),
    }
    policy = Policy(settings, auth)
    assert policy.mechanisms(secured) == names
    assert policy.cleartext_allowed(secured) is password


def test_an_unknown_user_and_a_wrong_password_look_the_same() -> None:
    failed = of_failure(Failure(None, False, "bob", "", {}))
    assert failed == of_failure(Failure(None, False, "", "", {"x": ""}))
    assert (failed.reason, failed.code) == ("auth_failed", b"AUTHENTICATIONFAILED")


def test_verdicts() -> None:
    gone = of_failure(Failure("temp_fail", True, "", "", {}))
    assert (gone.reason, gone.attempt) == ("auth_process_comm_fail", False)
    said = of_failure(Failure("user_disabled", False, "bob", "Pay first.", {"user": "bob"}))
    assert (said.reason, said.text) == ("user_disabled", "Pay first.")
    moved = of_nologin({"referral": "imap://there/", "reason": "Moved."})
    assert (moved.reason, moved.code) == ("auth_nologin_referral", b"REFERRAL imap://there/")
    assert of_refusal(HandoffReply(False, "in_use")).code == b"INUSE"
    assert of_refusal(HandoffReply(False, "never heard of")).code == b"UNAVAILABLE"
    assert of_refusal(HandoffReply(False, "in_use", "Busy.")).text == "Busy."


def test_log_lines_leave_out_what_is_empty() -> None:
    text = LoginText(("user=<%{user}>", "rip=%{remote_ip}", "fixed"))
    assert text.login({"user": "bob", "remote_ip": None}) == "Login: user=<bob>, fixed"
    line = text.disconnected("Bye", describe_abort("auth_failed", 2, 3, 4), {"user": None})
    assert line == "Disconnected: Bye (auth failed, 2 attempts in 3 secs): fixed"
    assert describe_abort("no_auth_attempts", 0, 0, 7) == "no auth attempts in 7 secs"
