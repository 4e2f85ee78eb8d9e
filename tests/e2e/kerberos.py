"""A Kerberos realm of the test's own: a KDC on loopback, users, keytabs, and a client of GSS-API.

Everything lives in one folder; libraries and programs find it by the environment that `Realm`
gives.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running import free_port, wait_for

from pillarbox.auth.gssapi_library import (
    CONTINUE_NEEDED,
    Buffer,
    Handle,
    call,
    given,
    release,
    service_name,
    taken,
)

NAME = "EXAMPLE.COM"
SPNEGO = b"\x2b\x06\x01\x05\x05\x02"
_FLAGS = 2 | 32  # mutual, integrity
_SBIN = os.pathsep.join(("/usr/sbin", "/usr/bin", "/sbin", "/bin"))

KRB5 = """
[libdefaults]
default_realm = {name}
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
{name} = {{
  kdc = 127.0.0.1:{port}
}}
"""
KDC = """
[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{name} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/acl
}}
"""


class Realm:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        for program in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit"):
            if shutil.which(program, path=_SBIN) is None:
                pytest.skip(f"{program} is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.keytab = folder / "keytab"
        self.port = free_port()
        self.environment = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder}/tickets",
            "KRB5RCACHENAME": f"dfl:{folder}",
            "KRB5RCACHEDIR": str(folder),
        }
        (folder / "krb5.conf").write_text(KRB5.format(name=NAME, port=self.port))
        (folder / "kdc.conf").write_text(KDC.format(name=NAME, port=self.port, folder=folder))
        self._run("kdb5_util", "create", "-s", "-r", NAME, "-P", "master key")
        self._kdc = subprocess.Popen(
            [self._path("krb5kdc"), "-n", "-P", str(folder / "pid")],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers)

    def add(self, principal: str, password: str) -> None:
        """A user."""
        self._run("kadmin.local", "addprinc", "-pw", password, principal)

    def serve(self, *principals: str) -> None:
        """Services, with their keys in the keytab."""
        for principal in principals:
            self._run("kadmin.local", "addprinc", "-randkey", principal)
            self._run("kadmin.local", "ktadd", "-k", str(self.keytab), principal)

    def login(self, principal: str, password: str) -> None:
        """Get a ticket, which replaces the one before."""
        self._run("kinit", principal, stdin=f"{password}\n".encode())

    def close(self) -> None:
        """End the KDC."""
        self._kdc.kill()
        self._kdc.wait()

    def _answers(self) -> bool:
        assert self._kdc.poll() is None
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def _run(self, program: str, *arguments: str, stdin: bytes = b"") -> None:
        done = subprocess.run(
            [self._path(program), *arguments],
            env={**os.environ, **self.environment},
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @staticmethod
    def _path(program: str) -> str:
        path = shutil.which(program, path=_SBIN)
        assert path is not None
        return path


class _Oid(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("elements", ctypes.c_char_p))


class Initiator:
    """A client with the ticket of the environment."""

    def __init__(self, service: str, *, spnego: bool = False) -> None:
        self._context = Handle()
        self._target = service_name(service)
        self._mechanism = _Oid(len(SPNEGO), SPNEGO) if spnego else None
        self.done = False

    def step(self, token: bytes = b"") -> bytes:
        """The next token for the server, perhaps empty."""
        answer = Buffer()
        status = call(
            "gss_init_sec_context",
            None,
            ctypes.byref(self._context),
            self._target,
            ctypes.byref(self._mechanism) if self._mechanism is not None else None,
            ctypes.c_uint32(_FLAGS),
            ctypes.c_uint32(0),
            None,
            ctypes.byref(given(token)) if token else None,
            None,
            ctypes.byref(answer),
            None,
            None,
        )
        self.done = status != CONTINUE_NEEDED
        return taken(answer)

    def layer(self, offer: bytes, authzid: str = "") -> bytes:
        """The answer to the offer of security layers: none."""
        answer: Any = Buffer()
        call(
            "gss_unwrap",
            self._context,
            ctypes.byref(given(offer)),
            ctypes.byref(answer),
            None,
            None,
        )
        assert taken(answer) == b"\x01\0\0\0"
        answer = Buffer()
        told = b"\x01\0\0\0" + authzid.encode()
        call(
            "gss_wrap",
            self._context,
            ctypes.c_int(0),
            ctypes.c_uint32(0),
            ctypes.byref(given(told)),
            None,
            ctypes.byref(answer),
        )
        return taken(answer)

    def close(self) -> None:
        """Give everything back."""
        if self._context.value:
            call("gss_delete_sec_context", ctypes.byref(self._context), None)
        release("gss_release_name", self._target)
