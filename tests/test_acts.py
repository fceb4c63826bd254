"""What a local administrator may do to the log, with every key and file of this machine: each act, and who finds it.

A real archive, and a real witness on another address. An act on what the witness has seen is contradicted; one on the
tail that it has not seen cannot be told from an honest log, and is not proven, until the next anchor: from then on the
same act is contradicted as well. The MACs find changes in the tail too, but not that its end was cut off.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette

from scraper_agent import canonical, merkle, serving
from scraper_agent.archive import ratchet, reached, sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.audit import anchor, note, proving, witness_web
from scraper_agent.audit.anchor import Anchoring
from scraper_agent.audit.proving import Proof, Word
from scraper_agent.audit.witness import Witness
from scraper_agent.sending import witnesses
from scraper_agent.signing import sm2
from scraper_agent.values import Anchored, JobId, RunEnded
from tests.authorities import OTHER, SIGNER, Clock
from tests.world import NOW

OWN = "witness.example"
RUN = JobId("run/1")
KEY = bytes(range(32))
SEEN = 12
"""Entries when the witness saw the log; its own line is the next one."""
TAIL = 4


@dataclass
class Machine:
    """One log and all that lies beside it; its witness is elsewhere."""

    path: Path
    origin: str
    witness: str
    clock: Clock
    handed: ratchet.Handed | None = None

    @property
    def party(self) -> witnesses.HttpsWitness:
        config = witnesses.Https(kind="https", name=OWN, url=self.witness, public_key=OTHER.public_key)
        return witnesses.HttpsWitness(config)

    def grow(self, facts: int) -> None:
        with SqliteArchive(self.path, self.clock) as archive:
            for _ in range(facts):
                number = archive.length(RUN)
                self.clock.later(seconds=1)
                archive.append(RUN, number, RunEnded(complete=True, documents=number, faults=0))

    def anchor(self) -> None:
        with SqliteArchive(self.path, self.clock) as archive:
            self.clock.later(seconds=61)
            Anchoring(
                log=archive,
                origin=self.origin,
                signer=lambda: SIGNER,
                verify=sm2.verify,
                now=self.clock,
                parties=[self.party],
            ).anchor()

    def proof(self) -> Proof:
        with SqliteArchive(self.path, self.clock, read_only=True) as archive:
            return proving.prove(archive, self.origin, [self.party], {OWN: OTHER.public_key}, sm2.verify)

    def word(self) -> Word:
        """What `log verify` says."""
        return self.proof().word if verify(self.path).whole else Word.CONTRADICTED

    def sealed(self) -> bool:
        """Whether every entry has the MAC that it was given."""
        assert self.handed is not None
        with closing(sqlite.connect(self.path)) as db:
            return ratchet.check(db, self.handed).wrong is None

    # --- what the administrator has ---

    def entries(self) -> list[bytes]:
        with closing(sqlite3.connect(self.path)) as db:
            return [bytes(row[0]) for row in db.execute("SELECT entry FROM log ORDER BY idx")]

    def rewrite(self, entries: list[bytes]) -> None:
        """All of it anew, with every hash and index right, as the program itself would have made it, and no trace."""
        with closing(sqlite3.connect(self.path)) as db:
            bodies, keys = (db.execute(query).fetchall() for query in ("SELECT * FROM blobs", "SELECT * FROM keys"))
        for each in self.path.parent.glob("*"):
            each.unlink()
        frontier = merkle.Frontier()
        with SqliteArchive(self.path, self.clock):
            pass
        with closing(sqlite3.connect(self.path)) as db:
            for index, data in enumerate(entries):
                frontier = frontier.append(merkle.leaf(data))
                db.execute("INSERT INTO log VALUES (?, ?, ?)", (index, data, frontier.peaks[-1]))
            db.execute("UPDATE tree SET size = ?, frontier = ?", (frontier.size, frontier.dump()))
            db.executemany("INSERT INTO blobs VALUES (?, ?, ?)", bodies)
            db.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", keys)
            db.commit()
        with SqliteArchive(self.path, self.clock) as archive:
            archive.rebuild_index()


def changed(data: bytes) -> bytes:
    """The entry says of a run that it read one document more."""
    entry = canonical.entry(data)
    assert isinstance(entry.fact, RunEnded)
    return data.replace(b'"documents":%d' % entry.fact.documents, b'"documents":%d' % (entry.fact.documents + 1000))


def renumbered(entries: list[bytes]) -> list[bytes]:
    """As they would have been logged, had they been these."""
    found, positions = [], dict.fromkeys({canonical.entry(data).job for data in entries}, 0)
    for index, data in enumerate(entries):
        entry = canonical.entry(data)
        values = (b'"index":%d' % entry.index, b'"position":%d}' % entry.position)
        new = (b'"index":%d' % index, b'"position":%d}' % positions[entry.job])
        positions[entry.job] += 1
        for before, after in zip(values, new, strict=True):
            data = data.replace(before, after)  # noqa: PLW2901 - step by step
        found.append(data)
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    it = Witness(
        tmp_path_factory.mktemp("elsewhere") / "heads",
        OWN,
        OTHER,
        lambda _origin: [SIGNER.public_key],
        sm2.verify,
        lambda: NOW,
    )
    server = serving.Serving(Starlette(routes=witness_web.routes(lambda: it)), 0)
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture
def machine(tmp_path: Path, address: str) -> Machine:
    """A log of which the witness has seen `SEEN` entries, and a tail after its line."""
    (tmp_path / "machine").mkdir()
    made = Machine(tmp_path / "machine" / "archive.db", str(tmp_path)[-150:].replace(" ", "_"), address, Clock(NOW))
    made.grow(SEEN)
    made.anchor()
    made.grow(TAIL)
    return made


# --- the acts, on entries that the witness has seen -----------------------------------------------------------------


def edit(machine: Machine, at: int = 5) -> None:
    """And nothing recomputed."""
    with closing(sqlite3.connect(machine.path)) as db:
        (data,) = db.execute("SELECT entry FROM log WHERE idx = ?", (at,)).fetchone()
        db.execute("UPDATE log SET entry = ? WHERE idx = ?", (changed(bytes(data)), at))
        db.commit()


def edit_and_recompute(machine: Machine, at: int = 5) -> None:
    entries = machine.entries()
    entries[at] = changed(entries[at])
    machine.rewrite(entries)


def edit_and_sign(machine: Machine, at: int = 5) -> None:
    """With the log's own key: its checkpoints are his as well. Those that the log keeps are made anew."""
    entries = [data for data in machine.entries() if canonical.entry(data).job == RUN]
    entries[at] = changed(entries[at])
    machine.rewrite(renumbered(entries))
    with SqliteArchive(machine.path, machine.clock) as archive:
        made = note.Checkpoint(origin=machine.origin, size=SEEN, root=archive.head(SEEN).root, at=NOW)
        signed = note.sign(made, SIGNER)
        own = signed + note.cosign(note.text(made), OWN, SIGNER, NOW)  # he has not the witness's key
        fact = Anchored(witness=OWN, size=SEEN, note=archive.put(own), at=NOW)
        archive.append(anchor.job_of(OWN), 0, fact)


