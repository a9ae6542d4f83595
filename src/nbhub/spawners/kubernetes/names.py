"""Names of a server's objects from the templates of the settings, and texts with fields such as {username}. Pure.

found = names.resolve(templates, who, kept)
found.pod                                     # "jupyter-alice--gpu"
names.expand("claim-{user_server}", found.fields)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from nbhub.errors import ConfigError, SpawnError
from nbhub.spawners.kubernetes import slugs

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_LIMITS = {"pod": 63, "namespace": 63, "volume claim": 253, "secret": 253}
USER_FIELDS = frozenset(
    f"{prefix}{name}" for prefix in ("", "safe_", "escaped_", "unescaped_") for name in ("username", "user_server")
) | {"userid"}
SERVER_FIELDS = frozenset(
    f"{prefix}{name}" for prefix in ("", "safe_", "escaped_", "unescaped_") for name in ("servername", "user_server")
)


@dataclass(frozen=True, slots=True)
class Who:
    """Which server of whom. The default server's name is empty."""

    user: str
    server: str = ""
    user_id: int = 0


@dataclass(frozen=True, slots=True)
class Templates:
    """What the settings say about names."""

    namespace: str  # of the pods; with user namespaces the template of theirs
    hub_namespace: str
    slug_scheme: str = "safe"
    pod: str = "jupyter-{user_server}"
    volume: str = "claim-{user_server}"
    secret: str = "{pod_name}"  # noqa: S105 - a template
    dns: str = "{name}.{namespace}.svc.cluster.local"
    user_namespaces: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one server's objects. `fields` are those that texts are filled in with."""

    namespace: str
    pod: str
    volume: str
    secret: str
    dns: str
    fields: Mapping[str, str]

    @property
    def service(self) -> str:
        """The name of the server's Service."""
        return self.pod


def resolve(templates: Templates, who: Who, kept: Mapping[str, str] | None = None) -> Names:
    """Return the names of a server's objects; those in `kept` (pod, volume, namespace, dns) win over the templates.

    Raises ConfigError for a template that cannot be filled in, SpawnError for a name that Kubernetes does not take.
    """
    kept = kept or {}
    found = fields(who, templates.slug_scheme, templates.hub_namespace)
    own = templates.user_namespaces
    namespace = kept.get("namespace") or (expand(templates.namespace, found) if own else templates.namespace)
    found["namespace"] = _checked(namespace, "namespace", who)
    found["pvc_name"] = _checked(kept.get("volume") or expand(templates.volume, found), "volume claim", who)
    found["pod_name"] = _checked(kept.get("pod") or expand(templates.pod, found), "pod", who)
    secret = _checked(expand(templates.secret, found), "secret", who)
    dns = kept.get("dns") or expand(templates.dns, {**found, "name": found["pod_name"]})
    return Names(namespace, found["pod_name"], found["pvc_name"], secret, dns, found)


def fields(who: Who, scheme: str, hub_namespace: str) -> dict[str, str]:
    """Return the fields that say which server of whom it is."""
    forms = {
        "safe_": (slugs.safe(who.user), slugs.safe(who.server) if who.server else ""),
        "escaped_": (slugs.escape(who.user), slugs.escape(who.server)),
        "unescaped_": (who.user, who.server),
    }
    pairs = {
        "safe_": slugs.safe_pair(who.user, who.server),
        # Always with its dashes, so that the oldest templates can be told apart; what trails is cut off later.
        "escaped_": f"{slugs.escape(who.user)}--{slugs.escape(who.server)}",
    }
    found = {"userid": str(who.user_id), "hubnamespace": "user" if hub_namespace == "default" else hub_namespace}
    for prefix, (user, server) in forms.items():
        found[f"{prefix}username"], found[f"{prefix}servername"] = user, server
    for prefix, pair in pairs.items():
        found[f"{prefix}user_server"] = pair
    chosen = "escaped_" if scheme == "escape" else "safe_"
    found["username"], found["servername"] = forms[chosen]
    found["user_server"] = slugs.escape_pair(who.user, who.server) if scheme == "escape" else pairs["safe_"]
    return found


def expand(template: str, known: Mapping[str, str]) -> str:
    """Fill in `{field}`; doubled braces stand for themselves. Raises ConfigError naming the template and the fields.

    Dashes that are left over at the end are cut off unless the template itself ends in one.
    """
    if "{" not in template and "}" not in template:
        return template
    try:
        filled = _FORMATTER.vformat(template, (), known)
    except (KeyError, IndexError):
        wrong = sorted(field_names(template) - known.keys())
        raise ConfigError(
            f"The text {_short(template)} has the field {{{wrong[0] if wrong else ''}}}, which there is not. "
            f"Known are {', '.join(sorted(known))}; write {{{{ and }}}} for braces that are meant as such."
        ) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"The text {_short(template)} cannot be filled in: {error}. "
            "Write {{ and }} for braces that are meant as such."
        ) from None
    return filled if template.endswith("-") else filled.rstrip("-")


def expand_all(value: Any, known: Mapping[str, str]) -> Any:
    """Fill in all texts of a structure: values of dicts and items of lists, not the keys of dicts."""
    if isinstance(value, str):
        return expand(value, known)
    if isinstance(value, Mapping):
        return {key: expand_all(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expand_all(item, known) for item in value]
    return value


def field_names(template: str) -> set[str]:
    """Return the fields that a template mentions; none if it cannot be read."""
    try:
        parsed = list(_FORMATTER.parse(template))
    except ValueError:
        return set()
    return {re.split(r"[.\[]", name)[0] for _, name, _, _ in parsed if name is not None}


def host(template: str, known: Mapping[str, str]) -> str:
    """Fill in a host name: what is left over at the end of each of its parts is cut off."""
    return ".".join(part.rstrip("-") for part in expand(template, known).split("."))


class _NamesOnly(Formatter):
    """Takes plain fields: no numbers, no attributes, nothing inside of a field."""

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        return kwargs[field_name], field_name


_FORMATTER = _NamesOnly()


def _checked(name: str, kind: str, who: Who) -> str:
    limit = _LIMITS[kind]
    if len(name) <= limit and _SUBDOMAIN.fullmatch(name):
        return name
    server = f"{who.user}/{who.server}"
    if len(name) > limit:
        raise SpawnError(
            f"The {kind} of server {server} would be named {_short(name)}, which has {len(name)} characters; "
            f"Kubernetes takes {limit}. Ask your administrator to set c.KubeSpawner.slug_scheme = 'safe', or a shorter "
            f"template of the name."
        )
    raise SpawnError(
        f"The {kind} of server {server} would be named {_short(name)}, which Kubernetes does not take. Ask your "
        f"administrator to correct the template of the name (c.KubeSpawner.{_TEMPLATE_OF[kind]})."
    )


_TEMPLATE_OF = {
    "pod": "pod_name_template",
    "namespace": "namespace",
    "volume claim": "pvc_name_template",
    "secret": "secret_name_template",
}


def _short(text: str) -> str:
    return ascii(text if len(text) <= 100 else f"{text[:97]}...")
