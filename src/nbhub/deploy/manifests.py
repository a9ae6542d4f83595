"""The files of a deployment on Kubernetes: rendered from templates, written where nothing of another content is."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from nbhub.deploy.choices import Choices, image
from nbhub.errors import ConfigError
from nbhub.spawners.kubernetes import rights

TEMPLATES = Path(__file__).with_name("templates")
SECRET = "secret.yaml"  # noqa: S105  the name of a file
_NAMESPACE = re.compile(r"""^ +namespace: *["']?([-a-z0-9]+)""", re.MULTILINE)
_DATABASE = re.compile(r"^ +database-url: *\S", re.MULTILINE)
IGNORED = f"# Secrets do not belong into version control.\n{SECRET}\n"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the Secret of a deployment holds; each new for each of them."""

    cookie: str
    proxy: str


@dataclass(slots=True)  # settable, as the settings of a spawner are
class Spawning:
    """The settings of the spawner that decide what the hub has to be allowed, as base/nbhub_config.py has them."""

    events_enabled: bool = True
    storage_pvc_ensure: bool = True
    delete_pvc: bool = True
    services_enabled: bool = False
    enable_user_namespaces: bool = False


def rules() -> list[dict[str, Any]]:
    """Return the rules of the hub's Role that whoever owns a namespace may hand on.

    The metrics API is not among them: without a metrics server nobody has that right, and the Role would be refused.
    """
    return [rule for rule in rights.rules(Spawning()) if rule["apiGroups"] == [""]]


def render(choices: Choices, secrets: Secrets | None = None) -> dict[str, str]:
    """Return the files by their paths below the folder. With secrets: the operator's own, with the Secret's file."""
    known = {
        **dataclasses.asdict(choices),
        "image": image(choices.image),
        "reference": choices.image,
        "sqlite": choices.overlay == "single",
        "database_url": choices.database_url,
        "rules": rules(),
        "secret": secrets.cookie if secrets else "",
        "proxy_token": secrets.proxy if secrets else "",
        "generated": bool(secrets),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701  YAML, of values that were checked
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    paths = [path.relative_to(TEMPLATES).with_suffix("").as_posix() for path in sorted(TEMPLATES.rglob("*.j2"))]
    wanted = [path for path in paths if _belongs(path, choices, generated=bool(secrets))]
    files = {path: environment.get_template(f"{path}.j2").render(known) for path in wanted}
    return {**files, ".gitignore": IGNORED} if secrets else files


def write(folder: Path, files: Mapping[str, str], *, replace: bool = False) -> list[str]:
    """Write the files that are not there yet and return their paths; the Secret's is never replaced.

    Raises ConfigError, before anything is written, when files of another content are there and may not be replaced.
    """
    existing = {path for path in files if (folder / path).exists()}
    changed = sorted(path for path in existing - {SECRET} if (folder / path).read_text() != files[path])
    if changed and not replace:
        raise ConfigError(
            f"{folder} has files that say something else: {', '.join(changed)}. Choose another folder, or let them be "
            "replaced with --force."
        )
    written = [path for path in files if path not in existing or path in changed]
    try:
        for path in written:
            _put(folder / path, files[path], mode=0o600 if path == SECRET else 0o644)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be written: {error.strerror or error}.") from error
    return written


def of_secret(path: Path) -> tuple[str, bool]:
    """Return the namespace that a Secret's file names, and whether it has the address of a database."""
    text = path.read_text()
    found = _NAMESPACE.search(text)
    return (found[1] if found else ""), _DATABASE.search(text) is not None


def _plain(text: str) -> str:
    """Return a checked word as YAML: quoted where it would be read as a number, a truth or nothing."""
    words = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return text if text[:1].isalpha() and text.lower() not in words else json.dumps(text)


def _belongs(path: str, choices: Choices, *, generated: bool) -> bool:
    if path == "base/ingress.yaml":
        return bool(choices.host)
    return path != SECRET or generated


def _put(path: Path, text: str, mode: int) -> None:
    """Write one file with this mode, whatever stood there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
