"""Settings of a file written for JupyterHub under nbhub's names, with what is to be said about the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from nbhub.compat import names, verdicts
from nbhub.errors import ConfigError

Setting = tuple[str, str]

# What JupyterHub does where a file says nothing, and nbhub does not.
DEFAULTS: Mapping[Setting, Any] = {
    ("Hub", "ip"): "0.0.0.0",  # noqa: S104 - as JupyterHub
    ("Hub", "authenticator_class"): "pam",
    ("Hub", "spawner_class"): "localprocess",
}
_TORNADO = {
    "slow_spawn_timeout": "slow_spawn_timeout",
    "slow_stop_timeout": "slow_stop_timeout",
    "cookie_options": "cookie_options",
    "headers": "response_headers",
}


@dataclass(slots=True)
class Translation:
    """The settings in nbhub's names; of each the one it came from, and notes on those that were not taken."""

    config: Config = field(default_factory=Config)
    origins: dict[Setting, Setting] = field(default_factory=dict)
    notes: dict[Setting, str] = field(default_factory=dict)  # by the setting as the file names it


def translate(raw: Config) -> Translation:
    """Return the settings in nbhub's names. Raises ConfigError for a value that cannot be taken apart."""
    done = Translation()
    derived: list[tuple[Setting, Any, Setting]] = []
    for section, settings in sorted(raw.items(), key=lambda item: item[0] != "JupyterHub"):
        if not isinstance(settings, Config):
            done.config[section] = settings
            continue
        whole = verdicts.of_section(section)
        if whole is not None:
            if settings:
                done.notes[section, next(iter(settings))] = f"c.{section} is {whole}"
            continue
        for name, value in settings.items():
            derived += _take(done, section, name, value)
    for target, value, origin in derived:
        _put_if_free(done, target, value, origin)
    return done


def apply_defaults(config: Config) -> None:
    """Let what JupyterHub does by default hold where the settings say nothing."""
    for (section, name), value in DEFAULTS.items():
        if name not in config.get(section, {}):
            config[section][name] = value


def _take(done: Translation, section: str, name: str, value: Any) -> Iterator[tuple[Setting, Any, Setting]]:
    """Put one setting where it belongs; yield what it is taken apart into."""
    verdict, ours = verdicts.of(section, name), "Hub" if section == "JupyterHub" else section
    if isinstance(value, LazyConfigValue) and not value.to_dict():
        return  # only looked at
    if value is None and section.endswith("LDAPAuthenticator"):
        return  # means there what an empty text means here
    if section == "JupyterHub" and name in ("authenticator_class", "spawner_class") and isinstance(value, str):
        value = names.ENTRY_POINTS.get(value, value)
    if verdict is None or verdict.kind == "ours":
        done.config.merge(Config({ours: Config({name: value})}))
        done.origins[ours, name] = (section, name)
    elif verdict.kind == "is":
        target, _, known = verdict.words.partition(".")
        target = (
            section
            if target in ("Authenticator", "LocalAuthenticator", "OAuthenticator") and section != "JupyterHub"
            else target
        )
        yield (target, known), value, (section, name)
    elif verdict.kind == "takes":
        for target_setting, part in _TAKERS[name](f"c.{section}.{name}", value):
            yield target_setting, part, (section, name)
        _say_what_is_left(done, section, name, value)
    else:
        done.notes[section, name] = f"c.{section}.{name} is {verdict}"


def _put_if_free(done: Translation, target: Setting, value: Any, origin: Setting) -> None:
    """What has a name of its own wins over what was taken out of another setting."""
    section, name = target
    if name not in done.config.get(section, {}):
        done.config[section][name] = value
        done.origins[target] = origin


def _bind_url(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    url = _url(words, value)
    yield ("Hub", "ip"), _host(url)
    if url.port is not None:
        yield ("Hub", "port"), url.port
    elif url.scheme == "https":
        yield ("Hub", "port"), 443
    if url.path.strip("/"):
        yield ("Hub", "base_url"), url.path


def _hub_bind_url(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    url = _url(words, value)
    yield ("Hub", "hub_ip"), _host(url)
    yield ("Hub", "hub_port"), 80 if url.port is None else url.port


def _url(words: str, value: Any) -> SplitResult:
    try:
        url = urlsplit(str(value))
        _ = url.port
    except ValueError as error:
        raise ConfigError(f"{words} = {value!r} is not a URL: {error}.") from error
    if url.scheme not in ("http", "https"):
        raise ConfigError(
            f"{words} = {value!r} is wrong: nbhub listens on an address and a port, such as http://127.0.0.1:8000."
        )
    return url


def _host(url: SplitResult) -> str:
    """Return the address to listen on; nothing and * mean all."""
    place = url.netloc.rpartition("@")[2]
    return DEFAULTS["Hub", "ip"] if place.startswith((":", "*")) or not place else (url.hostname or "")


def _tornado_settings(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    for key, part in _plain_dict(words, value).items():
        if key in _TORNADO:
            yield ("Hub", _TORNADO[key]), part


def _say_what_is_left(done: Translation, section: str, name: str, value: Any) -> None:
    if name != "tornado_settings":
        return
    left = sorted(set(_plain_dict(name, value)) - set(_TORNADO))
    if left:
        shown = ", ".join(map(str, left))
        done.notes[section, name] = (
            f"c.{section}.{name}: {shown} not supported: nbhub has no Tornado. Taken are {', '.join(_TORNADO)}."
        )


def _plain_dict(words: str, value: Any) -> dict[str, Any]:
    plain = value.get_value({}) if isinstance(value, LazyConfigValue) else value
    if not isinstance(plain, dict):
        raise ConfigError(f"{words} is wrong: expected a dict, such as {{'slow_spawn_timeout': 10}}.")
    return plain


def _debug(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    if value:
        yield ("Proxy", "log_level"), "debug"


def _log_level(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    yield ("Proxy", "log_level"), {"warn": "warning"}.get(str(value).lower(), str(value).lower())


def _open_signup(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    yield ("NativeAuthenticator", "signup"), "open" if value else "approval"


def _enable_signup(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    if not value:
        yield ("NativeAuthenticator", "signup"), "closed"


def _use_ssl(words: str, value: Any) -> Iterator[tuple[Setting, Any]]:
    yield ("LDAPAuthenticator", "tls_strategy"), "on_connect" if value else "before_bind"


_TAKERS: Mapping[str, Callable[[str, Any], Iterator[tuple[Setting, Any]]]] = {
    "bind_url": _bind_url,
    "hub_bind_url": _hub_bind_url,
    "tornado_settings": _tornado_settings,
    "debug_proxy": _debug,
    "debug": _debug,
    "log_level": _log_level,
    "open_signup": _open_signup,
    "enable_signup": _enable_signup,
    "use_ssl": _use_ssl,
}
