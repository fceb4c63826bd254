"""What tests have from npm: installed once for each lock file, which names no registry."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path


def installed(here: Path, cache: Path) -> Path:
    """The folder `node_modules` for the `package-lock.json` in `here`; it lies below `cache`."""
    lock = (here / "package-lock.json").read_bytes()
    folder = cache / hashlib.sha256(lock).hexdigest()[:12]
    if not (folder / "complete").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                _install(here, folder)
    return folder / "node_modules"


def _install(here: Path, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is missing: the components come from npm.\nhint: apt-get install nodejs npm")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(here / name, folder / name)
    options = ["--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run([npm, "ci", *options], cwd=folder, check=True)
    (folder / "complete").touch()
