"""Where settings come from: a configuration file, then the command line; and whether they make sense.

    loaded = config.load(argv)                 # reads the file and the command line
    hub = config.build(Hub, loaded.config)     # like Hub(config=…); wrong values become ConfigError
    for warning in loaded.check([Hub, SomeSpawner, SomeAuthenticator]): …   # unknown names, wrong types

A file is Python and gets `c`, `get_config()` and `load_subconfig()`, as files of every Jupyter program do.
"""

from __future__ import annotations

import ast
import math
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from traitlets import HasTraits, TraitError, TraitType
from traitlets.config import Config, Configurable
from traitlets.config.loader import DeferredConfig, DeferredConfigList, DeferredConfigString, LazyConfigValue
from traitlets.config.loader import PyFileConfigLoader as FileLoader

from nbhub.compat import imports, translate, verdicts
from nbhub.errors import ConfigError, NbhubError
from nbhub.traits import Command, Duration, MemorySize, Plugin, URLPrefix, did_you_mean

__all__ = ["Command", "Duration", "Loaded", "MemorySize", "Plugin", "URLPrefix", "build", "load"]

DEFAULT_FILES = ("nbhub_config.py", "jupyterhub_config.py")

SECRET = re.compile(r"(secret|password|token)$|(^|_)keys?$|^password_groups$", re.IGNORECASE)  # settings with secrets
_PASSWORD_IN_URL = re.compile(r"(://[^/?#\s:@]*:)[^/?#\s]*(?=@)|([?&](?:ssl)?password=)[^&\s]*")

# Sections of existing files, and the class here that they mean.
SECTION_ALIASES = {"JupyterHub": "Hub"}

# Settings of existing files that are at home in another section here.
SETTING_ALIASES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("Hub", "admin_users"): ("Authenticator", "admin_users"),
    ("Hub", "ssl_cert"): ("Proxy", "ssl_cert"),
    ("Hub", "ssl_key"): ("Proxy", "ssl_key"),
}

# Short options with a value, and the setting that each one sets.
OPTIONS = {
    "ip": "Hub.ip",
    "port": "Hub.port",
    "base-url": "Hub.base_url",
    "db": "Hub.db_url",
    "data-dir": "Hub.data_dir",
    "log-level": "Hub.log_level",
    "ssl-key": "Proxy.ssl_key",
    "ssl-cert": "Proxy.ssl_cert",
}

# Short options without a value.
FLAGS: Mapping[str, tuple[str, str]] = {
    "debug": ("Hub.log_level", "DEBUG"),
    "log-json": ("Hub.log_json", "True"),
    "no-cleanup": ("Hub.cleanup_servers", "False"),
}

_Made = TypeVar("_Made", bound=Configurable)
Setting = tuple[str, str]  # section and name, such as ("Hub", "port")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read. `places` says of each setting where it was made, in words for messages."""

    config: Config
    files: tuple[Path, ...] = ()
    places: Mapping[Setting, str] = field(default_factory=dict)
    lenient: bool = False  # the file is one written for JupyterHub: unknown names are only warned of
    origins: Mapping[Setting, Setting] = field(default_factory=dict)  # ours, and JupyterHub's that it came from
    notes: Mapping[Setting, str] = field(default_factory=dict)  # on JupyterHub's settings that were not taken

    def check(self, classes: Sequence[type[HasTraits]]) -> list[str]:
        """Compare the settings with what `classes` (and their bases) take.

        Raises ConfigError for a value of the wrong type, and for an unknown name; of the latter in a file written for
        JupyterHub, returns warnings instead.
        """
        self.check_values(classes)
        warnings = [f"{self.place(setting)}: {words}" for setting, words in self.notes.items()]
        for setting, words, _ in self._problems(classes):
            place = self.place(setting)
            if not self.lenient or place.startswith("command line"):
                raise ConfigError(f"{place}: {words}")
            warnings.append(f"{place}: {words} It is ignored.")
        return warnings

    def check_values(self, classes: Sequence[type[HasTraits]]) -> None:
        """Raise ConfigError for a value that its setting does not take; unknown names may belong to other classes."""
        for setting, words, wrong_value in self._problems(classes):
            if wrong_value:
                raise ConfigError(f"{self.place(setting)}: {words}")

    def _problems(self, classes: Sequence[type[HasTraits]]) -> Iterator[tuple[Setting, str, bool]]:
        for section, settings in self.config.items():
            takers = [cls for cls in classes if section in _sections(cls)]
            yield from _problems(section, settings, takers, classes)

    def place(self, setting: Setting) -> str:
        """Say where a setting was made."""
        section, name = setting
        return self.places.get(setting) or self.places.get((section, "")) or f"setting {section}.{name}"


