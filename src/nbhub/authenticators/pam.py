"""Users of this machine, with the passwords they have there, asked for through PAM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Int, Unicode

from nbhub.authenticators import pam_library, pam_session, system
from nbhub.authenticators.base import Identity, PasswordAuthenticator, check_name, check_password
from nbhub.authenticators.local import LocalAuthenticator
from nbhub.authenticators.pam_library import Verdict
from nbhub.authenticators.threads import Threads
from nbhub.config import Duration
from nbhub.errors import BadRequest, ConfigError, Forbidden, Unavailable

if TYPE_CHECKING:
    from nbhub.store import Store

LONGEST_OTP = 256
FOLDERS = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))


class PAMAuthenticator(LocalAuthenticator, PasswordAuthenticator):
    """People log in with name and password of this machine. To check others' passwords the hub has to run as root."""

    label = "name and password of this machine"

    service = Unicode("login", help="PAM service that is asked: the name of a file in /etc/pam.d.").tag(config=True)
    check_account = Bool(
        True, help="Ask PAM also whether the account may log in: not expired, not locked, at this hour."
    ).tag(config=True)
    open_sessions = Bool(
        False,
        help="Open a PAM session of the user before each server starts and close it after it has stopped, for modules "
        "that mount or make folders. A session that cannot be opened is told in the log; the server starts anyway.",
    ).tag(config=True)
    encoding = Unicode("utf8", help="How names and passwords are encoded for PAM.").tag(config=True)
    executor_threads = Int(
        4, min=1, help="Questions to PAM at the same time. More help where its modules ask slow servers."
    ).tag(config=True)
    pam_timeout = Duration(
        20, help="How long a login waits for PAM. Modules that block longer keep one of executor_threads meanwhile."
    ).tag(config=True)
    pam_normalize_username = Bool(
        False, help="Use the name that the machine's list of users has for the one that was typed in."
    ).tag(config=True)

    def attach(self, store: Store, clock: Callable[[], float]) -> None:
        """See Authenticator."""
        super().attach(store, clock)
        self._pam = Threads(self.executor_threads, self.pam_timeout, "The machine's check of passwords (PAM)")

    async def check(self) -> None:
        """See Authenticator."""
        await super().check()
        pam_library.load()
        if "/" in self.service or not any((folder / self.service).is_file() for folder in FOLDERS):
            places = " or ".join(map(str, FOLDERS))
            raise ConfigError(
                f"There is no PAM service {self.service!r} in {places}. Name one that exists: "
                f"c.{type(self).__name__}.service = 'login'."
            )

    @property
    def takes_otp(self) -> bool:
        """See Authenticator."""
        return True

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        return await self._authenticate(username, password, None, address)

    async def authenticate_otp(self, username: str, password: str, otp: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator. Modules get it that ask for a code, or for a second secret."""
        if len(otp) > LONGEST_OTP or "\0" in otp:
            raise BadRequest(f"A one-time password has at most {LONGEST_OTP} characters, none of them a NUL.")
        return await self._authenticate(username, password, otp, address)

    async def _authenticate(self, username: str, password: str, otp: str | None, address: str) -> Identity | None:
        check_name(username)
        check_password(password)
        account, name = await self._names(username)

        async def verdict() -> bool:
            return self._judge(account, await self._ask(account, password, otp, address))

        return Identity(name) if await self.throttled(name, address, verdict) else None

    # -- sessions ----------------------------------------------------------------------------------------------------

    def before_start(self) -> Callable[..., Any] | None:
        """See Authenticator."""
        return self._open_session if self.open_sessions else None

    def after_stop(self) -> Callable[..., Any] | None:
        """See Authenticator."""
        return self._close_session if self.open_sessions else None

    async def _open_session(self, user: Any, _spawner: Any) -> None:
        await self._session("open", str(user.name))

    async def _close_session(self, user: Any, _spawner: Any) -> None:
        await self._session("close", str(user.name))

    async def _session(self, doing: str, name: str) -> None:
        try:
            await self._pam.run(pam_session.run, doing, self.service, name, self.pam_timeout)
        except Unavailable as error:
            self.log.warning("user=%s could not %s the PAM session: %s", ascii(name)[1:-1], doing, error.message)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _names(self, typed: str) -> tuple[str, str]:
        """Return whom PAM is asked about, and the hub's name for them; never that of somebody else's account."""
        account = await self._pam.run(system.name_of, typed) if self.pam_normalize_username else typed
        name = self.normalize(account)
        if name == account or account.lower() in self.username_map:
            return account, name
        own, other = await self._pam.run(_both, account, name)
        if own is not None and other is not None and own.pw_uid != other.pw_uid:
            raise Forbidden(
                f"On this machine {account[:64]} and {name[:64]} are two accounts, and the hub writes both as "
                f"{name[:64]}. Ask your administrator for another name in the hub (username_map)."
            )
        return account, name

    async def _ask(self, account: str, password: str, otp: str | None, address: str) -> Verdict:
        try:
            encoded = account.encode(self.encoding), password.encode(self.encoding)
            code = None if otp is None else otp.encode(self.encoding)
        except UnicodeEncodeError:
            raise BadRequest("This name or password has characters that the machine cannot take.") from None
        return await self._pam.run(
            lambda: pam_library.verify(self.service, *encoded, address, check_account=self.check_account, otp=code)
        )

    def _judge(self, account: str, verdict: Verdict) -> bool:
        if verdict.right or verdict.wrong:
            return verdict.right
        said = " ".join((verdict.words.rstrip(".") + ".", *verdict.said))
        self.log.warning("user=%s PAM: %s (%d)", ascii(account[:64])[1:-1], said, verdict.code)
        if verdict.code == pam_library.NEW_PASSWORD_NEEDED:
            raise Forbidden("Your password has expired. Log in to the machine itself to choose a new one, then here.")
        if verdict.of_account:
            raise Forbidden(f"Your account may not log in now: {said}")
        raise Unavailable(f"The machine cannot check passwords now: {said} Tell your administrator.")


def _both(first: str, second: str) -> tuple[system.Account | None, system.Account | None]:
    return system.find(first), system.find(second)
