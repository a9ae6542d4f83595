"""PAM, with real services in /etc/pam.d, a real account and modules that block or refuse. Needs root."""

from __future__ import annotations

import asyncio
import grp
import hmac
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbhub import config
from nbhub.app import Hub
from nbhub.authenticators import pam_library
from nbhub.authenticators.pam import PAMAuthenticator
from nbhub.authenticators.shared import SharedPasswordAuthenticator
from nbhub.errors import BadRequest, ConfigError, Forbidden, TooManyRequests, Unavailable

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="needs root and useradd"),
    pytest.mark.xdist_group("system-accounts"),
]

PASSWORD = "pässword of the account"
ADDRESS = "192.0.2.7"


def run(*command: str) -> None:
    subprocess.run(command, check=False)


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    """A system user with a password, in a group of its own besides its own group."""
    name = f"nbt{secrets.token_hex(4)}"
    subprocess.run(["groupadd", f"{name}g"], check=True)
    subprocess.run(["useradd", "-M", "-G", f"{name}g", name], check=True)
    subprocess.run(["chpasswd"], input=f"{name}:{PASSWORD}".encode(), check=True)
    yield name
    subprocess.run(["userdel", name], check=False)
    subprocess.run(["groupdel", f"{name}g"], check=False)


@pytest.fixture
def service() -> Iterator[Callable[..., str]]:
    """Return a way to make a PAM service of some lines."""
    made: list[Path] = []

    def make(*lines: str) -> str:
        path = Path("/etc/pam.d") / f"nbhub-test-{secrets.token_hex(4)}"
        path.write_text("\n".join((*lines, "")))
        made.append(path)
        return path.name

    yield make
    for path in made:
        path.unlink()


UNIX = ("auth required pam_unix.so", "account required pam_unix.so")


async def test_the_password_of_the_machine(attach: Any, service: Any, account: str) -> None:
    delaying = "auth optional pam_faildelay.so delay=100000000"  # microseconds, after a wrong password
    pam = PAMAuthenticator(service=service(delaying, *UNIX), allow_all=True)
    await attach(pam)
    await pam.check()
    found = await pam.authenticate(account, PASSWORD, address=ADDRESS)
    assert found is not None
    assert found.name == account
    begun = time.monotonic()
    assert await pam.authenticate(account, "wrong", address=ADDRESS) is None
    assert await pam.authenticate("nobody-of-that-name", PASSWORD, address=ADDRESS) is None
    assert time.monotonic() - begun < 40  # PAM's own delay is left away, the hub's own throttle remains


async def test_guessing_has_to_wait(attach: Any, service: Any, account: str) -> None:
    pam = PAMAuthenticator(service=service("auth required pam_deny.so"))
    await attach(pam)
    with pytest.raises(TooManyRequests):
        for _ in range(10):
            await pam.authenticate(account, "guess", address=ADDRESS)


@pytest.mark.parametrize("password", ["", "x" * 100_000, "nul\0byte"])
async def test_passwords_that_are_none(attach: Any, service: Any, account: str, password: str) -> None:
    pam = PAMAuthenticator(service=service("auth required pam_permit.so", "account required pam_permit.so"))
    await attach(pam)
    with pytest.raises(BadRequest, match="password"):
        await pam.authenticate(account, password, address=ADDRESS)


@pytest.mark.parametrize("name", ["a/b", "..", "x" * 500, "a\0b", "a\nb", " "])
async def test_names_that_are_none(attach: Any, service: Any, name: str) -> None:
    pam = PAMAuthenticator(service=service("auth required pam_permit.so", "account required pam_permit.so"))
    await attach(pam)
    with pytest.raises(BadRequest, match="user name"):
        await pam.authenticate(name, "x", address=ADDRESS)


async def test_an_account_that_is_locked_is_told_so(attach: Any, service: Any, account: str) -> None:
    name = service("auth required pam_permit.so", "account required pam_deny.so")
    pam = PAMAuthenticator(service=name)
    await attach(pam)
    with pytest.raises(Forbidden, match="may not log in now"):
        await pam.authenticate(account, PASSWORD, address=ADDRESS)
    lenient = PAMAuthenticator(service=name, check_account=False)
    await attach(lenient)
    assert await lenient.authenticate(account, PASSWORD, address=ADDRESS) is not None


async def test_an_expired_account(attach: Any, service: Any, account: str) -> None:
    pam = PAMAuthenticator(service=service(*UNIX))
    await attach(pam)
    run("usermod", "--expiredate", "2020-01-01", account)
    try:
        with pytest.raises(Forbidden, match="expired"):
            await pam.authenticate(account, PASSWORD, address=ADDRESS)
    finally:
        run("usermod", "--expiredate", "", account)


