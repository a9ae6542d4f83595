"""The fields of the page on which users choose among profiles."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from nbhub.errors import ConfigError
from nbhub.spawners.kubernetes.browser_pattern import browser_pattern
from nbhub.spawners.kubernetes.profiles import UNLISTED, Option, Profile, default_of

SIDE_BY_SIDE = 6  # choices of an option, if their names are short; more become a list to open
SHORT = 28  # letters
TEMPLATE = "form.html"  # as KubeSpawner calls it, so that a folder of an operator's can hold another one


def render(
    profiles: Sequence[Profile],
    options: Mapping[str, Any],
    *,
    given: Sequence[Mapping[str, Any]] = (),
    text: str = "",
    folders: Sequence[str] = (),
) -> str:
    """Return HTML fields, with what `options` say chosen already.

    `text` is a template that goes before those of `folders`, and these before ours. They get `profile_list`: the
    profiles as `given`, with their defaults filled in. Raises ConfigError if one of them fails.
    """
    try:
        return _template(text, tuple(folders)).render(
            profiles=[_shown(profile, options, profiles) for profile in profiles],
            profile_list=[
                _marked(_complete(profile, item, profile == default_of(profiles)))
                for profile, item in zip(profiles, given, strict=False)
            ],
            user_options=options,
            unlisted=UNLISTED,
        )
    except (jinja2.TemplateError, OSError) as error:
        where = "profile_form_template" if text else f"the template {TEMPLATE} of the form of profiles"
        raise ConfigError(f"{where} cannot be shown: {type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=16)
def _template(text: str, folders: tuple[str, ...]) -> jinja2.Template:
    """Return a template, read once: like all settings it changes with a new start of the hub."""
    own = jinja2.PackageLoader("nbhub.spawners.kubernetes")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(folders), own]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(text) if text else environment.get_template(TEMPLATE)


def _shown(profile: Profile, options: Mapping[str, Any], profiles: Sequence[Profile]) -> dict[str, Any]:
    """Return what the template shows of a profile."""
    slugs = {each.slug for each in profiles}
    named = options.get("profile")
    chosen = profile.slug == named if named in slugs else profile == default_of(profiles)
    return {
        "profile": profile,
        "chosen": chosen,
        "options": [_option(profile, option, options if chosen else {}) for option in profile.options],
    }


def _option(profile: Profile, option: Option, options: Mapping[str, Any]) -> dict[str, Any]:
    text = str(options.get(option.text_key) or "") if option.unlisted is not None else ""
    keys = {choice.key for choice in option.choices}
    named = str(options.get(option.key) or "")
    picked = named if named in keys else option.default.key if option.default is not None else ""
    if text or (named == UNLISTED and option.unlisted is not None):
        picked = UNLISTED
    names = [choice.display_name for choice in option.choices]
    if option.unlisted is not None:
        names.append(option.unlisted.in_choices)
    described = any(choice.description for choice in option.choices)
    unlisted = option.unlisted
    return {
        "option": option,
        "name": profile.field_name(option.key),
        "text_name": profile.field_name(option.text_key),
        "picked": picked,
        "text": text,
        "pattern": browser_pattern(unlisted.pattern.pattern) if unlisted is not None and unlisted.pattern else "",
        "side_by_side": described or (len(names) <= SIDE_BY_SIDE and all(len(name) <= SHORT for name in names)),
    }


def _complete(profile: Profile, given: Mapping[str, Any], default: bool) -> dict[str, Any]:
    """Return a profile as given, with all that templates of KubeSpawner's kind count on."""
    options = dict(given.get("profile_options") or {})
    for option in profile.options:
        own = dict(next(value for key, value in options.items() if str(key) == option.key))
        own["display_name"] = option.display_name
        own["choices"] = {
            choice.key: {
                **next(value for key, value in own["choices"].items() if str(key) == choice.key),
                "display_name": choice.display_name,
                "default": choice == option.default,
            }
            for choice in option.choices
        }
        own["unlisted_choice"] = {"enabled": option.unlisted is not None, **(own.get("unlisted_choice") or {})}
        options = {str(key): own if str(key) == option.key else value for key, value in options.items()}
    return {
        **given,
        "slug": profile.slug,
        "display_name": profile.display_name,
        "description": profile.description,
        "default": default,
        "profile_options": options,
    }


def _marked(value: Any) -> Any:
    """Return what the configuration gave, its texts marked as HTML: templates show them as they are."""
    if isinstance(value, str):
        return Markup(value)  # noqa: S704 - the operator wrote it; what users write never comes here
    if isinstance(value, Mapping):
        return {key: _marked(item) for key, item in value.items()}
    return [_marked(item) for item in value] if isinstance(value, list | tuple) else value
