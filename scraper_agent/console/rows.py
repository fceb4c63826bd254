"""Documents as lines of a list: what each is about, what is said of it, since when it stands so; found by filters.

The index knows state, format, run, ERP, number and age. Amount, findings and case it does not: for those, lines are
looked at one after the other, and what was found out of one is kept until a new fact comes to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from urllib.parse import urlencode

from scraper_agent import canonical, mapping
from scraper_agent.archive.lists import Line, Lists, Wanted
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.format import Format, decode
from scraper_agent.messages import N_
from scraper_agent.ports import Archive
from scraper_agent.report import body
from scraper_agent.values import Digest, Draft, Finding, Job, JobId, Severity, State, Verdict, in_force

PAGE = 50
"""Documents on one page of a list."""
MOST = 1000
"""Documents that one decision may be about."""
LOOKED_AT = 20_000
"""Lines that are looked at for filters the index does not know; what is beyond is found by narrower ones."""
_KEPT = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One document in a list."""

    line: Line
    document: Digest
    amount: tuple[str, Decimal] | None
    """Currency and total."""
    counterparty: str
    lines: int
    findings: tuple[Finding, ...]
    since: datetime
    readable: bool
    """Whether its bytes are there and fit its format."""

    @property
    def id(self) -> JobId:
        return self.line.id

    @property
    def path(self) -> str:
        return path(self.line.id)

    @property
    def told(self) -> tuple[tuple[Finding, int], ...]:
        """Of each code the worst finding, and how many there are; errors come first."""
        worst: dict[str, Finding] = {}
        for finding in sorted(self.findings, key=lambda each: each.severity is not Severity.ERROR):
            worst.setdefault(finding.code, finding)
        counts = Counter(finding.code for finding in self.findings)
        return tuple((finding, counts[code]) for code, finding in worst.items())


def path(id: JobId) -> str:
    """Where the console shows a document: `/documents/<format>/<64 hex>`."""
    return f"/documents/{id.partition('/')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a person asks for; empty asks for nothing."""

    state: State | None = None
    format: str = ""
    erp: str = ""
    run: str = ""
    key: str = ""
    currency: str = ""
    least: Decimal | None = None
    most: Decimal | None = None
    finding: str = ""
    """The beginning of a finding's code; `-`: documents without any."""
    case: str = ""
    days: int | None = None
    """It has stood so for at least so many."""

    @classmethod
    def read(cls, query: Mapping[str, str], state: State | None = None) -> Filter:
        """Raises UsageError: a number is none. Nothing is left out of a filter, for then it would find more."""
        wanted = _text(query, "state")
        if wanted and wanted not in set(State):
            raise UsageError("SA7740", N_("there is no state `{seen}`"), seen=wanted)
        days = _number(query, "days")
        if days is not None and not 0 <= days <= _DAYS:
            raise UsageError("SA7741", N_("`{seen}` is no number of days"), seen=query["days"])
        return cls(
            state=State(wanted) if wanted else state,
            format=_text(query, "format"),
            erp=_text(query, "erp"),
            run=_text(query, "run"),
            key=_text(query, "key"),
            currency=_text(query, "currency").upper(),
            least=_number(query, "least"),
            most=_number(query, "most"),
            finding=_text(query, "finding").upper(),
            case=_text(query, "case"),
            days=None if days is None else int(days),
        )

    @property
    def given(self) -> dict[str, str]:
        """As a query has it; what is not asked for is left out."""
        told = {
            "state": self.state.value if self.state else "",
            "format": self.format,
            "erp": self.erp,
            "run": self.run,
            "key": self.key,
            "currency": self.currency,
            "least": "" if self.least is None else f"{self.least:f}",
            "most": "" if self.most is None else f"{self.most:f}",
            "finding": self.finding,
            "case": self.case,
            "days": "" if self.days is None else str(self.days),
        }
        return {name: value for name, value in told.items() if value}

    def query(self, **more: object) -> str:
        """With what else the address is to have; what is None is left out."""
        changed = {name: "" if value is None else str(value) for name, value in more.items()}
        return urlencode({name: value for name, value in {**self.given, **changed}.items() if value})

    @property
    def deep(self) -> bool:
        """Whether it asks for what the index does not know."""
        return bool(self.currency or self.finding or self.case) or self.least is not None or self.most is not None

    def wanted(self, now: datetime) -> Wanted:
        return Wanted(
            state=self.state,
            format=self.format,
            run=self.run,
            erp=self.erp,
            key_begins=self.key,
            before=None if self.days is None else now - timedelta(days=self.days),
        )

    def holds(self, row: Row) -> bool:
        """Whether what the index does not know of it is as asked for; its case is somebody else's to know."""
        if self.finding == "-" and row.findings:
            return False
        if self.finding not in ("", "-") and not any(f.code.startswith(self.finding) for f in row.findings):
            return False
        if not self.currency and self.least is None and self.most is None:
            return True
        if row.amount is None:
            return False
        currency, total = row.amount
        return (
            self.currency in ("", currency)
            and (self.least is None or total >= self.least)
            and (self.most is None or total <= self.most)
        )


_DAYS = 36_500


def _text(query: Mapping[str, str], name: str) -> str:
    return query.get(name, "").strip()


