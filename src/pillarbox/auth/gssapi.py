"""One client's Kerberos ticket, accepted by the system's GSS-API library.

An `Acceptor` lives as long as one SASL exchange.  It holds memory of the library's, which `close`
gives back.  What the library says of a ticket that it does not accept is for the log alone.
"""

from __future__ import annotations

import ctypes
from typing import Final

from pillarbox.auth.gssapi_library import (
    CONTINUE_NEEDED,
    Buffer,
    Handle,
    acceptor_credential,
    call,
    given,
    release,
    service_name,
    taken,
)
from pillarbox.wire.sasl.exchange import GssReply

ANY_KEY: Final = "$ALL"
_SERVICES: Final = {"pop3": "pop", "submission": "smtp", "lmtp": "smtp", "managesieve": "sieve"}


class Acceptor:
    """See the module; ``principal`` is known when the context stands."""

    def __init__(self, service: str, host: str, keytab: str) -> None:
        """Raises GssError where the keytab has no key for this service."""
        self.principal = ""
        self._context = Handle()
        self._name = Handle()
        self._credential = Handle()
        try:
            if host != ANY_KEY:
                self._name = service_name(f"{_SERVICES.get(service, service)}@{host}")
            self._credential = acceptor_credential(self._name, keytab)
        except BaseException:
            self.close()
            raise

    def accept(self, token: bytes) -> GssReply:
        """Take the client's token.  Raises GssError for one that is not accepted."""
        source, answer = Handle(), Buffer()
        try:
            status = call(
                "gss_accept_sec_context",
                ctypes.byref(self._context),
                self._credential,
                ctypes.byref(given(token)),
                None,
                ctypes.byref(source),
                None,
                ctypes.byref(answer),
                None,
                None,
                None,
            )
            done = status != CONTINUE_NEEDED
            if done:
                self.principal = self._shown(source)
            return GssReply(taken(answer), done)
        finally:
            release("gss_release_name", source)

    def wrap(self, data: bytes) -> bytes:
        """Signed, not sealed.  Raises GssError."""
        answer = Buffer()
        call(
            "gss_wrap",
            self._context,
            ctypes.c_int(0),
            ctypes.c_uint32(0),
            ctypes.byref(given(data)),
            None,
            ctypes.byref(answer),
        )
        return taken(answer)

    def unwrap(self, data: bytes) -> bytes:
        """What the client wrapped.  Raises GssError."""
        answer = Buffer()
        call(
            "gss_unwrap",
            self._context,
            ctypes.byref(given(data)),
            ctypes.byref(answer),
            None,
            None,
        )
        return taken(answer)

    def close(self) -> None:
        """Give everything back."""
        if self._context.value:
            call("gss_delete_sec_context", ctypes.byref(self._context), None)
        release("gss_release_cred", self._credential)
        release("gss_release_name", self._name)

    @staticmethod
    def _shown(name: Handle) -> str:
        shown = Buffer()
        call("gss_display_name", name, ctypes.byref(shown), None)
        return taken(shown).decode("utf-8", "replace")
