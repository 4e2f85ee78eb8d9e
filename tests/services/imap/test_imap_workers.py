"""Sessions of one mailbox in two workers: changes are seen as if they were in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pillarbox.mailstore.user import Users


def test_idle_hears_of_another_worker(imap: Callable[..., None], tmp_path: Path) -> None:
    async def test(server: Any) -> None:
        other = type(server)(tmp_path, "whole", {})
        assert cast(Users, other.worker.users) is not server.worker.users
        try:
            idler, writer = await server.login(), await other.login()
            await idler.command("SELECT INBOX")
            idler.feed(b"a IDLE\r\n")
            assert await idler.line() == b"+ idling"
            assert (await writer.command(b"APPEND INBOX {6+}\r\na: b\r\n"))[-1].startswith("x OK")
            assert await idler.line() == b"* 1 EXISTS"
            assert await idler.line() == b"* 1 RECENT"
            await writer.command("SELECT INBOX")
            await writer.command("STORE 1 +FLAGS (\\Deleted)")
            assert await idler.line() == b"* 1 FETCH (FLAGS (\\Deleted \\Recent))"
            await writer.command("EXPUNGE")
            assert await idler.line() == b"* 1 EXPUNGE"
            assert await idler.line() == b"* 0 RECENT"
            await writer.command("CREATE other")
            idler.feed(b"DONE\r\n")
            assert await idler.line() == b"a OK Idle completed."
            assert (await idler.command("SELECT other"))[-1].startswith("x OK")
            await writer.command("DELETE other")
            assert await idler.command("NOOP") == ["* BYE Mailbox was deleted under us"]
        finally:
            for client in other.clients.values():
                client.close()
            await other.worker.drain()

    imap(test)
