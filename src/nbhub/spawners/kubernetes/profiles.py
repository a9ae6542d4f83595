"""Profiles: what the setting `profile_list` lets users choose from, and what a choice stands for. Pure.

    profiles = parse(profile_list)            # ConfigError names the profile and the key
    chosen = choose(profiles, user_options)   # BadRequest names the option, its value and what is allowed

A profile is a set of overrides with a name; its options refine it. Keys that are not known here are left alone, since
forms of an operator's own may use them, unless they look like a known one that is misspelt.
"""

from __future__ import annotations

import difflib
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbhub.errors import BadRequest, ConfigError

UNLISTED = "unlisted-choice"  # the choice that stands for the text beside it
LONGEST_TEXT = 1000
MOST_NAMED = 20  # choices that a refusal lists

Override = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values that an option can take."""

    key: str
    display_name: str
    description: str = ""
    default: bool = False
    override: Override = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A value that users write themselves. `pattern` holds for all of it; None takes any text."""

    display_name: str
    in_choices: str
    pattern: re.Pattern[str] | None = None
    message: str = ""
    override: Override = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Option:
    """Something of a profile that users choose; without choices they write it."""

    key: str
    display_name: str
    description: str = ""
    choices: tuple[Choice, ...] = ()
    unlisted: Unlisted | None = None

    @property
    def text_key(self) -> str:
        """The key of a value that is written, beside the one of a choice."""
        return f"{self.key}--{UNLISTED}"

    @property
    def default(self) -> Choice | None:
        """The choice that holds when none is made."""
        return next((choice for choice in self.choices if choice.default), next(iter(self.choices), None))


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of server that users can start."""

    slug: str
    display_name: str
    description: str = ""
    default: bool = False
    override: Override = field(default_factory=dict)
    options: tuple[Option, ...] = ()

    def field_name(self, key: str) -> str:
        """Return the name of the form field for a key of the options."""
        return f"profile-option-{self.slug}--{key}"

    def field_names(self) -> Iterator[str]:
        """Yield the names of all form fields of its options."""
        for option in self.options:
            yield self.field_name(option.key)
            yield self.field_name(option.text_key)


@dataclass(frozen=True, slots=True)
class Pick:
    """What one option was set to: a choice, or a text of the user's own."""

    option: Option
    choice: Choice | None = None
    text: str = ""

    @property
    def override(self) -> Override:
        """What it changes."""
        if self.choice is not None:
            return self.choice.override
        unlisted = self.option.unlisted
        return {} if unlisted is None else filled(unlisted.override, self.text)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A profile, what each of its options was set to, and the user's options in their normal form."""

    profile: Profile
    picks: tuple[Pick, ...]
    options: Mapping[str, Any]

    def overrides(self) -> Iterator[tuple[str, Override]]:
        """Yield what is changed, in the order in which it holds, each with the words for where it comes from."""
        name = f"Profile {self.profile.slug!r}"
        yield name, self.profile.override
        for pick in self.picks:
            what = UNLISTED if pick.choice is None else pick.choice.key
            yield f"{name}, option {pick.option.key!r}, {what!r}", pick.override


# -- what the configuration says -------------------------------------------------------------------------------------


def parse(given: Any) -> tuple[Profile, ...]:
    """Read a list of profiles, or a dict of them in the order of its keys; raises ConfigError."""
    if isinstance(given, Mapping):
        given = [given[key] for key in sorted(given, key=str)]
    if not isinstance(given, list | tuple):
        raise ConfigError(f"profile_list has to be a list of profiles, not {_kind(given)}.")
    found = tuple(_profile(item, f"profile_list[{number}]") for number, item in enumerate(given))
    _check_distinct(found)
    return found


def _check_distinct(profiles: Sequence[Profile]) -> None:
    taken: dict[str, Profile] = {}
    for profile in profiles:
        for name in (f"profile={profile.slug}", *profile.field_names()):
            if name in taken:
                raise ConfigError(
                    f"profile_list: {taken[name].display_name!r} and {profile.display_name!r} cannot be told apart by "
                    f"the slug {profile.slug!r}. Give one of them a `slug` of its own."
                )
            taken[name] = profile


_NAMES = ("display_name", "description", "slug", "default", "kubespawner_override")
_KEYS = (*_NAMES, "profile_options")
_OPTION_KEYS = ("display_name", "description", "choices", "unlisted_choice")
_UNLISTED_KEYS = (
    *("enabled", "display_name", "display_name_in_choices", "description_in_choices", "validation_regex"),
    *("validation_message", "kubespawner_override"),
)


