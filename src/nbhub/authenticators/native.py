"""Names and passwords kept in the hub's own database: invitations, sign-up, change and reset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from traitlets import Enum, default

from nbhub.authenticators import passwords
from nbhub.authenticators.base import Authenticator, Identity, PasswordAuthenticator
from nbhub.core import secrets
from nbhub.core.model import User
from nbhub.errors import BadRequest, Conflict, Forbidden, NotFound, TooManyRequests
from nbhub.store import Reading, Store, Writing, choices, grants, users
from nbhub.store.logins import Purpose
from nbhub.store.users import Invitation

INVITATION_SECONDS = 7 * 86400.0
RESET_SECONDS = 86400.0
_YEARS = 100 * 365 * 86400.0
MOST_WAITING = 200  # sign-ups that wait for approval; more are refused, since anybody can send them
_APPROVAL: Final = "approval"
RULES = ("closed", "approval", "open")
_CHOICE = "signup"

GONE = "This link does not work any more: it was used already, or is too old. Ask your administrator for a new one."


@dataclass(frozen=True, slots=True)
class Offer:
    """The secret of a one-time link, and until when it works (seconds since the epoch)."""

    code: str
    expires_at: float


class NativeAuthenticator(PasswordAuthenticator):
    """People choose a password by a one-time link that an administrator made, or sign up if that is open."""

    label = "name and password"
    keeps_passwords = True

    signup = Enum(
        RULES,
        None,
        allow_none=True,
        help="Who may make an account: closed, only who was invited; approval, anybody, and an administrator lets "
        "them in; open, anybody at once. Open it only where everybody who can reach the hub may use it. Without this "
        "setting it is what an administrator chooses on the page /hub/admin/who, and closed until then.",
    ).tag(config=True)

    @default("allow_existing_users")
    def _existing_if_some_are_named(self) -> bool:
        return False  # all who have a password here are users already

    def attach(self, store: Store, clock: Callable[[], float]) -> None:
        """See Authenticator."""
        super().attach(store, clock)
        self._hasher = passwords.Hasher()

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator. An unknown name takes as long as a known one."""
        name, now = self.normalize(username), self._clock()
        await self._throttle.begin(name, address, now)
        async with self._store.read() as tx:
            user = await users.get(tx, name)
            kept = await users.get_password(tx, user.id) if user is not None else None
        right = await self._hasher.verify(kept.hash if kept is not None else None, password)
        if not right or user is None or kept is None:
            await self._throttle.failed(address, now)
            return None
        await self._throttle.succeeded(name, address, now)
        if self._hasher.is_outdated(kept.hash):
            await self._keep(user, password)
        async with self._store.read() as tx:
            if await self._application(tx, user) is not None:
                raise Forbidden("Your account is waiting for an administrator to let you in.")
        return Identity(name)

    async def allows(self, identity: Identity) -> bool:
        """Whoever has an account was let in by an administrator; `allowed_users`, where given, limits it further."""
        if identity.name in self.blocked_users:
            return False
        if not self.allowed_users or await super().allows(identity):
            return True
        async with self._store.read() as tx:
            user = await users.get(tx, identity.name)
        return user is not None and user.admin

    async def check(self) -> None:
        """See Authenticator."""
        await super().check()
        self._rule_at_start = await self.signup_rule()

    def warning(self) -> str:
        """See Authenticator."""
        if (self.signup or getattr(self, "_rule_at_start", "")) != "open":
            return ""
        whose = "NativeAuthenticator.signup is" if self.signup else "chosen on the page /hub/admin/who:"
        return f"Everybody who can reach this hub can make an account ({whose} open)."

    # -- who may make an account -------------------------------------------------------------------------------------

    async def signup_rule(self) -> str:
        """Return who may make an account: one of RULES, as the configuration says or an administrator chose."""
        if self.signup is not None:
            return str(self.signup)
        async with self._store.read() as tx:
            chosen = await choices.get(tx, _CHOICE)
        return chosen if chosen in RULES else RULES[0]

    async def signup_is_undecided(self) -> bool:
        """Neither the configuration nor an administrator has said who may make an account."""
        if self.signup is not None:
            return False
        async with self._store.read() as tx:
            return await choices.get(tx, _CHOICE) not in RULES

    async def choose_signup(self, rule: str) -> None:
        """Remember who may make an account. Raises BadRequest for what is no rule, or when the configuration rules."""
        if self.signup is not None:
            raise BadRequest("The configuration says who may make an account (NativeAuthenticator.signup).")
        if rule not in RULES:
            raise BadRequest("Choose who may make an account.")
        async with self._store.write() as tx:
            await choices.put(tx, _CHOICE, rule)
        self.log.info("sign-up is %s now", rule)

    # -- links -------------------------------------------------------------------------------------------------------

    async def invite(self, name: str | None = None, *, admin: bool = False, by: str) -> Offer:
        """Return a link with which somebody makes an account, as `name` or any; Conflict if the name is taken."""
        if name is not None:
            name = self.normalize(name)
        async with self._store.write() as tx:
            if name is not None and await users.get(tx, name) is not None:
                raise Conflict(f"There is a user {name} already. Give them a link for a new password instead.")
            return await self._offer(tx, "signup", name, admin=admin, by=by, seconds=INVITATION_SECONDS)

    async def offer_reset(self, user: User, *, by: str) -> Offer:
        """Return a link with which the user chooses a password, the first or a new one."""
        async with self._store.write() as tx:
            return await self._offer(tx, "reset", user.name, admin=False, by=by, seconds=RESET_SECONDS)

    async def invited(self, code: str, purpose: str) -> Invitation:
        """Return what a link is for, without using it up. Raises NotFound when it does not work (any more)."""
        async with self._store.read() as tx:
            found = await users.get_invitation(tx, secrets.hash_token(code), self._clock())
        return _of_purpose(found, purpose)

    async def accept(self, code: str, username: str, password: str, *, address: str) -> Identity:
        """Make the account that a link invites to, and use the link up.

        Raises NotFound when the link does not work, BadRequest and Conflict for a name or password that cannot be had;
        then the link stays good.
        """
        invitation = await self.invited(code, "signup")
        name = invitation.name or self.normalize(username)
        if name in self.admin_users and not (invitation.name or invitation.admin):
            raise Conflict(f"The name {name} cannot be had. Choose another one.")  # it would be an administrator's
        passwords.check(password, name)
        hashed, now = await self._hasher.hash(password), self._clock()
        async with self._store.write() as tx:
            taken = _of_purpose(await users.take_invitation(tx, secrets.hash_token(code), now), "signup")
            user = await self._create(tx, name, hashed, admin=taken.admin)
            await self._throttle.trust(tx, user.name, address, now)
        return Identity(name)

    async def reset(self, code: str, password: str, *, address: str) -> Identity:
        """Set the password that a link allows to set, use the link up, and end the user's log-ins everywhere."""
        invitation = await self.invited(code, "reset")
        passwords.check(password, invitation.name or "")
        hashed, now = await self._hasher.hash(password), self._clock()
        async with self._store.write() as tx:
            taken = _of_purpose(await users.take_invitation(tx, secrets.hash_token(code), now), "reset")
            user = await users.get(tx, taken.name or "")
            if user is None:
                raise NotFound(GONE)
            await users.set_password(tx, user.id, hashed)
            await grants.delete_sessions_of(tx, user.id)
            await self._throttle.trust(tx, user.name, address, now)
        return Identity(user.name)

    async def change(self, user: User, old: str, new: str, *, address: str) -> None:
        """Change a user's own password and end their log-ins everywhere.

        Raises Forbidden when the old one is wrong, BadRequest for a new one that cannot be had, TooManyRequests.
        """
        passwords.check(new, user.name)
        if await self.authenticate(user.name, old, address=address) is None:
            raise Forbidden("Your current password is another one.")
        hashed = await self._hasher.hash(new)
        async with self._store.write() as tx:
            await users.set_password(tx, user.id, hashed)
            await grants.delete_sessions_of(tx, user.id)

    # -- sign-up without an invitation -------------------------------------------------------------------------------

    async def sign_up(self, username: str, password: str, *, address: str) -> Identity | None:
        """Make an account for a stranger; None when an administrator has to let them in first.

        Raises Forbidden when sign-up is closed, otherwise as `accept`.
        """
        name, now, rule = self.normalize(username), self._clock(), await self.signup_rule()
        if rule == "closed":
            raise Forbidden("Accounts of this hub are by invitation. Ask your administrator for a link.")
        if name in self.admin_users or name in self.blocked_users:
            raise Conflict(f"The name {name} cannot be had. Choose another one.")
        if self.allowed_users and not await self.allows(Identity(name)):
            raise Forbidden(f"The name {name} is not among those who may enter this hub.")
        passwords.check(password, name)
        hashed = await self._hasher.hash(password)
        async with self._store.write() as tx:
            waiting = [i for i in await users.list_invitations(tx, now) if i.purpose == _APPROVAL]
            if rule == "approval" and len(waiting) >= MOST_WAITING:
                raise TooManyRequests("Too many accounts wait for approval. Tell your administrator.", 3600)
            user = await self._create(tx, name, hashed)
            if rule == "approval":
                await self._offer(tx, _APPROVAL, name, admin=False, by=str(user.id), seconds=_YEARS)
                return None
            await self._throttle.trust(tx, name, address, now)
        return Identity(name)

    async def waiting(self) -> list[str]:
        """Return the names of those who wait for an administrator to let them in."""
        async with self._store.read() as tx:
            found = await users.list_invitations(tx, self._clock())
        return [invitation.name for invitation in found if invitation.purpose == _APPROVAL and invitation.name]

    async def approve(self, user: User) -> None:
        """Let in somebody who waits; nothing happens when they do not."""
        async with self._store.write() as tx:
            application = await self._application(tx, user)
            if application is not None:
                await users.delete_invitation(tx, application.id)

    async def _application(self, tx: Reading, user: User) -> Invitation | None:
        """Return the mark that the user waits for approval; of an earlier user of that name it would not count."""
        for invitation in await users.list_invitations(tx, self._clock()):
            if invitation.purpose == _APPROVAL and invitation.created_by == str(user.id):
                return invitation
        return None

    # -- shared ------------------------------------------------------------------------------------------------------

    async def _offer(
        self, tx: Writing, purpose: Purpose, name: str | None, *, admin: bool, by: str, seconds: float
    ) -> Offer:
        code, now = secrets.new_code(), self._clock()
        await users.create_invitation(
            tx,
            secrets.hash_token(code),
            name=name,
            admin=admin,
            expires_at=now + seconds,
            created_by=by,
            now=now,
            purpose=purpose,
        )
        return Offer(code, now + seconds)

    async def _create(self, tx: Writing, name: str, hashed: str, *, admin: bool = False) -> User:
        if await users.get(tx, name) is not None:
            raise Conflict(f"The name {name} is taken. Choose another one.")
        user = await users.create(tx, name, admin=admin, now=self._clock())
        await users.set_password(tx, user.id, hashed)
        return user

    async def _keep(self, user: User, password: str) -> None:
        hashed = await self._hasher.hash(password)
        async with self._store.write() as tx:
            await users.set_password(tx, user.id, hashed)


def native_of(source: Authenticator) -> NativeAuthenticator | None:
    """Return the source that keeps passwords here: `source` itself or, of several, one of them."""
    ways = source.sources_by_name().values()
    return next((way for way in ways if isinstance(way, NativeAuthenticator)), None)


def _of_purpose(invitation: Invitation | None, purpose: str) -> Invitation:
    if invitation is None or invitation.purpose != purpose:
        raise NotFound(GONE)
    return invitation
