"""Plays frozen pages that were recorded earlier, in the order of their numbers: for tests without an ERP."""

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
            for path in self._pages(name):
                yield Page(name=name, url=f"replay:{path.name}", frozen=path.read_bytes(), image=None)

    def _pages(self, name: str) -> list[Path]:
        """In the order of their numbers: 2 before 10."""
        numbers = {path: path.stem.removeprefix(name).lstrip("-") for path in self.folder.glob(f"{name}*{SUFFIX}")}
        pages = [path for path, number in numbers.items() if path.stem == name or number.isdecimal()]
        return sorted(pages, key=lambda path: int(numbers[path] or 0))
