"""TLS before login: STARTTLS, implicit, policy, client certificates, relayed sessions."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

World = Any


def not_local(world: World) -> None:
    """Let the client look as if it came from elsewhere, so that nothing is secured by itself."""
    world.change(haproxy_trusted_networks=("127.0.0.1",))


PROXY = b"PROXY TCP4 192.0.2.9 198.51.100.2 4242 143\r\n"


def test_starttls_then_login_is_relayed(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        assert "STARTTLS" in await client.line()
        assert (await client.ask("a1 STARTTLS")).startswith("a1 OK")
        await client.starttls(world.client_context())
        client.write(b"a2 CAPABILITY\r\n")
        assert "STARTTLS" not in await client.line()
        assert (await client.line()).startswith("a2 OK")
        assert (await client.ask("a3 STARTTLS")).startswith("a3 BAD TLS is already")
        client.write(b"a4 LOGIN bob secret\r\na5 NOOP\r\n")
        assert (await client.line()).startswith("a4 OK")
        assert await client.line() == "worker: a5 NOOP"
        client.write(b"xxxxxxx\r\n" * 10_000 + b"end\r\n")
        while not (await client.line()).endswith("end"):
            pass
        assert len(world.server.acceptor.connections) == 1
        client.write(b"a6 LOGOUT\r\n")
        assert (await client.rest()).endswith("a6 LOGOUT\r\n")
        client.close()
        await world.ended()

    world.run(scenario)
    [handoff] = world.worker.handoffs
    assert (handoff.tls, handoff.tls_protocol, handoff.tls_pfs) == (True, "TLSv1.3", "KxANY")
    assert (handoff.local_name, handoff.tls_cipher_bits) == ("localhost", 256)
    assert ", TLS, session=" in world.log()
    # One connection: announced once, ended once, by the process that holds the TCP connection.
    assert world.names() == ["client_connection_connected", "client_connection_disconnected"]
    ended = world.event("client_connection_disconnected")
    assert ended["net_in_bytes"] > 90_000
    assert any("secured=tls" in request for request in world.auth.requests)


def test_implicit_tls(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect(tls=True)
        greeting = await client.line()
        assert "STARTTLS" not in greeting
        assert (await client.ask("a1 LOGIN bob secret")).startswith("a1 OK")
        client.write(b"a2 LOGOUT\r\n")
        await client.rest()
        client.close()
        await world.ended()

    world.run(scenario)


def test_the_client_ends_a_relayed_session(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect(tls=True)
        await client.line()
        await client.ask("a1 LOGIN bob secret")
        client.close()
        await world.ended()
        while world.worker.sessions:
            await asyncio.sleep(0.001)

    world.run(scenario)
    assert "login_aborted" not in world.names()


@pytest.mark.parametrize("where", ["same segment", "same line end"])
def test_commands_in_clear_after_starttls_have_no_effect(world: World, where: str) -> None:
    injected = b"a2 LOGIN bob secret\r\n" if where == "same segment" else b"a2"

    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        client.write(b"a1 STARTTLS\r\n" + injected)
        lines = (await client.rest()).splitlines()
        assert [line.split(" ")[1] for line in lines] == ["BAD", "BYE"]
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.auth.requests == []
    assert world.worker.handoffs == []


def test_a_command_in_clear_instead_of_the_handshake_has_no_effect(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect()
        await client.line()
        assert (await client.ask("a1 STARTTLS")).startswith("a1 OK")
        client.write(b"a2 LOGIN bob secret\r\n")
        answer = await client.rest()
        assert "OK" not in answer
        client.close()
        await world.ended()

    world.run(scenario)
    assert world.auth.requests == []
    assert world.event("login_aborted")["reason"] == "tls_handshake_not_finished"


def test_a_handshake_that_is_not_finished(world: World) -> None:
    async def scenario(world: World) -> None:
        host, port = world.ctx.listeners[1].sock.getsockname()[:2]
        _, writer = await asyncio.open_connection(host, port)
        while not world.server.acceptor.connections:
            await asyncio.sleep(0.001)
        writer.close()
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "tls_handshake_not_finished"
    assert "disconnected before TLS was on" in world.log()


async def elsewhere(world: World) -> tuple[Any, str]:
    client = await world.connect()
    client.write(PROXY)
    return client, await client.line()


def test_no_password_in_clear(world: World) -> None:
    not_local(world)
    world.change(auth_allow_cleartext=False)

    async def scenario(world: World) -> None:
        client, greeting = await elsewhere(world)
        assert "LOGINDISABLED" in greeting
        assert "AUTH=PLAIN" not in greeting
        assert "AUTH=SCRAM-SHA-256" in greeting
        for line in ("LOGIN bob secret", "AUTHENTICATE PLAIN"):
            assert (await client.ask(f"a {line}")).startswith("a NO [PRIVACYREQUIRED]")
        client.close()
        await world.ended()

    world.run(scenario, haproxy=True)
    assert world.event("login_aborted")["reason"] == "cleartext_auth_disabled"
    assert world.auth.requests == []


def test_ssl_required(world: World) -> None:
    not_local(world)
    world.change(ssl="required")

    async def scenario(world: World) -> None:
        client, greeting = await elsewhere(world)
        assert "LOGINDISABLED" in greeting
        assert "AUTH=" not in greeting
        answer = await client.ask("a1 AUTHENTICATE SCRAM-SHA-256")
        assert answer.startswith("a1 NO [PRIVACYREQUIRED]")
        client.close()
        await world.ended()

    world.run(scenario, haproxy=True)
    assert world.event("login_aborted")["reason"] == "client_ssl_not_started"


def test_without_a_certificate_there_is_no_starttls(world: World) -> None:
    world.change(ssl_server_cert_file="")

    async def scenario(world: World) -> None:
        client = await world.connect()
        assert "STARTTLS" not in await client.line()
        assert (await client.ask("a1 STARTTLS")).startswith("a1 BAD TLS is not available")
        client.close()

    world.run(scenario)


def test_client_certificates(world: World) -> None:
    world.change(
        ssl_request_client_cert=True,
        ssl_server_ca_file=str(world.certificate),
        auth_ssl_require_client_cert=True,
    )

    async def scenario(world: World) -> None:
        without = await world.connect(tls=True)
        await without.line()
        assert (await without.ask("a1 LOGIN bob secret")).startswith("a1 NO A TLS client")
        without.close()
        await world.ended()
        host, port = world.ctx.listeners[1].sock.getsockname()[:2]
        context = world.client_context()
        context.load_cert_chain(world.certificate)
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname="localhost"
        )
        await reader.readline()
        writer.write(b"a1 LOGIN bob secret\r\n")
        assert (await reader.readline()).startswith(b"a1 OK")
        writer.close()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "client_ssl_cert_missing"
    [request] = world.auth.requests
    assert "cert_username=localhost" in request
    assert "valid-client-cert" in request


def test_an_old_client_is_refused(world: World) -> None:
    world.change(ssl_min_protocol="TLSv1.3")

    async def scenario(world: World) -> None:
        host, port = world.ctx.listeners[1].sock.getsockname()[:2]
        context = world.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        # uvloop closes without the alert, so the client may see no more than the end.
        with pytest.raises(OSError):
            await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
        await world.ended()

    world.run(scenario)
    assert world.event("login_aborted")["reason"] == "tls_handshake_not_finished"


def test_a_replaced_process_serves_its_relayed_clients_to_the_end(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await world.connect(tls=True)
        await client.line()
        await client.ask("a1 LOGIN bob secret")
        world.ctx.retiring.set()
        await asyncio.sleep(0)
        while world.server.acceptor._listening:
            await asyncio.sleep(0.001)
        assert await client.ask("a2 X") == "worker: a2 X"
        assert not world.task.done()
        client.write(b"a3 LOGOUT\r\n")
        await client.rest()
        client.close()
        await world.task

    world.run(scenario)
