"""Talking to a provider of log-ins over HTTP: bounded in time and size, every failure in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nbhub.errors import ConfigError, Unavailable

try:
    import httpx
except ImportError as error:
    raise ConfigError(
        "OAuth and OpenID Connect need packages that are not installed: pip install 'nbhub[oauth]'."
    ) from error

MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered: the status and its JSON, None where there was no body."""

    status: int
    data: Any

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object, empty where it is something else."""
        return self.data if isinstance(self.data, dict) else {}

    @property
    def failed(self) -> bool:
        """The provider refused."""
        return self.status >= 400


class Provider:
    """An HTTP client for the addresses of one provider."""

    def __init__(self, seconds: float, *, verify: bool) -> None:
        self._seconds = seconds
        self._client = httpx.AsyncClient(
            timeout=seconds, verify=verify, headers={"Accept": "application/json", "User-Agent": "nbhub"}
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, url: str, **options: Any) -> Reply:
        """Read something; raises Unavailable when the provider is away, broken, or answers something else."""
        return await self._ask("GET", url, options)

    async def post(self, url: str, **options: Any) -> Reply:
        """Send something; raises Unavailable as `get`."""
        return await self._ask("POST", url, options)

    async def _ask(self, method: str, url: str, options: dict[str, Any]) -> Reply:
        place = urlsplit(url).netloc or url
        try:
            async with self._client.stream(method, url, **options) as response:
                body = await _read(response, place)
        except httpx.TimeoutException:
            words = f"{place}, where you log in, did not answer within {self._seconds:g} seconds. Try again later."
            raise Unavailable(words) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{place}, where you log in, cannot be reached: {_reason(error)}") from None
        if response.status_code >= 500 or 300 <= response.status_code < 400:
            raise Unavailable(f"{place}, where you log in, has a problem (status {response.status_code}).")
        return Reply(response.status_code, _parsed(body, place, refused=response.status_code >= 400))


async def _read(response: httpx.Response, place: str) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise Unavailable(f"{place}, where you log in, answered with more than {MOST_BYTES} bytes.")
    return bytes(body)


def _parsed(body: bytes, place: str, *, refused: bool) -> Any:
    try:
        return json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):
        if refused:
            return None
        raise Unavailable(f"{place}, where you log in, answered something that is not JSON.") from None


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]


def at(data: Any, path: str) -> Any:
    """Return the value at a path such as "user.groups"; a key that holds the dots itself comes first."""
    if isinstance(data, Mapping) and path in data:
        return data[path]
    for key in path.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data
