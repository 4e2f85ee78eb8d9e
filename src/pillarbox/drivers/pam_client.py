"""PAM, by ctypes: one conversation that answers every question with the password.

`check` authenticates, asks whether the account may be used, and opens and closes a session if
wanted.  It blocks, and may do so for long: call it in a thread.  Delays that modules ask for after
a failure are not obeyed, because the auth service has its own.

The one trick: PAM frees the conversation's answers with free(3), so they are made with the C
library's calloc and strdup.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

Verdict = Literal["ok", "user_unknown", "password_mismatch", "user_disabled", "pass_expired"]
MAX_PASSWORD: Final = 511  # PAM_MAX_RESP_SIZE without its end
_ECHO_OFF, _ECHO_ON = 1, 2
_SUCCESS, _BUFFER_ERROR = 0, 5
_TTY, _USER, _RHOST, _FAIL_DELAY = 3, 2, 4, 10
_SILENT, _DISALLOW_NULL = 0x8000, 0x1
_VERDICTS: Final[dict[int, Verdict]] = {
    0: "ok",
    6: "user_disabled",  # PAM_PERM_DENIED
    7: "password_mismatch",  # PAM_AUTH_ERR
    8: "password_mismatch",  # PAM_CRED_INSUFFICIENT
    10: "user_unknown",  # PAM_USER_UNKNOWN
    11: "password_mismatch",  # PAM_MAXTRIES
    12: "pass_expired",  # PAM_NEW_AUTHTOK_REQD
    13: "user_disabled",  # PAM_ACCT_EXPIRED
    27: "pass_expired",  # PAM_AUTHTOK_EXPIRED
}


class PamError(Exception):
    """PAM cannot say now; the text is the library's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict, and the user's name as the modules left it."""

    verdict: Verdict
    user: str


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Conversation = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)
_Delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


class _Talk(ctypes.Structure):
    _fields_ = (("function", _Conversation), ("data", ctypes.c_void_p))


class Pam:
    """The library.  Raises OSError where there is none."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("pam")
        if name is None:
            raise OSError("there is no libpam on this system")
        self._pam = ctypes.CDLL(name)
        self._libc = ctypes.CDLL(None)
        self._libc.calloc.restype = ctypes.c_void_p
        self._libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self._libc.strdup.restype = ctypes.c_void_p
        self._libc.strdup.argtypes = [ctypes.c_char_p]
        self._pam.pam_strerror.restype = ctypes.c_char_p
        self._no_delay = _Delay(lambda status, delay, data: None)

    def check(
        self,
        service: str,
        user: str,
        password: str,
        *,
        folder: str = "",
        remote: str | None = None,
        session: bool = False,
    ) -> Answer:
        """Whether this user may come in with this password.  Raises PamError.

        ``folder`` has the service's file, "" for the system's; ``remote`` is the client's address.
        """
        try:
            name, secret = user.encode(), password.encode()
        except UnicodeEncodeError:
            return Answer("user_unknown", user)
        if not name or b"\0" in name:
            return Answer("user_unknown", user)
        if b"\0" in secret or len(secret) > MAX_PASSWORD:
            return Answer("password_mismatch", user)
        talk = _Talk(_Conversation(self._conversation(secret)), None)
        handle = ctypes.c_void_p()
        start = [service.encode(), name, ctypes.byref(talk)]
        if folder:
            status = self._pam.pam_start_confdir(*start, folder.encode(), ctypes.byref(handle))
        else:
            status = self._pam.pam_start(*start, ctypes.byref(handle))
        if status != _SUCCESS:
            raise PamError(f"pam_start: {self._error(None, status)}")
        try:
            self._describe(handle, remote)
            status = self._steps(handle, session)
            return Answer(self._verdict(handle, status), self._user(handle) or user)
        finally:
            self._pam.pam_end(handle, status)

    def _steps(self, handle: ctypes.c_void_p, session: bool) -> int:
        """Authenticate, look at the account, open a session: the first status that is bad."""
        for step in (self._pam.pam_authenticate, self._pam.pam_acct_mgmt):
            status = int(step(handle, _SILENT | _DISALLOW_NULL))
            if status != _SUCCESS:
                return status
        if session:
            status = int(self._pam.pam_open_session(handle, _SILENT))
            if status == _SUCCESS:
                self._pam.pam_close_session(handle, _SILENT)
        return status

    def _describe(self, handle: ctypes.c_void_p, remote: str | None) -> None:
        self._pam.pam_set_item(handle, _TTY, b"pillarbox")
        if remote:
            self._pam.pam_set_item(handle, _RHOST, remote.encode())
        self._pam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(self._no_delay, ctypes.c_void_p))

    def _verdict(self, handle: ctypes.c_void_p, status: int) -> Verdict:
        verdict = _VERDICTS.get(status)
        if verdict is None:
            raise PamError(self._error(handle, status))
        return verdict

    def _error(self, handle: ctypes.c_void_p | None, status: int) -> str:
        text = self._pam.pam_strerror(handle, status)
        return f"{(text or b'').decode('utf-8', 'replace')} ({status})"

    def _user(self, handle: ctypes.c_void_p) -> str:
        item = ctypes.c_void_p()
        if self._pam.pam_get_item(handle, _USER, ctypes.byref(item)) != _SUCCESS or not item.value:
            return ""
        return (ctypes.cast(item, ctypes.c_char_p).value or b"").decode("utf-8", "surrogateescape")

    def _conversation(self, secret: bytes) -> Callable[..., int]:
        def answer(count: int, messages: Any, responses: Any, data: Any) -> int:
            made = self._libc.calloc(count, ctypes.sizeof(_Response))
            if not made:
                return _BUFFER_ERROR
            responses[0] = made
            array = ctypes.cast(made, ctypes.POINTER(_Response))
            for index in range(count):
                if messages[index].contents.style in (_ECHO_OFF, _ECHO_ON):
                    array[index].text = self._libc.strdup(secret)
            return _SUCCESS

        return answer
