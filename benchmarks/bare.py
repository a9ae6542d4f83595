"""The least that an ASGI server can do: one function, one answer of about 150 bytes. `python bare.py PORT`"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

BODY = (
    b'{"kind": "user", "name": "user0001", "admin": false, "groups": [], "pending": null, "server": "/user/user0001/"}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(
        application, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none",
        lifespan="off", log_config=None, access_log=False,
    )  # fmt: skip
