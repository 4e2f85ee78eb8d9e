"""Scripts that IMAP commands start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pillarbox.settings.model import DictBlockSettings, ImapSieveSettings
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


def test_reading_sets_a_flag(imap: Callable[..., None], tmp_path: Path) -> None:
    script = (
        'require ["imapsieve", "environment", "imap4flags"];\n'
        'if environment "imap.changedflags" "\\\\Seen" { addflag "Read"; }\n'
    )

    async def test(server: Any) -> None:
        client = await server.login()
        for _ in range(3):
            await client.command("APPEND INBOX " + APPEND)
        await client.command("SELECT INBOX")
        await client.command("FETCH 1 BODY.PEEK[]")
        lines = await client.command("FETCH 1:2 BODY[TEXT]")
        assert [line for line in lines if "Read" in line and "FETCH" in line] == [
            "* 1 FETCH (FLAGS (\\Seen \\Recent Read))",
            "* 2 FETCH (FLAGS (\\Seen \\Recent Read))",
        ]
        await client.command("STORE 1 -FLAGS (Read)")
        await client.command("FETCH 1 BODY[]")  # it was seen already
        (flags, _) = await client.command("FETCH 1 (FLAGS)")
        assert flags == "* 1 FETCH (FLAGS (\\Seen \\Recent))"

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


OWN = (
    'require ["imapsieve", "environment", "variables", "imap4flags"];\n'
    'if environment :matches "imap.cause" "*" { addflag "Own-${1}"; }\n'
)
URL = {"imap_metadata": True, "imapsieve_url": "sieve://mx"}


def own(root: Path, name: str, text: str) -> None:
    folder = root / "bob" / "sieve"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.sieve").write_text(text)


async def name_script(client: Any, mailbox: str, value: str) -> None:
    lines = await client.command(f"SETMETADATA {mailbox} (/shared/imapsieve/script {value})")
    assert lines == ["x OK Setmetadata completed."]


async def flags(client: Any, mailbox: str) -> list[str]:
    """Flags of all messages of a mailbox."""
    await client.command(f"EXAMINE {mailbox}")
    lines = await client.command("FETCH 1:* (FLAGS)")
    await client.command("UNSELECT")
    return [
        line.partition("FLAGS (")[2].strip(")").replace("\\Recent", "").strip()
        for line in lines[:-1]
    ]


def test_a_mailbox_names_a_script(imap: Callable[..., None], tmp_path: Path) -> None:
    own(tmp_path, "mine", OWN)
    own(tmp_path, "other", OWN.replace("Own", "Other"))

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("APPEND INBOX " + APPEND)
        assert await flags(client, "INBOX") == [""]
        await name_script(client, "INBOX", '"mine"')
        await client.command("APPEND INBOX " + APPEND)
        await client.command("APPEND Sent " + APPEND)
        assert await flags(client, "INBOX") == ["", "Own-APPEND"]
        assert await flags(client, "Sent") == [""]

        await name_script(client, '""', '"other"')
        await client.command("APPEND Sent " + APPEND)
        assert await flags(client, "Sent") == ["", "Other-APPEND"]
        await client.command("SELECT Sent")
        await client.command("COPY 1 INBOX")
        await client.command("STORE 1 +FLAGS (\\Seen)")
        assert await flags(client, "INBOX") == ["", "Own-APPEND", "Own-COPY"]
        assert await flags(client, "Sent") == ["\\Seen Other-FLAG", "Other-APPEND"]

        await name_script(client, "Sent", '""')
        await client.command("APPEND Sent " + APPEND)
        assert (await flags(client, "Sent"))[2] == ""
        await name_script(client, "Sent", "NIL")
        await client.command("APPEND Sent " + APPEND)
        assert (await flags(client, "Sent"))[3] == "Other-APPEND"

    imap(test, **URL)


def test_it_sees_the_address(imap: Callable[..., None], tmp_path: Path) -> None:
    text = 'require ["imapsieve", "imap4flags"]; if environment "imap.email" "b@x" {addflag "Y";}'
    own(tmp_path, "mine", text)

    async def test(server: Any) -> None:
        client = await server.login()
        await name_script(client, "INBOX", '"mine"')
        await client.command("APPEND INBOX " + APPEND)
        assert await flags(client, "INBOX") == ["Y"]

    imap(test, **URL, sieve_user_email="b@x")


def test_no_script_is_named_without_the_setting(imap: Callable[..., None], tmp_path: Path) -> None:
    own(tmp_path, "mine", OWN)

    async def test(server: Any) -> None:
        client = await server.login()
        await name_script(client, "INBOX", '"mine"')
        await client.command("APPEND INBOX " + APPEND)
        assert await flags(client, "INBOX") == [""]

    imap(test, imap_metadata=True)


def test_own_and_the_administrators(imap: Callable[..., None], tmp_path: Path) -> None:
    own(tmp_path, "mine", OWN)
    script = 'require "imap4flags"; if hasflag "Own-APPEND" { addflag "Rule"; }'

    async def test(server: Any) -> None:
        client = await server.login()
        await name_script(client, "INBOX", '"mine"')
        await client.command("APPEND INBOX " + APPEND)
        assert await flags(client, "INBOX") == ["Own-APPEND Rule"]

    imap(test, sieve_script=place_beside(tmp_path, script), imapsieve=rules(), **URL)


def place_beside(root: Path, text: str) -> dict[str, SieveScriptSettings]:
    """A global script beside the user's own."""
    personal = SieveScriptSettings(path="~/sieve", active_path="~/.dovecot.sieve")
    return {"personal": personal, **place(root, text)}


def test_named_scripts_that_do_not_run(imap: Callable[..., None], tmp_path: Path) -> None:
    own(tmp_path, "broken", "nonsense")

    async def test(server: Any) -> None:
        client = await server.login()
        for value, why in (
            ('"none"', "imapsieve: none: there is no such personal script"),
            ('"broken"', "imapsieve: broken: it has errors"),
            ('"../x"', "imapsieve: ../x: A script's name cannot have slashes"),
        ):
            await name_script(client, "INBOX", value)
            assert (await client.command("APPEND INBOX " + APPEND))[-1].startswith("x OK")
            assert any(why in line for line in server.lines), server.lines

    imap(test, **URL)


def test_a_dict_that_is_down(imap: Callable[..., None], tmp_path: Path) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        lines = await client.command("APPEND INBOX " + APPEND)
        assert lines[-1].startswith("x OK [APPENDUID")
        assert any("imapsieve: Annotations can't be used now" in line for line in server.lines)

    imap(test, **URL, mail_attribute_dict="fail", dict={"fail": DictBlockSettings()})
