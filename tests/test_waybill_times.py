"""WB-04 and WB-05: waybills that are uploaded late, and transports that begin before their waybill is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from scraper_agent import messages
from scraper_agent.analysis import Analysis
from scraper_agent.analysis.book import Book
from scraper_agent.analysis.settings import DEFAULT
from scraper_agent.analysis.waybills import Times
from scraper_agent.cases import Paper
from scraper_agent.values import JobId, State
from tests.papers import paper
from tests.waybills import DANGEROUS, STATUS

NUMBER = "WB2024000000000000000001"
MORNING, NOON = datetime(2026, 3, 2, 6, 30), datetime(2026, 3, 2, 12, 0)  # noqa: DTZ001 - local time of China
EVENING = datetime(2026, 3, 1, 20, 0)  # noqa: DTZ001


def waybill(number: str = NUMBER, departure: date = date(2026, 3, 2)) -> Paper:
    return paper(DANGEROUS.name, number, {"i1": number, "i41": departure})


def change(status: str = "running", at: datetime = MORNING, number: str = NUMBER) -> Paper:
    return paper(STATUS.name, f"{number} {status}", {"i1": number, "status": status, "at": at})


def told(
    of: Paper,
    *others: Paper,
    now: datetime,
    accepted: datetime | None = None,
    states: Mapping[JobId, State] | None = None,
) -> list[str]:
    papers = (of, *others)
    known = {each.id: State.HELD for each in papers} | dict(states or {})
    times = Times(now=lambda: now, accepted=lambda id: accepted if DANGEROUS.name in id else None)
    found = Analysis(Book(papers, known, DEFAULT), times).findings(of.id)
    return [f"{f.severity} {f.code} {f.field} {messages.render(f.text, f.values)}" for f in found]


LATE = "warning WB-04 i41 is 2026-03-02: a waybill is uploaded before the transport starts, and this one is late"


def test_a_waybill_is_late_from_the_day_after_its_departure_on() -> None:
    assert told(waybill(), now=NOON) == []
    assert told(waybill(), now=datetime(2026, 3, 2, 23, 59, 59)) == []  # noqa: DTZ001
    assert told(waybill(), now=datetime(2026, 3, 3)) == [LATE]  # noqa: DTZ001


def test_what_is_told_of_a_late_waybill_does_not_change_from_day_to_day() -> None:
    assert told(waybill(), now=datetime(2026, 4, 1)) == [LATE]  # noqa: DTZ001


def test_a_waybill_that_was_accepted_in_time_is_not_late_afterwards() -> None:
    assert told(waybill(), now=datetime(2026, 4, 1), accepted=NOON) == []  # noqa: DTZ001


def test_on_its_day_a_waybill_is_late_if_the_transport_is_known_to_have_begun() -> None:
    assert told(waybill(), change(), now=NOON) == [
        (
            "warning WB-04 i41 is 2026-03-02, and the transport began at 2026-03-02 06:30:00: "
            "a waybill is uploaded before it starts, and this one is late"
        )
    ]
    assert told(waybill(), change(at=NOON), now=MORNING) == [], "it is to begin later"
    assert told(waybill(), change("void"), now=NOON) == []
    assert told(waybill(), change(number="WB2024000000000000000002"), now=NOON) == []


def test_a_change_that_came_to_nothing_says_nothing() -> None:
    declined = change()
    assert told(waybill(), declined, now=NOON, states={declined.id: State.DECLINED}) == []


def test_a_transport_that_began_before_its_waybill_was_accepted_is_told() -> None:
    assert told(change(), waybill(), now=NOON, accepted=NOON) == [
        (
            f"warning WB-05 at is 2026-03-02 06:30:00, but {DANGEROUS.name} {NUMBER} was accepted at "
            "2026-03-02 12:00:00: the transport is to start only afterwards"
        )
    ]
    assert told(change(), waybill(), now=NOON, accepted=EVENING) == []
    assert told(change("done"), waybill(), now=NOON, accepted=NOON) == []


def test_a_transport_whose_waybill_is_not_accepted_yet_is_told() -> None:
    assert told(change(), waybill(), now=NOON) == [
        (
            f"warning WB-05 at is 2026-03-02 06:30:00, but {DANGEROUS.name} {NUMBER} is not accepted yet: "
            "the transport is to start only afterwards"
        )
    ]


def test_without_a_clock_nothing_is_told_of_time() -> None:
    papers = (waybill(), change())
    analysis = Analysis(Book(papers, {each.id: State.HELD for each in papers}, DEFAULT))
    assert [f for each in papers for f in analysis.findings(each.id)] == []


def test_of_two_changes_in_one_second_the_one_told_later_holds() -> None:
    papers = (waybill(), change("running", NOON), change("done", NOON))
    analysis = Analysis(Book(papers, {each.id: State.HELD for each in papers}, DEFAULT))
    assert analysis.waybills.changes(NUMBER) == [(NOON, "running"), (NOON, "done")]
