"""Spawners whose users choose among profiles: the form, the check of what was chosen, and its effect on one start."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from traitlets import TraitError

from nbhub.core.model import User
from nbhub.errors import ConfigError, SpawnError
from nbhub.spawners import one_server
from nbhub.spawners.kubernetes import profile_form, profiles
from nbhub.spawners.kubernetes.profiles import Override, Profile
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.one_server import Subject, guarded
from nbhub.traits import did_you_mean

log = logging.getLogger("nbhub.servers")


class ProfiledSpawner(KubeSettings):
    """A spawner with `profile_list`."""

    @property
    def has_choices(self) -> bool:
        """See ForOneServer."""
        return bool(self.profile_list)

    @property
    def asks_options(self) -> bool:
        """See Spawner."""
        own_form = type(self).get_options_form is not ProfiledSpawner.get_options_form
        return bool(self.options_form or self.profile_list) or own_form

    def check_settings(self) -> None:
        """See Spawner; a list that depends on the user is looked at when there is one."""
        super().check_settings()
        if callable(self.profile_list):
            return
        one: Any = one_server.one_server(self, Subject(User(0, "somebody")))
        found = profiles.parse(self.profile_list or [])
        usual = [profile.display_name for profile in found if profile.default]
        if len(usual) > 1:
            log.warning("profile_list: %s are all marked as default; the first of them is.", ", ".join(usual))
        for profile in found:
            chosen = profiles.Chosen(profile, (), {})
            for where, override in (*chosen.overrides(), *_of_choices(profile)):
                _check_override(one, where, override)

    async def get_options_form(self) -> str:
        """Return the fields of the configuration, or else those of the profiles; empty when there is no choice."""
        if self.options_form:
            return str(await guarded(self.subject, "options_form", super().get_options_form) or "")
        given = await self._given()
        found = self._parsed(given)
        if not found:
            return ""
        items = [given[key] for key in sorted(given, key=str)] if isinstance(given, Mapping) else given
        try:
            return profile_form.render(
                found,
                self.subject.options,
                given=items,
                text=self.profile_form_template,
                folders=self.additional_profile_form_template_paths,
            )
        except ConfigError as error:
            raise _told(self.subject, error) from error

    async def read_form(self, subject: Subject, fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """See Spawner; fields of an operator's own form are read as `options_from_form` says."""
        one: Any = one_server.one_server(self, subject)
        if self.options_form or self.own_form_reader or self.options_from_form != "passthrough" or not self.has_choices:
            return await super().read_form(subject, fields)
        options, unknown = profiles.from_form(await one.profiles(), fields)
        if unknown:
            log.warning("server=%s fields of the form mean nothing here: %s", subject.full_name, ascii(unknown)[:200])
        return options

    async def validate_options(self, subject: Subject, options: Mapping[str, Any]) -> dict[str, Any]:
        """See Spawner: whatever is chosen is in the list that this user may choose from."""
        one: Any = one_server.one_server(self, subject)
        chosen = profiles.choose(await one.profiles(), options) if self.has_choices else None
        return dict(options if chosen is None else chosen.options)

    async def profiles(self) -> tuple[Profile, ...]:
        """Return what the user of this one server may choose from; raises SpawnError if the list is wrong."""
        return self._parsed(await self._given())

    async def load_user_options(self) -> None:
        """Apply the profile that the options name, and its options, to this one server."""
        chosen = profiles.choose(await self.profiles(), self.user_options)
        if chosen is None:
            return
        for where, values in chosen.overrides():
            await one_server.override(self, values, where)

    async def _given(self) -> Any:
        given = self.profile_list
        if callable(given):
            given = await guarded(self.subject, "profile_list", given, self)
        return given or []

    def _parsed(self, given: Any) -> tuple[Profile, ...]:
        try:
            return profiles.parse(given)
        except ConfigError as error:
            raise _told(self.subject, error) from error


def _of_choices(profile: Profile) -> list[tuple[str, Override]]:
    """Return all that options could change, but for what users write: its values are not known yet."""
    found = []
    for option in profile.options:
        name = f"Profile {profile.slug!r}, option {option.key!r}"
        found += [(f"{name}, {choice.key!r}", choice.override) for choice in option.choices]
        if option.unlisted is not None:
            found.append((f"{name}, unlisted_choice", dict.fromkeys(option.unlisted.override, _later)))
    return found


def _later() -> None:
    """Stand for a value that is not known before a start."""


def _check_override(one: Any, where: str, values: Override) -> None:
    """Raise ConfigError unless every name is that of a setting, and every value one that it takes."""
    where = f"{where}: kubespawner_override"
    for given, value in values.items():
        name = one.RENAMED.get(given, given)
        if name in one.ASSIGNED:
            continue
        if name not in one.traits(config=True):
            known = [*one.trait_names(config=True), *one.ASSIGNED]
            raise ConfigError(f"{where}: there is no setting {name!r}{did_you_mean(name, known)}")
        try:
            if not callable(value):
                one_server.change(one, name, value)
        except TraitError as error:
            raise ConfigError(f"{where}: {error}") from error


def _told(subject: Subject, error: ConfigError) -> SpawnError:
    """Return what the user is told about a mistake of the configuration; the log has all of it."""
    log.error("server=%s %s", subject.full_name, error.message)
    return SpawnError("The profiles of this hub are not set up right. Ask your administrator to look at the hub's log.")
