"""Imports of a configuration file: what it takes from JupyterHub and its extensions is ours, installed or not.

`pretending()` puts our modules under the others' names while a file is executed; `file_builtins()` does it for imports
that functions of the file make later. Nothing of it reaches any other code.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_OURS = "nbhub.compat.modules"

# The names that files import, and our modules that hold what they look for there.
MODULES: Mapping[str, str] = {
    "jupyterhub": "hub",
    "jupyterhub.app": "hub",
    "jupyterhub.auth": "auth",
    "jupyterhub.authenticators": "auth",
    "jupyterhub.authenticators.shared": "auth",
    "jupyterhub.handlers": "handlers",
    "jupyterhub.handlers.base": "handlers",
    "jupyterhub.handlers.login": "handlers",
    "jupyterhub.handlers.pages": "handlers",
    "jupyterhub.proxy": "proxy",
    "jupyterhub.spawner": "spawner",
    "jupyterhub.traitlets": "kinds",
    "jupyterhub.utils": "utils",
    **dict.fromkeys(
        ("kubespawner", *(f"kubespawner.{name}" for name in ("spawner", "clients", "utils", "slugs", "traitlets"))),
        "kubespawner",
    ),
    "dockerspawner": "missing_spawners",
    "systemdspawner": "missing_spawners",
    "sudospawner": "missing_spawners",
    "batchspawner": "missing_spawners",
    "wrapspawner": "missing_spawners",
    "yarnspawner": "missing_spawners",
    "simplespawner": "spawner",
    "firstuseauthenticator": "missing_authenticators",
    "firstuseauthenticator.firstuseauthenticator": "missing_authenticators",
    "multiauthenticator": "missing_authenticators",
    "jhub_cas_authenticator": "missing_authenticators",
    "jhub_cas_authenticator.cas_auth": "missing_authenticators",
    "jhub_remote_user_authenticator": "missing_authenticators",
    "jhub_remote_user_authenticator.remote_user_auth": "missing_authenticators",
    "dummyauthenticator": "auth",
    "tmpauthenticator": "auth",
    "nativeauthenticator": "auth",
    "nativeauthenticator.nativeauthenticator": "auth",
    "ldapauthenticator": "auth",
    "ldapauthenticator.ldapauthenticator": "auth",
    "ltiauthenticator": "missing_authenticators",
    "ltiauthenticator.lti11.auth": "missing_authenticators",
    "ltiauthenticator.lti13.auth": "missing_authenticators",
    "ltiauthenticator.lti11": "missing_authenticators",
    "ltiauthenticator.lti13": "missing_authenticators",
    "oauthenticator": "auth",
    **{
        f"oauthenticator.{name}": "auth"
        for name in (
            *("auth0", "azuread", "bitbucket", "cilogon", "generic", "github", "gitlab", "globus", "google"),
            *("mediawiki", "oauth2", "okpy", "openshift"),
        )
    },
    "tornado": "tornado",
    "tornado.gen": "tornado_gen",
    "tornado.httpclient": "tornado_http",
    "tornado.httputil": "tornado_http",
    "tornado.web": "tornado",
    **{
        f"{package}{name}": "kubernetes_client"
        for package in ("kubernetes", "kubernetes_asyncio")
        for name in (
            *("", ".client", ".client.models", ".client.rest", ".client.exceptions", ".client.api_client"),
            *(".config", ".config.config_exception", ".stream", ".watch", ".utils", ".dynamic"),
        )
    },
}
ROOTS = frozenset(name.partition(".")[0] for name in MODULES)
OPEN_ROOTS = frozenset({"tornado"})  # whose other modules may come from the real package
OPTIONAL_ROOTS = frozenset({"kubernetes", "kubernetes_asyncio"})  # the real package is taken if there

_SAID = ("__version__",)  # what modules say of themselves

_lock = threading.RLock()


@contextmanager
def pretending() -> Iterator[None]:
    """Let the others' names mean our modules until the end of the block."""
    with _lock:
        if any(isinstance(finder, _Finder) for finder in sys.meta_path):
            yield
            return
        finder = _Finder(_taken_out())
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            _taken_out()
            sys.modules.update(finder.real)


def genuine(name: str) -> types.ModuleType:
    """Import a module of the others as it is, also while a file is executed; raises ModuleNotFoundError."""
    with _lock:
        finder = next((finder for finder in sys.meta_path if isinstance(finder, _Finder)), None)
        if finder is None:
            return importlib.import_module(name)
        sys.meta_path.remove(finder)
        ours = _taken_out()
        sys.modules.update(finder.real)
        try:
            return importlib.import_module(name)
        finally:
            finder.real = _taken_out()
            sys.modules.update(ours)
            sys.meta_path.insert(0, finder)


def file_builtins() -> dict[str, Any]:
    """Return the builtins for a file whose imports, also those that its functions make later, find our modules."""

    def import_module(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] not in ROOTS:
            return builtins.__import__(name, *arguments, **keywords)
        with pretending():
            return builtins.__import__(name, *arguments, **keywords)

    return {**vars(builtins), "__import__": import_module}


def _taken_out() -> dict[str, types.ModuleType]:
    names = [name for name in sys.modules if (root := name.partition(".")[0]) in ROOTS and not _is_real(root)]
    return {name: sys.modules.pop(name) for name in names}


class _Finder(MetaPathFinder):
    """Answers for the names in MODULES, and refuses others of the same packages."""

    def __init__(self, real: dict[str, types.ModuleType]) -> None:
        self.real = real  # what was imported under these names before

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        root = fullname.partition(".")[0]
        if root in ROOTS and _is_real(root):
            return None
        if fullname in MODULES:
            spec = ModuleSpec(fullname, _Loader(fullname), is_package=True)
            spec.submodule_search_locations = _real_places(root) if root in OPEN_ROOTS else []
            return spec
        if root not in ROOTS or root in OPEN_ROOTS:
            return None
        raise ModuleNotFoundError(
            f"nbhub has nothing that stands for {fullname}. Files may import {', '.join(_known(root))}.", name=fullname
        )


class _Loader(Loader):
    """Makes a module of another's name with the content of ours."""

    def __init__(self, name: str) -> None:
        self.source = f"{_OURS}.{MODULES[name]}"

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return types.ModuleType(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        ours = importlib.import_module(self.source)
        if hasattr(ours, "load"):  # classes that are made when they are asked for

            def find(name: str) -> Any:
                if name.startswith("__") or f"{module.__name__}.{name}" in MODULES:
                    raise AttributeError(name)
                found = ours.load(module.__name__, name)
                if found is None:
                    raise ImportError(f"nbhub has nothing that stands for {module.__name__}.{name}.")
                return found

            module.__dict__["__getattr__"] = find
        theirs = {name: value for name, value in vars(ours).items() if not name.startswith("_")}
        module.__dict__.update(theirs | {name: vars(ours)[name] for name in _SAID if name in vars(ours)})


def _is_real(root: str) -> bool:
    """Say whether a package stands for itself."""
    return root in OPTIONAL_ROOTS and PathFinder.find_spec(root) is not None


def _real_places(root: str) -> list[str]:
    spec = PathFinder.find_spec(root)
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def _known(root: str) -> list[str]:
    return [name for name in MODULES if name.partition(".")[0] == root]
