"""Anchored before it is sent: what leaves is in a tree that a witness has, or gets along with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from scraper_agent import canonical, envelope, merkle, serving
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import anchor, asking, note, witness_web
from scraper_agent.audit.anchor import Anchoring, Carrier, Contradicted, Party
from scraper_agent.audit.witness import Witness
from scraper_agent.errors import AgentError
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline, Receiver
from scraper_agent.policy import Anchor
from scraper_agent.ports import PersonNeeded, Sighting
from scraper_agent.sandbox.platform import WITNESS, Platform
from scraper_agent.sending import https, witnesses
from scraper_agent.signing import sm2
from scraper_agent.values import (
    Anchored,
    Attempt,
    Entry,
    JobId,
    Outcome,
    Parked,
    Receipt,
    RunEnded,
    State,
    Unanchored,
    state,
)
from tests.authorities import OTHER, SIGNER, Clock
from tests.world import AK, NOW, PLAN, POLICY, PROFILE, RUN, Crash, CrashingArchive, crash, frozen, page, seeing

ORIGIN = f"{PROFILE['uscc']}/{AK}"
OWN = "witness.example"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Knows the agent by each `ak` of a test: whose log is whose is told by it."""
    with Platform(lambda: NOW, {(AK, "01"): SIGNER.public_key}, FORMATS, window=timedelta(days=9)) as running:
        yield running


@dataclass
class Site:
    """One log, its witnesses, and the receiver."""

    folder: Path
    platform: Platform
    clock: Clock
    own: Witness
    address: str
    """Of its own witness."""
    origin: str
    carries: bool = False
    """The receiver is a witness."""
    asks: bool = True
    """Its own witness is asked."""

    @property
    def path(self) -> Path:
        return self.folder / "archive.db"

    @property
    def party(self) -> Party:
        config = witnesses.Https(kind="https", name=OWN, url=self.address, public_key=OTHER.public_key)
        return witnesses.HttpsWitness(config)

    @contextmanager
    def archive(self) -> Iterator[SqliteArchive]:
        with SqliteArchive(self.path, self.clock) as archive:
            yield archive

    def anchoring(self, archive: SqliteArchive, *more: Party, carrier: Carrier | None = None) -> Anchoring:
        return Anchoring(
            log=archive,
            origin=self.origin,
            signer=lambda: SIGNER,
            verify=sm2.verify,
            now=self.clock,
            parties=[*([self.party] if self.asks else []), *more],
            others=[carrier.name] if carrier else [],
        )

    @contextmanager
    def pipeline(self, crash_at: int = -1, *, after: bool = False) -> Iterator[Pipeline]:
        carrier = Carrier(name=WITNESS, public_key=self.platform.witness.signer.public_key) if self.carries else None
        config = https.Config(kind="https", url=self.platform.url, connect_timeout_s=2)
        with (
            CrashingArchive(self.path, self.clock) as archive,
            https.HttpsTransport(config, carrier) as transport,
        ):
            archive.at, archive.after, archive.die = crash_at, after, crash
            yield Pipeline(
                archive=archive,
                now=self.clock,
                formats=FORMATS,
                profile=PROFILE,
                policy=POLICY,
                signer=lambda: SIGNER,
                transport=transport,
                carrier=carrier,
                anchoring=self.anchoring(archive, carrier=carrier),
                receiver=Receiver(
                    ak=AK, profile=envelope.DEFAULT, public_keys=self.platform.public_keys, verify=sm2.verify
                ),
            )

    def anchored(self) -> list[Anchored]:
        with SqliteArchive(self.path, self.clock, read_only=True) as archive:
            return [entry.fact for entry in archive.entries() if isinstance(entry.fact, Anchored)]

    def entries(self) -> list[Entry]:
        with SqliteArchive(self.path, self.clock, read_only=True) as archive:
            return list(archive.entries())


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Witness, str]]:
    """A witness of the enterprise's own, that takes any log of the test's key."""
    path = tmp_path_factory.mktemp("witness") / "heads"
    it = Witness(path, OWN, OTHER, lambda _origin: [SIGNER.public_key], sm2.verify, lambda: NOW)
    server = serving.Serving(Starlette(routes=witness_web.routes(lambda: it)), 0)
    yield it, f"http://127.0.0.1:{server.port}"
    server.stop()


