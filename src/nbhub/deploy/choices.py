"""What an operator chooses about a deployment on Kubernetes, and whether it can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nbhub.authenticators.known import KNOWN
from nbhub.errors import ConfigError
from nbhub.traits import did_you_mean

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IMAGE = re.compile(
    r"(?P<name>(?:[A-Za-z0-9.-]+(?::[0-9]{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DATABASE = re.compile(r"postgres(ql)?://[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Image:
    """An image reference in its parts; tag and digest are empty where none is given."""

    name: str
    tag: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the files of a deployment are made from; checked by `chosen`."""

    namespace: str = "nbhub"
    host: str = ""  # without one there is no Ingress
    authenticator: str = "native"
    storage_class: str = ""
    image: str = "nbhub:latest"
    notebook_image: str = "quay.io/jupyter/minimal-notebook:latest"
    database: str = "sqlite"  # or postgresql, or its URL
    ingress_class: str = ""
    tls_secret: str = "nbhub-tls"  # noqa: S105  the name of an object

    @property
    def database_url(self) -> str:
        """The URL of PostgreSQL, if it was given."""
        return self.database if "://" in self.database else ""

    @property
    def overlay(self) -> str:
        """The folder to apply."""
        return "single" if self.database == "sqlite" else "replicas"


def chosen(given: Mapping[str, str]) -> Choices:
    """Return the choices, defaults for what is not given. Raises ConfigError for what cannot be."""
    choices = Choices(**given)
    for field in fields(Choices):
        check(field.name, getattr(choices, field.name))
    return choices


def check(name: str, value: str) -> None:
    """Raise ConfigError unless this choice may have this value."""
    if name == "authenticator":
        if value not in KNOWN:
            raise ConfigError(f"There is no authenticator {value[:64]!r}{did_you_mean(value, list(KNOWN))}")
        return
    pattern, meaning = _MEANINGS[name]
    if value == "" and getattr(Choices(), name) == "":
        return
    if not pattern.fullmatch(value):
        raise ConfigError(f"--{name.replace('_', '-')} has to be {meaning}; {value[:64]!r} is not.")


def image(reference: str) -> Image:
    """Return the parts of an image reference that was checked."""
    found = _IMAGE.fullmatch(reference)
    assert found is not None
    parts: dict[str, Any] = found.groupdict()
    return Image(parts["name"], parts["tag"] or "", parts["digest"] or "")


_MEANINGS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "namespace": (_LABEL, "the name of a namespace, such as nbhub"),
    "host": (_NAME, "a host name, such as hub.example.org"),
    "storage_class": (_NAME, "the name of a StorageClass (see: kubectl get storageclass)"),
    "image": (_IMAGE, "an image, such as registry.example.org/nbhub:0.1.0"),
    "notebook_image": (_IMAGE, "an image, such as registry.example.org/notebook:1"),
    "database": (
        re.compile(f"sqlite|postgresql|{_DATABASE.pattern}"),
        "sqlite, postgresql, or postgresql://user:password@host/database",
    ),
    "ingress_class": (_NAME, "the name of an IngressClass (see: kubectl get ingressclass)"),
    "tls_secret": (_NAME, "the name of a Secret with the certificate"),
}