def cut_before_the_checkpoint(machine: Machine) -> None:
    machine.rewrite(machine.entries()[: SEEN - 4])


def delete_one(machine: Machine) -> None:
    entries = machine.entries()
    del entries[5]
    machine.rewrite(renumbered(entries))


def rewrite_all(machine: Machine) -> None:
    machine.rewrite([changed(data) if canonical.entry(data).job == RUN else data for data in machine.entries()])


def restore_and_go_on(machine: Machine) -> None:
    """What he kept of the disk before the anchor; the log has grown beyond what the witness saw since."""
    machine.rewrite(machine.entries()[:6])
    machine.grow(SEEN)


def insert_one(machine: Machine) -> None:
    entries = machine.entries()
    entries.insert(3, entries[3])
    machine.rewrite(renumbered(entries))


ON_WHAT_WAS_SEEN = [
    edit,
    edit_and_recompute,
    edit_and_sign,
    cut_before_the_checkpoint,
    delete_one,
    rewrite_all,
    restore_and_go_on,
    insert_one,
]


@pytest.mark.parametrize("act", ON_WHAT_WAS_SEEN)
def test_what_is_done_to_entries_that_a_witness_has_seen_is_contradicted(
    machine: Machine, act: Callable[[Machine], None]
) -> None:
    assert machine.word() is Word.NOT_PROVEN
    act(machine)
    assert verify(machine.path).whole is (act is not edit), "nothing else on this machine tells"
    assert machine.word() is Word.CONTRADICTED


# --- the two on the tail --------------------------------------------------------------------------------------------


def cut_the_tail(machine: Machine) -> None:
    machine.rewrite(machine.entries()[:-2])


def edit_the_tail(machine: Machine) -> None:
    edit_and_recompute(machine, len(machine.entries()) - 2)