NUMBER = iter(range(10**6))


@pytest.fixture
def site(tmp_path: Path, platform: Platform, own: tuple[Witness, str]) -> Site:
    """Each test has a log of its own name."""
    return Site(tmp_path, platform, Clock(NOW), *own, origin=f"test-{next(NUMBER)}/{AK}")


def ended(number: int) -> RunEnded:
    return RunEnded(complete=True, documents=number, faults=0)


def grow(archive: SqliteArchive, facts: int) -> None:
    for _ in range(facts):
        length = archive.length(RUN)
        archive.append(RUN, length, ended(length))


# --- when -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "seconds", "wanted"),
    [(0, 10**6, False), (1, 59, False), (1, 60, True), (99, 0, False), (100, 0, True)],
)
def test_an_anchor_is_due_after_a_minute_or_a_hundred_facts(tail: int, seconds: int, wanted: bool) -> None:
    assert anchor.due(tail, timedelta(seconds=seconds)) is wanted


def test_anchors_themselves_are_never_due(site: Site) -> None:
    with site.archive() as archive:
        anchoring = site.anchoring(archive)
        grow(archive, 1)
        assert not anchoring.due()
        site.clock.later(seconds=60)
        assert anchoring.due()
        assert anchoring.anchor() == []
        site.clock.later(days=9)
        assert not anchoring.due()
        assert anchoring.unanchored_since() is None
        assert anchoring.anchor() == []
        assert archive.head().size == 2


# --- what -----------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_signed_names_the_one_before_and_is_kept_with_the_witness_line(site: Site) -> None:
    with site.archive() as archive:
        anchoring = site.anchoring(archive)
        grow(archive, 3)
        anchoring.anchor()
        grow(archive, 4)
    with site.archive() as archive:  # another process
        site.anchoring(archive).anchor()
    with site.archive() as archive:  # and another one, with nothing to show
        assert site.anchoring(archive).anchor() == []
        first, second = (note.read(archive.get(fact.note)) for fact in site.anchored())
        for read, size in ((first, 3), (second, 8)):
            assert (read.checkpoint.origin, read.checkpoint.size) == (site.origin, size)
            assert read.checkpoint.root == archive.head(size).root
            assert note.signed(read, SIGNER.public_key, sm2.verify)
            assert set(note.seen(read, {OWN: OTHER.public_key}, sm2.verify)) == {OWN}
        assert first.checkpoint.previous == ""
        assert second.checkpoint.previous == note.digest(first.text)


def test_an_answer_that_was_lost_is_had_again(site: Site) -> None:
    with site.archive() as archive:
        grow(archive, 5)
        head = archive.head()
        checkpoint = note.Checkpoint(origin=site.origin, size=5, root=head.root, at=NOW)
        assert site.own.add(asking.request(0, [], note.sign(checkpoint, SIGNER))).status == 200
        assert site.anchoring(archive).anchor() == []
        assert [fact.size for fact in site.anchored()] == [5]


def test_a_witness_whose_signature_does_not_hold_counts_for_nothing(site: Site) -> None:
    with site.archive() as archive:
        grow(archive, 2)
        anchoring = replace(site.anchoring(archive), verify=lambda *_: False)
        (told,) = anchoring.anchor()
        assert (told.code, anchoring.size) == ("SA5062", 0)


def test_a_log_that_the_witness_does_not_know_is_told_of(site: Site) -> None:
    stranger = replace(site, origin="x")
    with site.archive() as archive:
        grow(archive, 2)
        anchoring = replace(stranger.anchoring(archive), signer=lambda: OTHER)
        (told,) = anchoring.anchor()
        assert told.code == "SA5063"


@pytest.mark.parametrize("goes_on", [0, 3, 4, 9])
def test_a_log_that_was_put_back_is_found(site: Site, goes_on: int) -> None:
    """An old copy, whether it is shorter still, or has grown beside or beyond what the witness saw."""
    with site.archive() as archive:
        grow(archive, 2)
    copy = site.path.read_bytes()
    with site.archive() as archive:
        grow(archive, 4)
        site.anchoring(archive).anchor()
    for each in site.folder.glob("archive.db*"):
        each.unlink()
    site.path.write_bytes(copy)
    site.clock.later(seconds=1)
    with site.archive() as archive:
        grow(archive, goes_on)
        with pytest.raises(Contradicted):
            site.anchoring(archive).anchor()


