"""Write what the image is made of as CycloneDX 1.6: installed Python packages, and the base's Debian packages.

python sbom.py FILE. The same packages make the same file: it holds no time, and its serial number derives from them.
"""

import json
import os
import platform
import sys
import uuid
from importlib import metadata
from pathlib import Path

STATUS = Path("/var/lib/dpkg/status")
RELEASE = Path("/etc/os-release")


def python_packages() -> list[dict]:
    """Components of all distributions that this interpreter finds."""
    found = {}
    for package in metadata.distributions():
        name, version = package.metadata["Name"], package.version
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        found[purl] = component("library", name, version, purl, licence(package.metadata))
    python = platform.python_version()
    found["python"] = component("platform", "python", python, f"pkg:generic/python@{python}", "PSF-2.0")
    return list(found.values())


def licence(fields: metadata.PackageMetadata) -> str:
    """The licence of a package: its SPDX expression, or what it says in words."""
    given = fields.get("License-Expression") or fields.get("License") or ""
    if not given or "\n" in given:
        known = [text for text in fields.get_all("Classifier") or [] if text.startswith("License ::")]
        given = "; ".join(text.rpartition(" :: ")[2] for text in known)
    return given.strip()


def debian_packages() -> list[dict]:
    """Components of the installed Debian packages; none where the base is no Debian."""
    if not STATUS.exists():
        return []
    distribution = {key: value.strip('"') for key, _, value in lines(RELEASE.read_text(), "=")}
    found = []
    for block in STATUS.read_text().split("\n\n"):
        fields = {key: value.strip() for key, _, value in lines(block, ":")}
        if fields.get("Status", "").endswith(" installed"):
            name, version, kind = fields["Package"], fields["Version"], distribution.get("ID", "debian")
            about = f"arch={fields['Architecture']}&distro={kind}-{distribution.get('VERSION_ID', '')}"
            found.append(component("library", name, version, f"pkg:deb/{kind}/{name}@{version}?{about}", ""))
    return found


def lines(text: str, mark: str) -> list[tuple[str, str, str]]:
    """Lines of `key mark value`; continued lines are left out."""
    return [line.partition(mark) for line in text.splitlines() if mark in line and not line.startswith(" ")]


def component(kind: str, name: str, version: str, purl: str, licence_name: str) -> dict:
    """One component as CycloneDX has it."""
    made = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence_name:
        made["licenses"] = [{"license": {"name": licence_name}}]
    return made


def bill() -> dict:
    """The whole document."""
    parts = sorted([*python_packages(), *debian_packages()], key=lambda part: part["purl"])
    [subject] = [part for part in parts if part["name"] == "nbhub"]
    parts.remove(subject)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(parts))}",
        "version": 1,
        "metadata": {"component": {**subject, "type": "application"}},
        "components": parts,
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(bill(), indent=1) + "\n")
    os.utime(sys.argv[1], (0, 0))  # as the files around it