@pytest.mark.parametrize("act", [cut_the_tail, edit_the_tail])
def test_what_is_done_to_the_tail_is_not_proven_before_the_next_anchor_and_contradicted_after_it(
    machine: Machine, act: Callable[[Machine], None], tmp_path: Path
) -> None:
    before = machine.proof()
    assert (before.word, before.size, before.tail) == (Word.NOT_PROVEN, SEEN, TAIL + 1)
    kept = tmp_path / "kept"
    shutil.copytree(machine.path.parent, kept)
    act(machine)
    after = machine.proof()
    assert verify(machine.path).whole, "nothing on this machine tells"
    assert (after.word, after.size) == (Word.NOT_PROVEN, SEEN)
    assert after.tail == before.tail - 2 * (act is cut_the_tail), "it says how much nobody has seen"
    shutil.rmtree(machine.path.parent)
    shutil.copytree(kept, machine.path.parent)
    machine.anchor()
    whole = machine.proof()
    assert (whole.word, whole.tail) == (Word.PROVEN, 1), "only the witness's own line came after"
    assert whole.size == SEEN + TAIL + 1
    entries = machine.entries()[:-1]  # the line goes, too: what comes before is the tail that was
    machine.rewrite(entries)
    act(machine)
    assert machine.word() is Word.CONTRADICTED


def test_a_witness_that_cannot_be_asked_leaves_its_last_line_in_the_log(machine: Machine) -> None:
    machine.witness = "http://127.0.0.1:9"
    found = machine.proof()
    assert (found.word, found.size, [e.code for e in found.unasked]) == (Word.NOT_PROVEN, SEEN, ["SA4130"])


def test_without_anybody_who_saw_it_nothing_is_proven(machine: Machine) -> None:
    machine.rewrite(renumbered([data for data in machine.entries() if canonical.entry(data).job == RUN]))
    machine.witness = "http://127.0.0.1:9"
    found = machine.proof()
    assert (found.word, found.size, found.tail) == (Word.NOT_PROVEN, 0, SEEN + TAIL)


# --- MACs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(tmp_path: Path) -> Machine:
    """Nobody has ever seen it, and all but its first three entries have MACs."""
    (tmp_path / "machine").mkdir()
    made = Machine(tmp_path / "machine" / "archive.db", "x", "http://127.0.0.1:9", Clock(NOW))
    made.grow(3)
    with SqliteArchive(made.path, made.clock) as archive:
        made.handed = archive.enrol(anchor.JOB, KEY, "person:auditor")
    made.grow(5)
    made.grow(2)
    return made


def macs(machine: Machine) -> dict[int, bytes]:
    with closing(sqlite3.connect(machine.path)) as db:
        return {index: bytes(mac) for index, mac in db.execute("SELECT idx, mac FROM macs")}


def with_macs(machine: Machine, known: dict[int, bytes], entries: list[bytes]) -> None:
    """`rewrite`, and the MACs that there were."""
    machine.rewrite(entries)
    with closing(sqlite3.connect(machine.path)) as db:
        db.execute(ratchet.TABLE)
        db.executemany("INSERT INTO macs VALUES (?, ?)", known.items())
        db.commit()


def key_now(machine: Machine) -> tuple[int, bytes]:
    at, key, _ = ratchet.path_of(machine.path).read_bytes().split()
    return int(at), bytes.fromhex(key.decode())


def test_every_entry_after_the_enrolment_has_a_mac_under_a_key_of_its_own(sealed: Machine) -> None:
    assert sealed.sealed()
    assert verify(sealed.path).whole
    key, entries = KEY, sealed.entries()
    expected = {}
    for index in range(3, 11):
        expected[index] = ratchet.hmac(key, entries[index])
        key = ratchet.hmac(key, b"next")
    assert macs(sealed) == expected
    assert key_now(sealed) == (11, key)


def test_no_key_of_an_entry_that_was_logged_is_on_the_machine(sealed: Machine) -> None:
    key, keys = KEY, []
    for _ in range(8):
        keys.append(key)
        key = ratchet.following(key)
    for each in sealed.path.parent.iterdir():
        data = each.read_bytes()
        assert not any(known in data or known.hex().encode() in data for known in keys), each


def test_hmac_is_that_of_the_standard() -> None:
    import hashlib  # noqa: PLC0415 - where it has SM3
    import hmac as known  # noqa: PLC0415

    if "sm3" not in hashlib.algorithms_available:
        pytest.skip("this Python's OpenSSL has no SM3")
    assert ratchet.hmac(KEY, b"x" * 100) == known.digest(KEY, b"x" * 100, "sm3")


