"""The system's GSS-API library (MIT Kerberos), called directly: what we need of RFC 2744.

`call` turns a failing status into `GssError` with the library's own words; buffers that the library
made are copied and given back at once.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final

NAMES: Final = ("libgssapi_krb5.so.2",)
CONTINUE_NEEDED: Final = 1
ACCEPT: Final = 2
INDEFINITE: Final = 0xFFFFFFFF
_ERRORS: Final = 0xFFFF0000
_GENERAL_CODE, _MECHANISM_CODE = 1, 2


class GssError(Exception):
    """What the library says went wrong."""


class NoGss(Exception):
    """The library is not installed."""


class Buffer(ctypes.Structure):
    """gss_buffer_desc."""

    _fields_ = (("length", ctypes.c_size_t), ("value", ctypes.c_void_p))


class _KeyValue(ctypes.Structure):
    _fields_ = (("key", ctypes.c_char_p), ("value", ctypes.c_char_p))


class _KeyValues(ctypes.Structure):
    _fields_ = (("count", ctypes.c_uint32), ("elements", ctypes.POINTER(_KeyValue)))


class Handle(ctypes.c_void_p):
    """A name, a credential or a context of the library's."""


@cache
def load() -> Any:
    """The library.  Raises NoGss."""
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NoGss(f"{NAMES[0]} is not installed")


def call(name: str, *arguments: Any) -> int:
    """Call a function; its major status.  Raises GssError."""
    minor = ctypes.c_uint32()
    function = getattr(load(), name)
    function.restype = ctypes.c_uint32
    major = int(function(ctypes.byref(minor), *arguments))
    if major & _ERRORS:
        raise GssError(_words(major, minor.value))
    return major


def given(data: bytes) -> Buffer:
    """A buffer for the library to read; it lives as long as ``data``."""
    return Buffer(len(data), ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p))


def taken(buffer: Buffer) -> bytes:
    """The bytes of a buffer that the library made, which is released."""
    data = ctypes.string_at(buffer.value, buffer.length) if buffer.value else b""
    minor = ctypes.c_uint32()
    load().gss_release_buffer(ctypes.byref(minor), ctypes.byref(buffer))
    return data


def service_name(service: str) -> Handle:
    """The name of ``imap@host``.  Raises GssError."""
    kind = ctypes.c_void_p.in_dll(load(), "GSS_C_NT_HOSTBASED_SERVICE")
    name = Handle()
    told = service.encode()
    call("gss_import_name", ctypes.byref(given(told)), kind, ctypes.byref(name))
    return name


def acceptor_credential(name: Handle, keytab: str) -> Handle:
    """What is needed to accept tickets for a name (null: any).  Raises GssError."""
    credential = Handle()
    pair = _KeyValue(b"keytab", keytab.encode("utf-8", "surrogateescape"))
    store = _KeyValues(1, ctypes.pointer(pair))
    call(
        "gss_acquire_cred_from",
        name,
        ctypes.c_uint32(INDEFINITE),
        None,
        ctypes.c_int(ACCEPT),
        ctypes.byref(store) if keytab else None,
        ctypes.byref(credential),
        None,
        None,
    )
    return credential


def release(function: str, handle: Handle) -> None:
    """Give a name or a credential back."""
    if handle.value:
        minor = ctypes.c_uint32()
        getattr(load(), function)(ctypes.byref(minor), ctypes.byref(handle))


def _words(major: int, minor: int) -> str:
    texts = []
    for code, kind in ((major, _GENERAL_CODE), (minor, _MECHANISM_CODE)):
        more = ctypes.c_uint32()
        buffer, status = Buffer(), ctypes.c_uint32()
        load().gss_display_status(
            ctypes.byref(status),
            ctypes.c_uint32(code),
            ctypes.c_int(kind),
            None,
            ctypes.byref(more),
            ctypes.byref(buffer),
        )
        texts.append(taken(buffer).decode("utf-8", "replace"))
    return ": ".join(filter(None, texts))
