"""The page that goes with a bundle: per document the facts in order, its fields, its pages, what was sent and answered.

It opens without a network and without a script. Everything in it that came from a page is hostile, and is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

import jinja2
from markupsafe import Markup

from scraper_agent import canonical
from scraper_agent.errors import AgentError
from scraper_agent.format import Format
from scraper_agent.report import facts, pages, view, words
from scraper_agent.report.body import Cell, Name
from scraper_agent.report.view import Sheet, Spot, View
from scraper_agent.values import Digest, Draft, Entry, Envelope, Job, JobId, Receipt

MOST_DOCUMENTS = 200
"""On one page; a browser opens no more with ease."""
MOST_IMAGES = 300
_LONGEST_BYTES = 40_000
"""Of what was sent, as far as it is shown."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the head of the page says. `keys`: by fingerprint, whose it is."""

    by: str
    reason: str
    asked: Mapping[str, str]
    origin: str
    size: int
    root: str
    at: datetime
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    entry: int
    at: str
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value. `line`: 0 in the header. `origin`: None where nothing tells it."""

    line: int
    name: Name
    cell: Cell
    origin: Spot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Something that left or came. `note`: why `text` is empty."""

    digest: Digest
    text: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    sheet: Sheet
    facts: tuple[Fact, ...]
    rows: tuple[Row, ...]
    pages: tuple[int, ...]
    shown_before: frozenset[int]
    """Of its pages those that stand with an earlier document."""
    sent: tuple[Bytes, ...]
    receipts: tuple[Bytes, ...]


def page(
    entries: Iterable[tuple[int, bytes]],
    get: Callable[[Digest], bytes],
    documents: Sequence[JobId],
    formats: Mapping[str, Format],
    about: About,
    *,
    images: bool,
) -> bytes:
    """The page in the language chosen in `messages`, of the first `MOST_DOCUMENTS`. `entries`: those of the bundle."""
    shown = documents[:MOST_DOCUMENTS]
    books = _Books(entries, get)
    found = view.build(books, [], shown, formats, held_because={}, most_images=MOST_IMAGES if images else 0)
    env = jinja2.Environment(
        loader=jinja2.FunctionLoader(_beside),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = env.get_template("evidence.html").render(
        about=about,
        documents=list(_documents(found, books, formats)),
        more=len(documents) - len(shown),
        images=images,
        pages=found.pages,
        problems=found.problems,
        moment=pages.moment,
        say=words.say,
        policy=_POLICY,
        style=Markup(_beside("report.css") + _beside("evidence.css")),  # noqa: S704 - our own files
    )
    return made.encode()


class _Books:
    """The bundle's entries, as an archive has them."""

    def __init__(self, entries: Iterable[tuple[int, bytes]], get: Callable[[Digest], bytes]) -> None:
        self._entries = [canonical.entry(data) for _, data in entries]
        self._jobs: dict[JobId, list[Entry]] = {}
        for entry in self._entries:
            self._jobs.setdefault(entry.job, []).append(entry)
        self._get = get

    def job(self, id: JobId) -> Job:
        return Job(id=id, facts=tuple(entry.fact for entry in self.of(id)))

    def of(self, id: JobId) -> Sequence[Entry]:
        return self._jobs.get(id, ())

    def entries(self, start: int = 0) -> Iterator[Entry]:
        return iter(self._entries[start:])

    def get(self, digest: Digest) -> bytes:
        return self._get(digest)


def _documents(found: View, books: _Books, formats: Mapping[str, Format]) -> Iterator[Document]:
    before: set[int] = set()
    for sheet in found.sheets:
        entries = books.of(sheet.id)
        rows = tuple(_rows(sheet, found.origins))
        numbers = {sheet.page} | {row.origin.page for row in rows if row.origin and row.origin.page is not None}
        masked = _masks(entries, formats)
        yield Document(
            sheet=sheet,
            facts=tuple(
                Fact(
                    entry=entry.index,
                    at=pages.moment(entry.at),
                    kind=type(entry.fact).__name__,
                    sentence=facts.sentence(entry.fact),
                )
                for entry in entries
            ),
            rows=rows,
            pages=tuple(sorted(numbers)),
            shown_before=frozenset(numbers & before),
            sent=tuple(
                _bytes(entry.fact.envelope, books, masked=masked)
                for entry in entries
                if isinstance(entry.fact, Envelope)
            ),
            receipts=tuple(
                _bytes(entry.fact.receipt, books, masked=masked) for entry in entries if isinstance(entry.fact, Receipt)
            ),
        )
        before |= numbers


def _rows(sheet: Sheet, origins: Sequence[Spot]) -> Iterator[Row]:
    told = sheet.body
    for name, cell in (*told.header, *told.program):
        yield Row(line=0, name=name, cell=cell, origin=_origin(cell, origins))
    for number, line in enumerate(told.lines, 1):
        for name, cell in zip(told.columns, line, strict=True):
            if cell.text or cell.fault:
                yield Row(line=number, name=name, cell=cell, origin=_origin(cell, origins))


def _origin(cell: Cell, origins: Sequence[Spot]) -> Spot | None:
    return None if cell.origin is None else origins[cell.origin]


def _masks(entries: Sequence[Entry], formats: Mapping[str, Format]) -> bool:
    """Whether the document has fields that people may not see whole."""
    drafts = (entry.fact for entry in entries if isinstance(entry.fact, Draft))
    named = (formats.get(draft.format) for draft in drafts)
    return any(of is None or any(each.masked for each in (*of.header, *of.lines)) for of in named)


def _bytes(digest: Digest, books: _Books, *, masked: bool) -> Bytes:
    if masked:
        return Bytes(digest=digest, note=words.say("evidence_masked", digest=digest))
    try:
        data = books.get(digest)
    except AgentError:
        return Bytes(digest=digest, note=words.say("evidence_gone", digest=digest))
    cut = "" if len(data) <= _LONGEST_BYTES else " …"
    return Bytes(digest=digest, text=data[:_LONGEST_BYTES].decode(errors="replace") + cut)


def _beside(name: str) -> str:
    return (resources.files("scraper_agent.report") / name).read_text(encoding="utf-8")
