"""TLS towards other servers: the context that connections we begin use.

One context serves all connections made with the same settings: making one reads the authorities
from disk, which takes milliseconds.  Names are checked unless verification is off altogether.
"""

from __future__ import annotations

import functools
import ssl

from pillarbox.runtime.tls import TlsError
from pillarbox.settings.model import Settings


def client_context(settings: Settings, *, verify: bool | None = None) -> ssl.SSLContext:
    """The context for connecting to a server; pass ``server_hostname`` when using it.

    ``verify`` None: what ssl_client_require_valid_cert says.  Raises TlsError.
    """
    return _context(
        settings.ssl_client_ca_file,
        settings.ssl_client_ca_dir,
        settings.ssl_client_require_valid_cert if verify is None else verify,
        settings.ssl_client_cert_file,
        settings.ssl_client_key_file,
        settings.ssl_client_key_password,
        settings.ssl_min_protocol == "TLSv1.3",
    )


@functools.lru_cache(maxsize=32)
def _context(
    ca_file: str, ca_dir: str, verify: bool, cert: str, key: str, password: str, newest: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest else ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if ca_file or ca_dir:
            context.load_verify_locations(ca_file or None, ca_dir or None)
        elif verify:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"ssl_client_ca_file={ca_file!r}: {error}") from error
    if cert:
        try:
            context.load_cert_chain(cert, key or None, password or "")
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"ssl_client_cert_file={cert!r}: {error}") from error
    return context