def test_a_witness_that_is_away_is_left_in_peace_for_a_minute(site: Site) -> None:
    with site.archive() as archive:
        grow(archive, 1)
        away = replace(site, address="http://127.0.0.1:9")
        anchoring = away.anchoring(archive)
        assert [error.code for error in anchoring.anchor()] == ["SA4130"]
        anchoring.parties = [site.party]
        grow(archive, 1)
        anchoring.signer = lambda: pytest.fail("a checkpoint for nobody")
        assert [error.code for error in anchoring.anchor()] == ["SA4130"], "it is not asked"
        anchoring.signer = lambda: SIGNER
        site.clock.later(seconds=60)
        assert anchoring.anchor() == []


# --- before something leaves ----------------------------------------------------------------------------------------


def test_what_leaves_is_in_a_tree_that_a_witness_has(site: Site) -> None:
    with site.pipeline() as pipeline:
        (job,) = [pipeline.advance(id) for id in pipeline.harvest(RUN, PLAN, seeing(frozen(101))).documents]
    assert state(job) is State.RECEIPTED
    attempt = next(entry.index for entry in site.entries() if isinstance(entry.fact, Attempt))
    envelopes = [entry.index for entry in site.entries() if type(entry.fact).__name__ == "Envelope"]
    (anchored,) = [entry for entry in site.entries() if isinstance(entry.fact, Anchored)]
    assert envelopes[0] < anchored.fact.size <= anchored.index < attempt  # type: ignore[union-attr]


def test_nothing_leaves_while_no_witness_can_be_asked(site: Site) -> None:
    before = len(site.platform.stored())
    away = replace(site, address="http://127.0.0.1:9")
    with away.pipeline() as pipeline:
        (job,) = [pipeline.advance(id) for id in pipeline.harvest(RUN, PLAN, seeing(frozen(102))).documents]
        assert {error.code for _, error in pipeline.doubts} == {"SA4130"}
    assert state(job) is State.SIGNED
    assert len(site.platform.stored()) == before
    with site.pipeline() as pipeline:
        assert state(pipeline.advance(job.id)) is State.RECEIPTED


def test_a_receiver_that_is_a_witness_gets_the_checkpoint_with_the_request(site: Site) -> None:
    carrying = replace(site, carries=True, asks=False, origin=f"carried-{next(NUMBER)}/{AK}")
    with carrying.pipeline() as pipeline:
        for id in pipeline.harvest(RUN, PLAN, seeing(frozen(103), frozen(104))).documents:
            assert state(pipeline.advance(id)) is State.RECEIPTED
        assert pipeline.doubts == []
    entries = carrying.entries()
    attempts = [entry.index for entry in entries if isinstance(entry.fact, Attempt)]
    anchored = [entry for entry in entries if isinstance(entry.fact, Anchored)]
    assert [attempts[n] < anchored[n].fact.size + 1 for n in range(2)] == [True, True]  # type: ignore[union-attr]
    for entry in anchored:
        assert isinstance(entries[entry.index + 1].fact, Receipt), "in one commit with what came of it"
    known = site.platform.witness.known(carrying.origin)
    assert known is not None
    with carrying.archive() as archive:
        assert archive.head(known[0]).root == known[1]


def test_one_checkpoint_serves_all_that_leave_together(site: Site) -> None:
    carrying = replace(site, carries=True, asks=False, origin=f"carried-{next(NUMBER)}/{AK}")
    with carrying.pipeline() as pipeline:
        found = pipeline.harvest(RUN, PLAN, seeing(*map(frozen, range(110, 115)))).documents
        for id in found:
            pipeline.advance(id, send=False)
        for id in found:
            assert state(pipeline.advance(id)) is State.RECEIPTED
    assert len(carrying.anchored()) == 1


