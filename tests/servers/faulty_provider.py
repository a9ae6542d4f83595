"""A small OpenID provider, true to the protocol but for the one fault that a test asks for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "nbhub", "secret of nbhub"


@dataclass
class FaultyProvider:
    """What tests set: faults, and what the provider tells of the one person who logs in."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)  # replace those of the ID token; None removes one
    userinfo: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    replies: dict[str, Any] = field(default_factory=dict)  # by path: a function to a Response, instead of the answer
    signs_with: RSAKey | None = None
    no_id_token: bool = False
    nonce: str = ""
    calls: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    keys: list[RSAKey] = field(default_factory=lambda: [new_key("first")])

    def log_in(self, url: str, **changes: str) -> str:
        """Take the nonce of an authorization request; return the query with which a browser comes back."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.nonce = query.get("nonce", "")
        return f"{query['redirect_uri']}?code=the-code&state={query['state']}"

    def id_token(self) -> str:
        """Return the ID token with its faults."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer, "sub": "1234", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": self.nonce,
            "preferred_username": "ann",
        }  # fmt: skip
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        key = self.signs_with or self.keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid} | self.header, claims, key)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        path = request.url.path
        self.calls.append(path)
        if path in self.replies:
            found = self.replies[path]
            return await found() if asyncio.iscoroutinefunction(found) else found
        if path == "/.well-known/openid-configuration":
            return JSONResponse(self._metadata())
        if path == "/jwks":
            return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})
        if path == "/token":
            self.forms.append({name: str(value) for name, value in (await request.form()).items()})
            tokens: dict[str, Any] = {"access_token": "at", "token_type": "Bearer", "refresh_token": "rt"}
            return JSONResponse(tokens if self.no_id_token else tokens | {"id_token": self.id_token()})
        if path == "/userinfo":
            told = {"sub": "1234", "preferred_username": "ann", "groups": ["staff"]} | self.userinfo
            return JSONResponse({name: value for name, value in told.items() if value is not None})
        return Response(status_code=404)

    def _metadata(self) -> dict[str, Any]:
        places = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        found: dict[str, Any] = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in places.items()}
        methods = ["client_secret_post"]
        return found | {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "token_endpoint_auth_methods_supported": methods,
        }


def new_key(kid: str) -> RSAKey:
    """Return a key to sign with."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def garbage(text: str = "<html>oops", status: int = 200) -> Response:
    """Return an answer that is no JSON."""
    return Response(text, status, media_type="text/html")


def refusal(code: str, status: int = 400) -> Response:
    """Return an error as OAuth has it."""
    return Response(json.dumps({"error": code}), status, media_type="application/json")


@asynccontextmanager
async def running() -> AsyncIterator[FaultyProvider]:
    """Run a provider on the loop of the test."""
    provider = FaultyProvider()
    app = Starlette(routes=[Route("/{path:path}", provider.answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    provider.issuer = f"http://127.0.0.1:{port}"
    try:
        yield provider
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
