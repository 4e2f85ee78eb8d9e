"""``pillarbox sieve``: what it prints and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.cli.main import run

SCRIPT = """require ["fileinto", "mailbox"];
if header :contains "subject" "hel" {
  fileinto "Hellos";
} elsif mailboxexists "X" {
  discard;
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.sieve").write_text(SCRIPT)
    (tmp_path / "wrong.sieve").write_text('keep;\nfrobnicate;\nredirect "nobody";\n')
    (tmp_path / "hello.eml").write_text("Subject: hello\n\nText\n")
    (tmp_path / "other.eml").write_text("Subject: other\n\nText\n")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = run(["sieve", *map(str, arguments)])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_check_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "check", folder / "a.sieve")
    assert status == 0
    assert out == f"{folder / 'a.sieve'}: valid\n"


def test_check_tells_every_error_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = call(capsys, "check", folder / "wrong.sieve")
    assert status == 65
    lines = out.splitlines()
    assert lines[0].startswith("wrong.sieve:2:1: error: unknown command 'frobnicate'")
    assert lines[1].startswith("wrong.sieve:3:10: error: ")
    assert "no valid Sieve script" in err


def test_a_file_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "check", folder / "none.sieve")
    assert status == 66
    assert "No such file" in err


def test_dump(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "including.sieve").write_text('require "include"; include "a"; keep;')
    status, out, _ = call(capsys, "dump", folder / "including.sieve")
    assert status == 0
    assert "# requires: include\n" in out
    assert "# includes personal a, sha256 " in out
    assert out.endswith('require "include";\ninclude "a";\nkeep;\n')


def test_dump_of_a_wrong_script(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, "dump", folder / "wrong.sieve")
    assert (status, out) == (65, "")
    assert "frobnicate" in err


def test_what_would_happen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "test", folder / "a.sieve", folder / "hello.eml")
    assert status == 0
    assert "2: header :contains keys=['hel'] values=['hello'] → true" in out
    assert '  fileinto "Hellos" (a.sieve: line 3)' in out
    assert "Cost: " in out
    assert "fileinto\n" not in out  # commands are for --trace


def test_what_is_not_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "test", folder / "a.sieve", folder / "other.eml")
    assert "→ false" in out
    assert "Not known here: MailboxExists(mailbox='X'), taken as False" in out
    assert "  keep (implicit: no action says otherwise)" in out


def test_trace_shows_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "test", "--trace", folder / "a.sieve", folder / "hello.eml")
    assert "3: fileinto\n" in out


def test_envelope(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = folder / "e.sieve"
    script.write_text('require "envelope";\nif envelope "from" "a@b.c" { discard; }\n')
    _, out, _ = call(capsys, "test", script, folder / "hello.eml", "--from", "a@b.c")
    assert "  discard (e.sieve: line 2)" in out


def test_the_envelope_that_the_message_tells(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = folder / "v.sieve"
    script.write_text('require "vacation";\nvacation "Away";\n')
    mail = folder / "mail.eml"
    mail.write_text("From: Ann <ann@example.org>\nTo: bob@example.com\nSubject: Hi\n\nText\n")
    _, out, _ = call(capsys, "test", script, mail)
    assert "Envelope: from <ann@example.org> to <bob@example.com>\n" in out
    assert "  vacation answer to <ann@example.org>: Auto: Hi (v.sieve: line 2)" in out
    text = mail.read_text()
    mail.write_text(f"Return-Path: <>\n{text}")
    _, out, _ = call(capsys, "test", script, mail)
    assert "Envelope: from <> to <bob@example.com>\n" in out
    assert "vacation: no answer, because the message has no sender to answer" in out
    mail.write_text(f"Return-Path: <x@example.net>\n{text}")
    _, out, _ = call(capsys, "test", script, mail, "--to", "<carl@example.com>")
    assert "Envelope: from <x@example.net> to <carl@example.com>\n" in out
    assert "vacation: no answer, because the message is not addressed to the user" in out


def test_a_delivery_is_imagined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = folder / "e.sieve"
    script.write_text(
        'require ["environment", "mailbox"];\n'
        'if allof(environment "phase" "during", mailboxexists "inbox") { discard; }\n'
    )
    _, out, _ = call(capsys, "test", script, folder / "hello.eml")
    assert "  discard (e.sieve: line 2)" in out
    assert "Not known here" not in out


def test_a_script_that_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = folder / "f.sieve"
    script.write_text('require "ihave";\nerror "On purpose";\n')
    status, out, err = call(capsys, "test", script, folder / "hello.eml")
    assert status == 65
    assert "f.sieve: line 2: error: On purpose" in out
    assert "  keep (implicit" in out
    assert "the message would be kept" in err


def test_testsuite(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "a.svtest"
    file.write_text(
        'require "vnd.dovecot.testsuite";\n'
        'test "finds the script" {\n'
        '  if not test_script_compile "a.sieve" { test_fail "does not compile"; }\n'
        "  test_result_print;\n"
        "}\n"
        'test "fails" {\n'
        '  test_fail "as it should";\n'
        "}\n"
    )
    status, out, _ = call(capsys, "testsuite", file)
    assert status == 1
    assert out.splitlines() == [
        f"passed  {file}:2: finds the script",
        f"        1: keep ({file})",
        f"FAILED  {file}:6: fails: as it should (line 7)",
        "1 file: 1 passed, 1 failed",
    ]


def test_testsuite_that_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "b.svtest"
    file.write_text('require "vnd.dovecot.testsuite";\ntest "t" { }\n')
    status, out, _ = call(capsys, "testsuite", file, file)
    assert status == 0
    assert out.endswith("2 files: 2 passed, 0 failed\n")


def test_testsuite_file_that_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "c.svtest"
    file.write_text('require "vnd.dovecot.testsuite";\ntest "t" { frobnicate; }\n')
    status, out, _ = call(capsys, "testsuite", file)
    assert status == 1
    assert "unknown command 'frobnicate'" in out
    assert out.endswith("1 file: 0 passed, 1 failed\n")
