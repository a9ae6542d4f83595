"""Commands about deployments on Kubernetes: kubernetes init."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nbhub.commands.call import Call, say
from nbhub.deploy import choices, manifests
from nbhub.errors import ConfigError
from nbhub.traits import did_you_mean

Ask = Callable[[str], str]

# What is asked at a terminal, unless it was given; the rest has defaults that do for most.
QUESTIONS = {
    "namespace": "Namespace",
    "host": "Host name of the hub, for the Ingress (empty: none, reached by port-forward)",
    "authenticator": "Who may enter: native (by invitation), github, generic-oauth, ldap, tmp (anybody) …",
    "storage_class": "StorageClass (empty: the cluster's default)",
    "image": "Image of nbhub",
    "notebook_image": "Image of the notebook servers",
    "database": "Database: sqlite, or postgresql://user:password@host/database",
}

# Sources of identities that need no settings of their own.
ALONE = ("native", "dummy", "tmp", "null")


def kubernetes(call: Call, ask: Ask = input) -> int:
    """Write the manifests of a deployment; asks at a terminal for what was not given."""
    doing, folder = call.words[0], Path(call.words[1] if len(call.words) > 1 else "nbhub-kubernetes")
    if doing != "init":
        raise ConfigError(f"There is no command kubernetes {doing[:64]!r}{did_you_mean(doing, ['init'])}")
    if call.options:
        raise ConfigError(f"nbhub kubernetes init knows no option {call.options[0][:64]!r}; see --help.")
    given = {name.removeprefix("--").replace("-", "_"): value for name, value in call.values.items()}
    for name, value in given.items():
        choices.check(name, value)
    if sys.stdin.isatty() and "--yes" not in call.flags:
        given.update(_answers(given, ask))
    wanted = choices.chosen(given)
    files = manifests.render(wanted, manifests.Secrets(secrets.token_hex(32), secrets.token_hex(32)))
    written = manifests.write(folder, files, replace="--force" in call.flags)
    for line in _report(folder, wanted, written):
        say(line)
    return 0


def _answers(given: dict[str, str], ask: Ask) -> Iterator[tuple[str, str]]:
    """Ask for each choice that is open until the answer can be."""
    for name, question in QUESTIONS.items():
        while name not in given:
            default = getattr(choices.Choices(), name)
            try:
                answer = ask(f"{question}{f' [{default}]' if default else ''}: ").strip() or default
                choices.check(name, answer)
            except EOFError:
                raise ConfigError("\nNothing was written: not all was answered. --yes takes the defaults.") from None
            except ConfigError as error:
                say(error.message)
                continue
            yield name, answer
            break


def _report(folder: Path, wanted: choices.Choices, written: list[str]) -> Iterator[str]:
    if not written:
        yield f"{folder} has all files already."
    else:
        yield f"{folder}: {len(written)} files written, yours from now on; base/nbhub_config.py configures the hub."
    secret = folder / manifests.SECRET
    if manifests.SECRET not in written:
        yield from _kept(secret, wanted)
    elif wanted.overlay == "replicas" and not wanted.database_url:
        yield f"Enter the database's address in {secret} (database-url)."
    if wanted.authenticator not in ALONE:
        yield f"Enter what {wanted.authenticator} needs in base/nbhub_config.py (docs/authenticators.md) before:"
    yield "Then, with rights in the namespace alone:"
    yield f"  kubectl apply -f {secret}"
    yield f"  kubectl apply -k {folder / wanted.overlay}"
    yield f"  kubectl -n {wanted.namespace} rollout status deployment/hub"
    if wanted.authenticator == "native":
        invite = "nbhub invite ada --admin -f /etc/nbhub/nbhub_config.py"
        yield f"  kubectl -n {wanted.namespace} exec deployment/hub -- {invite}"


def _kept(secret: Path, wanted: choices.Choices) -> Iterator[str]:
    """Say what the Secret's file, which is never replaced, does not have of what was chosen now."""
    namespace, has_database = manifests.of_secret(secret)
    if namespace != wanted.namespace:
        yield (
            f"{secret} was kept and is of the namespace {namespace or '(none)'}: write {wanted.namespace} there, or "
            "move it away and let a new one be made."
        )
    if wanted.overlay == "replicas" and not has_database:
        yield f"{secret} was kept: enter the database's address there (database-url)."
