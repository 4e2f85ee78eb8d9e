"""TLS of listeners: contexts made from settings, and what a handshake agreed on.

`TlsContexts` holds the one context that listeners use; its SNI callback swaps in the certificate
of the ``local_name`` block that the client asked for (RFC 6066 section 3).  At a reload a new
TlsContexts is made: connections that exist keep theirs, and a certificate that cannot be read
leaves the old one in place, because making the new one raises before anything is replaced.

Compression and renegotiation are off, tickets stay on; versions below TLS 1.2 do not exist here.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pillarbox.events.event import ScopeValue
from pillarbox.settings.model import Settings


class TlsError(Exception):
    """The settings of TLS cannot be used: text names the setting and the file."""


class TlsInfo(NamedTuple):
    """What a finished handshake agreed on, in the words of the authentication protocol."""

    protocol: str
    cipher: str
    cipher_bits: int
    pfs: str
    local_name: str | None
    cert_valid: bool
    cert_username: str | None
    own_certificate: bytes = b""

    def bindings(self) -> dict[str, bytes]:
        """What SASL can bind to, by type; RFC 5929 section 4 is what this server can give.

        Python lets nobody at the exporter of RFC 9266, and tls-unique is not for TLS 1.3.
        """
        if not self.own_certificate:
            return {}
        return {"tls-server-end-point": end_point(self.own_certificate)}

    def fields(self) -> dict[str, ScopeValue]:
        """The scope fields that say how the connection is secured."""
        return {
            "transport": "TLS",
            "tls_protocol": self.protocol,
            "tls_cipher": self.cipher,
            "tls_cipher_bits": self.cipher_bits,
            "tls_pfs": self.pfs,
            "local_name": self.local_name,
            "certificate_user": self.cert_username if self.cert_valid else None,
        }

    def describe(self) -> str:
        """For log lines: ``TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)``."""
        bits = self.cipher_bits
        return f"{self.protocol} with cipher {self.cipher} ({bits}/{bits} bits)"


class TlsContexts:
    """The contexts of one state of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Read all certificates.  Raises TlsError."""
        self.username_field = settings.ssl_server_cert_username_field
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._certificates: dict[ssl.SSLContext, bytes] = {}
        for name, block in settings.local_name.items():
            cert = block.ssl_server_cert_file or settings.ssl_server_cert_file
            key = block.ssl_server_key_file or (
                "" if block.ssl_server_cert_file else settings.ssl_server_key_file
            )
            context = self._by_name[name.lower()] = _context(
                settings, cert, key, block.ssl_server_key_password, f"local_name.{name}."
            )
            self._certificates[context] = _leaf(cert)
        self.server = _context(
            settings,
            settings.ssl_server_cert_file,
            settings.ssl_server_key_file,
            settings.ssl_server_key_password,
            "",
        )
        self._certificates[self.server] = _leaf(settings.ssl_server_cert_file)
        self.server.sni_callback = self._choose

    def _choose(self, sslobj: Any, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        sslobj.local_name = name
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        if found is not None:
            sslobj.context = found

    def info(self, transport: asyncio.BaseTransport) -> TlsInfo:
        """What the handshake of this transport agreed on."""
        sslobj = transport.get_extra_info("ssl_object")
        cipher, protocol, bits = sslobj.cipher()
        certificate = sslobj.getpeercert()
        return TlsInfo(
            sslobj.version() or protocol,
            cipher,
            bits,
            key_exchange(cipher),
            getattr(sslobj, "local_name", None),
            bool(certificate),
            _subject_field(certificate or {}, self.username_field),
            self._certificates.get(sslobj.context, b""),
        )


def tls_contexts(settings: Settings) -> TlsContexts | None:
    """The contexts of these settings; None if TLS is off or there is no certificate.

    Raises TlsError.
    """
    if settings.ssl == "no" or not settings.ssl_server_cert_file:
        return None
    return TlsContexts(settings)


def key_exchange(cipher: str) -> str:
    """How keys were exchanged, as the field tls_pfs says it: KxECDHE, KxDHE, KxRSA or KxANY."""
    if cipher.startswith("TLS_"):
        return "KxANY"
    for prefix in ("ECDHE", "DHE"):
        if cipher.startswith(prefix):
            return "Kx" + prefix
    return "KxRSA"


@lru_cache(maxsize=256)
def end_point(certificate: bytes) -> bytes:
    """The hash of a certificate that its signature names (RFC 5929 section 4.1), or SHA-256.

    SHA-256 stands for MD5 and SHA-1, and for signatures that name no hash.
    """
    # Only clients that bind to the channel need it.
    from cryptography import x509

    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = "sha256" if algorithm is None else algorithm.name
    return hashlib.new("sha256" if name in ("md5", "sha1") else name, certificate).digest()


def _leaf(path: str) -> bytes:
    """The first certificate of a file, which was read before."""
    text = Path(path).read_text("ascii", "replace")
    begin = text.find(ssl.PEM_HEADER)
    end = text.find(ssl.PEM_FOOTER, begin)
    if begin < 0 or end < 0:
        return b""
    return ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)])


def _context(settings: Settings, cert: str, key: str, password: str, prefix: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if settings.ssl_min_protocol == "TLSv1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(cert, key or None, password or "")
    except (OSError, ssl.SSLError) as error:
        raise TlsError(
            f"{prefix}ssl_server_cert_file={cert!r}, {prefix}ssl_server_key_file={key!r}: {error}"
        ) from error
    if settings.ssl_cipher_list:
        try:
            context.set_ciphers(settings.ssl_cipher_list)
        except ssl.SSLError as error:
            raise TlsError(f"ssl_cipher_list={settings.ssl_cipher_list!r}: {error}") from error
    if settings.ssl_request_client_cert:
        _request_client_certificate(context, settings.ssl_server_ca_file)
    return context


def _request_client_certificate(context: ssl.SSLContext, ca_file: str) -> None:
    if not ca_file:
        raise TlsError("ssl_request_client_cert needs ssl_server_ca_file")
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"ssl_server_ca_file={ca_file!r}: {error}") from error


def _subject_field(certificate: dict[str, Any], name: str) -> str | None:
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == name:
                return str(value)
    return None
