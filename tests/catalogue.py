"""The catalogue of messages, kept in step with the code: `python -m tests.catalogue [--check]`.

Every text marked `N_("…")` in `scraper_agent`, or said by `t("…")` in a template of the console, is in `zh_CN.po`: new
ones come in with an empty translation, those that are gone leave. What is written depends on the texts alone, so that
two people who extract get the same file.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parent.parent / "scraper_agent"
CATALOGUE = PACKAGE / "locale" / "zh_CN.po"

_HEAD = """\
msgid ""
msgstr ""
"Language: zh_CN\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Difference:
    missing: tuple[str, ...]
    """Marked in the code, but not translated."""
    obsolete: tuple[str, ...]
    """Translated, but marked nowhere."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.obsolete)

    def __str__(self) -> str:
        return "\n".join(
            f"{word}: {id!r}" for word, ids in (("missing", self.missing), ("obsolete", self.obsolete)) for id in ids
        )


@cache
def marked() -> frozenset[str]:
    """Every text that the code marks with `N_`, and what templates say by `t`."""
    found = extract_from_dir(PACKAGE, [("**.py", "python")], keywords={"N_": None})
    return frozenset(id for _, _, id, _, _ in found if isinstance(id, str) and id) | said()


@cache
def said() -> frozenset[str]:
    """Every text that a template of the console says."""
    found = extract_from_dir(PACKAGE / "console", [("**/templates/**.html", "jinja2")], keywords={"t": None})
    return frozenset(id for _, _, id, _, _ in found if isinstance(id, str) and id)


def translated() -> Catalog:
    """What the file holds; empty if there is none yet."""
    if not CATALOGUE.exists():
        return Catalog(locale="zh_CN")
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh_CN", abort_invalid=True)


def translations() -> dict[str, str]:
    return {str(m.id): str(m.string or "") for m in translated() if m.id}


def difference() -> Difference:
    known = translations()
    return Difference(
        missing=tuple(sorted(id for id in marked() if not known.get(id))),
        obsolete=tuple(sorted(known.keys() - marked())),
    )


def text() -> str:
    """The file as it should be."""
    known = translations()
    catalogue = Catalog(locale="zh_CN")
    for id in marked():
        catalogue.add(id, known.get(id, "")).flags.clear()  # babel's guess at `%` in a text is no fact about it
    out = io.BytesIO()
    write_po(out, catalogue, width=_WIDTH, omit_header=True, no_location=True, sort_output=True)
    return _HEAD + out.getvalue().decode().strip("\n") + "\n"


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        found = difference()
        if found:
            print(found, file=sys.stderr)
        return 1 if found else 0
    fresh = text()
    CATALOGUE.parent.mkdir(exist_ok=True)
    CATALOGUE.write_text(fresh, encoding="utf-8", newline="\n")
    found = difference()
    if found:
        print(found, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
