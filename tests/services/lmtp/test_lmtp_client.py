"""Pacing, order and the end of LMTP connections."""

from __future__ import annotations

import asyncio
from typing import Any

from pillarbox.runtime.smtp_server.connection import MAX_BUFFERED, SIDE_BY_SIDE

START = b"LHLO x\r\nMAIL FROM:<>\r\n"


async def turns(count: int = 60) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def codes(sent: bytes) -> list[int]:
    """The codes of all replies."""
    return [int(line[:3]) for line in sent.splitlines() if line[3:4] != b"-"]


def test_lookups_go_side_by_side_and_answers_in_order(world: Any, run: Any) -> None:
    async def main() -> None:
        names = [f"u{i}@example.com" for i in range(5)]
        world.auth.known |= {name: {} for name in names[1:]}
        world.auth.gates = {name: asyncio.Event() for name in names}
        client, transport = world.connect()
        lines = "".join(f"RCPT TO:<{name}>\r\n" for name in names)
        client.data_received(START + lines.encode() + b"RSET\r\n")
        await turns()
        assert world.auth.asked == names
        for name in reversed(names[1:]):
            world.auth.gates[name].set()
            await turns()
        assert codes(transport.sent) == [220]
        world.auth.gates[names[0]].set()
        await turns()
        assert codes(transport.sent) == [220, 250, 250, 550, 250, 250, 250, 250, 250]
        transport.close()
        await turns()

    run(main())


def test_not_more_lookups_than_the_limit(world: Any, run: Any) -> None:
    async def main() -> None:
        world.auth.gates = {"bob@example.com": asyncio.Event()}
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\n" * (SIDE_BY_SIDE + 30))
        await turns()
        assert len(world.auth.asked) == SIDE_BY_SIDE
        world.auth.gates["bob@example.com"].set()
        await turns()
        assert len(world.auth.asked) == SIDE_BY_SIDE + 30
        assert codes(transport.sent)[3:] == [250] * (SIDE_BY_SIDE + 30)
        transport.close()
        await turns()

    run(main())


def test_a_client_that_breaks_during_a_lookup(world: Any, run: Any) -> None:
    async def main() -> None:
        world.auth.gates = {"bob@example.com": asyncio.Event()}
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\n")
        await turns()
        transport.close()
        await turns()
        assert not client.working
        assert client.transaction is None
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_input_waits_in_the_kernel_while_a_delivery_goes_on(world: Any, run: Any) -> None:
    async def main() -> None:
        gate = world.users["bob@example.com"].boxes["INBOX"].gate = asyncio.Event()
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\n")
        await turns()
        client.data_received(b"DATA\r\nx\r\n.\r\nNOOP\r\n")
        await turns()
        assert not transport.paused
        noops = MAX_BUFFERED // 6 + 1
        client.data_received(b"NOOP\r\n" * noops)
        assert transport.paused
        gate.set()
        await turns(500)
        assert not transport.paused
        assert codes(transport.sent) == [220, 250, 250, 250, 354, 250] + [250] * (noops + 1)
        transport.close()
        await turns()

    run(main())


def test_many_commands_leave_turns_to_others(world: Any, run: Any) -> None:
    async def main() -> None:
        client, transport = world.connect()
        client.data_received(b"NOOP\r\n" * 10_000)
        answered = len(codes(transport.sent))
        assert 0 < answered < 10_000
        await turns(200)
        assert len(codes(transport.sent)) == 10_001
        transport.close()
        await turns()

    run(main())


def test_a_client_that_does_not_read_is_not_served(world: Any, run: Any) -> None:
    async def main() -> None:
        client, transport = world.connect()
        await turns()
        client.pause_writing()
        client.data_received(b"NOOP\r\n" * 10)
        await turns()
        assert codes(transport.sent) == [220]
        client.resume_writing()
        await turns()
        assert codes(transport.sent) == [220] + [250] * 10
        transport.close()
        await turns()

    run(main())


def test_shutdown_when_idle(world: Any, run: Any) -> None:
    async def main() -> bytes:
        client, transport = world.connect()
        await turns()
        client.shutting_down()
        await turns()
        assert transport.closing
        return transport.sent

    assert codes(run(main())) == [220, 421]


def test_shutdown_waits_for_the_message_on_its_way(world: Any, run: Any) -> None:
    async def main() -> bytes:
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\n")
        await turns()
        client.data_received(b"DATA\r\nx\r\n")
        client.shutting_down()
        await turns()
        assert not transport.closing
        client.data_received(b".\r\n")
        await turns()
        assert transport.closing
        return transport.sent

    assert codes(run(main())) == [220, 250, 250, 250, 354, 250, 421]
    assert world.inbox() == [b"x\r\n"]


def test_half_closed_clients_get_their_answers(world: Any, run: Any) -> None:
    async def main() -> bytes:
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\nDATA\r\nx\r\n.\r\n")
        assert client.eof_received()
        await turns()
        assert transport.closing
        return transport.sent

    assert codes(run(main())) == [220, 250, 250, 250, 354, 250]
    assert world.inbox() == [b"x\r\n"]


def test_timeouts(world: Any, run: Any) -> None:
    async def main() -> bytes:
        gate = world.users["bob@example.com"].boxes["INBOX"].gate = asyncio.Event()
        client, transport = world.connect()
        assert client.deadline > 0
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\nDATA\r\nx\r\n.\r\n")
        await turns()
        assert client.deadline == 0
        client.expired()
        gate.set()
        await turns()
        assert client.deadline > 0
        client.expired()
        await turns()
        assert transport.closing
        return transport.sent

    assert codes(run(main())) == [220, 250, 250, 250, 354, 250, 421]


def test_a_message_above_the_spool_limit(world: Any, run: Any, tmp_path: Any) -> None:
    world.set(lmtp_spool_size=1000, mail_temp_dir=str(tmp_path))
    body = b"0123456789" * 7 + b"\r\n"

    async def main() -> None:
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\nRCPT TO:<ann@example.com>\r\n")
        await turns()
        client.data_received(b"DATA\r\n")
        for _ in range(100):
            client.data_received(body)
        client.data_received(b".\r\n")
        await turns()
        assert codes(transport.sent)[-2:] == [250, 250]
        transport.close()
        await turns()

    run(main())
    assert world.inbox() == world.inbox("ann@example.com") == [body * 100]
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_is_full(world: Any, run: Any, tmp_path: Any) -> None:
    world.set(lmtp_spool_size=10, mail_temp_dir=str(tmp_path / "missing"))

    async def main() -> bytes:
        client, transport = world.connect()
        client.data_received(START + b"RCPT TO:<bob@example.com>\r\nDATA\r\n")
        await turns()
        client.data_received(b"0123456789\r\nmore\r\n.\r\nNOOP\r\n")
        await turns()
        transport.close()
        await turns()
        return transport.sent

    assert codes(run(main()))[-2:] == [452, 250]
    assert world.inbox() == []


def test_a_thousand_recipients(world: Any, run: Any) -> None:
    names = [f"u{i}@example.com" for i in range(1000)]
    world.auth.known = {name: {} for name in names}

    async def main() -> bytes:
        client, transport = world.connect()
        lines = "".join(f"RCPT TO:<{name}>\r\n" for name in names)
        client.data_received(START + lines.encode() + b"DATA\r\nx\r\n.\r\n")
        await turns(2000)
        transport.close()
        await turns()
        return transport.sent

    sent = run(main()).splitlines()
    assert [line.split(b" ")[2].decode() for line in sent[-1000:]] == [f"<{n}>" for n in names]
    assert all(world.inbox(name) == [b"x\r\n"] for name in names)
