"""Stands in for jupyterhub-singleuser where websockets matter: says who it is, and echoes."""

from __future__ import annotations

import os

from aiohttp import WSMsgType, web


async def answer(request: web.Request) -> web.StreamResponse:
    """Echo over a websocket, or say pid and prefix."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        text = f"{os.getpid()} {os.environ['JUPYTERHUB_SERVICE_PREFIX']}"
        return web.Response(text=text, headers={"X-JupyterHub-Version": "6.1.1"})
    channel = web.WebSocketResponse()
    await channel.prepare(request)
    async for message in channel:
        if message.type is WSMsgType.TEXT:
            await channel.send_str(f"{os.getpid()} {message.data}")
    return channel


if __name__ == "__main__":
    host, port = os.environ["JUPYTERHUB_SERVICE_URL"].split("/")[2].rsplit(":", 1)
    application = web.Application()
    application.router.add_route("*", "/{anything:.*}", answer)
    web.run_app(application, host=host, port=int(port), print=None)
