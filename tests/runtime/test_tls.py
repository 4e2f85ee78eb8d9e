"""TLS contexts: SNI, errors that name the setting, reload."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.tls import TlsContexts, TlsError, key_exchange, tls_contexts
from pillarbox.settings.model import LocalNameSettings, Settings

Run = Callable[..., Any]
Listen = Callable[..., BoundListener]


class Quiet(Connection):
    __slots__ = ()

    def received(self, data: bytes) -> None:
        self.send(data)


def test_each_name_gets_its_certificate_and_a_reload_a_new_one(
    ctx: ServiceContext, listen: Listen, uvrun: Run, tmp_path: Path, write_pem: Any
) -> None:
    listen("s", ssl=True)
    default = write_pem(tmp_path, "default.test")
    other = write_pem(tmp_path, "other.test")
    wild = write_pem(tmp_path, "wild.test")
    settings = msgspec.structs.replace(
        Settings(),
        ssl_server_cert_file=str(default),
        local_name={
            "Other.test": LocalNameSettings(ssl_server_cert_file=str(other)),
            "*.wild.test": LocalNameSettings(ssl_server_cert_file=str(wild)),
        },
    )

    async def name_of(sni: str | None) -> str:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        host, port = ctx.listeners[0].sock.getsockname()[:2]
        _, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=sni or ""
        )
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        from cryptography import x509

        return x509.load_der_x509_certificate(der).subject.rfc4514_string()

    async def scenario() -> None:
        acceptor = Acceptor(ctx, lambda found: Quiet(ctx, found), tls=TlsContexts(settings))
        acceptor.start()
        assert await name_of(None) == "CN=default.test"
        assert await name_of("unknown.test") == "CN=default.test"
        assert await name_of("OTHER.test") == "CN=other.test"
        assert await name_of("a.wild.test") == "CN=wild.test"
        assert await name_of("a.b.wild.test") == "CN=default.test"
        acceptor.tls = TlsContexts(msgspec.structs.replace(settings, local_name={}))
        assert await name_of("other.test") == "CN=default.test"
        await acceptor.close(1)

    uvrun(scenario())


def test_errors_name_the_setting_and_the_file(tmp_path: Path, certificate: Path) -> None:
    def broken(text: str, **more: Any) -> None:
        with pytest.raises(TlsError, match=text):
            TlsContexts(msgspec.structs.replace(Settings(), **more))

    cert = str(certificate)
    broken("ssl_server_cert_file='/none.pem'", ssl_server_cert_file="/none.pem")
    broken(
        "ssl_server_key_file='/none.key'",
        ssl_server_cert_file=cert,
        ssl_server_key_file="/none.key",
    )
    broken("ssl_cipher_list='NONSENSE'", ssl_server_cert_file=cert, ssl_cipher_list="NONSENSE")
    broken("needs ssl_server_ca_file", ssl_server_cert_file=cert, ssl_request_client_cert=True)
    broken(
        "ssl_server_ca_file='/none'",
        ssl_server_cert_file=cert,
        ssl_request_client_cert=True,
        ssl_server_ca_file="/none",
    )
    broken(
        r"local_name.x.ssl_server_cert_file='/none'",
        ssl_server_cert_file=cert,
        local_name={"x": LocalNameSettings(ssl_server_cert_file="/none")},
    )


def test_no_tls_without_a_certificate_or_when_it_is_off(certificate: Path) -> None:
    assert tls_contexts(Settings()) is None
    with_cert = msgspec.structs.replace(Settings(), ssl_server_cert_file=str(certificate))
    assert tls_contexts(with_cert) is not None
    assert tls_contexts(msgspec.structs.replace(with_cert, ssl="no")) is None


@pytest.mark.parametrize(
    ("cipher", "name"),
    [
        ("TLS_AES_256_GCM_SHA384", "KxANY"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "KxECDHE"),
        ("DHE-RSA-AES256-GCM-SHA384", "KxDHE"),
        ("AES256-GCM-SHA384", "KxRSA"),
    ],
)
def test_key_exchange(cipher: str, name: str) -> None:
    assert key_exchange(cipher) == name
