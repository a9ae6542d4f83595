"""The shape of the house: what is declared is documented, files stay small, nothing of one machine gets in."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbhub import config, reference
from nbhub.commands.call import all_classes

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "nbhub"
MODULES = sorted(SOURCE.rglob("*.py"))
MIGRATIONS = SOURCE / "store" / "migrations"

FILE_LIMIT = 450
FUNCTION_LIMIT = 60

# Words that would tie the repository to one machine or to one package registry.
_FOREIGN = re.compile(
    r"(?<!user)(?<!users)/root/|/work/(?:main|shared)|/tmp/(?:nbenv|uvenv)|(?:files\.|test\.)?pypi\.org|pythonhosted\.org"
    r"|--(?:extra-)?index-url\s+http|--trusted-host"
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> Iterator[Path]:
    """Every file of the repository that exists, known to git or new; all below the root where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return (ROOT / line for line in listed if (ROOT / line).is_file())


def test_every_setting_is_explained() -> None:
    classes = reference.sections(all_classes())
    silent = [
        f"{cls.__name__}.{key}"
        for cls in classes
        for key, trait in reference.own_settings(cls).items()
        if not trait.help
    ]
    assert silent == []
    assert len(classes) >= 5


def test_the_reference_of_settings_is_current() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written.rstrip("\n") == reference.markdown(all_classes()).rstrip("\n"), "run `make docs`"


def test_every_short_option_is_a_setting() -> None:
    paths = [*config.OPTIONS.values(), *(path for path, _ in config.FLAGS.values())]
    known = {cls.__name__: cls.class_trait_names(config=True) for cls in all_classes()}
    assert [path for path in paths if path.split(".")[1] not in known[path.split(".")[0]]] == []


def test_every_module_and_room_says_what_it_is_for() -> None:
    silent = [name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []
    rooms = [path for path in MODULES if path.name == "__init__.py" and path.parent.parent == SOURCE]
    short = [name(path) for path in rooms if len(ast.get_docstring(ast.parse(path.read_text())) or "") < 60]
    assert short == []


def test_files_can_be_read_in_one_sitting() -> None:
    files = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    long = {
        name(path): count
        for path in files
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LIMIT
    }
    assert long == {}


def test_functions_are_small() -> None:
    long = {
        f"{name(path)}:{node.lineno} {node.name}": length
        for path in MODULES
        if MIGRATIONS not in path.parents
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LIMIT
    }
    assert long == {}


def test_imports_stand_at_the_top() -> None:
    inside = [
        f"{name(path)}:{inner.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_jupyterhub_is_not_imported() -> None:
    found = re.compile(r"^\s*(?:from|import) jupyterhub\b", re.MULTILINE)
    assert [name(path) for path in MODULES if found.search(path.read_text(encoding="utf-8"))] == []


def test_nothing_of_one_machine_or_registry_gets_in() -> None:
    here = Path(__file__).resolve()
    foreign = []
    for path in tracked():
        if path.resolve() == here or path.stat().st_size > 5_000_000:
            continue
        text = path.read_bytes().decode("utf-8", "ignore")
        foreign += [f"{name(path)}: {match[0]}" for match in _FOREIGN.finditer(text)]
    assert foreign == []


@pytest.mark.parametrize(
    "lock", ["requirements/run.lock", "requirements/dev.lock", "src/nbhub/notebook-requirements.lock"]
)
def test_lock_files_pin_everything_with_hashes(lock: str) -> None:
    pinned = [line for line in (ROOT / lock).read_text().splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pinned) > 20
    assert [line for line in pinned if not re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+( ;.*)? \\$", line)] == []


def test_the_run_lock_is_part_of_the_dev_lock() -> None:
    run, dev = ((ROOT / "requirements" / f"{kind}.lock").read_text().splitlines() for kind in ("run", "dev"))
    missing = {line.split(" ")[0] for line in run if "==" in line} - {
        line.split(" ")[0] for line in dev if "==" in line
    }
    assert missing == set()
