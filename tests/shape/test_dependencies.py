"""What nbhub imports is among what is installed with it: all of it always, or with an extra that the module is for."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "nbhub"
DISTRIBUTIONS = packages_distributions()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Modules that are loaded only where something is used that an extra is installed for.
OPTIONAL = {
    "kubernetes": ("spawners/kubernetes/", "compat/modules/kube", "compat/modules/kubernetes_client.py"),
    "ldap": ("authenticators/ldap.py", "authenticators/directory.py"),
    "oauth": ("authenticators/oauth", "authenticators/openid.py", "authenticators/provider.py"),
}

# What these bring, since it is part of what they take or give.
BROUGHT_BY = {"markupsafe": "jinja2", "yarl": "aiohttp", "lightkube-models": "lightkube", "pyyaml": "lightkube"}


def test_every_package_that_is_imported_is_a_dependency() -> None:
    always = {canonical(requirement) for requirement in PROJECT["dependencies"]}
    missing: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        extra = next((extra for extra, starts in OPTIONAL.items() if name.startswith(starts)), "")
        more = {canonical(requirement) for requirement in PROJECT["optional-dependencies"].get(extra, ())}
        if lacking := set(third_parties(path)) - always - more:
            missing[name] = lacking
    assert missing == {}


def third_parties(path: Path) -> Iterator[str]:
    """Yield the distribution of every package that a module imports when it is loaded."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module or ""]
        for package in {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"nbhub"}:
            distribution = canonical(DISTRIBUTIONS.get(package, [package])[0])
            yield BROUGHT_BY.get(distribution, distribution)


def canonical(requirement: str) -> str:
    """Return the name in a requirement, in its usual spelling."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()
