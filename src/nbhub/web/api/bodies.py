"""What requests may say: one declaration per body, checked while it is read."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]


class NewUsers(Struct, forbid_unknown_fields=True):
    """POST /users."""

    usernames: Annotated[list[str], Meta(max_length=1000)] = []
    admin: bool = False


class NewUser(Struct, forbid_unknown_fields=True):
    """POST /users/NAME. Only `admin` says something new about it; clients also send the name."""

    name: str | None = None
    admin: bool = False


class UserChange(Struct, forbid_unknown_fields=True):
    """PATCH /users/NAME."""

    name: str | UnsetType = UNSET
    admin: bool | UnsetType = UNSET
    auth_state: dict[str, Any] | UnsetType | None = UNSET


class StopServer(Struct):
    """DELETE of a server."""

    remove: bool = False


class NewServer(Struct, forbid_unknown_fields=True):
    """PUT of a server."""

    display_name: str = ""
    user_options: dict[str, Any] | None = None


class ServerChange(Struct, forbid_unknown_fields=True):
    """PATCH of a server."""

    name: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    user_options: dict[str, Any] | UnsetType = UNSET


class ServerActivity(Struct):
    """When one server was last used."""

    last_activity: str | None = None


class ActivityReport(Struct):
    """POST activity."""

    servers: dict[str, ServerActivity] | None = None
    last_activity: str | None = None


class Login(Struct, forbid_unknown_fields=True):
    """What the login page asks for."""

    username: Text
    password: Annotated[str, Meta(max_length=4096)]
    otp: Annotated[str, Meta(max_length=256)] = ""


class NewToken(Struct, forbid_unknown_fields=True):
    """POST tokens. `auth` holds log-in data instead of credentials."""

    note: Annotated[str, Meta(max_length=1023)] | None = None
    expires_in: Annotated[int, Meta(ge=1, le=10**10)] | None = None
    scopes: list[Annotated[str, Meta(max_length=1023)]] | None = None
    roles: list[Name] | None = None
    auth: Login | None = None


class NewGroups(Struct, forbid_unknown_fields=True):
    """POST /groups."""

    groups: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    users: list[str] = []


class NewGroup(Struct):
    """POST /groups/NAME."""

    users: list[str] = []


class NewService(Struct, forbid_unknown_fields=True):
    """POST /services/NAME. Only the configuration can name a command to run."""

    url: Annotated[str, Meta(max_length=1023)] = ""
    api_token: str = ""
    admin: bool = False
    display: bool = True
    info: dict[str, Any] = {}
    oauth_no_confirm: bool = False
    oauth_client_id: Text = ""
    oauth_redirect_uri: Annotated[str, Meta(max_length=1023)] = ""
    oauth_client_allowed_scopes: list[Annotated[str, Meta(max_length=1023)]] = []


class GroupUsers(Struct, forbid_unknown_fields=True):
    """POST and DELETE of the users of a group."""

    users: list[str]
