from __future__ import annotations

import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scraper_agent import canonical, merkle, ports, values
from scraper_agent.archive import bodies, derived, sqlite, verify
from scraper_agent.archive.sqlite import DocumentState, SqliteArchive
from scraper_agent.errors import AgentError, Conflict
from scraper_agent.values import (
    Approval,
    Digest,
    Draft,
    Fact,
    Finding,
    Job,
    JobId,
    RunEnded,
    RunStarted,
    Severity,
    Snapshot,
    State,
    Verdict,
)

NOW = datetime(2026, 3, 2, 8, 30, 15, 123456, tzinfo=UTC)
Tamper = Callable[..., verify.Report]
RUN = JobId("run/1")
DOC = JobId("doc/order/" + "a" * 64)


def now() -> datetime:
    return NOW


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[SqliteArchive]:
    with SqliteArchive(tmp_path / "archive.db", now) as opened:
        yield opened


def started(recipe: Digest, recipe_id: str = "u8/order") -> Fact:
    return RunStarted(
        recipe_id=recipe_id,
        recipe_version="1",
        recipe=recipe,
        policy=recipe,
        parameters={"from": "2026-02-01"},
        started_by="0" * 64,
        agent="1.0",
        dry_run=False,
    )


def snapshot(page: Digest) -> Fact:
    return Snapshot(name="order", url="https://erp/1", taken_at=NOW, page=page, image=None)


def draft(document: Digest, *, run: JobId = RUN, format: str = "order", key: str = "SO1") -> Fact:
    return Draft(run=run, format=format, key=key, record="r1", document=document, provenance=document, page=document)


def ended() -> Fact:
    return RunEnded(complete=True, documents=1, faults=0)


# --- blobs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"x", b"<p>page</p>" * 10_000, bytes(range(256)) * 3, b"\xff\xd8" + bytes(100)], ids=len
)
def test_a_blob_comes_back_as_it_was(archive: SqliteArchive, data: bytes) -> None:
    digest = archive.put(data)
    assert digest == canonical.digest(data)
    assert archive.put(data) == digest
    assert archive.get(digest) == data


def test_a_blob_is_deflated_only_where_that_makes_it_shorter() -> None:
    noise = b"".join(canonical.sm3(b"%d" % i) for i in range(3000))
    assert bodies.pack(noise) is noise
    page = b"<td>12.50</td>" * 1000
    assert len(bodies.pack(page)) < len(page) / 20
    assert bodies.unpack(len(page), bodies.pack(page)) == page


def test_a_blob_that_says_a_false_size_is_not_inflated_beyond_it() -> None:
    bomb = zlib.compress(bytes(3 << 20))
    assert bodies.unpack(1 << 20, bomb) == bytes(1 << 20)  # and then its digest is wrong
    assert bodies.unpack(bodies.LIMIT_BYTES + 1, bomb) is None
    assert bodies.unpack(4 << 20, bomb) is None
    assert bodies.unpack(1, bomb) is None
    assert bodies.unpack(len(bomb) + 1, bytes(len(bomb))) is None


def test_a_blob_over_the_limit_is_refused(archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LIMIT_BYTES", 9)
    archive.put(b"123456789")
    with pytest.raises(AgentError) as caught:
        archive.put(b"1234567890")
    assert str(caught.value) == "SA5011 a body of 10 bytes cannot be archived; the limit is 9 bytes"


def test_a_blob_that_is_not_there_is_named(archive: SqliteArchive) -> None:
    digest = canonical.digest(b"never put")
    with pytest.raises(AgentError) as caught:
        archive.get(digest)
    assert str(caught.value) == (
        f"SA5009 {archive.path}: body {digest} is not in the archive\n"
        "hint: No entry says that it was erased: check the whole archive with `log verify`."
    )


@pytest.mark.parametrize(
    "change", ["data = CAST(x'00' || substr(data, 2) AS BLOB)", "size = size - 1", "data = x''", "size = 1 << 60"]
)
def test_a_changed_blob_is_not_handed_out(archive: SqliteArchive, change: str) -> None:
    digest = archive.put(b"<p>page</p>" * 1000)
    archive._db.execute(f"UPDATE blobs SET {change}")  # noqa: S608 - of the cases above
    with pytest.raises(AgentError) as caught:
        archive.get(digest)
    assert str(caught.value).startswith(f"SA5010 {archive.path}: the bytes of body {digest} have been changed\nhint: ")


# --- the log --------------------------------------------------------------------------------------------------------


def test_the_archive_is_an_archive(archive: SqliteArchive) -> None:
    port: ports.Archive = archive
    assert port.job(RUN) == Job(id=RUN)
    assert port.length(RUN) == 0
    assert archive.last(RUN) is None
    assert archive.head() == sqlite.Head(size=0, root=merkle.EMPTY)


def test_facts_come_back_in_their_order_and_with_their_time(archive: SqliteArchive) -> None:
    page = archive.put(b"page")
    facts = [started(page), snapshot(page), ended()]
    entries = [archive.append(RUN, 0, facts[0]), archive.append(DOC, 0, draft(page))]
    entries += [archive.append(RUN, 1, facts[1]), archive.append(RUN, 2, facts[2])]
    assert [(e.index, e.job, e.position, e.at) for e in entries] == [
        (0, RUN, 0, NOW),
        (1, DOC, 0, NOW),
        (2, RUN, 1, NOW),
        (3, RUN, 2, NOW),
    ]
    assert archive.job(RUN) == Job(id=RUN, facts=tuple(facts))
    assert archive.last(RUN) == facts[2]
    assert archive.length(RUN) == 3
    assert list(archive.entries()) == entries
    assert list(archive.entries(2)) == entries[2:]


def test_what_was_logged_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "归档 100%.db"
    with SqliteArchive(path, now) as archive:
        first = archive.append(RUN, 0, started(archive.put(b"recipe")))
        pending = archive.put(b"put, and no fact yet")
    with SqliteArchive(path, now) as archive:
        assert archive.get(pending) == b"put, and no fact yet"
        second = archive.append(RUN, 1, ended())
        assert list(archive.entries()) == [first, second]
        assert archive.head().size == 2


def test_a_put_becomes_durable_with_the_next_append(archive: SqliteArchive) -> None:
    digest = archive.put(b"page")
    with SqliteArchive(archive.path, now, read_only=True) as reader:
        with pytest.raises(AgentError, match="SA5009"):
            reader.get(digest)
        archive.append(RUN, 0, snapshot(digest))
        assert reader.get(digest) == b"page"
        assert reader.length(RUN) == 1


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (0, "SA5007 job run/1 already has a fact at position 0"),
        (1, "SA5007 job run/1 already has a fact at position 1"),
        (3, "SA5008 job run/1 has 2 facts; position 3 would leave a gap"),
    ],
)
def test_a_position_that_is_taken_or_leaves_a_gap_is_a_conflict(
    archive: SqliteArchive, position: int, message: str
) -> None:
    page = archive.put(b"page")
    archive.append(RUN, 0, started(page))
    archive.append(RUN, 1, snapshot(page))
    pending = archive.put(b"kept in spite of the conflict")
    with pytest.raises(Conflict) as caught:
        archive.append(RUN, position, ended())
    assert str(caught.value) == message
    archive.append(RUN, 2, ended())
    assert archive.get(pending) == b"kept in spite of the conflict"
    assert [e.position for e in archive.entries()] == [0, 1, 2]


