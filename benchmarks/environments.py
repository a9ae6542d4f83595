"""Makes what the benchmarks compare with: `python -m benchmarks.environments`.

Kept in .cache/bench, so that a second run is free.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(os.environ.get("BENCH_SOURCE") or ROOT / "src")  # of nbhub, so that two states of it can be compared
CACHE = ROOT / ".cache" / "bench"
JUPYTERHUB = CACHE / "jupyterhub"
PROXY = CACHE / "chp"
NOTEBOOK = Path(os.environ.get("BENCH_NOTEBOOK") or CACHE / "notebook")  # an environment with JupyterLab


def make() -> None:
    """Install JupyterHub, its proxy and a notebook environment, with the interpreter that runs this."""
    for packages in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        compileall.compile_dir(packages, quiet=2, workers=0)  # as an installation by pip does; not all installers do
    _environment(JUPYTERHUB, ["jupyterhub==6.1.1"], proof="jupyterhub")
    _environment(NOTEBOOK, ["jupyterhub==6.1.1", "jupyterlab", "ipykernel"], proof="jupyterhub-singleuser")
    proxy = PROXY / "node_modules" / ".bin" / "configurable-http-proxy"
    if not proxy.exists():
        if shutil.which("npm") is None:
            raise SystemExit("npm is missing; install Node.js 18 or later, JupyterHub's proxy needs it.")
        PROXY.mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--prefix", str(PROXY), "--no-audit", "--no-fund", "configurable-http-proxy@5.3"])


def _environment(folder: Path, packages: list[str], *, proof: str) -> None:
    if (folder / "bin" / proof).exists():
        return
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages])


def _run(command: list[str]) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    make()
