"""One edition of a recipe: every file that decides what is read and asked, byte for byte, and what they say together.

What is approved is an edition's digest. It is over the bytes of the files and over their names, but not over the
folders they lie in: a comment or a space more is another edition, a copy elsewhere is the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import RootModel

from scraper_agent import canonical, yamlfile
from scraper_agent.authoring import overlay
from scraper_agent.recipe import Recipe
from scraper_agent.values import Digest

Tables = Mapping[str, Mapping[str, str]]
"""Table -> the page's word -> the code."""


class TablesFile(RootModel[dict[str, dict[str, str]]]):
    """A lookup file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    recipe: Recipe
    lookups: Tables
    files: Mapping[str, bytes]
    """By name: `0/order.yaml` is the recipe's own, `1/…` what it extends and so on; `0/lookups/…` a file that it names.
    """

    @property
    def digest(self) -> Digest:
        return canonical.digest(manifest(self.files))


def listed(files: Mapping[str, bytes]) -> dict[str, Digest]:
    """Each file's own digest."""
    return {name: canonical.digest(body) for name, body in files.items()}


def manifest(files: Mapping[str, bytes]) -> bytes:
    """What the edition's digest is of: canonical JSON of name -> digest."""
    return canonical.dumps(listed(files))


def own_name(place: int, path: Path) -> str:
    """Of the recipe file that is number `place` of those which extend each other, from 0."""
    return f"{place}/{path.name}"


def lookup_name(place: int, where: str) -> str:
    """Of the lookup file that recipe file `place` names so."""
    return f"{place}/lookups/{where}"


def recall(files: Mapping[str, bytes]) -> Edition:
    """The edition that these files were, as this version of the program reads them.

    Raises:
        SourceErrors: it does not: what recipes may say has changed since.
    """
    own = sorted((name for name in files if len(PurePosixPath(name).parts) == 2), key=_place)  # noqa: PLR2004
    source = overlay.merged([yamlfile.source(files[name], Path(name)) for name in own]).source
    recipe = yamlfile.fit(source, Recipe)
    tables: dict[str, Mapping[str, str]] = {}
    for name, where in recipe.lookups.items():
        if isinstance(where, str):
            kept = lookup_name(_place(source.positions.of(("lookups", name)).path.as_posix()), where)
            tables[name] = yamlfile.fit(yamlfile.source(files[kept], Path(kept)), TablesFile).root[name]
        else:
            tables[name] = where
    return Edition(recipe=recipe, lookups=tables, files=files)


def _place(name: str) -> int:
    return int(name.partition("/")[0])
