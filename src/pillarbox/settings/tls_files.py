"""Checks of certificate and key files: there, readable, not run out, and belonging together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pillarbox.settings.model import LocalNameSettings, Settings
from pillarbox.settings.positions import Path as KeyPath

F = TypeVar("F")

_SOON = timedelta(days=7)


def tls_findings(settings: Settings, finding: Callable[[KeyPath, str, bool], F]) -> Iterator[F]:
    """What is wrong with the TLS settings, each as ``finding(path, text, fatal)``."""
    if settings.ssl == "no":
        return
    if not settings.ssl_server_cert_file:
        if settings.ssl == "required":
            yield finding(("ssl",), "ssl = required needs ssl_server_cert_file", True)
        else:
            text = "without ssl_server_cert_file no TLS is offered"
            yield finding(("ssl_server_cert_file",), text, False)
    else:
        for name, text, fatal in _pair(settings):
            yield finding((name,), text, fatal)
    for key, block in settings.local_name.items():
        for name, text, fatal in _pair(block):
            yield finding(("local_name", key, name), text, fatal)
    if settings.ssl_request_client_cert and not settings.ssl_server_ca_file:
        text = "ssl_request_client_cert needs ssl_server_ca_file"
        yield finding(("ssl_request_client_cert",), text, True)
    if settings.ssl_server_ca_file:
        name = "ssl_server_ca_file"
        problem = _certificates(settings.ssl_server_ca_file)
        if isinstance(problem, str):
            yield finding((name,), problem, True)


def _pair(block: Settings | LocalNameSettings) -> Iterator[tuple[str, str, bool]]:
    """Problems of one certificate and its key: name of the setting, text, whether fatal."""
    certificates = _certificates(block.ssl_server_cert_file)
    if isinstance(certificates, str):
        yield "ssl_server_cert_file", certificates, True
        return
    certificate = certificates[0]
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        text = f"{block.ssl_server_cert_file} ran out on {certificate.not_valid_after_utc:%Y-%m-%d}"
        yield "ssl_server_cert_file", text, False
    elif certificate.not_valid_after_utc < now + _SOON:
        day = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        yield "ssl_server_cert_file", f"{block.ssl_server_cert_file} runs out on {day}", False
    path = block.ssl_server_key_file or block.ssl_server_cert_file
    password = block.ssl_server_key_password.encode() or None
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password)
    except OSError as error:
        yield "ssl_server_key_file", f"{path} cannot be read: {error.strerror}", True
    except (ValueError, TypeError) as error:
        yield "ssl_server_key_file", f"{path} holds no private key that can be used: {error}", True
    else:
        if key.public_key() != certificate.public_key():
            text = f"the key in {path} does not belong to {block.ssl_server_cert_file}"
            yield "ssl_server_key_file", text, True


def _certificates(path: str) -> list[x509.Certificate] | str:
    """The certificates of a PEM file, or what is wrong."""
    if not path:
        return "ssl_server_cert_file is missing here"
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except ValueError:
        return f"{path} holds no certificate in PEM"