def test_a_receiver_that_has_seen_another_history_stops_it(site: Site) -> None:
    carrying = replace(site, carries=True, asks=False, origin=f"carried-{next(NUMBER)}/{AK}")
    other = note.Checkpoint(origin=carrying.origin, size=2, root=merkle.leaf(b"x"), at=NOW)
    site.platform.witness.add(asking.request(0, [], note.sign(other, SIGNER)))
    with carrying.pipeline() as pipeline:
        first, second = pipeline.harvest(RUN, PLAN, seeing(frozen(105), frozen(106))).documents
        pipeline.advance(first)  # it did not know how far the receiver was; now it does
        with pytest.raises(Contradicted):
            pipeline.advance(second)
        assert state(pipeline.archive.job(second)) is State.RECEIPTED, "what came back is logged all the same"


# --- a folder -------------------------------------------------------------------------------------------------------


def in_folder(path: Path) -> witnesses.FolderWitness:
    path.mkdir(exist_ok=True)
    return witnesses.FolderWitness(witnesses.Folder(kind="folder", name="share", path=path))


def test_a_folder_has_a_file_for_each_checkpoint_and_none_is_written_twice(site: Site, tmp_path: Path) -> None:
    share = in_folder(tmp_path / "share")
    alone = replace(site, asks=False)
    with site.archive() as archive:
        anchoring = alone.anchoring(archive, share)
        grow(archive, 3)
        assert anchoring.anchor() == []
        (first,) = (tmp_path / "share").iterdir()
        before = first.read_bytes()
        grow(archive, 1)
        assert anchoring.anchor() == []
        assert len(list((tmp_path / "share").iterdir())) == 2
        assert first.read_bytes() == before
        assert [note.read(data).checkpoint.size for data in share.kept(site.origin)] == [5, 3]
        assert list(share.kept("another")) == []


def test_a_folder_tells_a_log_that_did_not_grow_out_of_its_newest_file(site: Site, tmp_path: Path) -> None:
    share = in_folder(tmp_path / "share")
    other = note.Checkpoint(origin=site.origin, size=2, root=merkle.leaf(b"x"), at=NOW)
    assert share.add(0, [], note.sign(other, SIGNER)).status == 200
    with site.archive() as archive:
        grow(archive, 3)
        with pytest.raises(Contradicted):
            replace(site, asks=False).anchoring(archive, share).anchor()


def test_a_file_that_a_crash_cut_off_is_passed_over(site: Site, tmp_path: Path) -> None:
    share = in_folder(tmp_path / "share")
    with site.archive() as archive:
        grow(archive, 3)
        name = f"{canonical.sm3(site.origin.encode()).hex()[:16]}-{3:020}-0.note"
        (tmp_path / "share" / name).write_bytes(b"torn")
        assert replace(site, asks=False).anchoring(archive, share).anchor() == []
        assert len(list((tmp_path / "share").iterdir())) == 2


def test_a_folder_that_is_not_there_is_told_of(site: Site, tmp_path: Path) -> None:
    share = in_folder(tmp_path / "share")
    (tmp_path / "share").rmdir()
    with site.archive() as archive:
        grow(archive, 1)
        (told,) = replace(site, asks=False).anchoring(archive, share).anchor()
        assert told.code == "SA4131"
    with pytest.raises(AgentError):
        share.kept(site.origin)


# --- many at a time -------------------------------------------------------------------------------------------------


def test_documents_that_are_ready_together_are_anchored_together(site: Site) -> None:
    with site.pipeline() as pipeline:
        found = pipeline.harvest(RUN, PLAN, seeing(*map(frozen, range(120, 126)))).documents
        assert App.advance(None, pipeline, found) == []  # type: ignore[arg-type]
        assert {state(pipeline.archive.job(id)) for id in found} == {State.RECEIPTED}
    entries = site.entries()
    (anchored,) = [entry.index for entry in entries if isinstance(entry.fact, Anchored)]
    assert all(entry.index > anchored for entry in entries if isinstance(entry.fact, Attempt))


# --- too long without -----------------------------------------------------------------------------------------------


