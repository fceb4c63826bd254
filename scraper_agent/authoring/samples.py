"""Samples: frozen pages beside a recipe, and the document and findings that they must give.

`recipes/<erp>/<page>.samples/<case>/` holds `<snap>.xhtml` for every snap that is read and `expected.txt`. A change of
the recipe, the reader or the rules shows as a difference in that file, which a person reads before accepting it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from scraper_agent import canonical, mapping, messages
from scraper_agent.authoring.load import Loaded
from scraper_agent.errors import PageError, UsageError
from scraper_agent.format import Context, Document, Field, Format, encode
from scraper_agent.messages import N_
from scraper_agent.values import Digest, JobId

SUFFIX = ".xhtml"
EXPECTED = "expected.txt"

PROFILE = {
    "uscc": "91350100M000100Y43",
    "name": "Sample Enterprise",
    "customs_code": "3101910001",
    "customs_master": "2200",
    "special_zone": "0",
}
"""The enterprise of every sample; its code is the example of GB 32100."""

_THEN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case: what the agent says now, and the lines by which that differs from what was accepted.

    Certificate numbers stand whole in the first alone.
    """

    case: Path
    said: tuple[str, ...]
    difference: tuple[str, ...]


def folder(recipe_path: Path) -> Path:
    return recipe_path.with_suffix(".samples")


def cases(recipe_path: Path) -> list[Path]:
    return sorted(p for p in folder(recipe_path).glob("*") if p.is_dir())


def outcomes(loaded: Loaded) -> Iterator[Outcome]:
    """Every case of the recipe.

    Raises:
        UsageError: it has none.
    """
    found = cases(loaded.path)
    if not found:
        raise UsageError(
            "SA1301",
            N_("the recipe {path} has no samples in {folder}"),
            hint=N_("run it once, then `scraper-agent recipe accept RECIPE --job JOB --case NAME` records one"),
            path=loaded.path,
            folder=folder(loaded.path),
        )
    for case in found:
        said = tuple(_play(loaded, case))
        accepted = case / EXPECTED
        before = accepted.read_text(encoding="utf-8").splitlines() if accepted.exists() else []
        difference = difflib.unified_diff(before, said, str(accepted), "now", lineterm="", n=2)
        yield Outcome(case=case, said=said, difference=tuple(_masked(line, loaded.format) for line in difference))


def accept(outcome: Outcome) -> None:
    (outcome.case / EXPECTED).write_text("\n".join(outcome.said) + "\n", encoding="utf-8")


def record(recipe_path: Path, case: str, pages: list[tuple[str, bytes]]) -> Path:
    """Write frozen pages (snap name, bytes) as a new case.

    Raises:
        UsageError: the case is there already, or its name is not a plain one.
    """
    target = folder(recipe_path) / case
    if not case or Path(case).name != case or case.startswith("."):
        raise UsageError("SA1302", N_("`{seen}` is no name for a case"), hint=N_("letters, digits, _"), seen=case)
    if target.exists():
        raise UsageError(
            "SA1303", N_("the case {path} exists"), hint=N_("delete its folder, or choose another name"), path=target
        )
    target.mkdir(parents=True)
    seen: dict[str, int] = {}
    for name, frozen in pages:
        seen[name] = seen.get(name, 0) + 1
        number = f"-{seen[name]}" if seen[name] > 1 else ""
        (target / f"{name}{number}{SUFFIX}").write_bytes(frozen)
    return target


def _play(loaded: Loaded, case: Path) -> Iterator[str]:
    """The case in words: one line a value, then the findings. Never in another language than English."""
    reader = mapping.Reader(recipe=loaded.recipe, format=loaded.format, lookups=loaded.lookups, profile=PROFILE)
    for source in loaded.recipe.sources.values():
        for path in _pages(case, source.page):
            frozen = path.read_bytes()
            reader.learn(source.page, frozen, canonical.digest(frozen))
    beside = {name: _pages(case, name) for name in reader.pages_beside()}
    for number, path in enumerate(_pages(case, loaded.recipe.document.page)):
        frozen = path.read_bytes()
        try:
            for name, pages in beside.items():
                if number < len(pages):
                    other = pages[number].read_bytes()
                    reader.lay_beside(name, other, canonical.digest(other))
            yield from _document(loaded, reader, frozen, canonical.digest(frozen))
        except PageError as error:
            yield f"refused: {error.code} {messages.english(error.text, error.values)}"


def _masked(line: str, format: Format) -> str:
    """A line of a difference without the numbers that are not shown whole."""
    for id, field in format.header_fields.items():
        if field.masked and (found := re.match(rf"([ +-]?{id}: )(.*?)((?:  <- .*)?)$", line)):
            line = f"{found[1]}{field.masked_in(found[2], found[2])}{found[3]}"
    for id, field in format.line_fields.items():
        if field.masked:
            line = re.sub(rf"(?<=\b{id}=)[^,]*", partial(_hidden, field), line)
    return line


def _hidden(field: Field, value: re.Match[str]) -> str:
    return field.masked_in(value[0], value[0])


def _pages(case: Path, name: str) -> list[Path]:
    found = [p for p in case.glob(f"{name}*{SUFFIX}") if p.stem == name or p.stem.removeprefix(f"{name}-").isdigit()]
    return sorted(found, key=lambda p: (len(p.stem), p.stem))


def _document(loaded: Loaded, reader: mapping.Reader, frozen: bytes, digest: Digest) -> Iterator[str]:
    reading = reader.read(frozen, digest)
    stamp = mapping.Stamp(page=digest, taken_at=_THEN, reported_at=_THEN, replaces=None, operator=None)
    id = JobId("doc/sample")
    document = mapping.document(reading, loaded.format, loaded.recipe, PROFILE, id, stamp)
    targets = {o.field: o.target for o in reading.origins}
    yield f"record: {reading.record}"
    shown = Document(format=document.format, header=reading.header, lines=reading.lines)
    encode(shown, loaded.format)  # every value has a byte form
    for field, value in reading.header.items():
        yield f"{field}: {value}  <- {targets[field]}"
    for number, line in enumerate(reading.lines, 1):
        yield f"line {number}: " + ", ".join(f"{field}={value}" for field, value in line.items())
    for finding in (*reading.unread, *loaded.format.check(document, Context())):
        text = messages.english(finding.text, finding.values)
        yield f"{finding.severity} {finding.code} {finding.field} {text}"
