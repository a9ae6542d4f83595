"""Who is asking: a token or a login cookie becomes a Principal; browsers are logged in and out.

What many requests need may be remembered here, as long as every change of grants is heard and forgets it at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from nbhub.core import principal, secrets
from nbhub.core.model import User
from nbhub.core.principal import Principal
from nbhub.store import Bell, Reading, Wakeup, Writing, grants, users
from nbhub.store.grants import TokenOwner
from nbhub.web import client, cookies, xsrf
from nbhub.web.activity import Activity
from nbhub.web.asking_again import AskingAgain
from nbhub.web.desk import Desk
from nbhub.web.errors import LoginNeeded

_BEARER = re.compile(rb"(?:token|bearer)\s+(\S+)", re.IGNORECASE)
REMEMBERED = 20_000  # credentials; about 2 kB each at most
NOTE_SECONDS = 30.0  # how exactly the last use of a credential is known


@dataclass(slots=True)
class Known:
    """A credential that was looked up, until when it is good, and when its use was noted last."""

    principal: Principal
    expires_at: float | None
    noted: float = 0.0


async def identify(request: Request) -> Principal | None:
    """Return who asks for a page; None for a stranger. Raises Forbidden for a change without a valid `_xsrf`."""
    identities: Identities = request.scope["nbhub.identities"]
    return await identities.of_request(request, api=False)


async def require_login(request: Request) -> Principal:
    """Return the user or service that asks for a page; a stranger is sent to log in and comes back."""
    found = await identify(request)
    if found is None:
        raise LoginNeeded
    return found


async def require_administration(request: Request) -> Principal:
    """Return who asks for a page of the administration; raises Forbidden for those who may not see it."""
    found = await require_login(request)
    found.require("admin-ui")
    return found


async def login(request: Request, response: Response, user: User) -> None:
    """Log the browser in: a new session in the database, its cookies on `response`. An older session ends."""
    desk: Desk = request.scope["nbhub.desk"]
    secret, session_id = secrets.new_token(), secrets.new_session_id()
    now = desk.clock()
    async with desk.store.write() as tx:
        await _end_session(tx, request)
        await grants.create_session(
            tx,
            user.id,
            cookie_hash=secrets.hash_token(secret),
            session_id=session_id,
            now=now,
            expires_at=now + desk.settings.cookie_max_age,
        )
    secure = client.is_secure(request.scope, desk.settings)
    token = xsrf.of_login(desk, secret)
    request.scope.pop("nbhub.cookies", None)
    response.raw_headers += [
        cookies.login(desk.settings, secret, secure=secure),
        cookies.session_id(desk.settings, session_id, secure=secure),
        cookies.xsrf(desk.settings, token, secure=secure, anonymous=False),
    ]


async def logout(request: Request, response: Response) -> None:
    """Log the browser out: its session ends, and with it every token that servers got during it."""
    desk: Desk = request.scope["nbhub.desk"]
    if request.cookies.get(cookies.LOGIN):
        async with desk.store.write() as tx:
            await _end_session(tx, request)
    request.scope.pop("nbhub.cookies", None)
    response.raw_headers += cookies.cleared(desk.settings, secure=client.is_secure(request.scope, desk.settings))


async def logout_everywhere(request: Request, response: Response, user: User) -> None:
    """End every session of the user, in whatever browser."""
    desk: Desk = request.scope["nbhub.desk"]
    async with desk.store.write() as tx:
        await grants.delete_sessions_of(tx, user.id)
    await logout(request, response)


async def _end_session(tx: Writing, request: Request) -> None:
    secret = request.cookies.get(cookies.LOGIN)
    if secret:
        await grants.delete_session(tx, secrets.hash_token(secret))


class Identities:
    """Looks credentials up, and remembers them while every change of grants is heard."""

    def __init__(self, desk: Desk, activity: Activity) -> None:
        self._desk = desk
        self._activity = activity
        self._asking_again = AskingAgain(desk)
        self._known: dict[str, Known] = {}
        self._of_owner: dict[str, set[str]] = {}
        self._roles: dict[int, tuple[str, ...]] = {}
        self._changes = 0  # grows with every change heard, so that an answer from before it is not remembered
        desk.store.wakeup.add(_Forgetter(desk.store.wakeup, self), _Forgetter.topics)

    async def of_request(self, request: Request, *, api: bool) -> Principal | None:
        """Return who asks: by token, else by cookie, which for changes (and scripts on the API) needs `_xsrf`."""
        given = client.headers(request.scope).get(b"authorization")
        if given is not None:
            match = _BEARER.fullmatch(given)
            found = await self.of_token(match[1].decode("latin-1")) if match else None
            if found is not None:
                return found
        if b"cookie" not in client.headers(request.scope):
            return None
        return await self._of_browser(request, api=api)

    async def require_browser(self, request: Request) -> Principal:
        """Return who is logged in by cookie, whatever tokens the request carries; a stranger is sent to log in."""
        found = await self._of_browser(request, api=False)
        if found is None:
            raise LoginNeeded
        return found

    async def of_token(self, token: str) -> Principal | None:
        """Return whose token this is; None for an unknown or expired one."""
        found = await self._find("token", secrets.hash_token(token))
        strict = self._desk.authenticator.auth_refresh_strict and self._asking_again.is_needed
        if (
            strict
            and found is not None
            and found.user is not None
            and not await self._asking_again.confirms(found.user)
        ):
            return None
        return found

    async def roles_of(self, user_ids: Sequence[int], tx: Reading | None = None) -> dict[int, tuple[str, ...]]:
        """Return the names of the roles that each user has directly; `tx` is where to look, if one is open."""
        if isinstance(tx, Writing):
            return await _role_names(tx, user_ids)  # it may just have changed them
        found = {user_id: known for user_id in user_ids if (known := self._roles.get(user_id)) is not None}
        missing = [user_id for user_id in user_ids if user_id not in found]
        if not missing:
            return found
        changes = self._changes
        if tx is not None:
            read = await _role_names(tx, missing)
        else:
            async with self._desk.store.read() as reading:
                read = await _role_names(reading, missing)
        if self._desk.store.hears_changes and changes == self._changes:
            if len(self._roles) + len(read) > REMEMBERED:
                self._roles.clear()
            self._roles |= read
        return found | read

    def forget(self, topic: str) -> None:
        """A change was heard: forget what it may have changed."""
        self._changes += 1
        kind, _, rest = topic.partition(":")
        owner = rest if kind == "grants" else ""
        if ":" not in owner:
            self._known.clear()
            self._of_owner.clear()
            self._roles.clear()
            return
        if owner.startswith("user:"):
            self._roles.pop(int(owner[5:]), None)
        for key in self._of_owner.pop(owner, ()):
            self._known.pop(key, None)

    async def _of_browser(self, request: Request, *, api: bool) -> Principal | None:
        login = request.cookies.get(cookies.LOGIN)
        if not login:
            return None
        found = await self._find("cookie", secrets.hash_token(login))
        if found is None:
            return None
        if self._asking_again.is_needed:
            found = await self._confirmed(found, login)
            if found is None:
                return None
        if api and request.method == "POST" and not _is_json(request):
            return None  # a form of any site could be the sender
        if xsrf.is_needed(request.scope):
            await xsrf.check(request)
        return found

    async def _confirmed(self, found: Principal, login: str) -> Principal | None:
        """Return who is logged in, with the rights that the source says now; None when it no longer knows them."""
        if found.user is None or not await self._asking_again.confirms(found.user):
            return None
        return await self._find("cookie", secrets.hash_token(login))

    async def _find(self, kind: str, hashed: str) -> Principal | None:
        now = self._desk.clock()
        key = kind + hashed
        known = self._known.get(key)
        if known is None:
            known = await self._look_up(kind, hashed, key, now)
        if known is None or (known.expires_at is not None and known.expires_at <= now):
            return None
        if now - known.noted >= NOTE_SECONDS:
            known.noted = now
            self._note(known.principal, now)
        return known.principal

    async def _look_up(self, kind: str, hashed: str, key: str, now: float) -> Known | None:
        changes = self._changes
        async with self._desk.store.read() as tx:
            if kind == "token":
                found = await grants.find_token(tx, hashed, now)
            else:
                found = await grants.find_session(tx, hashed, now)
            if found is None:
                return None
            nearby = await _groups_that_matter(tx, found)
        known = Known(_principal(found, nearby), found.expires_at)
        # What depends on the groups of others is not remembered: their changes are not rung for this owner.
        if self._desk.store.hears_changes and changes == self._changes and not nearby:
            self._remember(key, known)
        return known

    def _remember(self, key: str, known: Known) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
            self._of_owner.clear()
        self._known[key] = known
        self._of_owner.setdefault(_owner(known.principal), set()).add(key)

    def _note(self, asking: Principal, now: float) -> None:
        if asking.user is not None:
            self._activity.note_user(asking.user.id, now)
        if asking.token is not None:
            self._activity.note_token(asking.token.id, now)


async def _role_names(tx: Reading, user_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    return {
        user_id: tuple(role.name for role in roles) for user_id, roles in (await users.roles_of(tx, user_ids)).items()
    }


class _Forgetter(Bell):
    """Forgets in the very moment that a change is rung, before anybody can learn that it was made."""

    topics = ("grants:*", "resync")

    def __init__(self, wakeup: Wakeup, identities: Identities) -> None:
        super().__init__(wakeup, self.topics)
        self._identities = identities

    def hear(self, topic: str) -> None:
        self._identities.forget(topic)


def _is_json(request: Request) -> bool:
    kind = client.header(request.scope, b"content-type")
    return not kind or kind.partition(";")[0].strip().lower() == "application/json"


def _owner(asking: Principal) -> str:
    if asking.user is not None:
        return f"user:{asking.user.id}"
    return f"service:{asking.service.id if asking.service is not None else 0}"


def _principal(found: TokenOwner, groups_of: Mapping[str, tuple[str, ...]]) -> Principal:
    return principal.build(
        found.owner,
        found.role_scopes,
        groups=found.groups,
        token=found.token,
        access_scopes=found.access_scopes,
        server=found.server,
        groups_of=groups_of,
        session_id=None if found.session is None else found.session.session_id,
    )


async def _groups_that_matter(tx: Reading, found: TokenOwner) -> dict[str, tuple[str, ...]]:
    """Return the groups of users whom a token speaks of, where its owner's rights are limited to groups."""
    if found.token is None or not any("!group=" in scope for scope in found.role_scopes):
        return {}
    groups: dict[str, tuple[str, ...]] = {}
    for scope in (*found.token.scopes, *found.access_scopes):
        kind, separator, value = scope.partition("!")[2].partition("=")
        name = value.partition("/")[0]
        if separator and kind in ("user", "server") and name not in groups:
            record = await users.get(tx, name)
            groups[name] = (await users.groups_of(tx, [record.id]))[record.id] if record is not None else ()
    return groups