def test_a_new_job_begins_at_zero(archive: SqliteArchive) -> None:
    with pytest.raises(Conflict, match="SA5008"):
        archive.append(RUN, 1, ended())
    with pytest.raises(Conflict, match="SA5007"):
        archive.append(RUN, -1, ended())
    assert list(archive.entries()) == []


def test_a_fact_without_a_canonical_form_changes_nothing(archive: SqliteArchive) -> None:
    page = archive.put(b"page")
    naive = Snapshot(name="n", url="u", taken_at=NOW.replace(tzinfo=None), page=page, image=None)
    with pytest.raises(TypeError, match="naive"):
        archive.append(RUN, 0, naive)
    archive.append(RUN, 0, snapshot(page))
    assert archive.get(page) == b"page"
    assert verify.verify(archive.path).whole


@pytest.mark.parametrize("table", ["log", "facts", "blobs"])
def test_a_failed_write_leaves_nothing_and_the_archive_goes_on(archive: SqliteArchive, table: str) -> None:
    archive.append(RUN, 0, started(archive.put(b"recipe")))
    archive._db.execute("CREATE TEMP TABLE full (x)")
    archive._db.execute(
        f"CREATE TEMP TRIGGER full_disk BEFORE INSERT ON main.{table} BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(AgentError) as caught:
        archive.append(RUN, 1, snapshot(archive.put(b"page")))
    assert str(caught.value) == (
        f"SA5006 {archive.path}: the archive cannot be read or written: disk full\n"
        "hint: Look for a full disk, missing rights or a damaged file; nothing already logged is lost."
    )
    assert not archive._db.in_transaction
    assert archive.length(RUN) == 1
    with pytest.raises(AgentError, match="SA5009"):
        archive.get(canonical.digest(b"page"))
    archive._db.execute("DROP TRIGGER full_disk")
    archive.append(RUN, 1, snapshot(archive.put(b"page")))
    assert verify.verify(archive.path).whole


def test_a_disk_that_is_really_full_loses_only_what_was_not_acknowledged(archive: SqliteArchive) -> None:
    archive.append(RUN, 0, started(archive.put(b"recipe")))
    (pages,) = archive._db.execute("PRAGMA page_count").fetchone()
    archive._db.execute(f"PRAGMA max_page_count = {pages + 20}")
    noise = b"".join(canonical.sm3(b"%d" % i) for i in range(128))

    def fill() -> None:
        for position in range(1, 100):
            archive.append(RUN, position, snapshot(archive.put(noise + b"%d" % position)))
            acknowledged.append(position)

    acknowledged = [0]
    with pytest.raises(AgentError, match=r"SA5006 .* database or disk is full"):
        fill()
    written = len(acknowledged)
    assert written > 1
    assert archive.length(RUN) == written
    archive._db.execute("PRAGMA max_page_count = 100000")
    archive.append(RUN, written, ended())
    report = verify.verify(archive.path)
    assert report.whole
    assert report.entries == written + 1


# --- who may open it, and what ---------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_the_lock_ends_with_the_first(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    with SqliteArchive(path, now):
        with pytest.raises(AgentError) as caught:
            SqliteArchive(path, now)
        assert str(caught.value) == (
            f"SA5002 {path}: another process is writing to this archive\n"
            "hint: Wait for the other scraper-agent, or end it. The lock ends with that process."
        )
    SqliteArchive(path, now).close()


def test_a_failed_opening_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    path.write_bytes(b"this is no database" * 100)
    for _ in range(2):
        with pytest.raises(AgentError, match=r"SA5006 .*file is not a database"):
            SqliteArchive(path, now)


def test_a_reader_cannot_write(archive: SqliteArchive) -> None:
    page = archive.put(b"page")
    archive.append(RUN, 0, started(page))
    with SqliteArchive(archive.path, now, read_only=True) as reader:
        assert reader.job(RUN) == archive.job(RUN)
        for write in (lambda: reader.put(b"new"), lambda: reader.append(RUN, 1, ended()), reader.rebuild_index):
            with pytest.raises(AgentError) as caught:
                write()
            assert str(caught.value) == f"SA5005 {archive.path} is opened for reading only"
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._db.execute("DELETE FROM log")


def test_a_reader_makes_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    for opening in (lambda: SqliteArchive(path, now, read_only=True), lambda: verify.verify(path)):
        with pytest.raises(AgentError) as caught:
            opening()
        assert str(caught.value) == f"SA5001 {path}: there is no archive"
    assert list(tmp_path.iterdir()) == []


def test_what_an_ended_writer_left_empty_is_no_archive_yet_and_the_next_writer_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM")
    for opening in (lambda: SqliteArchive(path, now, read_only=True), lambda: verify.verify(path)):
        with pytest.raises(AgentError, match=r"SA5001 .*there is no archive"):
            opening()
    SqliteArchive(path, now).close()
    assert verify.verify(path).problems == ()


def half_committed(db: sqlite3.Connection) -> None:
    """Its first tables, as far as the file, while the journal still says that there was nothing."""
    db.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the commit
    db.execute("BEGIN IMMEDIATE")
    for number in range(20):
        db.execute(f"CREATE TABLE t{number} (x)")


def test_what_an_ended_writer_half_committed_is_no_archive_yet_and_the_next_writer_makes_it(tmp_path: Path) -> None:
    path, torn = tmp_path / "archive.db", tmp_path / "torn.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        half_committed(db)
        for each in ("", "-journal"):
            shutil.copy(f"{path}{each}", f"{torn}{each}")
    assert torn.stat().st_size
    for opening in (lambda: SqliteArchive(torn, now, read_only=True), lambda: verify.verify(torn)):
        with pytest.raises(AgentError, match=r"SA5001 .*there is no archive"):
            opening()
    SqliteArchive(torn, now).close()
    assert verify.verify(torn).problems == ()


def test_a_log_that_was_kept_is_never_taken_for_none(tmp_path: Path) -> None:
    """Emptied, or with a journal beside it that would undo it: on SA5001 the console shows an empty log."""
    path, torn = tmp_path / "archive.db", tmp_path / "torn.db"
    with SqliteArchive(path, now) as archive:
        archive.append(RUN, 0, started(archive.put(b"recipe")))
    with closing(sqlite3.connect(torn, isolation_level=None)) as db:
        half_committed(db)
        begun, journal = torn.read_bytes(), Path(f"{torn}-journal").read_bytes()
    for content, beside, code in ((b"", b"", "SA5004"), (begun, journal, "SA5006")):
        path.write_bytes(content)
        Path(f"{path}-journal").write_bytes(beside)
        for opening in (lambda: SqliteArchive(path, now, read_only=True), lambda: verify.verify(path)):
            with pytest.raises(AgentError, match=code):
                opening()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_newer_archive_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "archive.db"
    SqliteArchive(path, now).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 6")
    with pytest.raises(AgentError) as caught:
        SqliteArchive(path, now, read_only=read_only)
    assert str(caught.value) == (
        f"SA5003 {path} has archive version 6; this program knows version 5\n"
        "hint: Use the version of scraper-agent that wrote it, or a newer one."
    )


@pytest.mark.parametrize("read_only", [True, False])
def test_another_program_s_database_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE orders (id)")
    with pytest.raises(AgentError) as caught:
        SqliteArchive(path, now, read_only=read_only)
    assert str(caught.value) == (
        f"SA5004 {path} is a database, but not an archive of scraper-agent\n"
        "hint: Name another file in `archive.path` of the configuration."
    )


def test_a_commit_is_on_the_disk_when_it_returns(archive: SqliteArchive) -> None:
    def pragma(name: str) -> object:
        return archive._db.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2  # FULL
    assert pragma("fullfsync") == 1
    assert pragma("checkpoint_fullfsync") == 1
    assert pragma("foreign_keys") == 1
    assert pragma("secure_delete") == 1
    assert pragma("trusted_schema") == 0
    assert pragma("cell_size_check") == 1


# --- lists and proofs ------------------------------------------------------------------------------------------------


def filled(archive: SqliteArchive, documents: int = 9) -> None:
    """One run, a snapshot and a document each, of which every third is approved; and a second run."""
    archive.append(RUN, 0, started(archive.put(b"recipe")))
    for number in range(documents):
        document = archive.put(b"<order>%d</order>" % number)
        page = archive.put(b"<td>page</td>" * 50 + b"%d" % number)
        job = JobId(f"doc/order/{document[4:]}")
        archive.append(RUN, number + 1, snapshot(page))
        archive.append(job, 0, draft(document, key=f"SO{number // 2}", format="order" if number % 2 else "invoice"))
        archive.append(job, 1, Verdict(document=document, findings=()))
        if number % 3 == 0:
            archive.append(job, 2, Approval(document=document, granted=True, by="person:王芳", reason="见合同"))
    archive.append(RUN, documents + 1, ended())
    archive.append(JobId("run/2"), 0, started(archive.put(b"recipe"), recipe_id="k3/order"))


def document_id(number: int) -> JobId:
    return JobId(f"doc/order/{canonical.digest(b'<order>%d</order>' % number)[4:]}")


def test_documents_are_listed_in_log_order_by_run_format_and_key(archive: SqliteArchive) -> None:
    filled(archive)
    assert archive.documents() == [document_id(n) for n in range(9)]
    assert archive.documents(run=RUN) == archive.documents()
    assert archive.documents(run=JobId("run/2")) == []
    assert archive.documents(format="order") == [document_id(n) for n in (1, 3, 5, 7)]
    assert archive.documents(key="SO2") == [document_id(4), document_id(5)]
    assert archive.documents(run=RUN, key="SO2", format="order") == [document_id(5)]


def test_each_document_is_listed_once_with_its_last_fact_and_newest_draft(archive: SqliteArchive) -> None:
    filled(archive, 1)
    run = JobId("run/2")
    archive.append(document_id(0), 3, draft(canonical.digest(b"<order>0</order>"), run=run, key="SO0"))
    assert archive.states() == [DocumentState(id=document_id(0), format="order", key="SO0", run=run, last="Draft")]
    assert archive.states(run=RUN) == [
        DocumentState(id=document_id(0), format="invoice", key="SO0", run=RUN, last="Draft")
    ]
    assert archive.documents(run=RUN) == archive.documents(run=run) == [document_id(0)]


def test_runs_are_listed_by_recipe_and_a_resumed_one_only_once(archive: SqliteArchive) -> None:
    filled(archive)
    archive.append(RUN, archive.length(RUN), started(archive.put(b"recipe")))
    assert archive.runs() == [RUN, JobId("run/2")]
    assert archive.runs(recipe_id="u8/order") == [RUN]
    assert archive.runs(recipe_id="none") == []


def test_lists_do_not_read_the_whole_table(archive: SqliteArchive) -> None:
    for query in (
        f"{sqlite.DOCUMENTS} WHERE d.run = 'x' GROUP BY f.job ORDER BY f.job",
        f"{sqlite.DOCUMENTS} WHERE d.key = 'x' GROUP BY f.job ORDER BY f.job",
        f"{sqlite.RUNS} WHERE r.recipe_id = 'x' ORDER BY j.number",
    ):
        plan = " ".join(row[3] for row in archive._db.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SCAN" not in plan


def test_the_rebuilt_index_is_the_one_that_was_kept(archive: SqliteArchive) -> None:
    filled(archive)
    kept = list(archive._db.iterdump())
    archive._db.execute("UPDATE documents SET key = 'wrong'")
    archive._db.execute("DELETE FROM runs")
    assert not verify.verify(archive.path).whole
    archive.rebuild_index()
    assert list(archive._db.iterdump()) == kept
    assert verify.verify(archive.path).whole


def placed(archive: SqliteArchive) -> JobId:
    """One document in every state, and the number of the one that waits."""
    document = archive.put(b"<order/>")
    envelope = archive.put(b"letter")
    finding = Finding(code="X", severity=Severity.ERROR, field="a", text='"granted":true')
    facts: dict[State, Fact] = {
        State.READ: draft(document),
        State.BLOCKED: Verdict(document=document, findings=(finding,)),
        State.HELD: Verdict(document=document, findings=()),
        State.ON_HOLD: values.Held(document=document, by="p", reason="r"),
        State.DECLINED: Approval(document=document, granted=False, by="p", reason='"granted":true'),
        State.APPROVED: Approval(document=document, granted=True, by="p", reason=""),
        State.SIGNED: values.Envelope(document=document, envelope=envelope, key_index="01", profile="p"),
        State.UNKNOWN: values.Attempt(envelope=envelope, number=1),
        State.DELIVERED: values.Delivered(envelope=envelope, number=1),
        State.WAITING: values.Retry(envelope=envelope, number=1, reason="r", not_before=NOW + timedelta(hours=1)),
        State.DEAD: values.DeadLetter(envelope=envelope, number=1, reason="r"),
        State.RECEIPTED: values.Receipt(envelope=envelope, receipt=envelope, accepted=True, remote_id="1", message=""),
        State.REJECTED: values.Receipt(
            envelope=envelope, receipt=envelope, accepted=False, remote_id="1", message='"accepted":true'
        ),
        State.STOPPED: values.Failure(stage="send", message=""),
    }
    for wanted, fact in facts.items():
        job = JobId(f"doc/order/{wanted}")
        archive.append(job, 0, draft(document, key=wanted))
        if wanted is not State.READ:
            archive.append(job, 1, fact)
    return JobId(f"doc/order/{State.WAITING}")


def test_documents_are_found_by_where_they_stand(archive: SqliteArchive) -> None:
    waiting = placed(archive)
    assert archive.counts() == dict.fromkeys(State, 1)
    for each in State:
        assert list(archive.in_state(each)) == [f"doc/order/{each}"]
        assert archive.any_in(each)
    open_ = [f"doc/order/{each}" for each in (State.SIGNED, State.UNKNOWN, State.DELIVERED)]
    assert list(archive.due(NOW)) == open_
    assert list(archive.due(NOW + timedelta(hours=1))) == [*open_, waiting]
    assert archive.next_due(NOW) == NOW + timedelta(hours=1)
    assert archive.next_due(NOW + timedelta(hours=1)) is None
    assert archive.due_span() == (NOW + timedelta(hours=1),) * 2
    assert verify.verify(archive.path).problems == ()


@pytest.mark.parametrize(
    ("fact", "stands"),
    [
        (values.Endorsed(document=Digest("sm3:" + "0" * 64), by="p", reason=""), State.HELD),
        (values.Released(document=Digest("sm3:" + "0" * 64), by="p", reason=""), State.READ),
        *(
            (
                values.Excluded(
                    document=Digest("sm3:" + "0" * 64),
                    before=Digest("sm3:" + "1" * 64),
                    fields=("a",),
                    by="p",
                    reason='"kept_back":true',
                    mark="",
                    kept_back=kept,
                ),
                State.ON_HOLD if kept else State.READ,
            )
            for kept in (True, False)
        ),
    ],
)
def test_what_people_decided_tells_where_a_document_stands(archive: SqliteArchive, fact: Fact, stands: State) -> None:
    job = JobId("doc/order/1")
    for digit in "01":
        archive._db.execute(
            "INSERT INTO blobs VALUES (?, 0, x'')", (bytes.fromhex(digit * 64),)
        )  # what the facts name need not be there for this
    archive.append(job, 0, draft(archive.put(b"<order/>")))
    archive.append(job, 1, fact)
    assert list(archive.in_state(stands)) == [job]
    archive.rebuild_index()
    assert list(archive.in_state(stands)) == [job]
    assert [problem for problem in verify.verify(archive.path).problems if "standing" in str(problem)] == []


def test_many_that_are_due_come_once_and_in_order(archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PAGE", 2)
    envelope = archive.put(b"letter")
    ids = [JobId(f"doc/order/{number}") for number in range(9)]
    for number, id in enumerate(ids):
        archive.append(id, 0, draft(envelope))
        due = None if number % 3 == 0 else NOW - timedelta(hours=number % 4)
        archive.append(id, 1, values.Retry(envelope=envelope, number=1, reason="r", not_before=due))
    assert list(archive.due(NOW)) == [ids[n] for n in (0, 3, 6, 7, 2, 1, 5, 4, 8)]


def test_documents_of_some_formats_are_passed_over(archive: SqliteArchive) -> None:
    letter = archive.put(b"letter")
    due = NOW + timedelta(hours=1)
    for format, hours in (("order", 0), ("waybill", 1)):
        for number in range(30):
            id = JobId(f"doc/{format}/{number}")
            archive.append(id, 0, draft(letter, format=format, key=id))
            not_before = due + timedelta(hours=hours)
            archive.append(id, 1, values.Retry(envelope=letter, number=1, reason="r", not_before=not_before))
    asked = []

    def but_of() -> set[str]:
        asked.append(True)
        return {"order"}

    later = due + timedelta(hours=2)
    assert list(archive.due(later, but_of)) == [f"doc/waybill/{number}" for number in range(30)]
    assert len(asked) > 2, "before each page"
    assert list(archive.due(due, but_of)) == []
    assert (archive.next_due(NOW), archive.next_due(NOW, {"order"})) == (due, due + timedelta(hours=1))
    assert archive.next_due(NOW, {"order", "waybill"}) is None
    assert archive.any_in(State.WAITING, but_of={"order"})
    assert not archive.any_in(State.WAITING, but_of={"order", "waybill"})


def test_a_job_is_what_the_log_says_however_often_it_was_asked_for(
    archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "KEPT_JOBS", 3)
    monkeypatch.setattr(sqlite, "KEPT_FACTS", 4)
    ids = [JobId(f"doc/order/{number}") for number in range(5)]
    digest = archive.put(b"<order/>")
    for turn in range(7):
        for id in ids:
            archive.append(id, archive.length(id), draft(digest, key=f"{turn}"))
            if turn % 2:
                archive.job(id)
        archive.job(ids[turn % 5])
        with SqliteArchive(archive.path, now, read_only=True) as other:
            for id in ids:
                assert archive.length(id) == turn + 1
                assert (archive.job(id), archive.times(id)) == (other.job(id), other.times(id))
        assert len(archive._jobs) == (3 if turn < 4 else 0)
    assert archive.job(JobId("doc/order/none")) == Job(id=JobId("doc/order/none"))
    archive.rebuild_index()
    assert verify.verify(archive.path).problems == ()


def test_of_a_job_that_is_asked_for_again_only_what_is_new_is_read(archive: SqliteArchive) -> None:
    digest = archive.put(b"<order/>")
    asked: list[str] = []
    archive.append(DOC, 0, draft(digest))
    archive.job(DOC)
    archive._db.set_trace_callback(asked.append)
    archive.append(DOC, 1, Verdict(document=digest, findings=()))
    assert [type(fact).__name__ for fact in archive.job(DOC).facts] == ["Draft", "Verdict"]
    assert (archive.length(DOC), len(archive.times(DOC))) == (2, 2)
    archive._db.set_trace_callback(None)
    assert not [query for query in asked if "l.entry" in query]


def test_what_was_undone_is_in_no_job(archive: SqliteArchive) -> None:
    digest = archive.put(b"<order/>")
    archive.append(DOC, 0, draft(digest))
    archive.job(DOC)

    def undone() -> None:
        with archive.together():
            archive.append(DOC, 1, Verdict(document=digest, findings=()))
            assert len(archive.job(DOC).facts) == 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        undone()
    assert (archive.length(DOC), len(archive.job(DOC).facts), len(archive.times(DOC))) == (1, 1, 1)
    archive.append(DOC, 1, Verdict(document=digest, findings=()))
    assert verify.verify(archive.path).problems == ()


def test_the_log_tells_which_jobs_have_changed(archive: SqliteArchive) -> None:
    digest = archive.put(b"<order/>")
    assert (archive.size(), archive.changed(0)) == (0, set())
    archive.append(DOC, 0, draft(digest))
    archive.append(RUN, 0, started(digest))
    archive.append(RUN, 1, ended())
    assert (archive.size(), archive.changed(0), archive.changed(1), archive.changed(3)) == (3, {DOC, RUN}, {RUN}, set())


def test_how_long_documents_stand_so_is_counted(tmp_path: Path) -> None:
    at = NOW
    with SqliteArchive(tmp_path / "archive.db", lambda: at) as archive:
        for number in range(5):
            job = JobId(f"doc/order/{number}")
            archive.append(job, 0, draft(archive.put(b"x")))
            at += timedelta(hours=1)
        assert archive.oldest(State.READ) == NOW
        assert archive.oldest(State.HELD) is None
        assert [archive.older(State.READ, NOW + timedelta(hours=n)) for n in range(7)] == [0, 1, 2, 3, 4, 5, 5]
        assert archive.older(State.HELD, at) == 0


def test_what_is_asked_for_while_it_changes_ends(archive: SqliteArchive) -> None:
    waiting = placed(archive)
    fact = archive.last(waiting)
    assert fact is not None
    seen = []
    for id in archive.in_state(State.WAITING):
        seen.append(id)
        archive.append(id, archive.length(id), fact)
    assert seen == [waiting]


def test_what_is_due_is_found_without_reading_the_table(archive: SqliteArchive) -> None:
    for query, given, index in (
        (sqlite.DUE_AT, ("[]", "", -1, 1), "standing_open (due=? AND job>?)"),
        (sqlite.DUE_AFTER, ("[]", "", "", 1), "standing_open (due>? AND due<?)"),
        (sqlite.NEXT_DUE, ("[]", ""), "standing_open (due>?)"),
        (sqlite.ANY_IN, ("held", "[]"), "standing_by_state (state=?)"),
        (sqlite.SENDS, (1,), "facts_sent"),
        (sqlite.IN_STATE, ("held", -1, 9, 1), "standing_by_state (state=? AND idx>? AND idx<?)"),
    ):
        plan = " ".join(row[3] for row in archive._db.execute(f"EXPLAIN QUERY PLAN {query}", given))
        assert index in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("change", ["state = 'held'", "due = '2020-01-01T00:00:00.000000Z'", "idx = 0"])
def test_a_wrong_standing_is_found_and_remade(archive: SqliteArchive, change: str) -> None:
    placed(archive)
    archive._db.execute(f"UPDATE standing SET {change} WHERE state = 'waiting'")  # noqa: S608 - no foreign text
    found = verify.verify(archive.path)
    assert [problem.code for problem in found.problems] == ["SA5026"]
    archive.rebuild_index()
    assert verify.verify(archive.path).whole


def dumped(archive: SqliteArchive) -> list[str]:
    """All but bodies, of which no two are encrypted alike."""
    return sorted(
        line
        for line in archive._db.iterdump()
        if not line.startswith(('INSERT INTO "blobs"', 'INSERT INTO "keys"', 'INSERT INTO "secret"'))
    )


LISTS = ("DROP INDEX facts_by_kind", "DROP INDEX facts_of_run", *(f"DROP TABLE {name}" for name in derived.NAMES))


@pytest.mark.parametrize(
    "earlier",
    [
        (*LISTS, "DROP INDEX facts_sent", "DROP TABLE standing", "PRAGMA user_version = 1"),
        (*LISTS, "DROP INDEX standing_by_format", "ALTER TABLE standing DROP COLUMN format", "PRAGMA user_version = 2"),
        ("PRAGMA user_version = 3",),
    ],
    ids=["1", "2", "3"],
)
def test_an_archive_of_a_version_before_is_brought_up_to_date(tmp_path: Path, earlier: tuple[str, ...]) -> None:
    path = tmp_path / "archive.db"
    with SqliteArchive(path, now) as archive:
        placed(archive)
        kept, held = dumped(archive), {row[0]: bodies.opened(row) for row in bodies.rows(archive._db)}
    with closing(sqlite3.connect(path)) as db:
        for digest, data in held.items():
            assert data is not None
            db.execute("UPDATE blobs SET data = ? WHERE digest = ?", (bodies.pack(data), digest))
        for statement in ("DROP TABLE keys", "DROP TABLE secret", "DROP TABLE openings", "DROP TABLE tiles", *earlier):
            db.execute(statement)
        db.commit()
    assert verify.verify(path).whole, "it can be checked as it is"
    with pytest.raises(AgentError) as caught:
        SqliteArchive(path, now, read_only=True)
    assert caught.value.code == "SA5014"
    with SqliteArchive(path, now) as archive:
        assert dumped(archive) == kept
        assert {row[0]: bodies.opened(row) for row in bodies.rows(archive._db)} == held
    assert verify.verify(path).whole


def test_every_past_head_and_every_proof_can_be_given(archive: SqliteArchive) -> None:
    heads = [archive.head()]
    for position in range(40):
        archive.append(RUN, position, ended())
        heads.append(archive.head())
    leaves = [merkle.leaf(canonical.entry_bytes(entry)) for entry in archive.entries()]
    for size, head in enumerate(heads):
        assert archive.head(size) == head == sqlite.Head(size=size, root=merkle.root(leaves[:size]))
    for index, leaf in enumerate(leaves):
        assert merkle.includes(heads[-1].root, 40, index, leaf, archive.inclusion(index))
        assert merkle.extends(heads[index + 1].root, index + 1, heads[-1].root, 40, archive.consistency(index + 1))
    with pytest.raises(ValueError, match="the log has never had 41 entries"):
        archive.head(41)


def test_an_entry_that_cannot_be_read_is_named(archive: SqliteArchive) -> None:
    filled(archive)
    archive._db.execute("UPDATE log SET entry = substr(entry, 2) WHERE idx = 1")
    message = f"SA5012 {archive.path}: entry 1 cannot be read; it has been changed or deleted\nhint: "
    for reading in (archive.entries, lambda: archive.job(RUN).facts):
        with pytest.raises(AgentError) as caught:
            list(reading())
        assert str(caught.value).startswith(message)
    archive._db.execute("PRAGMA foreign_keys = OFF")
    archive._db.execute("DELETE FROM log WHERE idx = 1")
    with pytest.raises(AgentError, match=r"SA5012 .*entry 1 cannot be read"):
        archive.inclusion(0)


def test_what_is_no_blob_is_none(archive: SqliteArchive) -> None:
    """A flipped bit in the head of a row makes a NULL of a blob, whatever the table says."""
    filled(archive)
    archive._db.execute("CREATE TABLE loose AS SELECT NULL AS digest, 10 AS size, NULL AS data")
    archive._db.execute("ALTER TABLE blobs RENAME TO strict")
    archive._db.execute("CREATE VIEW blobs AS SELECT * FROM strict UNION ALL SELECT * FROM loose")
    assert "SA5098 the key of body ? is missing: it cannot be read" in map(str, verify.verify(archive.path).problems)


def test_a_destroyed_tree_state_stops_appending(archive: SqliteArchive) -> None:
    filled(archive)
    archive._db.execute("UPDATE tree SET frontier = x'00'")
    with pytest.raises(AgentError, match=r"SA5006 .* 1 bytes are no frontier of a tree of"):
        archive.append(JobId("run/3"), 0, ended())


# --- tampering: each act on a copy of a good archive -----------------------------------------------------------------

LENGTH = 626  # three blocks of the fast check, the last one not full


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "archive.db"
    with SqliteArchive(path, now) as archive:
        archive._db.execute("PRAGMA synchronous = OFF")
        filled(archive)
        run = JobId("run/3")
        for position in range(LENGTH - archive.head().size):
            archive.append(run, position, ended())
        assert archive.head().size == LENGTH
    return path


@pytest.fixture
def tampered(good: Path, tmp_path: Path) -> Tamper:
    """Runs SQL on a copy of the good archive, as someone with the file would, and verifies it."""
    path = tmp_path / "copy.db"
    shutil.copyfile(good, path)

    def run(*statements: str, values: tuple[object, ...] = ()) -> verify.Report:
        with closing(sqlite3.connect(path)) as db:
            db.create_function("leaf", 1, merkle.leaf)
            db.create_function("flip", 2, lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            for statement in statements:
                changed = db.execute(statement, values)
                assert changed.rowcount != 0, "the act must act"
            db.commit()
        return verify.verify(path)

    return run


def codes(report: verify.Report) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.index) for problem in report.problems]


def test_a_good_archive_is_whole(good: Path) -> None:
    report = verify.verify(good)
    assert report.problems == ()
    assert report.whole
    assert (report.entries, report.jobs, report.blobs) == (LENGTH, 12, 19)
    with SqliteArchive(good, now, read_only=True) as archive:
        assert report.head == archive.head()
    assert verify.verify(good, bodies=False).blobs is None


def test_an_empty_archive_is_whole(archive: SqliteArchive) -> None:
    report = verify.verify(archive.path)
    assert report.whole
    assert report.head == sqlite.Head(size=0, root=merkle.EMPTY)


@pytest.mark.parametrize("index", [0, 1, 2, 3, 7, 25, 127, 255, 256, 511, 512, LENGTH - 2, LENGTH - 1])
@pytest.mark.parametrize("at", [0, 10, 40])
def test_one_changed_byte_of_an_entry_names_the_entry(tampered: Tamper, index: int, at: int) -> None:
    report = tampered("UPDATE log SET entry = flip(entry, ?) WHERE idx = ?", values=(at, index))
    assert [str(problem) for problem in report.problems] == [
        f"SA5023 entry {index}, or the tree hash stored with it, has been changed"
    ]
    assert report.problems[0].index == index


def test_any_one_changed_byte_of_an_entry_names_the_entry(archive: SqliteArchive) -> None:
    filled(archive, 2)
    archive._db.execute("PRAGMA synchronous = OFF")
    for index, entry in archive._db.execute("SELECT idx, entry FROM log WHERE idx IN (2, 3)").fetchall():
        for at in range(len(entry)):
            wrong = entry[:at] + bytes([entry[at] ^ 1]) + entry[at + 1 :]
            archive._db.execute("UPDATE log SET entry = ? WHERE idx = ?", (wrong, index))
            assert [named for _, named in codes(verify.verify(archive.path, bodies=False))] == [index]
        archive._db.execute("UPDATE log SET entry = ? WHERE idx = ?", (entry, index))


@pytest.mark.parametrize("index", [0, 1, 3, 4, 127, 255, 400, 623, LENGTH - 1])
def test_a_changed_tree_hash_names_its_entry(tampered: Tamper, index: int) -> None:
    report = tampered("UPDATE log SET subtree = flip(subtree, 5) WHERE idx = ?", values=(index,))
    assert codes(report) == [("SA5023", index)]


def test_an_entry_changed_together_with_its_own_hash_is_named_where_its_hash_is_used(tampered: Tamper) -> None:
    report = tampered(
        "UPDATE log SET entry = flip(entry, 10) WHERE idx = 6", "UPDATE log SET subtree = leaf(entry) WHERE idx = 6"
    )
    assert codes(report) == [("SA5023", 7)]  # entries 6 and 7 no longer give the hash stored for both


@pytest.mark.parametrize("indexes", [(3, 4), (4, 5), (5, 9), (0, 1), (2, 300), (255, 256)])
def test_every_changed_entry_is_named(tampered: Tamper, indexes: tuple[int, int]) -> None:
    report = tampered("UPDATE log SET entry = flip(entry, 10) WHERE idx IN (?, ?)", values=indexes)
    assert codes(report) == [("SA5023", index) for index in indexes]


@pytest.mark.parametrize("index", [0, 1, 3, 6, 127, 128, 255, 256, 511, 600, LENGTH - 2])
def test_a_deleted_entry_is_named(tampered: Tamper, index: int) -> None:
    report = tampered("DELETE FROM log WHERE idx = ?", values=(index,))
    assert [str(problem) for problem in report.problems] == [f"SA5020 entry {index} is missing"]


def test_what_comes_after_a_missing_entry_is_still_checked(tampered: Tamper) -> None:
    report = tampered("DELETE FROM log WHERE idx = 300", "UPDATE log SET entry = flip(entry, 10) WHERE idx = 303")
    assert codes(report) == [("SA5020", 300), ("SA5023", 303)]


def test_a_log_moved_to_other_rows_lacks_its_first(tampered: Tamper) -> None:
    report = tampered("UPDATE log SET idx = -1 - idx", "UPDATE log SET idx = -idx")
    assert codes(report)[:2] == [("SA5020", 0), ("SA5022", 1)]


def test_deleted_entries_are_named_as_a_range(tampered: Tamper) -> None:
    report = tampered("DELETE FROM log WHERE idx BETWEEN 100 AND 299")
    assert [str(problem) for problem in report.problems] == ["SA5021 entries 100 to 299 are missing"]


def test_a_cut_tail_is_named_as_long_as_the_head_remains(tampered: Tamper) -> None:
    report = tampered("DELETE FROM log WHERE idx > 620")
    assert [str(problem) for problem in report.problems] == [f"SA5021 entries 621 to {LENGTH - 1} are missing"]


def test_all_entries_deleted(tampered: Tamper) -> None:
    assert codes(tampered("DELETE FROM log")) == [("SA5021", 0)]


@pytest.mark.parametrize(("a", "b"), [(4, 5), (5, 6), (3, 4), (0, 1), (10, 400), (255, 256)])
def test_swapped_entries_are_both_named(tampered: Tamper, a: int, b: int) -> None:
    report = tampered(
        "UPDATE log SET entry = o.entry FROM (SELECT idx, entry FROM log) o"
        " WHERE o.idx = ?1 + ?2 - log.idx AND log.idx IN (?1, ?2)",
        values=(a, b),
    )
    assert codes(report) == [("SA5022", a), ("SA5022", b)]
    assert str(report.problems[0]) == f"SA5022 row {a} of the log holds entry {b}"


@pytest.mark.parametrize(("a", "b"), [(4, 5), (5, 6), (3, 4), (10, 400), (2, 4), (255, 256)])
def test_swapped_rows_are_both_named(tampered: Tamper, a: int, b: int) -> None:
    report = tampered(
        "UPDATE log SET idx = -1000 - idx WHERE idx IN (?1, ?2)",
        "UPDATE log SET idx = ?1 + ?2 + 1000 + idx WHERE idx < 0 AND ?1 = ?1",
        values=(a, b),
    )
    assert codes(report) == [("SA5022", a), ("SA5022", b)]


def test_a_row_moved_out_of_the_log_is_named(tampered: Tamper) -> None:
    report = tampered("UPDATE log SET idx = -7 WHERE idx = 7")
    assert codes(report) == [("SA5022", -7), ("SA5020", 7)]
    report = tampered("UPDATE log SET idx = 1 << 60 WHERE idx = -7")
    assert ("SA5021", LENGTH) in codes(report)


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE tree SET frontier = flip(frontier, 0)",
        "UPDATE tree SET frontier = flip(frontier, length(frontier) - 1)",
        "UPDATE tree SET frontier = x'00'",
        "UPDATE tree SET size = size - 2, frontier = substr(frontier, 1, length(frontier) - 32)",
        "UPDATE tree SET size = -1",
        "DELETE FROM tree",
    ],
)
def test_a_changed_head_is_named(tampered: Tamper, act: str) -> None:
    report = tampered(act)
    assert codes(report) == [("SA5024", None)]
    assert str(report.problems[0]).endswith(f") is not that of the log, which has {LENGTH} entries")


