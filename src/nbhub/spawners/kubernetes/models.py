"""Objects in the shape of the Kubernetes client for Python, as hooks of existing files know them.

    pod = model_of(plain_pod)
    pod.spec.containers[0].env.append(V1EnvVar(name="A", value="1"))
    pod.metadata.labels["purpose"] = "course"
    plain_of(pod)                                     # the dict that the API takes

Attributes are called as in Python (volume_mounts), items both ways. A class such as V1EnvVar is a Model of that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from nbhub.spawners.kubernetes.spelling import Plain, camel, snake

# Dicts whose keys users choose.
_FREE = frozenset(
    {
        *("labels", "annotations", "nodeSelector", "limits", "requests", "matchLabels", "overhead", "data"),
        *("stringData", "volumeAttributes", "parameters", "allocatedResources", "options"),
    }
)
# Lists that are there even if they are empty, so that a hook can append to them.
_LISTS = frozenset(
    {
        *("containers", "initContainers", "volumes", "volumeMounts", "volumeDevices", "env", "envFrom", "ports"),
        *("tolerations", "imagePullSecrets", "hostAliases", "topologySpreadConstraints", "supplementalGroups"),
        *("ownerReferences", "finalizers", "args", "command"),
    }
)
_ALWAYS = frozenset({"labels", "annotations", "nodeSelector", "limits", "requests"})


class Model:
    """One object, or a part of one. What is not set is None; parts that are lists or free dicts are there always."""

    POSITIONAL: ClassVar[tuple[str, ...]] = ()  # fields that may be given without their names

    def __init__(self, *given: Any, **fields: Any) -> None:
        if len(given) > len(self.POSITIONAL):
            raise TypeError(f"give the fields of {type(self).__name__} by their names")
        fields = dict(zip(self.POSITIONAL, given, strict=False)) | fields
        vars(self)["_fields"] = {camel(name): value for name, value in fields.items()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        fields, key = vars(self)["_fields"], camel(name)
        if fields.get(key) is None:
            if key in _LISTS:
                fields[key] = []
            elif key in _ALWAYS:
                fields[key] = {}
            elif key == "resources":
                fields[key] = Model()
        return fields.get(key)

    def __setattr__(self, name: str, value: Any) -> None:
        vars(self)["_fields"][camel(name)] = value

    def __delattr__(self, name: str) -> None:
        vars(self)["_fields"].pop(camel(name), None)

    def __getitem__(self, name: str) -> Any:
        if camel(name) not in vars(self)["_fields"]:
            raise KeyError(name)
        return getattr(self, name)

    __setitem__ = __setattr__
    __delitem__ = __delattr__

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and camel(name) in vars(self)["_fields"]

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self)["_fields"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model | Mapping) and plain_of(self) == plain_of(other)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{snake(key)}=…' for key in self)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        copied = type(self)()
        vars(copied)["_fields"] = vars(model_of(plain_of(self)))["_fields"]
        return copied

    def get(self, name: str, default: Any = None) -> Any:
        """Return an item, or the default."""
        return getattr(self, name) if name in self else default

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return an item, after setting it if it was not there."""
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, values: Mapping[str, Any]) -> None:
        """Set items."""
        for name, value in values.items():
            self[name] = value

    def to_dict(self) -> Plain:
        """Return dicts with names as in Python, as the Kubernetes client does."""
        found: Plain = _snaked(plain_of(self))
        return found


def model_of(value: Any, key: str = "") -> Any:
    """Return a plain structure as models; free dicts stay what they are."""
    if isinstance(value, Mapping) and key not in _FREE:
        made = Model()
        vars(made)["_fields"] = {camel(name): model_of(item, camel(name)) for name, item in value.items()}
        return made
    if isinstance(value, list | tuple):
        return [model_of(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def plain_of(value: Any, key: str = "") -> Any:
    """Return the dict that the API takes, from models of any Kubernetes client and from dicts in either spelling.

    What is empty because a hook looked at it is left out.
    """
    if is_model(value):
        value = _fields_of(value)
    if isinstance(value, Mapping):
        names = (lambda name: name) if key in _FREE else camel
        found = {names(str(name)): plain_of(item, names(str(name))) for name, item in value.items() if item is not None}
        return {name: item for name, item in found.items() if item not in ({}, []) or name not in _LISTS | _ALWAYS}
    if isinstance(value, list | tuple | set):
        return [plain_of(item) for item in value]
    return value


def is_model(value: Any) -> bool:
    """Say whether something is an object of a Kubernetes client: of ours, kubernetes, kubernetes_asyncio, lightkube."""
    if isinstance(value, Model):
        return True
    return isinstance(getattr(value, "attribute_map", None), Mapping) or (
        hasattr(value, "to_dict") and not isinstance(value, Mapping)
    )


def _fields_of(model: Any) -> Mapping[str, Any]:
    if isinstance(model, Model):
        found: Mapping[str, Any] = vars(model)["_fields"]
        return found
    if hasattr(model, "attribute_map"):
        return {theirs: getattr(model, name, None) for name, theirs in model.attribute_map.items()}
    made: Mapping[str, Any] = model.to_dict()
    return made


def _snaked(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name if key in _FREE else snake(name): _snaked(item, name) for name, item in value.items()}
    return [_snaked(item) for item in value] if isinstance(value, list) else value
