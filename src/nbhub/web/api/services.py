"""Services: list, show, make, delete. What the configuration declares is changed there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbhub.core import names, roles, scopes, secrets
from nbhub.core import services as rules
from nbhub.core.model import OAuthClient, ServiceEntry
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Conflict, MethodNotAllowed, NotFound
from nbhub.store import Reading, Writing, services
from nbhub.web.api import bodies
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, json, on_hub, on_service

endpoints = Endpoints()

READ = on_service("read:services", "read:services:name", "read:roles:services")


@endpoints(on_hub("list:services"), "GET", "services")
async def list_services(call: Call) -> Reply:
    """List all services, by name."""
    async with call.desk.store.read() as tx:
        models = await _models(tx, call, await services.list_all(tx))
    return json({model["name"]: model for model in models})


@endpoints(READ, "GET", "services/{service}")
async def get_service(call: Call) -> Reply:
    """Show one service."""
    async with call.desk.store.read() as tx:
        models = await _models(tx, call, [await _existing(tx, call)])
    return json(models[0])


@endpoints(on_service("admin:services"), "POST", "services/{service}")
async def create_service(call: Call) -> Reply:
    """Make a service that runs somewhere else; it may do no more than its maker."""
    body, name = await call.body(bodies.NewService), call.params["service"]
    _check(call.principal, name, body)
    async with call.desk.store.write() as tx:
        if await services.get(tx, name) is not None:
            raise Conflict(f"There is a service {name} already.")
        entry = await services.put(
            tx, name, admin=body.admin, url=body.url or None, info=body.info, display=body.display,
            oauth_no_confirm=body.oauth_no_confirm,
        )  # fmt: skip
        await _put_grants(tx, call, entry, body)
        models = await _models(tx, call, [entry])
    return json(models[0], 201)


@endpoints(on_service("admin:services"), "DELETE", "services/{service}")
async def delete_service(call: Call) -> Reply:
    """Delete a service that was made here, its token, and everybody's log-ins to it."""
    async with call.desk.store.write() as tx:
        entry = await _existing(tx, call)
        if entry.from_config:
            raise MethodNotAllowed(f"The service {entry.name} is declared in the configuration; take it out there.")
        await services.delete_service(tx, entry.id)
    return empty(200)


def _check(caller: Principal, name: str, body: bodies.NewService) -> None:
    """Raise BadRequest for what cannot be, Forbidden for a service that could do more than the caller."""
    rules.check_name(name)
    if body.url:
        rules.check_url(body.url)
    if body.api_token:
        secrets.check_given_token(body.api_token)
    if body.oauth_client_id and not body.oauth_client_id.startswith("service-"):
        raise BadRequest("The oauth_client_id has to begin with 'service-'.")
    scopes.validate(body.oauth_client_allowed_scopes)
    for scope in roles.BUILT_IN[roles.ADMIN].scopes if body.admin else ():
        caller.require(scope)
    for scope in body.oauth_client_allowed_scopes:
        caller.require(scopes.parse(scope).name)


async def _put_grants(tx: Writing, call: Call, entry: ServiceEntry, body: bodies.NewService) -> None:
    prefix = names.service_prefix(call.desk.settings.base_url, entry.name)
    asked = (body.url, body.oauth_client_id, body.oauth_redirect_uri, body.oauth_client_allowed_scopes)
    if any(asked):
        client = OAuthClient(
            identifier=body.oauth_client_id or f"service-{names.quote(entry.name)}",
            description=f"JupyterHub service {entry.name}",
            secret_hash=secrets.hash_token(body.api_token) if body.api_token else "",
            redirect_uri=body.oauth_redirect_uri or f"{prefix}oauth_callback",
            allowed_scopes=(*body.oauth_client_allowed_scopes, f"access:services!service={entry.name}"),
            service_id=entry.id,
        )
        await services.set_client(tx, entry.id, client)
    if body.api_token:
        token_hash = secrets.hash_token(body.api_token)
        await services.set_token(tx, entry.id, token_hash, note="Given by the API", now=call.desk.clock())


async def _existing(tx: Reading, call: Call) -> ServiceEntry:
    entry = await services.get(tx, call.params["service"])
    if entry is None:
        raise NotFound(f"There is no service {call.params['service']}.")
    return entry


async def _models(tx: Reading, call: Call, found: Sequence[ServiceEntry]) -> list[dict[str, Any]]:
    """Return services as the caller may see them."""
    held = await services.roles_of(tx, [entry.id for entry in found])
    return [_model(call, entry, [role.name for role in held[entry.id]]) for entry in found]


def _model(call: Call, entry: ServiceEntry, role_names: Sequence[str]) -> dict[str, Any]:
    holds = call.principal.holds
    model: dict[str, Any] = {"kind": "service", "name": entry.name, "admin": entry.admin}
    if holds("read:services", service=entry.name):
        model |= {
            "url": entry.url,
            "prefix": names.service_prefix(call.desk.settings.base_url, entry.name) if entry.url else "",
            "command": list(entry.command),
            "pid": entry.process.get("pid", 0),
            "info": entry.info,
            "display": entry.display,
        }
    if holds("read:roles:services", service=entry.name):
        model["roles"] = list(role_names)
    return model