def test_an_entry_added_behind_the_head_is_named(tampered: Tamper) -> None:
    report = tampered("INSERT INTO log SELECT idx + 1, entry, subtree FROM log ORDER BY idx DESC LIMIT 1")
    assert codes(report) == [("SA5022", LENGTH), ("SA5024", None)]


@pytest.mark.parametrize(
    ("act", "table", "index"),
    [
        ("UPDATE facts SET position = 77 WHERE idx = 5", "facts", 5),
        ("UPDATE facts SET kind = 'Draft' WHERE idx = 4", "facts", 4),
        ("UPDATE facts SET kind = 'Verdict' WHERE idx = 2", "facts", 2),
        ("UPDATE facts SET job = 0, position = 99 WHERE idx = 4", "facts", 4),
        ("DELETE FROM facts WHERE idx = 300", "facts", 300),
        ("UPDATE jobs SET id = 'run/9' WHERE id = 'run/2'", "facts", 32),
        ("DELETE FROM jobs WHERE id = 'run/2'", "facts", 32),
        ("UPDATE documents SET key = 'SO9' WHERE idx = 2", "documents", 2),
        ("UPDATE documents SET run = 'run/2' WHERE idx = 2", "documents", 2),
        ("UPDATE documents SET format = 'x' WHERE idx = 2", "documents", 2),
        ("DELETE FROM documents WHERE idx = 2", "documents", 2),
        ("INSERT INTO documents VALUES (300, 'run/1', 'order', 'SO1')", "documents", 300),
        ("INSERT INTO documents VALUES (0, 'run/1', 'order', 'SO1')", "documents", 0),
        ("UPDATE runs SET recipe_id = 'other' WHERE idx = 0", "runs", 0),
        ("DELETE FROM runs WHERE idx = 0", "runs", 0),
        ("INSERT INTO runs VALUES (3, 'u8/order')", "runs", 3),
    ],
)
def test_a_changed_index_row_names_its_table_and_entry(tampered: Tamper, act: str, table: str, index: int) -> None:
    report = tampered(act)
    assert codes(report) == [("SA5026", index)]
    assert report.problems[0].values["table"] == table


