"""The files that pages refer to: style, scripts, pictures. Read once, named by their content, kept by browsers."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from nbhub.errors import NotFound
from nbhub.web import client

FOLDER = Path(__file__).parent / "static"
LOGO = "logo.svg"
_FOR_EVER = "public, max-age=31536000, immutable"
_WORTH_PACKING = 600  # bytes
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. `version` changes with its content; `packed` is its gzip form, None where that is not smaller."""

    name: str
    content: bytes
    packed: bytes | None
    media_type: str
    version: str


def load(folder: Path = FOLDER) -> dict[str, Asset]:
    """Return the files of a folder by name."""
    return {path.name: read(path) for path in sorted(folder.iterdir()) if path.is_file()}


def versions(files: Mapping[str, Asset]) -> dict[str, str]:
    """Return what stands after `static/` in the address of each file."""
    return {name: f"{name}?v={asset.version}" for name, asset in files.items()}


def respond(request: Request, files: Mapping[str, Asset], name: str) -> Response:
    """Answer a request for a file; one that names its version may be kept for ever. Raises NotFound."""
    asset = files.get(name)
    if asset is None:
        raise NotFound("There is no such file.")
    current = request.query_params.get("v") == asset.version
    headers = {"ETag": f'"{asset.version}"', "Vary": "Accept-Encoding"}
    headers["Cache-Control"] = _FOR_EVER if current else "no-cache"
    if client.header(request.scope, b"if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    body = asset.content
    if asset.packed is not None and "gzip" in client.header(request.scope, b"accept-encoding"):
        body = asset.packed
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type=asset.media_type)


def read(path: Path) -> Asset:
    """Read one file."""
    content = path.read_bytes()
    packed = gzip.compress(content, 9, mtime=0) if len(content) >= _WORTH_PACKING else None
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(
        name=path.name,
        content=content,
        packed=packed if packed is not None and len(packed) < len(content) else None,
        media_type=media_type,
        version=hashlib.sha256(content).hexdigest()[:12],
    )