async def test_a_module_that_blocks_never_blocks_the_hub(attach: Any, service: Any, account: str) -> None:
    slow = service(*(f"auth required pam_exec.so quiet {shutil.which('sleep')} 8",), *UNIX)
    pam = PAMAuthenticator(service=slow, executor_threads=2, pam_timeout=0.5)
    await attach(pam)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    begun = time.monotonic()
    asked = [pam.authenticate(account, PASSWORD, address=f"192.0.2.{n}") for n in range(4)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    watching.cancel()
    assert [type(answer) for answer in answers] == [Unavailable] * 4
    assert "did not answer within 0.5 seconds" in str(answers[0])
    # Shorter than what the module takes, and on a machine that others use as well.
    assert time.monotonic() - begun < 7
    assert longest < 5


async def test_a_module_that_is_missing(attach: Any, service: Any, account: str) -> None:
    pam = PAMAuthenticator(service=service("auth required pam_that_is_not_there.so"))
    await attach(pam)
    with pytest.raises(Unavailable, match="cannot check passwords now"):
        await pam.authenticate(account, PASSWORD, address=ADDRESS)


@pytest.mark.parametrize("name", ["no-such-service-here", "../shadow"])
async def test_a_service_that_is_missing_is_told_at_start(name: str) -> None:
    with pytest.raises(ConfigError, match="PAM service"):
        await PAMAuthenticator(service=name).check()


async def test_groups_of_the_machine(attach: Any, service: Any, account: str) -> None:
    permit = service("auth required pam_permit.so", "account required pam_permit.so")
    inside = await attach(PAMAuthenticator(service=permit, allowed_groups={f"{account}g"}, admin_groups={"root"}))
    found = await inside._source.authenticate(account, "x", address=ADDRESS)
    assert (await inside.admit(found)).admin is False
    admins = await attach(PAMAuthenticator(service=permit, allow_all=True, admin_groups={f"{account}g"}))
    assert (await admins.admit(found)).admin is True
    outside = await attach(PAMAuthenticator(service=permit, allowed_groups={"root"}))
    with pytest.raises(Forbidden):
        await outside.admit(found)
    assert f"{account}g" in {group.gr_name for group in grp.getgrall()}


async def test_two_accounts_whose_names_differ_in_case_are_not_one(attach: Any, service: Any) -> None:
    low = f"nbt{secrets.token_hex(4)}"
    for name in (low, low.upper()):
        run("useradd", "--badname", "-M", name)
    try:
        permit = service("auth required pam_permit.so", "account required pam_permit.so")
        pam = PAMAuthenticator(service=permit, allow_all=True)
        await attach(pam)
        with pytest.raises(Forbidden, match="two accounts"):
            await pam.authenticate(low.upper(), "x", address=ADDRESS)
        assert await pam.authenticate(low, "x", address=ADDRESS) is not None
    finally:
        for name in (low, low.upper()):
            run("userdel", name)


async def test_accounts_are_made_for_those_who_may_enter(attach: Any, service: Any) -> None:
    name = f"nbt{secrets.token_hex(4)}"
    permit = service("auth required pam_permit.so", "account required pam_permit.so")
    settings = {"service": permit, "create_system_users": True, "add_user_cmd": ["useradd", "-M", "-c", "of USERNAME"]}
    closed = await attach(PAMAuthenticator(**settings))
    found = await closed._source.authenticate(name, "x", address=ADDRESS)
    with pytest.raises(Forbidden):
        await closed.admit(found)
    with pytest.raises(KeyError):
        pwd.getpwnam(name)
    open_ = await attach(PAMAuthenticator(allow_all=True, uids={name: 54321}, **settings))
    try:
        await open_.admit(found)
        assert (pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gecos) == (54321, f"of {name}")
        await open_.admit(found)  # there already
    finally:
        run("userdel", name)


async def test_an_account_that_cannot_be_made_is_told(attach: Any, service: Any) -> None:
    permit = service("auth required pam_permit.so", "account required pam_permit.so")
    failing = ["sh", "-c", "echo no room >&2; exit 3"]
    let_in = await attach(PAMAuthenticator(service=permit, allow_all=True, create_system_users=True))
    let_in._source.add_user_cmd = failing
    found = await let_in._source.authenticate("nbt-not-there", "x", address=ADDRESS)
    with pytest.raises(Unavailable, match="no room"):
        await let_in.admit(found)
    odd = await let_in._source.authenticate("-rm", "x", address=ADDRESS)
    with pytest.raises(Forbidden, match="cannot be that of an account"):
        await let_in.admit(odd)


def code_of(secret: str, counter: int) -> str:
    """The one-time password that a token of this secret (in hexadecimal digits) shows, as RFC 4226 has it."""
    digest = hmac.digest(bytes.fromhex(secret), counter.to_bytes(8, "big"), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


@pytest.fixture
def token(account: str, tmp_path: Path) -> tuple[str, str]:
    """The lines of a PAM service that asks for the password and for a one-time password, and the token's secret."""
    places = [Path(folder).glob("*/security/pam_oath.so") for folder in ("/lib", "/usr/lib")]
    if not any(found for place in places for found in place):
        pytest.skip("pam_oath is not installed: apt-get install libpam-oath")
    secret, users = secrets.token_hex(20), tmp_path / "users.oath"
    users.write_text(f"HOTP {account} - {secret}\n")
    users.chmod(0o600)
    return f"auth required pam_oath.so usersfile={users} window=5 digits=6", secret


@pytest.mark.parametrize("code_first", [False, True])
async def test_one_time_passwords(
    attach: Any, service: Any, account: str, token: tuple[str, str], code_first: bool
) -> None:
    line, secret = token
    lines = (line, UNIX[0]) if code_first else (UNIX[0], line)
    pam = PAMAuthenticator(service=service(*lines, UNIX[1]), allow_all=True, request_otp=True)
    await attach(pam)
    for password, code, right in (
        (PASSWORD, "", False),
        (PASSWORD, "000000", False),
        ("wrong", code_of(secret, 0), False),
        (PASSWORD, code_of(secret, 1), True),
        (PASSWORD, code_of(secret, 1), False),  # good once
        (PASSWORD, code_of(secret, 2), True),
    ):
        found = await pam.authenticate_otp(account, password, code, address=ADDRESS)
        assert (found is not None) == right, (password, code)
    with pytest.raises(BadRequest, match="one-time password"):
        await pam.authenticate_otp(account, PASSWORD, "1" * 100_000, address=ADDRESS)


async def test_a_file_that_changes_how_pam_is_asked_gets_the_code_too(
    attach: Any, service: Any, account: str, token: tuple[str, str]
) -> None:
    line, secret = token
    (Path(token[0].split("usersfile=")[1].split()[0]).parent / "jupyterhub_config.py").write_text(
        "from jupyterhub.auth import PAMAuthenticator\n"
        "class Mine(PAMAuthenticator):\n"
        "    async def authenticate(self, handler, data):\n"
        "        data = {**data, 'username': data['username'].removeprefix('x-')}\n"
        "        model = await super().authenticate(handler, data)\n"
        "        return model and {**model, 'groups': [data['otp']]}\n"
        "c.JupyterHub.authenticator_class = Mine\n"
        "c.Authenticator.request_otp = True\n"
        f"c.PAMAuthenticator.service = {service(UNIX[0], line, UNIX[1])!r}\n"
    )
    folder = Path(token[0].split("usersfile=")[1].split()[0]).parent
    hub = config.build(Hub, config.load([], folder=folder).config)
    pam = config.build(hub.authenticator_class, hub.config, parent=hub)
    await attach(pam)
    assert pam.takes_otp
    code = code_of(secret, 0)
    found = await pam.authenticate_otp(f"x-{account}", PASSWORD, code, address=ADDRESS)
    assert found is not None
    assert (found.name, found.groups) == (account, (code,))


def test_a_source_that_takes_no_one_time_passwords_says_so() -> None:
    with pytest.raises(ConfigError, match="takes no one-time passwords"):
        SharedPasswordAuthenticator(request_otp=True)


class Person:
    """What hooks of a start get of the user."""

    def __init__(self, name: str) -> None:
        self.name = name


async def test_sessions(attach: Any, service: Any, account: str, tmp_path: Path) -> None:
    script = tmp_path / "session.sh"
    script.write_text(f"#!/bin/sh\necho $PAM_TYPE $PAM_USER $PPID >> {tmp_path}/seen\n")
    script.chmod(0o755)
    name = service(f"session required pam_exec.so {script}", *UNIX)
    closed = PAMAuthenticator(service=name)
    assert closed.before_start() is None
    assert closed.after_stop() is None
    pam = PAMAuthenticator(service=name, open_sessions=True)
    await attach(pam)
    opens, closes = pam.before_start(), pam.after_stop()
    assert opens is not None
    assert closes is not None
    await opens(Person(account), None)
    await closes(Person(account), None)
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert [line[:2] for line in seen] == [["open_session", account], ["close_session", account]]
    assert str(os.getpid()) not in {line[2] for line in seen}  # not in the hub's own process


@pytest.mark.parametrize("failing", ["pam_deny.so", f"pam_exec.so quiet {shutil.which('sleep')} 60"])
async def test_a_session_that_cannot_be_opened_is_told_and_holds_up_nothing(
    attach: Any, service: Any, account: str, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    pam = PAMAuthenticator(service=service(f"session required {failing}", *UNIX), open_sessions=True, pam_timeout=1)
    await attach(pam)
    opens = pam.before_start()
    assert opens is not None
    await opens(Person(account), None)
    assert f"user={account} could not open the PAM session" in caplog.text


def test_what_modules_say_is_passed_on(service: Any, account: str) -> None:
    echo = service("auth required pam_echo.so Hello from the machine", *UNIX)
    verdict = pam_library.verify(echo, account.encode(), PASSWORD.encode(), ADDRESS, check_account=True)
    assert verdict.right
    assert any("Hello from the machine" in words for words in verdict.said)
