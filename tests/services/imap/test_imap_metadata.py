"""GETMETADATA, SETMETADATA and LIST's METADATA, from clients' sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.events.catalogue.imap import imap_command_finished
from pillarbox.settings.model import DictBlockSettings

TALK = """
C: a1 GETMETADATA INBOX /private/comment
S: * METADATA INBOX (/private/comment NIL)
S: a1 OK Getmetadata completed.
C: a2 SETMETADATA INBOX (/private/Comment "My comment" /shared/comment {5+}
C: a
C: b )
S: a2 OK Setmetadata completed.
C: a3 GETMETADATA "inbox" (/PRIVATE/comment /shared/comment /shared/none)
S: * METADATA INBOX (/PRIVATE/comment "My comment" /shared/comment {5}
S: a
S: b  /shared/none NIL)
S: a3 OK Getmetadata completed.
C: a4 GETMETADATA (MAXSIZE 5) INBOX (/private/comment /shared/comment)
S: * METADATA INBOX (/shared/comment {5}
S: a
S: b )
S: a4 OK [METADATA LONGENTRIES 10] Getmetadata completed.
C: a5 GETMETADATA (MAXSIZE 1) INBOX (/private/comment)
S: a5 OK [METADATA LONGENTRIES 10] Getmetadata completed.
C: b1 SETMETADATA "" (/private/vendor/x/a/b "1" /private/vendor/x/a "2" /private/y "3")
S: b1 OK Setmetadata completed.
C: b2 GETMETADATA (DEPTH 1) "" /private/vendor/x
S: * METADATA "" (/private/vendor/x/a "2")
S: b2 OK Getmetadata completed.
C: b3 GETMETADATA "" (DEPTH infinity) (/private /shared)
S: * METADATA "" (/private/vendor/x/a "2" /private/vendor/x/a/b "1" /private/y "3" {*}
S: b3 OK Getmetadata completed.
C: b4 GETMETADATA (DEPTH infinity) "" /private/none
S: b4 OK Getmetadata completed.
C: b5 SETMETADATA "" (/private/y NIL)
S: b5 OK Setmetadata completed.
C: b6 GETMETADATA "" /private/y
S: * METADATA "" (/private/y NIL)
S: b6 OK Getmetadata completed.
C: c1 GETMETADATA None /private/comment
S: c1 NO [NONEXISTENT] Mailbox doesn't exist: None
C: c2 SETMETADATA None (/private/comment "x")
S: c2 NO [NONEXISTENT] Mailbox doesn't exist: None
C: c3 SETMETADATA "" (/shared/admin "x")
S: c3 NO [NOPERM] /shared/admin is read-only
C: c4 GETMETADATA "" /shared/admin
S: * METADATA "" (/shared/admin "mailto:root@example.com")
S: c4 OK Getmetadata completed.
C: c5 GETMETADATA Sent /private/specialuse
S: * METADATA Sent (/private/specialuse "\\\\Sent")
S: c5 OK Getmetadata completed.
C: e1 CREATE Out
S: e1 OK Create completed.
C: e2 SETMETADATA Out (/private/specialuse "\\\\Sent" /private/comment "x")
S: e2 OK Setmetadata completed.
C: e3 SETMETADATA Sent (/private/specialuse NIL)
S: e3 OK Setmetadata completed.
C: e4 LIST (SPECIAL-USE) "" (Out Sent)
S: * LIST (\\Sent) "/" Out
S: e4 OK List completed.
C: e5 SETMETADATA Out (/private/specialuse "\\\\All" /private/comment "y")
S: e5 NO [USEATTR] Special use \\All is not supported.
C: e6 GETMETADATA Out (/private/specialuse /private/comment)
S: * METADATA Out (/private/specialuse "\\\\Sent" /private/comment "x")
S: e6 OK Getmetadata completed.
C: c6 SETMETADATA INBOX (/private/a "x" /other/b "y")
S: c6 BAD SETMETADATA: An entry's name begins with /private/ or /shared/
C: c7 GETMETADATA INBOX /private/a
S: * METADATA INBOX (/private/a NIL)
S: c7 OK Getmetadata completed.
C: d1 SELECT INBOX
S: ~
S: d1 OK {*}
C: d2 SETMETADATA Drafts (/private/comment ~{3+}
C: a)
S: d2 BAD {*}
"""


@pytest.mark.parametrize("mode", ["whole", "bytes", "splits"])
def test_transcript(mode: str, imap: Callable[..., None]) -> None:
    async def play(server: Any) -> None:
        await server.talk(TALK)

    imap(play, mode=mode, imap_metadata=True, mail_server_admin="mailto:root@example.com")


def test_capabilities(imap: Callable[..., None]) -> None:
    async def on(server: Any) -> None:
        client = await server.login()
        names = (await client.command("CAPABILITY"))[0].split()
        assert {"METADATA", "LIST-METADATA", "IMAPSIEVE=sieve://mx"} <= set(names)

    async def off(server: Any) -> None:
        client = await server.login()
        names = (await client.command("CAPABILITY"))[0]
        assert "METADATA" not in names
        assert "IMAPSIEVE" not in names
        for command in (
            "GETMETADATA INBOX /private/a",
            "SETMETADATA INBOX (/private/a NIL)",
            'LIST "" * RETURN (METADATA (/private/a))',
        ):
            assert await client.command(command) == ["x BAD METADATA is not enabled."]

    imap(on, imap_metadata=True, imapsieve_url="sieve://mx")
    imap(off, imapsieve_url="sieve://mx")


def test_binary_values(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        lines = await client.command(b"SETMETADATA INBOX (/private/a ~{4+}\r\na\0\r\n)")
        assert lines == ["x OK Setmetadata completed."]
        assert await client.command("GETMETADATA INBOX /private/a") == [
            "* METADATA INBOX (/private/a ~{4}",
            "a\0",
            ")",
            "x OK Getmetadata completed.",
        ]

    imap(test, imap_metadata=True)


def test_bounds(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        big = "x" * 1025
        assert await client.command(f'SETMETADATA INBOX (/private/a "1" /private/b "{big}")') == [
            "x NO [METADATA MAXSIZE 1024] A value is larger than 1024 bytes"
        ]
        pairs = " ".join(f'/private/{n} "x"' for n in range(11))
        assert await client.command(f"SETMETADATA INBOX ({pairs})") == [
            "x NO [METADATA TOOMANY] There may be no more than 10 annotations"
        ]
        assert await client.command("GETMETADATA (DEPTH 1) INBOX /private") == [
            "x OK Getmetadata completed."
        ]

    imap(test, imap_metadata=True, mail_attribute_max_value_size=1024, mail_attribute_max_count=10)


def test_a_big_answer_comes_in_pieces(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        value = "x" * 64000
        for number in range(20):
            lines = await client.command(f'SETMETADATA "" (/private/{number} "{value}")')
            assert lines == ["x OK Setmetadata completed."]
        lines = await client.command('GETMETADATA (DEPTH 1) "" /private')
        assert lines[0] == '* METADATA "" (/private/0 {64000}'
        assert sum(len(line) for line in lines) > 20 * 64000
        assert lines[-1] == "x OK Getmetadata completed."

    imap(test, imap_metadata=True)


def test_list(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await client.command('SETMETADATA Sent (/private/colour "red" /shared/a "b")')
        await client.command("CREATE Work/Old")
        lines = await client.command(
            'LIST "" (INBOX Sent Work) RETURN (METADATA (/private/Colour /shared/a)'
            " STATUS (MESSAGES))"
        )
        assert lines == [
            '* LIST () "/" INBOX',
            "* STATUS INBOX (MESSAGES 0)",
            "* METADATA INBOX (/private/Colour NIL /shared/a NIL)",
            '* LIST () "/" Sent',
            "* STATUS Sent (MESSAGES 0)",
            '* METADATA Sent (/private/Colour "red" /shared/a "b")',
            '* LIST (\\NonExistent) "/" Work',
            "x OK List completed.",
        ]

    imap(test, imap_metadata=True)


def test_annotations_follow_the_mailbox(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("CREATE Work")
        await client.command('SETMETADATA Work (/shared/comment "w")')
        await client.command("RENAME Work Play")
        other = await server.login()
        assert (await other.command("GETMETADATA Play /shared/comment"))[0].endswith('"w")')
        await client.command("DELETE Play")
        await client.command("CREATE Play")
        assert (await other.command("GETMETADATA Play /shared/comment"))[0].endswith("NIL)")

    imap(test, imap_metadata=True)


def test_a_broken_dict(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        refusal = ["x NO [UNAVAILABLE] Annotations can't be used now, try again later"]
        assert await client.command("GETMETADATA INBOX /private/a") == refusal
        assert await client.command("GETMETADATA (DEPTH 1) INBOX /private/a") == refusal
        assert await client.command('SETMETADATA INBOX (/private/a "x")') == refusal
        lines = await client.command('LIST "" (INBOX Sent) RETURN (METADATA (/private/a))')
        assert lines == [
            '* LIST () "/" INBOX',
            '* LIST () "/" Sent',
            "x OK List completed.",
        ]
        await client.command("CREATE Work")
        assert await client.command("DELETE Work") == ["x OK Delete completed."]
        assert await client.command("NOOP") == ["x OK NOOP completed."]

    imap(
        test,
        imap_metadata=True,
        mail_attribute_dict="fail",
        dict={"fail": DictBlockSettings()},
    )


def test_events(imap: Callable[..., None], emitted: Callable[..., Any]) -> None:
    events = emitted(imap_command_finished)

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command('SETMETADATA "&AOk-" (/private/a "x")')
        (event,) = events
        assert event["cmd_name"] == "SETMETADATA"
        assert event["cmd_args"] == '"&AOk-" (/private/a "x")'
        assert event["cmd_human_args"] == '"é" (/private/a "x")'
        assert event["tagged_reply_state"] == "NO"
        assert "imap:cmd_setmetadata" in event["reason_code"]
        await client.command("GETMETADATA INBOX /private/a")
        assert "imap:cmd_getmetadata" in events[1]["reason_code"]

    imap(test, imap_metadata=True)