def unanchored(site: Site, hours: int) -> Site:
    """Nobody can be asked, and the first fact is so old."""
    away = replace(site, address="http://127.0.0.1:9")
    with away.archive() as archive:
        grow(archive, 1)
    away.clock.later(hours=hours)
    return away


def test_after_a_day_without_a_witness_no_run_begins(site: Site) -> None:
    away = unanchored(site, 24)
    before = len(away.entries())
    with away.pipeline() as pipeline, pytest.raises(PersonNeeded) as stopped:
        pipeline.harvest(JobId("run/2"), PLAN, seeing(frozen(130)))
    assert (stopped.value.code, stopped.value.outcome) == ("SA6080", Outcome.UNANCHORED)
    assert len(away.entries()) == before
    with site.pipeline() as pipeline:  # the witness is back: it is shown the log first
        assert pipeline.harvest(JobId("run/2"), PLAN, seeing(frozen(130))).complete


def test_a_run_ends_where_the_day_is_over_and_goes_on_later(site: Site) -> None:
    away = unanchored(site, 23)

    @dataclass
    class Slow:
        def harvest(self, *_: object) -> Iterator[Sighting]:
            yield page(frozen(131))
            away.clock.later(hours=1)
            yield page(frozen(132))

    with away.pipeline() as pipeline:
        with pytest.raises(PersonNeeded):
            pipeline.harvest(JobId("run/2"), PLAN, Slow())
        last = pipeline.archive.job(JobId("run/2")).last
        assert isinstance(last, Parked)
        assert last.outcome is Outcome.UNANCHORED


def test_a_person_may_have_it_read_all_the_same_and_that_is_logged(site: Site) -> None:
    away = unanchored(site, 48)
    said = Unanchored(by="person:wang", reason="line to the witness is down")
    with away.pipeline() as pipeline:
        found = pipeline.harvest(JobId("run/2"), replace(PLAN, unanchored=said), seeing(frozen(133)))
        assert found.complete
        assert pipeline.archive.job(anchor.JOB).facts == (said,)


def test_the_policy_says_how_long(site: Site) -> None:
    away = unanchored(site, 5)
    with away.pipeline() as pipeline:
        pipeline.policy = POLICY.model_copy(update={"anchor": Anchor(warn_hours=1, stop_hours=5)})
        with pytest.raises(PersonNeeded):
            pipeline.harvest(JobId("run/2"), PLAN, seeing(frozen(134)))
        pipeline.policy = POLICY
        assert pipeline.harvest(JobId("run/2"), PLAN, seeing(frozen(134))).complete


def test_a_log_where_nothing_happened_is_not_stopped(site: Site) -> None:
    """Over a week-end, all there is has been seen."""
    with site.archive() as archive:
        grow(archive, 3)
        site.anchoring(archive).anchor()
    away = replace(site, address="http://127.0.0.1:9")
    away.clock.later(days=3)
    with away.pipeline() as pipeline:
        assert pipeline.harvest(JobId("run/2"), PLAN, seeing(frozen(135))).complete


def test_it_does_not_stop_before_it_warns() -> None:
    with pytest.raises(ValidationError, match="it would stop before it warns"):
        Anchor(warn_hours=5, stop_hours=4)


# --- when the machine stops -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("carries", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_append_from_the_signature_on_leaves_what_can_go_on(
    site: Site, tmp_path: Path, carries: bool, after: bool
) -> None:
    crashed = 0
    for at in range(6, 11):
        folder = tmp_path / str(at)
        folder.mkdir()
        here = replace(site, folder=folder, carries=carries, origin=f"crash-{next(NUMBER)}/{AK}")
        record = 1000 + next(NUMBER)
        with suppress(Crash), here.pipeline(crash_at=at, after=after) as pipeline:
            for id in pipeline.harvest(RUN, PLAN, seeing(frozen(record))).documents:
                pipeline.advance(id)
        crashed += not any(isinstance(entry.fact, Receipt) for entry in here.entries())
        with here.pipeline() as pipeline:
            for id in pipeline.harvest(RUN, PLAN, seeing(frozen(record))).documents:
                assert state(pipeline.advance(id)) is State.RECEIPTED
            assert pipeline.anchoring is not None
            assert pipeline.anchoring.anchor() == []
    assert crashed >= 3
