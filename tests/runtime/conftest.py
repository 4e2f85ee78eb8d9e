"""A service context, listeners on loopback, and a certificate."""

from __future__ import annotations

import datetime
import ipaddress
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pillarbox.runtime.listeners import listen_inet, listen_unix
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.settings.model import Settings

# The servers that the end-to-end tests talk to are of use here too.
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))


def write_certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName(name),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost."""
    return write_certificate(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def lines() -> list[Line]:
    """What the context of `ctx` logged."""
    return []


@pytest.fixture
def ctx(tmp_path: Path, lines: list[Line]) -> Iterator[ServiceContext]:
    """A context without listeners; `listen` adds some."""
    log = Log("test", lines.append, "debug")
    context = ServiceContext(name="test", settings=Settings(), base_dir=tmp_path, log=log)
    yield context
    for listener in context.listeners:
        listener.sock.close()


@pytest.fixture
def listen(ctx: ServiceContext) -> Callable[..., BoundListener]:
    """Add a listener to `ctx`: ``listen("name", kind="inet", ssl=False, haproxy=False)``."""

    def add(
        name: str, kind: str = "inet", ssl: bool = False, haproxy: bool = False
    ) -> BoundListener:
        if kind == "inet":
            listener = BoundListener(listen_inet("127.0.0.1", 0), name, "inet", ssl, haproxy)
        else:
            listener = BoundListener(listen_unix(ctx.base_dir / name), name, "unix", ssl, haproxy)
        ctx.listeners.append(listener)
        return listener

    return add


@pytest.fixture
def uvrun() -> Callable[..., object]:
    """Run a coroutine on a new uvloop, as services do."""
    import asyncio

    import uvloop

    def run(coroutine: object) -> object:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)  # type: ignore[arg-type]

    return run


@pytest.fixture
def write_pem() -> Callable[[Path, str], Path]:
    """Make a certificate for a name: ``write_pem(folder, name)``."""
    return write_certificate
