"""Launches of pods as the reconciler builds them, hooks included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhub.core import launch as launches
from nbhub.core.launch import HubAddress, Launch
from nbhub.core.model import Server, User
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.one_server import Subject, prepare

HUB = HubAddress(base_url="/", api_url="http://hub:8081/hub/api", public_url="https://hub.example.org/")


async def prepared_launch(
    settings: KubeSettings,
    user: str = "ada",
    server: str = "",
    *,
    groups: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
    generation: int = 3,
) -> Launch:
    """Run everything that the settings say about a start of user 7's server 12, and build its launch."""
    owner = User(id=7, name=user)
    prefix = f"/user/{user}/"
    token = f"token-of-{user}-{server}-{generation}"
    subject = Subject(owner, groups, server, options or {}, prefix, token, None, state or {})
    prepared = await prepare(settings, subject)
    row = Server(
        id=12,
        user_id=owner.id,
        user_name=user,
        name=server,
        wanted=True,
        generation=generation,
        options=dict(options or {}),
        state=dict(state or {}),
    )
    return launches.build(row, owner, groups, HUB, prepared.template, token, prepared.settings)