def load(argv: Sequence[str] = (), *, folder: Path | None = None) -> Loaded:
    """Read the file that `-f` names, or the default one of the folder, then the command line, which wins.

    Raises ConfigError for a file that is missing, unreadable or fails, and for an option that is none.
    """
    options = list(_options(argv))
    chosen = [value for option, _, value in options if option == "config"]
    path = _chosen_file(chosen[-1] if chosen else None, folder or Path.cwd())
    raw, places = _read_file(path) if path is not None else (Config(), {})
    foreign = path is not None and _is_foreign(path, raw)
    from_file = _renamed(raw, foreign)
    line, line_places = _command_line([option for option in options if option[0] != "config"])
    from_line = _renamed(line, "JupyterHub" in line or foreign)
    config = from_file.config
    config.merge(from_line.config)
    if foreign and path is not None and not path.name.startswith("nbhub"):
        translate.apply_defaults(config)
    return Loaded(
        config,
        (path,) if path is not None else (),
        _all_places(places, from_file) | _all_places(line_places, from_line),
        foreign and path is not None and not path.name.startswith("nbhub"),
        {**from_file.origins, **from_line.origins},
        {**from_file.notes, **from_line.notes},
    )


def _is_foreign(path: Path, raw: Config) -> bool:
    """Say whether a file is written for JupyterHub, so that all its names are looked up."""
    return path.name.startswith("jupyterhub") or "JupyterHub" in raw


def _all_places(places: Mapping[Setting, str], done: translate.Translation) -> dict[Setting, str]:
    """Add where the settings were made that came out of others."""
    return {**places, **{new: places[old] for new, old in done.origins.items() if old in places}}


def build(cls: type[_Made], config: Config, **arguments: Any) -> _Made:
    """Make an object with its settings; a value that it does not take becomes a ConfigError."""
    try:
        return cls(config=_understood(cls, config), **arguments)
    except TraitError as error:
        raise ConfigError(f"A setting of {cls.__name__} is wrong: {error}") from error


def _understood(cls: type[Configurable], config: Config) -> Config:
    """Leave out what the class does not know: `check` tells of it, and the framework would again in its own words."""
    names = set(cls.class_trait_names(config=True))
    sections = _sections(cls)
    understood = Config()
    for section, settings in config.items():
        own = section in sections and isinstance(settings, Config)
        kept = {name: value for name, value in settings.items() if name in names} if own else settings
        understood[section] = Config(kept) if own else settings
    return understood


def _sections(cls: type) -> set[str]:
    return {base.__name__ for base in cls.__mro__ if issubclass(base, Configurable)}


def _problems(
    section: str, settings: Any, takers: Sequence[type[HasTraits]], classes: Sequence[type[HasTraits]]
) -> Iterator[tuple[Setting, str, bool]]:
    """Yield what is wrong with one section: the setting, words, and whether its value (not its name) is wrong."""
    if not isinstance(settings, Config):
        yield (section, ""), f"{section} is a section, not a setting.", True
        return
    if not takers:
        if not _is_empty(settings):
            names = sorted(set().union(*(_sections(cls) for cls in classes)) - {"Configurable", "LoggingConfigurable"})
            first = next(iter(settings), "")
            words = f"there is no section c.{section}{did_you_mean(section, names)}"
            if verdicts.of(section, first) is not None:
                words = f"c.{section} is for authenticators or spawners of a kind that is not in use here."
            yield (section, first), words, False
        return
    for name, value in settings.items():
        if isinstance(value, Config) and _is_empty(value):
            continue  # only looked at
        traits = [trait for cls in takers if (trait := cls.class_traits(config=True).get(name)) is not None]
        if not traits:
            known = sorted({name for cls in takers for name in cls.class_trait_names(config=True)})
            verdict = verdicts.of(section, name)
            if verdict is not None and not verdict.taken:
                yield (section, name), f"c.{section}.{name} is {verdict}", False
                continue
            yield (section, name), f"there is no setting c.{section}.{name}{did_you_mean(name, known)}", False
            continue
        refusal = _refusal(traits, value)
        if refusal:
            shown = "(hidden)" if value is not None and SECRET.search(name) else without_passwords(_shown(value))
            hint = " Where it comes from a variable of the environment, that is not set." if value is None else ""
            yield (section, name), f"c.{section}.{name} = {shown} is wrong: {refusal}.{hint}", True