def _check_spelling(given: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in given:
        near = [] if key in known else difflib.get_close_matches(str(key).lower(), known, n=1, cutoff=0.85)
        if near:
            raise ConfigError(f"{where}: there is no key {ascii(key)[:60]}. Did you mean {near[0]}?")


def _profile(given: Any, where: str) -> Profile:
    given = _mapping(given, where)
    name = _text(given, "display_name", where)
    if not name.strip():
        raise ConfigError(f"{where} has no `display_name`. Every profile needs one; users see it.")
    where = f"{where} ({name!r})"
    _check_spelling(given, _KEYS, where)
    slug = _text(given, "slug", where) or slugify(name)
    if not slug.isprintable() or slug != slug.strip():
        raise ConfigError(f"{where}: the `slug` {slug!r} cannot be sent by a form. Use letters, digits and dashes.")
    options = _mapping(given.get("profile_options") or {}, f"{where}: profile_options")
    return Profile(
        slug=slug,
        display_name=name,
        description=_text(given, "description", where),
        default=bool(given.get("default", False)),
        override=_override(given, where),
        options=tuple(_option(str(key), option, where) for key, option in options.items()),
    )


def _option(key: str, given: Any, where: str) -> Option:
    where = f"{where}: option {key!r}"
    if key == "profile" or not key or key.endswith(f"--{UNLISTED}"):
        raise ConfigError(f"{where}: this name means something else already. Choose another one.")
    given = _mapping(given, where)
    _check_spelling(given, _OPTION_KEYS, where)
    choices = _mapping(given.get("choices") or {}, f"{where}: choices")
    option = Option(
        key=key,
        display_name=_text(given, "display_name", where) or key,
        description=_text(given, "description", where),
        choices=tuple(_choice(str(name), choice, where) for name, choice in choices.items()),
        unlisted=_unlisted(given.get("unlisted_choice") or {}, where),
    )
    if not option.choices and option.unlisted is None:
        raise ConfigError(f"{where} offers nothing. Give it `choices`, or an `unlisted_choice` that is `enabled`.")
    return option


def _choice(key: str, given: Any, where: str) -> Choice:
    where = f"{where}: choice {key!r}"
    if key == UNLISTED:
        raise ConfigError(f"{where}: this name means something else already. Choose another one.")
    given = _mapping(given, where)
    _check_spelling(given, _NAMES, where)
    return Choice(
        key=key,
        display_name=_text(given, "display_name", where) or key,
        description=_text(given, "description", where),
        default=bool(given.get("default", False)),
        override=_override(given, where),
    )


def _unlisted(given: Any, where: str) -> Unlisted | None:
    where = f"{where}: unlisted_choice"
    given = _mapping(given, where)
    _check_spelling(given, _UNLISTED_KEYS, where)
    if not given.get("enabled", False):
        return None
    expression = _text(given, "validation_regex", where)
    try:
        pattern = re.compile(expression) if expression else None
    except re.error as error:
        raise ConfigError(
            f"{where}: validation_regex {expression!r} is not a regular expression: {error.msg} at position "
            f"{error.pos}."
        ) from error
    return Unlisted(
        display_name=_text(given, "display_name", where),
        in_choices=_text(given, "display_name_in_choices", where) or "Other...",
        pattern=pattern,
        message=_text(given, "validation_message", where),
        override=_override(given, where),
    )


def _override(given: Mapping[str, Any], where: str) -> Override:
    where = f"{where}: kubespawner_override"
    found = _mapping(given.get("kubespawner_override") or {}, where)
    wrong = next((key for key in found if not isinstance(key, str)), None)
    if wrong is not None:
        raise ConfigError(f"{where}: {wrong!r} is not the name of a setting.")
    return found


def _mapping(given: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} has to be a dict, not {_kind(given)}.")
    return given


def _text(given: Mapping[str, Any], key: str, where: str) -> str:
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{where}: `{key}` has to be text, not {_kind(value)}.")
    return value or ""


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {ascii(value)[:60]}"


_FOLDED = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "œ": "oe"})


def slugify(name: str) -> str:
    """Return a name as it can stand in the names of form fields: "Small CPU" is small-cpu."""
    text = unicodedata.normalize("NFKD", html.unescape(name).translate(_FOLDED)).lower()
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-") or f"profile-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


# -- what users say --------------------------------------------------------------------------------------------------


