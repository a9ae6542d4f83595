"""What a browser sent with a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.requests import Request

from nbhub.errors import UnsupportedMediaType
from nbhub.web import client

KINDS = ("application/x-www-form-urlencoded", "multipart/form-data")
INTERNAL = ("_xsrf", "next")  # ours, never a spawner's


@dataclass(frozen=True, slots=True)
class Form:
    """Fields by name, each with all its values."""

    fields: Mapping[str, list[str]]

    def text(self, name: str) -> str:
        """Return the first value of a field, "" when it is absent."""
        values = self.fields.get(name)
        return values[0] if values else ""

    def flag(self, name: str) -> bool:
        """Say whether a checkbox is ticked."""
        return bool(self.text(name))

    def lines(self, name: str) -> list[str]:
        """Return what stands in a text area, by lines or commas, without empty ones."""
        parts = self.text(name).replace(",", "\n").splitlines()
        return [part.strip() for part in parts if part.strip()]

    def others(self) -> dict[str, list[str]]:
        """Return the fields that are not the hub's own."""
        return {name: values for name, values in self.fields.items() if name not in INTERNAL}


async def read(request: Request) -> Form:
    """Return the fields of a form; files are left away. Raises UnsupportedMediaType for another kind of body."""
    kind = client.header(request.scope, b"content-type").partition(";")[0].strip().lower()
    if kind and kind not in KINDS:
        raise UnsupportedMediaType(f"This page takes forms, not {kind[:64]!r}.")
    found: dict[str, list[str]] = {}
    for name, value in (await request.form()).multi_items():
        if not isinstance(value, UploadFile):
            found.setdefault(name, []).append(value)
    return Form(found)