def _number(query: Mapping[str, str], name: str) -> Decimal | None:
    text = _text(query, name).replace(",", "")
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise UsageError("SA7742", N_("`{seen}` is no number"), hint=N_("write such as 1250000.50"), seen=query[name])
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of a list. `beyond`: where the next one begins; None if there is none."""

    rows: tuple[Row, ...]
    beyond: int | None = None
    broke_off: bool = False
    """So many lines were looked at that the rest was not."""


@dataclass(slots=True)
class Rows:
    """Makes rows, and keeps them: a row is made of the facts up to its last one, and those never change."""

    _known: dict[int, Row] = field(default_factory=dict)

    def of(self, line: Line, lists: Lists, archive: Archive, formats: Mapping[str, Format]) -> Row:
        row = self._known.get(line.last)
        if row is None:
            row = _row(line, lists.at(line.last), archive.job(line.id), archive, formats.get(line.format))
            while len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)), None)
            self._known[line.last] = row
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A filter on an archive, for one request. `case`: the documents of the case that is asked for."""

    rows: Rows
    lists: Lists
    archive: Archive
    formats: Mapping[str, Format]
    now: datetime
    case: Collection[JobId] | None = None

    def page(self, asked: Filter, beyond: int | None = None, *, oldest_first: bool = False) -> Found:
        return self.first(asked, PAGE, beyond, oldest_first=oldest_first)

    def first(self, asked: Filter, most: int, beyond: int | None = None, *, oldest_first: bool = False) -> Found:
        """So many of those that are asked for."""
        found: list[Row] = []
        for looked_at, line in enumerate(self._lines(asked, beyond, oldest_first=oldest_first, each=most + 1)):
            row = self._row(line, asked) if looked_at < LOOKED_AT else None
            if looked_at == LOOKED_AT or (row is not None and len(found) == most):
                return Found(rows=tuple(found), beyond=beyond, broke_off=looked_at == LOOKED_AT)
            if row is not None:
                found.append(row)
            beyond = line.number if asked.state is None else line.last
        return Found(rows=tuple(found))

    def row(self, id: JobId) -> Row | None:
        line = self.lists.line(id)
        return None if line is None else self.rows.of(line, self.lists, self.archive, self.formats)

    def _row(self, line: Line, asked: Filter) -> Row | None:
        if self.case is not None and line.id not in self.case:
            return None
        row = self.rows.of(line, self.lists, self.archive, self.formats)
        return row if asked.holds(row) else None

    def _lines(self, asked: Filter, beyond: int | None, *, oldest_first: bool, each: int) -> Iterator[Line]:
        wanted = asked.wanted(self.now)
        most = 2 * MOST if asked.deep else each
        while lines := self.lists.documents(wanted, most=most, beyond=beyond, oldest_first=oldest_first):
            yield from lines
            if len(lines) < most:
                return
            beyond = lines[-1].number if wanted.state is None else lines[-1].last


def _row(line: Line, since: datetime, job: Job, archive: Archive, format: Format | None) -> Row:
    draft = job.facts[0]
    if not isinstance(draft, Draft):
        raise TypeError(f"{job.id} is not a document")
    found = next((fact.findings for fact in reversed(job.facts) if isinstance(fact, Verdict)), draft.unread)
    row = Row(
        line=line,
        document=in_force(job),
        amount=None,
        counterparty="",
        lines=0,
        findings=found,
        since=since,
        readable=False,
    )
    if format is None:
        return row
    try:
        document = decode(format, archive.get(row.document))
    except (AgentError, ValueError):
        return row
    return replace(
        row,
        amount=mapping.amount(document, format),
        counterparty=body.counterparty(document),
        lines=len(document.lines),
        readable=True,
    )


# --- many at once ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What the documents of one currency come to; `currency` empty: those without a total."""

    currency: str
    documents: int
    total: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one decision on many documents is about, to be looked at before it is made."""

    rows: tuple[Row, ...]
    gone: int = 0
    """Of those that were chosen, how many do not stand as they did."""

    @property
    def sums(self) -> tuple[Sum, ...]:
        counts = Counter(row.amount[0] if row.amount else "" for row in self.rows)
        totals: dict[str, Decimal] = {}
        for row in self.rows:
            if row.amount is not None:
                totals[row.amount[0]] = totals.get(row.amount[0], Decimal(0)) + row.amount[1]
        return tuple(
            Sum(currency=currency, documents=counts[currency], total=totals.get(currency))
            for currency in sorted(counts, key=lambda each: (each == "", each))
        )

    @property
    def formats(self) -> tuple[tuple[str, int], ...]:
        return tuple(Counter(row.line.format for row in self.rows).most_common())

    @property
    def codes(self) -> tuple[tuple[str, int], ...]:
        """Codes of findings, and of how many documents each is said."""
        return tuple(Counter(code for row in self.rows for code in {f.code for f in row.findings}).most_common())

    @property
    def shown(self) -> str:
        """One line for each document: its number, and the digest of the bytes that the decision is about."""
        return "\n".join(f"{row.id} {row.document}" for row in self.rows)

    @property
    def digest(self) -> str:
        """Of all that; first digits of it tell two batches apart."""
        return canonical.sm3(self.shown.encode()).hex()


def read_shown(text: str) -> list[tuple[JobId, Digest]]:
    """The inverse of `Batch.shown`.

    Raises:
        UsageError: it is not such a list, or has more than `MOST`.
    """
    pairs = [tuple(line.split(" ")) for line in text.splitlines()]
    if not pairs or len(pairs) > MOST or not all(len(p) == 2 and p[1].startswith("sm3:") for p in pairs):  # noqa: PLR2004
        raise UsageError(
            "SA7743",
            N_("what was chosen cannot be read; one decision is about 1 to {most} documents"),
            hint=N_("choose them again"),
            most=MOST,
        )
    return [(JobId(id), Digest(digest)) for id, digest in pairs]


def batch(search: Search, ids: Sequence[JobId], state: State) -> Batch:
    """Of the documents that were chosen, those that stand so now."""
    rows = [row for id in dict.fromkeys(ids) if (row := search.row(id)) is not None]
    still = tuple(row for row in rows if row.line.state is state)
    return Batch(rows=still, gone=len(dict.fromkeys(ids)) - len(still))