def without_passwords(text: str) -> str:
    """Return a text with the passwords of addresses in it hidden, such as those of databases."""
    return _PASSWORD_IN_URL.sub(r"\1\2(hidden)", text)


def _is_empty(settings: Config) -> bool:
    return all(isinstance(value, Config) and _is_empty(value) for value in settings.values())


def _refusal(traits: Sequence[TraitType[Any, Any]], value: Any) -> str:
    """Return why no trait takes the value, or nothing if one does."""
    reason = ""
    owner = HasTraits()
    owner._cross_validation_lock = True
    for trait in traits:
        try:
            trait._validate(owner, _plain(trait, value))
        except TraitError as error:
            # Our own plugin trait explains itself; the words of all others speak of trait objects.
            reason = str(error) if isinstance(trait, Plugin) else f"expected {trait.info()}{_bounds(trait, value)}"
        except (TypeError, ValueError) as error:
            reason = f"expected {trait.info()} ({error})"
        else:
            return ""
    return reason


def _bounds(trait: TraitType[Any, Any], value: Any) -> str:
    """Return in words between what a number has to be; nothing unless the value is one that is too small or large."""
    low, high = getattr(trait, "min", None), getattr(trait, "max", None)
    low, high = (None if bound is None or math.isinf(bound) else bound for bound in (low, high))
    try:
        number = float(str(value))
    except ValueError:
        return ""
    if (low is None or number >= low) and (high is None or number <= high):
        return ""
    if low is None or high is None:
        return f" of {low} or more" if high is None else f" of {high} or less"
    return f" from {low} to {high}"


def _plain(trait: TraitType[Any, Any], value: Any) -> Any:
    if isinstance(value, DeferredConfig):
        return value.get_value(trait)
    if isinstance(value, LazyConfigValue):
        default = trait.default()
        untouched = not value.to_dict()  # only looked at
        return default if untouched else value.get_value(default if isinstance(default, list | dict | set) else [])
    return value


def _shown(value: Any) -> str:
    if isinstance(value, DeferredConfigList):
        value = value[0] if len(value) == 1 else list(value)
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _chosen_file(named: str | None, folder: Path) -> Path | None:
    if named is not None:
        path = Path("/dev/stdin") if named == "-" else folder / Path(named).expanduser()
        if not path.is_file() and not path.is_fifo():
            raise ConfigError(f"There is no configuration file {path}; correct the path after -f.")
        return path
    for name in DEFAULT_FILES:
        if (folder / name).is_file():
            return folder / name
    return None


def _read_file(path: Path) -> tuple[Config, dict[Setting, str]]:
    try:
        reader = Reader(path.name, str(path.parent))
        with imports.pretending():
            raw = reader.load_config()
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ConfigError(
            f"{error.filename or path}, line {error.lineno}: this is not Python: {error.msg}"
            f"{f' (`{line[:120]}`)' if line else ''}. Correct the line and start nbhub again."
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(_failure(path, error)) from error
    return raw, _places(path.name, reader.source)


class Reader(FileLoader):
    """Executes a file whose imports find what stands here for JupyterHub's modules, also those made later.

    The file may be a pipe: it is read once.
    """

    source = b""

    def _find_file(self) -> None:
        path = Path(str(self.path), self.filename)
        if path.is_fifo():
            self.full_filename = str(path)
        else:
            super()._find_file()

    def _read_file_as_dict(self) -> None:
        self.source = Path(self.full_filename).read_bytes()
        namespace = {
            "__builtins__": imports.file_builtins(),
            "__file__": self.full_filename,
            "c": self.config,
            "load_subconfig": self.load_subconfig,
            "get_config": lambda: self.config,
        }
        exec(compile(self.source, self.full_filename, "exec"), namespace, namespace)  # noqa: S102


def _renamed(raw: Config, foreign: bool) -> translate.Translation:
    """Return the settings under our own names; where a file uses both, ours win."""
    if foreign:
        return translate.translate(raw)
    config = Config()
    for section, settings in sorted(raw.items(), key=lambda item: item[0] not in SECTION_ALIASES):
        if not isinstance(settings, Config):
            config[section] = settings
            continue
        for name, value in settings.items():
            ours, setting = our_name(section, name)
            config.merge(Config({ours: Config({setting: value})}))
    return translate.Translation(config)


def our_name(section: str, name: str) -> Setting:
    """Return the section and name here of a setting, which may be given as JupyterHub calls it."""
    section = SECTION_ALIASES.get(section, section)
    return SETTING_ALIASES.get((section, name), (section, name))


def _failure(path: Path, error: BaseException) -> str:
    """Say which line of the file failed, why, and what to do."""
    everything = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in everything if Path(frame.filename).name == path.name]
    # A file that it loads may be the one to blame; it usually lies beside it.
    frames = [frame for frame in everything if own and Path(frame.filename).parent == Path(own[0].filename).parent]
    kind = type(error).__name__
    if frames and isinstance(error, NbhubError):  # explains itself
        return f"{path.with_name(Path(frames[-1].filename).name)}, line {frames[-1].lineno}: {error.message}"
    if not frames:
        return f"{path}: cannot be read: {kind}: {error}. Check that the file is there, readable and UTF-8 text."
    frame = frames[-1]
    place = path.with_name(Path(frame.filename).name)
    remedy = _remedy(error, everything[-1])
    return f"{place}, line {frame.lineno}: {kind}: {error} (`{(frame.line or '')[:120]}`). {remedy}"


def _remedy(error: BaseException, where: traceback.FrameSummary) -> str:
    """Say what to do about what a file raised, which happened there."""
    if isinstance(error, KeyError) and Path(where.filename).name in ("os.py", "<frozen os>"):
        return f"Set the environment variable {error.args[0]} for nbhub, or use os.environ.get with a default."
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return "Correct the line and start nbhub again."
    root = error.name.partition(".")[0]
    if root in imports.ROOTS - imports.OPEN_ROOTS - imports.OPTIONAL_ROOTS:
        return "Do without it."
    return f"Install the Python package that has {root!r} into the environment of nbhub."


def _places(file: str, source: bytes) -> dict[Setting, str]:
    """Find the last line of the file that mentions each setting; loaded sub-files are not looked into."""
    places: dict[Setting, str] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
            continue
        if node.value.attr[:1].isupper():
            place = f"{file}, line {node.lineno}"
            places[node.value.attr, node.attr] = places[our_name(node.value.attr, node.attr)] = place
    return places


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield every option as its name without dashes, as it was written, and its value."""
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        option = "config" if name in ("-f", "--config") else name.removeprefix("--")
        if word.startswith("-f") and not word.startswith("--") and name != "-f":
            option, name, equals, value = "config", "-f", "=", word[2:].removeprefix("=")
        if not name.startswith("-"):
            raise ConfigError(f"{word!r} is not understood: options look like --port=8000. See nbhub --help.")
        if option in FLAGS:
            if equals:
                raise ConfigError(f"{name} takes no value; write just {name}.")
            yield option, name, ""
            continue
        _check_option(option, name)
        if not equals:
            value = next(words, "")
            is_option = value.startswith("-") and not value[1:2].isdigit() and (option, value) != ("config", "-")
            if not value or is_option:
                raise ConfigError(f"{name} needs a value: write {name}=VALUE.")
        yield option, name, value


def _check_option(option: str, name: str) -> None:
    section, dot, setting = option.partition(".")
    if dot and section[:1].isupper() and setting.isidentifier():
        return
    if option not in OPTIONS and option != "config":
        known = [f"--{known}" for known in (*OPTIONS, *FLAGS, "config")]
        raise ConfigError(f"There is no option {name}{did_you_mean(name, known)} See nbhub --help.")


def _command_line(options: Sequence[tuple[str, str, str]]) -> tuple[Config, dict[Setting, str]]:
    values: dict[Setting, list[str]] = {}
    places: dict[Setting, str] = {}
    for option, name, value in options:
        path, text = FLAGS.get(option, (OPTIONS.get(option, option), value))
        section, _, setting = path.partition(".")
        key = (section, setting) if section == "JupyterHub" else our_name(section, setting)
        values.setdefault(key, []).append(text)
        places[key] = f"command line ({name})"
    config = Config()
    for (section, setting), texts in values.items():
        # Given several times: one item each for a list, the last one for anything else.
        config[section][setting] = DeferredConfigString(texts[0]) if len(texts) == 1 else DeferredConfigList(texts)
    return config, places
