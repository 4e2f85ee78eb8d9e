"""``pillarbox auth`` and ``pillarbox pw`` as a person calls them, against a real auth service."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pillarbox.cli.main import run as cli
from pillarbox.runtime.log import Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.auth import service
from pillarbox.settings.model import PassdbSettings, Settings, UserdbSettings

MECHANISMS = [
    *("plain", "LOGIN", "scram-sha-1", "SCRAM-SHA-256", "cram-md5", "digest-md5"),
    *("oauthbearer", "xoauth2"),
]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A settings file of a running auth service with bob (password ``secret``)."""
    users = tmp_path / "users"
    users.write_text("bob@example.com:{PLAIN}secret:1:2::/home/bob::theme=dark\n")
    masters = tmp_path / "masters"
    masters.write_text("admin:{PLAIN}root:\n")
    settings = msgspec.structs.replace(
        Settings(),
        base_dir=str(tmp_path),
        auth_mechanisms=tuple(name.lower() for name in MECHANISMS),
        auth_failure_delay=0.0,
        passdb={
            "m": PassdbSettings(
                driver="passwd-file",
                passwd_file_path=str(masters),
                master=True,
                result_success="continue",
            ),
            "f": PassdbSettings(driver="passwd-file", passwd_file_path=str(users)),
        },
        userdb={"f": UserdbSettings(driver="passwd-file", passwd_file_path=str(users))},
    )
    file = tmp_path / "pillarbox.toml"
    file.write_text(f'base_dir = "{tmp_path}"\n')
    listeners = []
    for name in ("auth-login", "auth-client", "auth-master"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / name))
        sock.listen()
        sock.setblocking(False)
        listeners.append(BoundListener(sock, name, "unix"))
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async def on_ready() -> None:
            ready.set()

        ctx = ServiceContext(
            name="auth",
            settings=settings,
            base_dir=tmp_path,
            listeners=listeners,
            log=Log("auth", lambda line: None),
            on_ready=on_ready,
        )
        stop.append((asyncio.get_running_loop(), ctx.shutdown))
        await service.run(ctx)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield file
    loop, shutdown = stop[0]
    loop.call_soon_threadsafe(shutdown.set)
    thread.join()
    for listener in listeners:
        listener.sock.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_auth_test(config: Path, capsys: pytest.CaptureFixture[str], mechanism: str) -> None:
    arguments = ["auth", "test", "-c", str(config), "-m", mechanism, "Bob@example.com", "secret"]
    assert cli(arguments) == 0
    out = capsys.readouterr().out
    assert "passdb: bob@example.com auth succeeded" in out
    assert "theme: dark" in out


@pytest.mark.parametrize(
    ("user", "extra", "status"),
    [
        ("bob@example.com", [], 77),
        ("nobody@example.com", [], 77),
        ("bob@example.com", ["-x", "secured=no"], 77),
        ("bob@example.com", ["-m", "gssapi"], 64),
    ],
)
def test_auth_test_fails(config: Path, user: str, extra: list[str], status: int) -> None:
    assert cli(["auth", "test", "-c", str(config), *extra, user, "wrong"]) == status


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256"])
def test_auth_test_of_a_master(
    config: Path, capsys: pytest.CaptureFixture[str], mechanism: str
) -> None:
    common = ["auth", "test", "-c", str(config), "-m", mechanism, "-M", "admin"]
    assert cli([*common, "bob@example.com", "root"]) == 0
    out = capsys.readouterr().out
    assert "passdb: bob@example.com auth succeeded" in out
    assert "auth_user: admin" in out
    assert cli([*common, "bob@example.com", "secret"]) == 77
    assert cli([*common, "nobody@example.com", "root"]) == 77


def test_auth_login(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert cli(["auth", "login", "-c", str(config), "bob@example.com"]) == 0
    out = capsys.readouterr().out
    assert "userdb: bob@example.com" in out
    assert "home: /home/bob" in out


def test_auth_lookup(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["auth", "lookup", "-c", str(config), "bob@example.com"]) == 0
    assert "uid: 1" in capsys.readouterr().out
    assert cli(["auth", "lookup", "-c", str(config), "-f", "home", "bob@example.com"]) == 0
    assert capsys.readouterr().out == "/home/bob\n"
    assert cli(["auth", "lookup", "-c", str(config), "-f", "none", "bob@example.com"]) == 1
    assert cli(["auth", "lookup", "-c", str(config), "nobody@example.com"]) == 67


def test_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.cli.auth.CONNECT_SECONDS", 0.05)
    file = tmp_path / "pillarbox.toml"
    file.write_text(f'base_dir = "{tmp_path}"\n')
    assert cli(["auth", "test", "-c", str(file), "bob", "x"]) == 75


def test_pw(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["pw", "-s", "SSHA512", "-p", "secret"]) == 0
    stored = capsys.readouterr().out.strip()
    assert stored.startswith("{SSHA512}")
    assert cli(["pw", "-p", "secret", "-t", stored]) == 0
    assert "(verified)" in capsys.readouterr().out
    assert cli(["pw", "-p", "wrong", "-t", stored]) == 77
    assert cli(["pw", "-p", "wrong", "-t", "{NOSUCH}x"]) == 65
    assert cli(["pw", "-s", "nosuch", "-p", "x"]) == 64
    capsys.readouterr()
    assert cli(["pw", "-l"]) == 0
    out = capsys.readouterr().out
    assert "ARGON2ID" in out
    assert "weak, see auth_allow_weak_schemes: SHA " in out
    assert cli(["pw", "-s", "DIGEST-MD5", "-p", "secret"]) == 64
    assert cli(["pw", "-s", "DIGEST-MD5", "-u", "bob@example.com", "-p", "secret"]) == 0
    stored = capsys.readouterr().out.strip()
    assert cli(["pw", "-u", "bob@example.com", "-p", "secret", "-t", stored]) == 0


def test_flushing_the_cache(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["auth", "cache", "flush", "bob@example.com", "-c", str(config)]) == 0
    assert capsys.readouterr().out == "0 cache entries flushed\n"