def test_an_index_problem_says_what_was_expected(tampered: Tamper) -> None:
    report = tampered("UPDATE documents SET key = 'SO9' WHERE idx = 2")
    assert str(report.problems[0]) == (
        "SA5026 index table documents says ('run/1', 'invoice', 'SO9') of entry 2,"
        " which gives ('run/1', 'invoice', 'SO0')"
    )


@pytest.mark.parametrize(
    ("act", "table", "index"),
    [
        ("INSERT INTO facts VALUES (626, 0, 900, 'Draft')", "facts", LENGTH),
        ("INSERT INTO facts VALUES (-3, 0, 900, 'Draft')", "facts", -3),
        ("INSERT INTO documents VALUES (99999, 'run/1', 'order', 'SO1')", "documents", 99999),
        ("INSERT INTO runs VALUES (99999, 'u8/order')", "runs", 99999),
        ("INSERT INTO jobs VALUES (5, 'run/9')", "jobs", 5),
        ("INSERT INTO jobs VALUES (99999, 'run/9')", "jobs", 99999),
    ],
)
def test_an_index_row_without_an_entry_is_named(tampered: Tamper, act: str, table: str, index: int) -> None:
    report = tampered(act)
    assert [str(problem) for problem in report.problems] == [
        f"SA5027 index table {table} has a row {index} that no entry gives"
    ]


