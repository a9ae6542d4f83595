"""What functions of the configuration read and assign of one server's pod: its names, and older names of settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from nbhub.spawners.kubernetes.names import Names, Who, expand, expand_all, resolve
from nbhub.spawners.kubernetes.place_settings import templates

# Names that a hook may assign for its start, by what they are called here.
ASSIGNABLE: Mapping[str, str] = {"pod": "pod_name", "volume": "pvc_name", "dns": "dns_name"}


def recorded(take: Callable[[str], Any], state: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a server keeps for good, from what an earlier start recorded."""
    kept = {"volume": "pvc_name"} if take("remember_pvc_name") else {}
    return texts(state, kept | ({"namespace": "namespace"} if take("enable_user_namespaces") else {}))


def texts(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, str]:
    """Return those of the values that are there, under other keys."""
    return {
        ours: values[theirs]
        for ours, theirs in keys.items()
        if isinstance(values.get(theirs), str | None) and values.get(theirs)
    }


def _name(name: str, words: str) -> Any:
    """Return a property that hooks may assign."""

    def read(self: Any) -> str:
        return str(vars(self).get(name) or getattr(self.names, words))

    def assign(self: Any, value: str) -> None:
        vars(self)[name] = value

    return property(read, assign, doc=f"The {name.replace('_', ' ')} of this server.")


class OnePod:
    """The part of a spawner that only makes sense for one server."""

    pod_name: str = _name("pod_name", "pod")
    pvc_name: str = _name("pvc_name", "volume")
    dns_name: str = _name("dns_name", "dns")

    @property
    def names(self) -> Names:
        """The names of this server's objects."""
        one: Any = self
        take = functools.partial(getattr, one)
        who = Who(one.subject.user.name, one.subject.server_name, one.subject.user.id)
        kept = recorded(take, one.subject.state) | texts(vars(self), ASSIGNABLE)
        return resolve(templates(take, one.hub_namespace), who, kept)

    @property
    def secret_name(self) -> str:
        """The name of this server's Secret."""
        return self.names.secret

    @property
    def assigned_names(self) -> dict[str, str]:
        """The names that hooks have assigned."""
        return {name: vars(self)[name] for name in ASSIGNABLE.values() if vars(self).get(name)}

    def _expand_user_properties(self, template: str) -> str:
        return expand(template, self.names.fields)

    def _expand_all(self, value: Any) -> Any:
        return expand_all(value, self.names.fields)