def from_form(profiles: Sequence[Profile], fields: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
    """Return the options that submitted fields stand for, and the names of fields that mean nothing here.

    Only the fields of the chosen profile count; the page shows those of all.
    """
    known = {profile.slug: profile for profile in profiles}
    slug = _first(fields, "profile")
    profile = known.get(slug) or (None if slug else default_of(profiles))
    options: dict[str, Any] = {"profile": slug} if slug else {}
    if profile is None:
        return options, []
    for option in profile.options:
        picked, text = (_first(fields, profile.field_name(key)) for key in (option.key, option.text_key))
        if picked and (picked != UNLISTED or not text):
            options[option.key] = picked
        elif text:  # also without a choice: where a page has switched the list off, only the text is sent
            options[option.text_key] = text
    ours = {"profile"}.union(*(other.field_names() for other in profiles))
    return options, sorted(fields.keys() - ours)


def _first(fields: Mapping[str, Sequence[str]], name: str) -> str:
    values = fields.get(name)
    return values[0].strip() if values else ""


def default_of(profiles: Sequence[Profile]) -> Profile | None:
    """Return the profile that holds when none is named: the one marked so, or else the first."""
    return next((profile for profile in profiles if profile.default), next(iter(profiles), None))


def choose(profiles: Sequence[Profile], options: Mapping[str, Any]) -> Chosen | None:
    """Return what options stand for, whichever way they came; None where there are no profiles. Raises BadRequest.

    Options that no profile knows stay in the normal form: hooks may want them.
    """
    slug = options.get("profile")
    if not profiles:
        if slug:
            raise BadRequest(f"Option profile is {_shown(slug)}, and there are no profiles to choose from.")
        return None
    profile = next((profile for profile in profiles if profile.slug == slug), None if slug else default_of(profiles))
    if profile is None:
        raise BadRequest(f"Option profile is {_shown(slug)}; there is {_listed([p.slug for p in profiles])}.")
    picks = tuple(_pick(option, options) for option in profile.options)
    return Chosen(profile, picks, _normal(options, picks))


def _normal(options: Mapping[str, Any], picks: Sequence[Pick]) -> dict[str, Any]:
    """Return options without what says nothing; what was left to the defaults stays open, since those may change."""
    normal = {key: value for key, value in options.items() if value or key != "profile"}
    for pick in picks:
        given = normal.pop(pick.option.key, None), normal.pop(pick.option.text_key, None)
        if pick.choice is None:
            normal[pick.option.text_key] = pick.text
        elif any(given):
            normal[pick.option.key] = pick.choice.key
    return normal


def _pick(option: Option, options: Mapping[str, Any]) -> Pick:
    """Return what an option is set to; a written value goes before a choice."""
    chosen, text = options.get(option.key), options.get(option.text_key)
    if text not in (None, "") or (chosen == UNLISTED and option.unlisted is not None):
        return Pick(option, text=_checked_text(option, text))
    if chosen in (None, ""):
        if option.default is None:
            return Pick(option, text=_checked_text(option, text))
        return Pick(option, option.default)
    key = str(chosen) if isinstance(chosen, str | int) else None
    found = next((choice for choice in option.choices if choice.key == key), None)
    if found is None:
        allowed = [choice.key for choice in option.choices]
        written = f", or a text of your own as {option.text_key}" if option.unlisted is not None else ""
        there = f"there is {_listed(allowed)}{written}" if allowed else f"it takes a text, given as {option.text_key}"
        raise BadRequest(f"Option {option.key} is {_shown(chosen)}; {there}.")
    return Pick(option, found)


def _checked_text(option: Option, text: Any) -> str:
    """Return a value that a user wrote; raises BadRequest unless the whole of it is allowed."""
    unlisted = option.unlisted
    if unlisted is None:
        allowed = [choice.key for choice in option.choices]
        raise BadRequest(f"Option {option.key} takes no text of one's own, but {_listed(allowed)}.")
    if text in (None, ""):
        raise BadRequest(f"{option.display_name}: write what you want. {unlisted.message}".strip())
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or not text.isprintable():
        raise BadRequest(f"Option {option.text_key} has to be one line of text of up to {LONGEST_TEXT} characters.")
    if unlisted.pattern is not None and unlisted.pattern.fullmatch(text) is None:
        why = unlisted.message or f"It has to match {unlisted.pattern.pattern}."
        raise BadRequest(f"{option.display_name}: {_shown(text)} is not allowed. {why}")
    return text


def filled(value: Any, text: str) -> Any:
    """Put a text in the place of `{value}` in all texts of a value, keys too; other braces stay."""
    if isinstance(value, str):
        return value.replace("{value}", text)
    if isinstance(value, Mapping):
        return {filled(key, text): filled(item, text) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, text) for item in value]
    return value


def _shown(value: Any) -> str:
    return ascii(value)[:100]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
