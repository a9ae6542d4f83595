"""Where the classes are that JupyterHub's names stand for: entry points, dotted paths, class names. Only texts."""

from __future__ import annotations

from collections.abc import Mapping

_AUTH = "nbhub.authenticators"

# By the name of the class, wherever a file imports it from.
AUTHENTICATOR_CLASSES: Mapping[str, str] = {
    "DummyAuthenticator": f"{_AUTH}.dummy.DummyAuthenticator",
    "TmpAuthenticator": f"{_AUTH}.tmp.TmpAuthenticator",
    "NativeAuthenticator": f"{_AUTH}.native.NativeAuthenticator",
    "SharedPasswordAuthenticator": f"{_AUTH}.shared.SharedPasswordAuthenticator",
    "LocalAuthenticator": f"{_AUTH}.pam.PAMAuthenticator",
    "PAMAuthenticator": f"{_AUTH}.pam.PAMAuthenticator",
}

_SPAWNER = "nbhub.compat.modules.spawner"
_PROCESS = "nbhub.spawners.process"

# Texts that existing files give as spawner_class and authenticator_class.
SPAWNERS: Mapping[str, str] = {
    "default": f"{_PROCESS}.LocalProcessSpawner",
    "jupyterhub.spawner.LocalProcessSpawner": f"{_PROCESS}.LocalProcessSpawner",
    "jupyterhub.spawner.SimpleLocalProcessSpawner": f"{_PROCESS}.SimpleLocalProcessSpawner",
}
AUTHENTICATORS: Mapping[str, str] = {
    "default": AUTHENTICATOR_CLASSES["PAMAuthenticator"],
    "jupyterhub.auth.DummyAuthenticator": AUTHENTICATOR_CLASSES["DummyAuthenticator"],
    "jupyterhub.auth.PAMAuthenticator": AUTHENTICATOR_CLASSES["PAMAuthenticator"],
    "jupyterhub.authenticators.shared.SharedPasswordAuthenticator": AUTHENTICATOR_CLASSES[
        "SharedPasswordAuthenticator"
    ],
    "dummyauthenticator.DummyAuthenticator": AUTHENTICATOR_CLASSES["DummyAuthenticator"],
    "tmpauthenticator.TmpAuthenticator": AUTHENTICATOR_CLASSES["TmpAuthenticator"],
    "nativeauthenticator.NativeAuthenticator": AUTHENTICATOR_CLASSES["NativeAuthenticator"],
}
