"""Opening and closing a PAM session, in a process of its own: `python -m nbhub.authenticators.pam_session open …`.

What session modules do to the process that calls them (limits, login ids, control groups) must not happen to the hub;
what they do to the machine (mounts, home folders) stays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

from nbhub.authenticators import pam_library
from nbhub.errors import Unavailable

_FAILED = 3


def run(doing: str, service: str, name: str, seconds: float) -> None:
    """Open or close (`doing`) a session of the user. Blocks. Raises Unavailable in words."""
    command = [sys.executable, "-m", "nbhub.authenticators.pam_session", doing, service, name]
    path = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=path,
        start_new_session=True,
    )
    try:
        _, said = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # also what its modules started
        child.communicate()
        raise Unavailable(f"the modules of the PAM service {service} did not answer within {seconds:g} s") from None
    if child.returncode != 0:
        raise Unavailable(said.strip()[-300:] or f"exit status {child.returncode}")


def main(doing: str, service: str, name: str) -> int:
    """Do it in this process; says on standard error what PAM says. Returns the exit status."""
    pam = pam_library.load()
    said: list[str] = []
    conversation = pam_library.conversation(lambda _prompt, _shown: b"", said)
    handle = ctypes.c_void_p()
    code = pam.pam_start(service.encode(), name.encode(), ctypes.byref(conversation), ctypes.byref(handle))
    if code == pam_library.SUCCESS:
        act = pam.pam_open_session if doing == "open" else pam.pam_close_session
        code = act(handle, 0)
        words = pam_library.words(pam, handle, code)
        pam.pam_end(handle, code)
    else:
        words = "PAM could not be started"
    if code == pam_library.SUCCESS:
        return 0
    print(" ".join((f"{words} ({code}).", *said)), file=sys.stderr)
    return _FAILED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
