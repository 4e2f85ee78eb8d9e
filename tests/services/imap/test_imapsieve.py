"""Scripts that IMAP commands start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pillarbox.settings.model import ImapSieveSettings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings

MAIL = "From: a@x\r\nSubject: one\r\n\r\n"
APPEND = f"{{{len(MAIL)}+}}\r\n{MAIL}"


def place(root: Path, text: str) -> dict[str, SieveScriptSettings]:
    (root / "learn.sieve").write_text(text)
    return {"learn": SieveScriptSettings(type="global", path=str(root / "learn.sieve"))}


def rules(**fields: Any) -> dict[str, ImapSieveSettings]:
    return {"rule": ImapSieveSettings(scripts=("learn",), **fields)}


async def count(client: Any, mailbox: str) -> str:
    line: str = (await client.command(f"STATUS {mailbox} (MESSAGES)"))[0]
    return line


def test_append(imap: Callable[..., None], tmp_path: Path) -> None:
    script = (
        'require ["imapsieve", "environment", "fileinto", "copy", "imap4flags"];\n'
        'if allof(environment "imap.cause" "APPEND", environment "imap.mailbox" "Junk",\n'
        '  environment "imap.user" "bob", environment "location" "MS",\n'
        '  environment "phase" "post", hasflag "\\\\Seen")\n'
        '{ addflag "Learned"; fileinto :copy "Archive"; }\n'
    )

    async def test(server: Any) -> None:
        client = await server.login()
        lines = await client.command(f"APPEND Junk (\\Seen) {APPEND}")
        assert lines[-1].startswith("x OK [APPENDUID"), lines
        await client.command("APPEND INBOX " + APPEND)
        await client.command("SELECT Junk")
        (flags, _) = await client.command("FETCH 1 (FLAGS)")
        assert flags == "* 1 FETCH (FLAGS (\\Seen \\Recent Learned))"
        assert "(MESSAGES 1)" in await count(client, "Archive")

    imap(test, sieve_script=place(tmp_path, script), imapsieve=rules(mailbox="Ju?k"))


def test_copy_and_move(imap: Callable[..., None], tmp_path: Path) -> None:
    script = (
        'require ["imapsieve", "environment", "fileinto", "copy"];\n'
        'if environment "imap.cause" "COPY" { fileinto :copy "Archive"; }\n'
    )

    async def test(server: Any) -> None:
        client = await server.login()
        for _ in range(3):
            await client.command("APPEND INBOX " + APPEND)
        await client.command("APPEND Sent " + APPEND)
        await client.command("SELECT INBOX")
        assert (await client.command("COPY 1 Junk"))[-1].startswith("x OK [COPYUID")
        assert (await client.command("MOVE 2:3 Junk"))[-1].startswith("x OK")
        await client.command("COPY 1 Drafts")
        await client.command("SELECT Sent")
        await client.command("COPY 1 Junk")
        assert "(MESSAGES 3)" in await count(client, "Archive")

    imap(
        test,
        sieve_script=place(tmp_path, script),
        imapsieve=rules(mailbox="Junk", source_mailbox="IN*", causes=("copy",)),
    )


def test_flags(imap: Callable[..., None], tmp_path: Path) -> None:
    script = (
        'require ["imapsieve", "environment", "fileinto", "copy"];\n'
        'if allof(environment "imap.cause" "FLAG",\n'
        '  environment :contains "imap.changedflags" "\\\\Flagged")\n'
        '{ fileinto :copy "Archive"; }\n'
    )

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("APPEND INBOX " + APPEND)
        await client.command("SELECT INBOX")
        for _ in range(2):  # the second one changes nothing
            await client.command("STORE 1 +FLAGS (\\Flagged)")
        await client.command("STORE 1 +FLAGS (\\Seen)")
        assert "(MESSAGES 1)" in await count(client, "Archive")

    imap(test, sieve_script=place(tmp_path, script), imapsieve=rules(causes=("flag",)))


def test_discard_marks_the_message(imap: Callable[..., None], tmp_path: Path) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("SELECT INBOX")
        lines = await client.command("APPEND INBOX " + APPEND)
        assert "* 1 EXISTS" in lines
        (flags, _) = await client.command("FETCH 1 (FLAGS)")
        assert "\\Deleted" in flags

    imap(test, sieve_script=place(tmp_path, "discard;"), imapsieve=rules())


def test_what_goes_wrong_is_logged(imap: Callable[..., None], tmp_path: Path) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        lines = await client.command("APPEND INBOX " + APPEND)
        assert lines[-1].startswith("x OK [APPENDUID")
        assert any("imapsieve: learn: it has errors" in line for line in server.lines)
        server.lines.clear()
        (tmp_path / "learn.sieve").unlink()
        assert (await client.command("APPEND INBOX " + APPEND))[-1].startswith("x OK")
        assert any("there is no such global script" in line for line in server.lines)

    imap(test, sieve_script=place(tmp_path, "nonsense"), imapsieve=rules())