@pytest.mark.parametrize(
    "change",
    [
        "data = flip(data, 0)",
        "data = flip(data, length(data) - 1)",
        "data = zeroblob(size)",
        "size = size - 1",
        "size = size + 1",
    ],
)
def test_a_changed_blob_is_named(tampered: Tamper, change: str) -> None:
    digest = canonical.digest(b"<td>page</td>" * 50 + b"3")
    key = bytes.fromhex(digest[4:])
    report = tampered(f"UPDATE blobs SET {change} WHERE digest = ?", values=(key,))  # noqa: S608 - of the cases above
    assert [str(problem) for problem in report.problems] == [
        f"SA5028 the bytes of body {digest}, or its key, have been changed"
    ]


def test_a_missing_blob_is_named_once_with_the_first_fact_that_names_it(tampered: Tamper) -> None:
    digest = canonical.digest(b"<order>0</order>")
    key = (bytes.fromhex(digest[4:]),)
    report = tampered("DELETE FROM keys WHERE digest = ?", "DELETE FROM blobs WHERE digest = ?", values=key)
    assert [str(problem) for problem in report.problems] == [
        f"SA5029 entry 2 names body {digest} (document), which is not in the archive"
    ]


def test_a_text_that_looks_like_a_digest_needs_no_blob(archive: SqliteArchive) -> None:
    fact = Snapshot(name=canonical.digest(b"no blob"), url="u", taken_at=NOW, page=archive.put(b"page"), image=None)
    archive.append(RUN, 0, fact)
    assert verify.verify(archive.path).whole


