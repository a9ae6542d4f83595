"""The way in: the public address, what stands before it, and whether the hub runs."""

from __future__ import annotations

import os
import ssl
import urllib.parse
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2

from nbhub import shared_token
from nbhub.app import Hub, url_host
from nbhub.core import feed, findings
from nbhub.core.findings import Finding
from nbhub.doctor import machine
from nbhub.errors import ConfigError

SECONDS = 10.0
VERSION_HEADER = "X-JupyterHub-Version"
ARRIVED = "X-Nbhub-Arrived"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "bmJodWIgZG9jdG9yIGtleQ==",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address answered; status 0 and words when it did not."""

    status: int
    is_hub: bool
    words: str = ""
    upgraded: bool = False  # a websocket request arrived as one
    origin: str = ""  # where the hub believes to have been asked, such as https://hub.example.org


async def examine(hub: Hub) -> AsyncIterator[Finding]:
    """Look at the hub's private address, its public port and its public URL."""
    private = hub.hub_port and await ask(f"http://{url_host(hub.hub_ip)}:{hub.hub_port}{hub.base_url}hub/api")
    local = await ask(f"{hub.local_address}hub/api")
    if hub.start_proxy:
        yield _port(hub, local)
    if private:
        yield _private(hub, private)
    if private and private.is_hub and not hub.start_proxy:
        yield await _followed(hub)
    if hub.public_url:
        runs = local.is_hub or bool(private and private.is_hub)
        async for finding in _public(hub, runs):
            yield finding


def _port(hub: Hub, answer: Answer) -> Finding:
    about = f"port {hub.port}"
    if answer.is_hub:
        return findings.ok(about, "the hub answers")
    trouble = machine.port_is_free(hub.ip, hub.port)
    if trouble is None:
        return findings.ok(about, "free; no hub runs here now")
    if isinstance(trouble, PermissionError):
        return findings.failed(about, f"may not be listened on: {trouble.strerror}.", "Ports below 1024 need a right.")
    return findings.failed(about, "is used by another program.", "Stop that one, or choose another with --port.")


def _private(hub: Hub, answer: Answer) -> Finding:
    about = f"port {hub.hub_port} for servers"
    if answer.is_hub:
        return findings.ok(about, "the hub answers")
    if answer.status:
        return findings.failed(about, "something other than a hub answers.", "Choose another with --Hub.hub_port.")
    return findings.ok(about, "no hub runs here now")


async def _followed(hub: Hub) -> Finding:
    """Say whether a proxy that runs apart follows the hub: without one nobody comes in."""
    about, several = "proxies apart", hub.database.startswith("postgres")
    try:
        tokens = shared_token.find(hub.proxy_token_file, hub.folder, os.environ, make=False)
        count = await _followers(hub, tokens[0] if tokens else "")
    except ConfigError as error:
        return findings.failed(about, error.message)
    except (TimeoutError, httpx2.HTTPError, OSError, ValueError, KeyError) as error:
        return findings.warning(
            about, f"whether one follows this hub cannot be learned: {error or type(error).__name__}."
        )
    if count is None:
        said = "the hub that runs does not take the token that is configured now."
        return findings.warning(about, said, "Restart the hub, then the proxies: tokens are read at the start.")
    if count:
        return findings.ok(about, f"{count} follow{'s' if count == 1 else ''} this hub")
    if several:
        return findings.ok(about, "none follows this hub; each may follow another one of the same database")
    return findings.warning(
        about,
        "none follows this hub: whoever comes in by one finds what it last heard, and starts are not reached.",
        "Start one (nbhub proxy), with this hub's private port as --hub-url and the same token; its log says what is "
        "in its way. On Kubernetes: kubectl logs deployment/proxy",
    )


async def _followers(hub: Hub, token: str) -> int | None:
    """Return how many proxies the hub knows; None if it refuses the token."""
    url = f"http://{url_host(hub.hub_ip)}:{hub.hub_port}{hub.base_url}{feed.FOLLOWERS}"
    async with httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False, trust_env=False) as client:
        answer = await client.get(url, headers={"Authorization": f"token {token}"})
    if answer.status_code in (403, 404):
        return None
    return int(answer.raise_for_status().json()["followers"])


async def _public(hub: Hub, runs: bool) -> AsyncIterator[Finding]:
    """Ask by the public URL, as browsers do: name, certificate, prefix, websockets."""
    about, url = "public URL", hub.address
    answer = await ask(f"{url}hub/api")
    if not answer.status:
        yield findings.warning(
            about,
            f"{url} cannot be reached from here: {answer.words}.",
            "Try it from where users are; if it fails there too, look at DNS, certificate and Ingress.",
        )
        return
    if not answer.is_hub:
        yield _stranger(hub, answer, await ask(f"{urllib.parse.urljoin(url, '/')}hub/api"), runs)
        return
    yield findings.ok(about, f"{url} leads to the hub")
    yield _origin(url, answer.origin)
    if answer.upgraded:
        yield findings.ok("websockets", "pass through what stands before the hub")
    else:
        yield findings.failed(
            "websockets",
            f"do not pass through what stands before the hub at {url}: notebooks would open and never run a cell.",
            "Let the Ingress or load balancer pass the headers Connection and Upgrade on, with HTTP/1.1.",
        )


def _origin(url: str, arrived: str) -> Finding:
    """Say whether scheme and name arrive as browsers sent them: links, cookies and websockets go by them."""
    about, sent = "forwarded headers", "/".join(url.split("/", 3)[:3])
    if arrived == sent:
        return findings.ok(about, "scheme and host name arrive as they were sent")
    return findings.warning(
        about,
        f"a request to {sent} arrives as one to {arrived}.",
        "Let the Ingress pass Host on and set X-Forwarded-Proto, and set c.Proxy.trusted_hops.",
    )


def _stranger(hub: Hub, answer: Answer, bare: Answer, runs: bool) -> Finding:
    about, url = "public URL", hub.address
    if not runs and answer.status in (502, 503, 504):
        return findings.warning(about, f"{url} answers {answer.status}: no hub runs behind it now.")
    if hub.base_url != "/" and bare.is_hub:
        said = f"the hub answers at / of {url}, and not below {hub.base_url}."
        return findings.failed(about, said, "Correct public_url or base_url, so that both have the same path.")
    if hub.base_url != "/":
        return findings.failed(
            about,
            f"{url}hub/api answers {answer.status}, and not as the hub: its path {hub.base_url} seems to be cut off.",
            "Let the Ingress pass the whole path on (no rewrite-target, no stripPrefix), as base_url has it.",
        )
    remedy = "Point its name and the Ingress at the Service of the hub (or of the proxy), port http."
    return findings.failed(about, f"{url}hub/api answers {answer.status}, and not as a hub.", remedy)


async def ask(url: str) -> Answer:
    """Ask for the version at an address, and once more as a websocket."""
    try:
        async with httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False, trust_env=False) as client:
            plain = await client.get(url)
            if plain.status_code != 200 or VERSION_HEADER not in plain.headers:
                return Answer(plain.status_code, False)
            way = await client.get(url.removesuffix("api") + "health?check=way", headers=HANDSHAKE)
            origin, _, kind = way.headers.get(ARRIVED, "").partition(" ")
    except (TimeoutError, httpx2.HTTPError, OSError, ssl.SSLError) as error:
        return Answer(0, False, str(error) or type(error).__name__)
    return Answer(plain.status_code, True, upgraded=kind == "websocket", origin=origin)
