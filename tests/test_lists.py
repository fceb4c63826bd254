"""Lists, searches and sums of the archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from scraper_agent import canonical, values
from scraper_agent.archive import derived, verify
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.values import Digest, Fact, JobId, State

NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
RUN = JobId("run/1")
EXCLUDED = "610102199001011234"
"""What no list may find: a certificate of a driver, shown to people masked."""


class Filled:
    """An archive, and the time of its next fact."""

    def __init__(self, path: Path) -> None:
        self.now = NOW
        self.archive = SqliteArchive(path, lambda: self.now)
        self.archive._db.execute("PRAGMA synchronous = OFF")

    def log(self, job: str, *facts: Fact) -> JobId:
        id = JobId(job)
        for fact in facts:
            self.archive.append(id, self.archive.length(id), fact)
        return id

    def document(self, number: int, *facts: Fact, format: str = "foreignInvoice", **header: str) -> JobId:
        body = self.archive.put(json.dumps({"format": format, "header": header, "lines": []}).encode())
        draft = values.Draft(
            run=RUN, format=format, key=f"INV-{number}", record="r", document=body, provenance=body, page=body
        )
        return self.log(f"doc/{format}/{number:064}", draft, *facts)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    made = Filled(tmp_path / "archive.db")
    with made.archive:
        yield made


BODY = canonical.digest(b"body")


def started(by: str, recipe_id: str = "u8/order") -> values.RunStarted:
    return values.RunStarted(
        recipe_id=recipe_id,
        recipe_version="1",
        recipe=BODY,
        policy=BODY,
        parameters={},
        started_by=canonical.sm3(by.encode()).hex(),
        agent="1.0",
        dry_run=False,
    )


def approved(by: str, document: Digest = BODY, *, granted: bool = True) -> values.Approval:
    return values.Approval(document=document, granted=granted, by=by, reason='"by":"person:nobody"')


def refused(url: str) -> values.Refused:
    return values.Refused(method="POST", url=url, reason="write")


def receipt(*, accepted: bool) -> values.Receipt:
    return values.Receipt(envelope=BODY, receipt=BODY, accepted=accepted, remote_id="1", message="")


# --- facts ----------------------------------------------------------------------------------------------------------


def test_facts_are_found_by_kind_person_job_and_time_newest_first_a_page_at_a_time(filled: Filled) -> None:
    lists = filled.archive.lists
    filled.log(RUN, started("王芳"), refused("https://erp/a"), refused("https://erp/b"))
    filled.now += timedelta(hours=1)
    for number in range(3):
        filled.document(number, approved("person:王芳" if number else "policy"))
    filled.now += timedelta(hours=1)
    last = filled.log("session/u8", values.Cleared(by="person:李雷"))

    def found(**asked: object) -> list[int]:
        return [entry.index for entry in lists.facts(**asked)]  # type: ignore[arg-type]

    assert found() == list(reversed(range(10)))
    assert found(most=4) == [9, 8, 7, 6]
    assert found(most=4, before=6) == [5, 4, 3, 2]
    assert found(kinds=["Refused"]) == [2, 1]
    assert found(kinds=["Refused"], most=1, before=2) == [1]
    assert found(kinds=["Refused", "Cleared"]) == [9, 2, 1]
    assert found(person="王芳") == [8, 6, 0], "what they did, and the run they started"
    assert found(person="王芳", kinds=["Approval"], before=8) == [6]
    assert found(person="nobody") == []
    assert found(job=RUN) == [2, 1, 0]
    assert found(job=RUN, kinds=["Refused"], most=1) == [2]
    assert found(job=RUN, person="王芳") == [0]
    assert found(job=RUN, kinds=["RunStarted"], person="李雷") == []
    assert found(job=JobId("run/none")) == []
    assert found(job=last, kinds=["Cleared", "Draft"]) == [9]
    assert found(since=NOW + timedelta(hours=2)) == [9]
    assert found(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2)) == [8, 7, 6, 5, 4, 3]
    assert found(until=NOW) == []
    assert found(since=NOW + timedelta(days=1)) == []
    assert lists.persons() == ["李雷", "王芳"]


# --- documents ------------------------------------------------------------------------------------------------------


def test_documents_are_listed_by_where_they_stand_the_last_changed_first(filled: Filled) -> None:
    lists = filled.archive.lists
    first = filled.document(1, currencyCode="USD", totalAmount="1200.5")
    second = filled.document(2, format="stockOut")
    third = filled.document(3)
    filled.now += timedelta(hours=1)
    filled.log(first, approved("policy"))

    def found(**asked: object) -> list[str]:
        return [line.id for line in lists.documents(**asked)]  # type: ignore[arg-type]

    assert found() == [first, third, second]
    assert found(most=1, before=3) == [third]
    assert found(states=[State.READ]) == [third, second]
    assert found(states=[State.READ, State.APPROVED], format="foreignInvoice") == [first, third]
    assert found(run=RUN, states=[State.READ]) == [third, second]
    assert found(run=RUN, format="stockOut") == [second]
    assert found(run=JobId("run/2")) == []
    (line,) = lists.documents(states=[State.APPROVED])
    assert (line.key, line.amount, line.state) == ("INV-1", ("USD", Decimal("1200.5")), State.APPROVED)
    assert (line.read_at, line.changed_at) == (NOW, NOW + timedelta(hours=1))
    assert lists.of([third, JobId("doc/none"), first]) == [lists.documents()[1], line]
    assert {at: (each.number, each.oldest) for at, each in lists.standing().items()} == {
        (State.APPROVED, "foreignInvoice"): (1, NOW + timedelta(hours=1)),
        (State.READ, "foreignInvoice"): (1, NOW),
        (State.READ, "stockOut"): (1, NOW),
    }


def test_documents_are_found_by_what_their_header_says(filled: Filled) -> None:
    search = filled.archive.lists.search
    first = filled.document(1, invoiceNumber="INV-1", buyerName="ＡＣＭＥ  Trading", recipeId="secret/recipe")
    second = filled.document(2, invoiceNumber="INV-12", buyerName="福州进出口有限公司", currencyCode="USD")
    assert search("inv-1") == [first, second], "the very text first"
    assert search("INV-12") == [second]
    assert search(" acme trading ") == [first]
    assert search("福州") == [second]
    assert search(second) == [second]
    assert search("INV-1", most=1) == [first]
    for text in ("", "usd", "secret/recipe", "%", "zzz"):
        assert search(text) == []


def test_what_people_may_not_see_whole_is_not_in_the_index(filled: Filled) -> None:
    filled.document(1, format="dangerousGoodsWaybill", i1="WB20240001", i491=EXCLUDED)
    assert filled.archive.lists.search("WB2024")
    assert filled.archive.lists.search(EXCLUDED) == []
    assert not any(EXCLUDED in value for (value,) in filled.archive._db.execute("SELECT value FROM found"))


@pytest.mark.parametrize("data", [b"", b"<order/>", b"[]", b'{"format":1,"header":{}}', b"[" * 100_000, b"\xff"])
def test_what_is_no_document_says_nothing(data: bytes) -> None:
    assert derived.content(data) == derived.Content()


def test_a_deleted_body_s_words_are_gone_once_the_index_is_rebuilt(filled: Filled) -> None:
    id = filled.document(1, buyerName="Acme")
    filled.archive._db.executescript("DELETE FROM blobs; DELETE FROM keys")
    assert filled.archive.lists.search("acme") == [id]
    assert "SA5015" in [problem.code for problem in verify.verify(filled.archive.path).problems]
    filled.archive.rebuild_index()
    assert filled.archive.lists.search("acme") == []
    assert {problem.code for problem in verify.verify(filled.archive.path).problems} == {"SA5029"}


# --- runs and days --------------------------------------------------------------------------------------------------


def test_days_tell_how_often_and_how_much(filled: Filled) -> None:
    usd = {"currencyCode": "USD"}
    late = datetime(2026, 3, 2, 15, 59, tzinfo=UTC)
    filled.now = late
    read = values.ListRead(name="orders", declared=3, harvested=2, pages=1)
    filled.log(
        RUN, started("a"), started("a"), refused("x"), read, values.RunEnded(complete=False, documents=2, faults=0)
    )
    filled.document(1, totalAmount="0.1", **usd)
    second = filled.document(2, approved("policy"), totalAmount="0.2", **usd)
    filled.now += timedelta(minutes=1)  # midnight in China
    filled.log(second, receipt(accepted=True))
    filled.document(3, receipt(accepted=False))
    today, tomorrow = date(2026, 3, 2), date(2026, 3, 3)
    days = filled.archive.lists.days(today)
    assert {(d.day, d.what, d.format, d.currency): (d.number, d.amount) for d in days} == {
        (today, "run", "", ""): (1, None),
        (today, "taken up", "", ""): (1, None),
        (today, "refused", "", ""): (1, None),
        (today, "unproved", "", ""): (1, None),
        (today, "incomplete", "", ""): (1, None),
        (today, "read", "foreignInvoice", "USD"): (2, Decimal("0.3")),
        (today, "approved", "foreignInvoice", "USD"): (1, Decimal("0.2")),
        (tomorrow, "receipted", "foreignInvoice", "USD"): (1, Decimal("0.2")),
        (tomorrow, "read", "foreignInvoice", ""): (1, None),
        (tomorrow, "rejected", "foreignInvoice", ""): (1, None),
    }
    assert [d.day for d in filled.archive.lists.days(tomorrow)] == [tomorrow] * 3


def test_recipes_are_listed_with_their_newest_runs(filled: Filled) -> None:
    for number, recipe in enumerate(("u8/order", "k3/stock", "u8/order")):
        filled.log(f"run/{number}", started("a", recipe), started("a", recipe))
    assert filled.archive.lists.recipes() == ["k3/stock", "u8/order"]
    assert filled.archive.lists.runs("u8/order") == ["run/2", "run/0"]
    assert filled.archive.lists.runs("u8/order", most=1) == ["run/2"]


# --- the index against the log --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "table"),
    [
        ("DELETE FROM persons", "persons"),
        ("UPDATE persons SET name = '李雷'", "persons"),
        ("INSERT INTO found VALUES ('x', 1)", "found"),
        ("DELETE FROM found", "found"),
        ("UPDATE amounts SET amount = '9'", "amounts"),
        ("UPDATE days SET number = number + 1 WHERE what = 'read'", "days"),
        ("UPDATE standing SET format = 'other'", "standing"),
    ],
)
def test_a_list_that_says_other_than_the_log_is_found_and_remade(filled: Filled, act: str, table: str) -> None:
    filled.archive.put(b"body")
    filled.log(RUN, started("王芳"))
    filled.document(1, approved("person:王芳"), invoiceNumber="A", totalAmount="1", currencyCode="USD")
    assert verify.verify(filled.archive.path).whole
    filled.archive._db.execute(act)
    problems = verify.verify(filled.archive.path).problems
    assert {problem.code for problem in problems} <= {"SA5015", "SA5016"}
    assert {problem.values["table"] for problem in problems} == {table}
    filled.archive.rebuild_index()
    assert verify.verify(filled.archive.path).whole
