"""FILTER=SIEVE: scripts run for messages of the selected mailbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events.catalogue.sieve import sieve_action_finished, sieve_runtime_script_finished
from pillarbox.settings.schema.sieve_script import SieveScriptSettings

SCRIPT = (
    'require ["fileinto", "imap4flags"];\r\n'
    'if header "subject" "one" { fileinto "Archive"; }\r\n'
    'elsif header "subject" "two" { discard; }\r\n'
    'elsif header "subject" "three" { addflag "Seen3"; }\r\n'
)


def literal(text: str) -> str:
    return f"{{{len(text.encode())}+}}\r\n{text}"


async def filled(server: Any) -> Any:
    client = await server.login()
    for subject in ("one", "two", "three", "four"):
        text = f"From: a@x\r\nMessage-ID: <{subject}@x>\r\nSubject: {subject}\r\n\r\n"
        lines = await client.command(f"APPEND INBOX (\\Flagged) {literal(text)}")
        assert lines[-1].startswith("x OK")
    await client.command("SELECT INBOX")
    return client


def personal(root: Path, name: str, text: str, *, active: bool = False) -> None:
    folder = root / "bob" / "sieve"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.sieve").write_text(text)
    if active:
        (root / "bob" / ".dovecot.sieve").symlink_to(f"sieve/{name}.sieve")


@pytest.mark.parametrize("mode", ["whole", "bytes", "splits"])
def test_a_script_of_the_client(imap: Callable[..., None], mode: str) -> None:
    async def test(server: Any) -> None:
        client = await filled(server)
        lines = await client.command(f"UID FILTER SIEVE SCRIPT {literal(SCRIPT)} ALL")
        assert [line for line in lines if "FILTERED" in line] == [
            f'* {n} FILTERED (TAG "x") UID {n} OK' for n in (1, 2, 3, 4)
        ]
        assert lines[-1] == "x OK Filter completed."
        flags = await client.command("FETCH 1:* (FLAGS)")
        assert [line for line in flags if "FETCH" in line] == [
            "* 1 FETCH (FLAGS (\\Flagged \\Deleted \\Recent))",
            "* 2 FETCH (FLAGS (\\Flagged \\Deleted \\Recent))",
            "* 3 FETCH (FLAGS (\\Flagged \\Recent Seen3))",
            "* 4 FETCH (FLAGS (\\Flagged \\Recent))",
        ]
        await client.command("SELECT Archive")
        (copy, _) = await client.command("FETCH 1:* (FLAGS)")
        assert copy == "* 1 FETCH (FLAGS (\\Flagged \\Recent))"

    imap(test, mode=mode)


def test_searches_and_numbers(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await filled(server)
        lines = await client.command(f"FILTER SIEVE SCRIPT {literal('keep;')} SUBJECT t NOT 2")
        assert lines[-2:] == ['* 3 FILTERED (TAG "x") OK', "x OK Filter completed."]
        lines = await client.command('FILTER SIEVE SCRIPT "keep;" SUBJECT nothing')
        assert lines == ["x OK Filter completed."]

    imap(test)


def test_stored_scripts(
    imap: Callable[..., None], emitted: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    personal(tmp_path, "mine", "discard;", active=True)
    personal(tmp_path, "other", "keep;")
    (tmp_path / "ours.sieve").write_text('require "fileinto"; fileinto "Junk";')
    places = {
        "personal": SieveScriptSettings(path="~/sieve", active_path="~/.dovecot.sieve"),
        "ours": SieveScriptSettings(type="global", path=str(tmp_path / "ours.sieve")),
    }

    async def test(server: Any) -> None:
        client = await filled(server)
        scripts, actions = emitted(sieve_runtime_script_finished), emitted(sieve_action_finished)
        for what, action in (
            ("DELIVERY", "discard"),
            ("PERSONAL mine", "discard"),
            ('PERSONAL "other"', "keep"),
            ("GLOBAL ours", "fileinto"),
        ):
            lines = await client.command(f"FILTER SIEVE {what} 4")
            assert lines[-1] == "x OK Filter completed.", what
            assert actions[-1]["action_name"] == action
            assert actions[-1]["message_id"] == "<four@x>"
            assert scripts[-1]["user"] == "bob"
        for what, reply in (
            ("PERSONAL none", "x NO [NONEXISTENT] There is no script by that name."),
            ("PERSONAL a/b", "x NO A script's name cannot have slashes or control characters."),
            ("GLOBAL none", "x NO [NONEXISTENT] There is no Sieve script to run."),
        ):
            assert await client.command(f"FILTER SIEVE {what} 4") == [reply]

    imap(test, sieve_script=places)


def test_no_active_script(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await filled(server)
        lines = await client.command("FILTER SIEVE DELIVERY ALL")
        assert lines == ["x NO [NONEXISTENT] There is no Sieve script to run."]

    imap(test)


def test_errors_of_compiling_and_running(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await filled(server)
        lines = await client.command('FILTER SIEVE SCRIPT "if subject { }" ALL')
        assert lines[0].startswith('* FILTER (TAG "x") ERRORS {')
        assert lines[1].startswith("script: line 1: error: unknown test")
        assert lines[-1] == "x NO The Sieve script has errors."
        bad = 'require "fileinto"; fileinto "Nowhere";'
        lines = await client.command(f"FILTER SIEVE SCRIPT {literal(bad)} 1")
        assert lines[0].startswith('* 1 FILTERED (TAG "x") ERRORS {')
        assert "failed to store into mailbox 'Nowhere'" in lines[1]
        bad = 'require "variables"; set "a" "no"; redirect "${a}";'
        lines = await client.command(f"FILTER SIEVE SCRIPT {literal(bad)} 1")
        assert "specified redirect address 'no' is invalid" in lines[1]
        assert "x OK Filter completed." in lines
        (flags, _) = await client.command("FETCH 1 (FLAGS)")
        assert "Deleted" not in flags

    imap(test)


def test_actions_for_delivery_are_ignored(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await filled(server)
        for text in ('require "reject"; reject "no";', 'require "vacation"; vacation "away";'):
            lines = await client.command(f"FILTER SIEVE SCRIPT {literal(text)} 1")
            assert lines[-1] == "x OK Filter completed."
        (flags, _) = await client.command("FETCH 1 (FLAGS)")
        assert "Deleted" not in flags

    imap(test)


@pytest.mark.parametrize(
    ("arguments", "reply"),
    [
        ("", "x BAD FILTER: "),
        ("LUA DELIVERY ALL", "x BAD FILTER: Unknown filter type LUA"),
        ("SIEVE ANY ALL", "x BAD FILTER: Unknown filter ANY"),
        ("SIEVE DELIVERY", "x BAD FILTER: "),
        ("SIEVE PERSONAL", "x BAD FILTER: "),
        ("SIEVE DELIVERY RETURN (MIN) ALL", "x BAD FILTER: RETURN makes no sense here"),
        ("SIEVE DELIVERY CHARSET x ALL", "x NO [BADCHARSET"),
    ],
)
def test_bad_commands(imap: Callable[..., None], arguments: str, reply: str) -> None:
    async def test(server: Any) -> None:
        client = await filled(server)
        (line,) = await client.command(f"FILTER {arguments}".rstrip())
        assert line.startswith(reply)

    imap(test)


def test_read_only_and_unselected(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        (line,) = await client.command("FILTER SIEVE DELIVERY ALL")
        assert line.startswith("x BAD")
        await client.command("EXAMINE INBOX")
        assert await client.command("FILTER SIEVE DELIVERY ALL") == ["x NO Mailbox is read-only."]

    imap(test)
