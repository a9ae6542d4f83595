"""The system's PAM library, as far as checking a password needs it. All of it blocks."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nbhub.errors import ConfigError

SUCCESS, BUFFER_ERROR, NEW_PASSWORD_NEEDED, MODULE_UNAVAILABLE = 0, 5, 12, 9
# Codes that say: this is not the password, or there is no such user (Linux-PAM's _pam_types.h).
REFUSALS = frozenset((6, 7, 8, 10))  # permission denied, authentication error, credentials, unknown user
_PROMPT_HIDDEN, _PROMPT_SHOWN, _ERROR, _INFO = 1, 2, 3, 4
_RHOST = 4
# In questions for a one-time password; others are for the usual one, or told apart by their order.
_CODE_WORDS = ("one-time", "one time", "otp", "verification", "passcode", "token", "code", "authenticator")
_FAILURE_DELAY = 10  # item with a function that PAM calls instead of sleeping


@dataclass(frozen=True, slots=True)
class Verdict:
    """What PAM says: its code, what that means, whether of the account rather than the password, and to the user."""

    code: int
    words: str
    of_account: bool = False
    said: tuple[str, ...] = field(default=())

    @property
    def right(self) -> bool:
        """The password is the user's, who may log in."""
        return self.code == SUCCESS

    @property
    def wrong(self) -> bool:
        """Name and password do not belong together."""
        return self.code in REFUSALS and not self.of_account


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Converse = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)
_Delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _Converse), ("data", ctypes.c_void_p))


@_Delay  # type: ignore[untyped-decorator]
def _no_delay(_code: int, _microseconds: int, _data: Any) -> None:
    """The hub slows guessing down by itself; a thread need not sleep for it."""


def verify(
    service: str, name: bytes, password: bytes, address: str, *, check_account: bool, otp: bytes | None = None
) -> Verdict:
    """Ask the service's modules whether the password is the user's and, with `check_account`, whether they may log in.

    `otp` is a one-time password for modules that ask for one. Raises ConfigError when there is no PAM on this machine.
    """
    pam = load()
    said: list[str] = []
    talk = conversation(Answers(password, otp), said)
    handle = ctypes.c_void_p()
    code = pam.pam_start(service.encode(), name, ctypes.byref(talk), ctypes.byref(handle))
    if code != SUCCESS:
        return Verdict(code, "PAM could not be started")
    try:
        pam.pam_set_item(handle, _FAILURE_DELAY, ctypes.cast(_no_delay, ctypes.c_void_p))
        pam.pam_set_item(handle, _RHOST, address.encode())
        code = pam.pam_authenticate(handle, 0)
        of_account = code == SUCCESS and check_account
        if of_account:
            code = pam.pam_acct_mgmt(handle, 0)
        return Verdict(code, words(pam, handle, code), of_account, tuple(said))
    finally:
        pam.pam_end(handle, code)


class Answers:
    """What is answered to the questions of modules: the password, and a one-time password where one was given."""

    def __init__(self, password: bytes, otp: bytes | None = None) -> None:
        self._password = password
        self._otp = otp
        self._asked = False  # for the password

    def __call__(self, prompt: str, shown: bool) -> bytes:
        """Return the answer to a question; what is `shown` while it is typed is never the password."""
        if self._otp is None:
            return b"" if shown else self._password
        for_code = any(word in prompt.lower() for word in _CODE_WORDS)
        if not shown and not for_code and ("password" in prompt.lower() or not self._asked):
            self._asked = True
            return self._password
        return self._otp


def conversation(answer: Callable[[str, bool], bytes], said: list[str]) -> _Conversation:
    """Return what PAM's modules talk to; `answer` gets each question, `said` what they say to the user."""
    return _Conversation(_converse(answer, said), None)


@cache
def load() -> Any:
    """Return the library; raises ConfigError where there is none."""
    path = ctypes.util.find_library("pam") or "libpam.so.0"
    try:
        pam = ctypes.CDLL(path)
    except OSError as error:
        raise ConfigError(
            "There is no PAM on this machine (libpam cannot be loaded), so the pam authenticator cannot be used. "
            "Install it (Debian: apt-get install libpam0g) or choose another one."
        ) from error
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    pam.pam_start.argtypes = [text, text, ctypes.POINTER(_Conversation), ctypes.POINTER(handle)]
    pam.pam_set_item.argtypes = [handle, ctypes.c_int, handle]
    for name in ("authenticate", "acct_mgmt", "open_session", "close_session", "end"):
        getattr(pam, f"pam_{name}").argtypes = [handle, ctypes.c_int]
    pam.pam_strerror.argtypes, pam.pam_strerror.restype = [handle, ctypes.c_int], text
    return pam


@cache
def _allocator() -> Any:
    libc = ctypes.CDLL(None)
    libc.calloc.argtypes, libc.calloc.restype = [ctypes.c_size_t, ctypes.c_size_t], ctypes.c_void_p
    libc.strdup.argtypes, libc.strdup.restype = [ctypes.c_char_p], ctypes.c_void_p
    return libc


def _converse(answer: Callable[[str, bool], bytes], said: list[str]) -> Any:
    """Return the function that PAM's modules call."""

    @_Converse  # type: ignore[untyped-decorator]
    def converse(count: int, messages: Any, responses: Any, _data: Any) -> int:
        libc = _allocator()
        block = libc.calloc(count, ctypes.sizeof(_Response))  # PAM frees it, and the texts in it
        if not block:
            return BUFFER_ERROR
        answers = ctypes.cast(block, ctypes.POINTER(_Response))
        for index in range(count):
            message = messages[index].contents
            if message.style in (_PROMPT_HIDDEN, _PROMPT_SHOWN):
                prompt = (message.text or b"").decode("utf-8", "replace")
                answers[index].text = libc.strdup(answer(prompt, message.style == _PROMPT_SHOWN))
            elif message.style in (_ERROR, _INFO) and len(said) < 10:
                said.append((message.text or b"").decode("utf-8", "replace")[:200])
        responses[0] = answers
        return SUCCESS

    return converse


def words(pam: Any, handle: Any, code: int) -> str:
    """Return what PAM says that a code means."""
    return bytes(pam.pam_strerror(handle, code) or b"unknown error").decode("utf-8", "replace")
