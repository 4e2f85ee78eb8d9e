"""Certificates for tests: an authority, servers' and clients' certificates signed by it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """A certificate authority with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Test Authority")
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def make(self, name: str, file: str = "", *, client: bool = False) -> Path:
        """Certificate and key for a name, in one file; the file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)] if "@" not in name else []
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        use = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        certificate = (
            self._builder(_name(name), key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{file or name}.pem"
        new = path.with_suffix(".new")
        new.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        new.replace(path)
        return path

    def context(
        self, client: Path | None = None, version: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        """A client's context that trusts this authority only."""
        context = ssl.create_default_context(cafile=str(self.file))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = False
        if client is not None:
            context.load_cert_chain(client)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(days=1))
            .not_valid_after(NOW + datetime.timedelta(days=1))
        )


def common_name(sock: ssl.SSLSocket) -> str:
    """The common name of the server's certificate."""
    certificate = sock.getpeercert()
    assert certificate is not None
    return next(v for part in certificate["subject"] for k, v in part if k == "commonName")  # type: ignore[misc]


def serial(sock: ssl.SSLSocket) -> str:
    """The serial number of the server's certificate."""
    certificate = sock.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )
