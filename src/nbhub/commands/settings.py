"""Commands about settings and versions: settings, config, version."""

from __future__ import annotations

from nbhub import PROTOCOL_VERSION, __version__, config, inspection, reference, schema
from nbhub.commands.call import Call, built, installed_classes, say
from nbhub.errors import ConfigError
from nbhub.traits import did_you_mean


def settings(call: Call) -> int:
    """List all settings."""
    write = reference.markdown if "--markdown" in call.flags else reference.text
    print(write(installed_classes()))
    return 0


def configuration(call: Call) -> int:
    """Check, show or generate a configuration, or print its schema."""
    doing, file = call.words[0], call.words[1] if len(call.words) > 1 else ""
    if doing == "generate":
        return inspection.generate(installed_classes(), file, say)
    if doing == "schema":
        print(schema.document(installed_classes()))
        return 0
    if doing not in ("check", "show"):
        known = ["check", "show", "generate", "schema"]
        raise ConfigError(f"There is no command config {doing[:64]!r}{did_you_mean(doing, known)} See nbhub --help.")
    loaded = config.load([*call.options, *(["-f", file] if file else [])])
    hub, warnings = built(loaded)
    return inspection.report(hub, loaded, warnings, say, values=doing == "show")


def version(call: Call) -> int:
    """Print the version, and that of the protocol."""
    print(f"nbhub {__version__} (speaks the protocol of JupyterHub {PROTOCOL_VERSION})")
    return 0