@pytest.mark.parametrize("index", [3, 6, 10])
def test_a_change_without_the_key_is_found(sealed: Machine, index: int) -> None:
    entries, known = sealed.entries(), macs(sealed)
    entries[index] = entries[index].replace(b'"at":"2026', b'"at":"2025')
    with_macs(sealed, known, entries)
    assert verify(sealed.path).whole
    assert not sealed.sealed()


def test_a_change_sealed_with_a_later_key_is_found(sealed: Machine) -> None:
    """As journald once did not: an old entry under the key that is there now."""
    entries, known = sealed.entries(), macs(sealed)
    _, key = key_now(sealed)
    entries[6] = changed(entries[6])
    with_macs(sealed, known | {6: ratchet.hmac(key, entries[6])}, entries)
    assert not sealed.sealed()


def test_cut_and_gone_on_is_found(sealed: Machine) -> None:
    """As journald once did not: keys that go on where entries are gone."""
    entries, known = sealed.entries(), macs(sealed)
    _, key = key_now(sealed)
    cut = entries[:7]
    new = renumbered([*cut, entries[10]])
    with_macs(sealed, {i: m for i, m in known.items() if i < 7} | {7: ratchet.hmac(key, new[7])}, new)
    assert not sealed.sealed()


@pytest.mark.parametrize("without", [{3}, {7}, {10}, set(range(3, 11))])
def test_an_entry_without_a_mac_is_found(sealed: Machine, without: set[int]) -> None:
    """As journald once did not: what is not sealed at all."""
    known = {i: m for i, m in macs(sealed).items() if i not in without}
    with_macs(sealed, known, sealed.entries())
    assert not sealed.sealed()


def test_a_mac_without_its_entry_is_found(sealed: Machine) -> None:
    with_macs(sealed, macs(sealed), sealed.entries()[:9])
    assert not sealed.sealed()


def test_an_archive_without_any_mac_is_found(sealed: Machine) -> None:
    sealed.rewrite(sealed.entries())
    assert not sealed.sealed()


def test_a_cut_end_is_not_found_by_macs(sealed: Machine) -> None:
    """That is what witnesses are for."""
    with_macs(sealed, {i: m for i, m in macs(sealed).items() if i < 9}, sealed.entries()[:9])
    assert sealed.sealed()


def test_what_is_undone_takes_no_key(sealed: Machine) -> None:
    with SqliteArchive(sealed.path, sealed.clock) as archive:
        with suppress(ZeroDivisionError), archive.together():
            archive.append(RUN, archive.length(RUN), RunEnded(complete=True, documents=0, faults=0))
            archive.append(RUN, archive.length(RUN), RunEnded(complete=True, documents=0, faults=0))
            raise ZeroDivisionError
        with archive.together():
            for _ in range(3):
                archive.append(RUN, archive.length(RUN), RunEnded(complete=True, documents=0, faults=0))
    assert sealed.sealed()
    assert key_now(sealed)[0] == 14


def test_an_older_key_goes_on_as_after_a_power_cut(sealed: Machine) -> None:
    path = ratchet.path_of(sealed.path)
    before = path.read_bytes()
    sealed.grow(3)
    path.write_bytes(before)
    sealed.grow(3)
    assert sealed.sealed()


def test_a_log_that_is_shorter_than_its_key_knows_is_not_gone_on_with(sealed: Machine) -> None:
    beside = ratchet.path_of(sealed.path).read_bytes()
    with_macs(sealed, {i: m for i, m in macs(sealed).items() if i < 9}, sealed.entries()[:9])
    reached.path_of(sealed.path).unlink()
    ratchet.path_of(sealed.path).write_bytes(beside)
    with pytest.raises(Exception, match="SA5073"):
        sealed.grow(1)


# --- on paper -------------------------------------------------------------------------------------------------------


def test_a_code_is_short_and_tells_every_slip() -> None:
    made = note.Checkpoint(origin="x", size=123456789, root=bytes(range(32)), at=NOW + timedelta(days=1))
    code = proving.code(made)
    assert len(code.encode()) <= 120
    assert proving.read_code(code) == (made.size, made.root)
    assert proving.read_code(f" {code.lower().replace('-', ' - ')} ") == (made.size, made.root)
    for at, letter in enumerate(code):
        if letter != "-":
            other = {"2": "3", "A": "B"}.get(letter, "2" if letter.isdigit() else "A")
            with pytest.raises(ValueError, match="a character"):
                proving.read_code(code[:at] + other + code[at + 1 :])
    for wrong in ("", "7", "7-", "x", code[:-1], code[5:]):
        with pytest.raises(ValueError, match="a character"):
            proving.read_code(wrong)