def test_a_log_written_anew_with_a_gap_in_a_job_is_found(
    archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = archive.put(b"page")
    archive.append(RUN, 0, started(page))
    monkeypatch.setattr(archive, "_place", lambda job: (0, 2))  # a writer that does not count
    archive.append(RUN, 2, ended())
    report = verify.verify(archive.path)
    assert [str(problem) for problem in report.problems] == [
        "SA5025 entry 1 is fact 2 of the job that begins with entry 0, without one before it"
    ]


def test_a_log_written_anew_with_two_facts_of_a_job_exchanged_is_found(
    archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.append(RUN, 0, started(archive.put(b"recipe")))
    for position in (2, 1):
        monkeypatch.setattr(archive, "_place", lambda job, length=position: (0, length))
        archive.append(RUN, position, ended())
    assert codes(verify.verify(archive.path)) == [("SA5025", 1)]


def test_a_log_written_anew_with_a_foreign_index_is_found(archive: SqliteArchive) -> None:
    archive.append(RUN, 0, ended())
    (data,) = archive._db.execute("SELECT entry FROM log").fetchone()
    data = data.replace(b'"index":0', b'"index":5')
    leaf = merkle.leaf(data)
    archive._db.execute("UPDATE log SET entry = ?, subtree = ?", (data, leaf))
    archive._db.execute("UPDATE tree SET frontier = ?", (leaf,))
    assert codes(verify.verify(archive.path)) == [("SA5022", 0), ("SA5035", 0)]


def test_job_names_that_json_escapes_are_compared_in_full(archive: SqliteArchive) -> None:
    for job in ('run/"quoted"', "run/back\\slash", "run/中文", "run/tab\t"):
        archive.append(JobId(job), 0, ended())
    assert verify.verify(archive.path).whole


@pytest.mark.parametrize("junk", [b"", b"[" * 100_000, b"null", b"\xff", b'{"index":3}', b'{"index":"x"}'])
def test_an_entry_replaced_by_junk_is_named(tampered: Tamper, junk: bytes) -> None:
    report = tampered("UPDATE log SET entry = ? WHERE idx = 3", values=(junk,))
    assert [index for _, index in codes(report)] == [3]


def test_a_damaged_file_is_reported_and_not_raised(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    data = bytearray(good.read_bytes())
    data[4096 * 20 : 4096 * 21] = b"\xee" * 4096
    path.write_bytes(data)
    report = verify.verify(path)
    assert "SA5030" in [problem.code for problem in report.problems]


def test_a_damaged_page_that_no_check_reads_is_reported(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    data = bytearray(good.read_bytes())
    with closing(sqlite3.connect(good)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'documents_by_key'").fetchone()
    at = data.index(b"SO0", 4096 * (page - 1))
    data[at : at + 3] = b"SO9"
    path.write_bytes(data)
    report = verify.verify(path)
    assert report.problems
    assert {problem.code for problem in report.problems} == {"SA5030"}
    assert "documents_by_key" in str(report.problems[0])
    assert verify.verify(path, bodies=False).whole


def test_the_list_of_problems_has_an_end(tampered: Tamper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "PROBLEM_LIMIT", 10)
    report = tampered("UPDATE log SET entry = flip(entry, 10)")
    assert len(report.problems) == 11
    assert str(report.problems[-1]) == "SA5031 there are more than 10 problems; the others are not listed"
