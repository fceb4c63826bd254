"""Plays frozen pages that were recorded earlier, in the order of their file names: for tests without an ERP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scraper_agent.ports import Page, Sighting
from scraper_agent.recipe import Recipe

SUFFIX = ".xhtml"


@dataclass(frozen=True, slots=True)
class ReplayBrowser:
    """Serves `<folder>/<snap>.xhtml` and `<folder>/<snap>-<n>.xhtml`; sources first, as a live harvest does."""

    folder: Path

    def harvest(
        self,
        recipe: Recipe,
        parameters: Mapping[str, str],  # noqa: ARG002 - nothing to fill in
        done: frozenset[str] = frozenset(),  # noqa: ARG002 - it never waits for a person
    ) -> Iterator[Sighting]:
        sources = [s.page for s in recipe.sources.values()]
        for name in dict.fromkeys((*sources, recipe.document.page)):
            for path in sorted(self.folder.glob(f"{name}*{SUFFIX}")):
                if path.stem == name or path.stem.removeprefix(f"{name}-").isdigit():
                    yield Page(name=name, url=f"replay:{path.name}", frozen=path.read_bytes(), image=None)
