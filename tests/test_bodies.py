"""Bodies in the archive's file: what stands there, what erasing a key does, and how archives of before get keys."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from scraper_agent import canonical, gcm
from scraper_agent.app import App
from scraper_agent.archive import bodies, sqlite, verify
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import AgentError
from scraper_agent.values import Digest, Draft, Entry, Erased, JobId, Snapshot
from tests.console import archive as books

NOW = datetime(2026, 3, 2, 16, 30, tzinfo=UTC)
RUN = JobId("run/1")
CIPHERS: tuple[gcm.Name, ...] = get_args(gcm.Name)
PAGE = b"<td>PO-1</td><td>100.50</td>" * 200
IMAGE = b"".join(canonical.sm3(b"%d" % n) for n in range(400))
FORMAT = Path(__file__).parents[1] / "docs" / "log-format.md"
FOUR = Path(__file__).parent / "archives" / "schema-4.sql"
"""An archive as the last version wrote it that kept bodies plain: three documents, of which one was erased."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.db"


@pytest.fixture
def archive(path: Path) -> Iterator[SqliteArchive]:
    with SqliteArchive(path, lambda: NOW) as opened:
        yield opened


def kept(archive: SqliteArchive, *data: bytes) -> list[Digest]:
    """Put, and named by facts."""
    digests = [archive.put(each) for each in data]
    for digest in digests:
        fact = Snapshot(name="order", url="https://erp/1", taken_at=NOW, page=digest, image=None)
        archive.append(RUN, archive.length(RUN), fact)
    return digests


def erase(archive: SqliteArchive, *digests: Digest) -> Entry:
    fact = Erased(
        what="images",
        bodies=digests,
        by="person:liu.yang",
        reason="too old",
        basis="§ 9",
        policy=archive.put(b"policy"),
    )
    (entry,) = archive.erase(JobId("erasure"), [fact], documents=False)
    assert archive.wipe()
    return entry


def key_of(archive: SqliteArchive, digest: Digest) -> tuple[str, bytes]:
    row = archive._db.execute("SELECT cipher, key FROM keys WHERE digest = ?", (bytes.fromhex(digest[4:]),)).fetchone()
    return str(row[0]), bytes(row[1])


def codes(path: Path) -> list[str]:
    return [problem.code for problem in verify.verify(path).problems]


def everything(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


# --- what stands in the file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cipher", "stored"),
    [
        ("aes-256-gcm", "6465666768696a6b6c6d6e6f2979bd6c729f2b4240e169f8b09ffc90d285cb"),
        ("sm4-gcm", "6465666768696a6b6c6d6e6fd469f562fab5288fbaf846bdc3d3e1f925d7bd"),
    ],
)
def test_the_bytes_are_those_that_are_written_down(cipher: gcm.Name, stored: str) -> None:
    digest = canonical.sm3(b"abc")
    assert digest.hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    key, iv = bytes(range(gcm.KEY_BYTES[cipher])), bytes(range(100, 112))
    data = bodies.sealed(digest, 3, b"abc", cipher, key, iv)
    assert data.hex() == stored
    assert f"| `{cipher}` | `{stored}` |" in FORMAT.read_text(encoding="utf-8")
    assert bodies.opened((digest, 3, data, cipher, key, None)) == b"abc"


@pytest.mark.parametrize("cipher", CIPHERS)
def test_nothing_of_a_body_can_be_read_in_the_file(path: Path, cipher: gcm.Name) -> None:
    with SqliteArchive(path, lambda: NOW, cipher=cipher) as archive:
        page, image = kept(archive, PAGE, IMAGE)
        assert (archive.get(page), archive.get(image)) == (PAGE, IMAGE)
        assert key_of(archive, page)[0] == cipher
        written = everything(path)
    for file in (written, everything(path)):
        assert canonical.digest(PAGE).encode() in file
        for data in (PAGE[:40], bodies.pack(PAGE)[:40], IMAGE[:40], IMAGE[-40:]):
            assert data not in file
    assert verify.verify(path).whole


def test_each_body_has_a_key_of_its_own_and_equal_bytes_are_kept_once(archive: SqliteArchive) -> None:
    digests = kept(archive, PAGE, IMAGE, PAGE, PAGE)
    assert len(set(digests)) == 2
    rows = archive._db.execute("SELECT digest, key FROM keys").fetchall()
    assert len(rows) == len({key for _, key in rows}) == 2
    assert archive._db.execute("SELECT count(*) FROM blobs").fetchone() == (2,)


def test_what_was_kept_under_another_cipher_is_read_on(path: Path) -> None:
    for cipher, data in zip(CIPHERS, (PAGE, IMAGE), strict=True):
        with SqliteArchive(path, lambda: NOW, cipher=cipher) as archive:
            kept(archive, data)
    with SqliteArchive(path, lambda: NOW, read_only=True) as archive:
        for cipher, data in zip(CIPHERS, (PAGE, IMAGE), strict=True):
            assert archive.get(canonical.digest(data)) == data
            assert key_of(archive, canonical.digest(data))[0] == cipher
    assert verify.verify(path).whole


def test_the_config_says_which_cipher(tmp_path: Path) -> None:
    config = books.folder(tmp_path).home / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "\narchive_cipher: sm4-gcm\n", encoding="utf-8")
    with App.load(config, tell=lambda _: None).archive() as archive:
        assert key_of(archive, archive.put(b"new"))[0] == "sm4-gcm"


# --- what was changed -----------------------------------------------------------------------------------------------

FLIPS = {
    "initial value": "UPDATE blobs SET data = flip(data, 0) WHERE digest = ?1",
    "ciphertext": "UPDATE blobs SET data = flip(data, 30) WHERE digest = ?1",
    "tag": "UPDATE blobs SET data = flip(data, length(data) - 1) WHERE digest = ?1",
    "shorter": "UPDATE blobs SET data = substr(data, 1, 20) WHERE digest = ?1",
    "none": "UPDATE blobs SET data = x'' WHERE digest = ?1",
    "size": "UPDATE blobs SET size = size + 1 WHERE digest = ?1",
    "no size": "UPDATE blobs SET size = -1 WHERE digest = ?1",
    "key": "UPDATE keys SET key = flip(key, 31) WHERE digest = ?1",
    "short key": "UPDATE keys SET key = substr(key, 1, 31) WHERE digest = ?1",
    "other cipher": "UPDATE keys SET cipher = 'sm4-gcm' WHERE digest = ?1",
    "no cipher": "UPDATE keys SET cipher = 'none' WHERE digest = ?1",
    "another body under its own key": """UPDATE blobs SET data = (SELECT data FROM blobs WHERE digest <> ?1),
        size = (SELECT size FROM blobs WHERE digest <> ?1) WHERE digest = ?1""",
    "its key with another": "UPDATE keys SET key = (SELECT key FROM keys WHERE digest <> ?1) WHERE digest = ?1",
}


@pytest.mark.parametrize("act", FLIPS.values(), ids=FLIPS)
def test_a_changed_body_or_key_is_found_and_named(archive: SqliteArchive, act: str) -> None:
    page, image = kept(archive, PAGE, IMAGE)
    archive._db.create_function("flip", 2, lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert archive._db.execute(act, (bytes.fromhex(page[4:]),)).rowcount == 1
    with pytest.raises(AgentError, match=f"SA5010 .* {page} have been changed"):
        archive.get(page)
    assert archive.get(image) == IMAGE
    (problem,) = verify.verify(archive.path).problems
    assert str(problem) == f"SA5028 the bytes of body {page}, or its key, have been changed"


def test_a_body_that_is_kept_plain_under_no_key_is_none(archive: SqliteArchive) -> None:
    (page,) = kept(archive, PAGE)
    archive._db.execute("UPDATE blobs SET data = ?", (PAGE,))
    archive._db.execute("UPDATE keys SET cipher = 'none', key = x''")
    assert codes(archive.path) == ["SA5028"]
    with pytest.raises(AgentError, match="SA5010"):
        archive.get(page)


def test_a_body_whose_key_is_missing_is_named(archive: SqliteArchive) -> None:
    page, image = kept(archive, PAGE, IMAGE)
    archive._db.execute("DELETE FROM keys WHERE digest = ?", (bytes.fromhex(page[4:]),))
    with pytest.raises(AgentError) as caught:
        archive.get(page)
    assert str(caught.value).startswith(f"SA5098 the key of body {page} is missing: it cannot be read\nhint: ")
    assert archive.get(image) == IMAGE
    assert [str(each) for each in verify.verify(archive.path).problems] == [
        f"SA5098 the key of body {page} is missing: it cannot be read"
    ]


def test_a_key_that_was_left_behind_is_named(archive: SqliteArchive) -> None:
    page, _ = kept(archive, PAGE, IMAGE)
    archive._db.execute("DELETE FROM blobs WHERE digest = ?", (bytes.fromhex(page[4:]),))
    assert sorted(str(each) for each in verify.verify(archive.path).problems) == [
        f"SA5029 entry 0 names body {page} (page), which is not in the archive",
        f"SA5099 there is a key of body {page}, which is not in the archive",
    ]
    kept(archive, PAGE)
    assert verify.verify(archive.path).whole


# --- what was erased ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", CIPHERS)
def test_with_its_key_a_body_is_gone_wherever_its_bytes_are_left(path: Path, cipher: gcm.Name) -> None:
    with SqliteArchive(path, lambda: NOW, cipher=cipher) as archive:
        page, image = kept(archive, PAGE, IMAGE)
        _, key = key_of(archive, image)
        copy = archive._db.execute("SELECT * FROM blobs WHERE digest = ?", (bytes.fromhex(image[4:]),)).fetchone()
        assert key in everything(path)
        erase(archive, image)
        for left in (key, copy[2][12:44]):
            assert left not in everything(path)
        archive._db.execute("INSERT INTO blobs VALUES (?, ?, ?)", copy)  # as from pages that were not overwritten
        with pytest.raises(AgentError, match="SA5098"):
            archive.get(image)
        assert archive.get(page) == PAGE
    assert set(codes(path)) == {"SA5082", "SA5098"}


def test_of_many_keys_that_come_and_go_none_is_left(path: Path) -> None:
    with SqliteArchive(path, lambda: NOW) as archive:
        archive._db.execute("PRAGMA synchronous = OFF")
        gone: list[bytes] = []
        with archive.together():
            digests = kept(archive, *(b"page %d" % n for n in range(900)))
        while len(digests) > 100:
            share, digests = digests[::3], [each for n, each in enumerate(digests) if n % 3]
            gone += [key_of(archive, each)[1] for each in share]
            erase(archive, *share)
            file = everything(path)
            assert not [key for key in gone if key in file or key[:16] in file or key[16:] in file]
            assert all(key_of(archive, each)[1] in file for each in digests)
    assert verify.verify(path).whole


def test_who_asks_for_what_was_erased_is_told_which_fact_erased_it(archive: SqliteArchive) -> None:
    page, image = kept(archive, PAGE, IMAGE)
    entry = erase(archive, image)
    said = (
        f"SA5009 {archive.path}: body {image} is not in the archive\n"
        f"hint: Entry {entry.index} says that liu.yang erased it on 2026-03-03: too old (§ 9). "
        "The log still proves that it was there."
    )
    for _ in range(2):
        with pytest.raises(AgentError) as caught:
            archive.get(image)
        assert str(caught.value) == said
    again = erase(archive, page)
    with pytest.raises(AgentError, match=f"Entry {again.index} says"):
        archive.get(page)


def test_what_is_put_again_after_its_erasure_has_another_key(archive: SqliteArchive) -> None:
    (page,) = kept(archive, PAGE)
    before = key_of(archive, page)
    erase(archive, page)
    assert kept(archive, PAGE) == [page]
    assert archive.get(page) == PAGE
    assert key_of(archive, page) != before
    assert verify.verify(archive.path).whole


# --- salted names ---------------------------------------------------------------------------------------------------


def salted(archive: SqliteArchive, data: bytes) -> Digest:
    """Put, and named by a fact."""
    image = archive.put(data, salted=True)
    fact = Snapshot(name="order", url="https://erp/1", taken_at=NOW, page=image, image=None)
    archive.append(RUN, archive.length(RUN), fact)
    return image


def test_the_salted_name_is_the_one_that_is_written_down() -> None:
    salt = bytes(range(32))
    found = bodies.name(b"abc", salt).hex()
    assert found == "09257ba9f05ee98217b587beb263ca7e14dab20611d18af988ef205aa0e043e4"
    assert canonical.sm3(b"scraper-agent-salted-evidence/1\n" + salt + b"abc").hex() == found
    assert f"`{found}`" in FORMAT.read_text(encoding="utf-8")


def test_a_salted_name_is_that_of_the_bytes_with_the_salt_before_them(path: Path) -> None:
    with SqliteArchive(path, lambda: NOW) as archive:
        image, bare = salted(archive, IMAGE), archive.put(IMAGE)
        assert bare == canonical.digest(IMAGE) != image
        assert archive.get(image) == archive.get(bare) == archive.shown(bare) == IMAGE
        shown = archive.shown(image)
    assert (shown[:32], shown[64:]) == (bodies.HEAD, IMAGE)
    assert canonical.digest(shown) == image
    assert verify.verify(path).whole


def test_equal_bytes_are_kept_once_under_one_salted_name_in_one_archive(tmp_path: Path) -> None:
    names: list[Digest] = []
    for each in ("one", "other"):
        found: set[Digest] = set()
        for _ in range(3):
            with SqliteArchive(tmp_path / each, lambda: NOW) as archive:
                found |= {salted(archive, IMAGE), salted(archive, IMAGE)}
                assert archive._db.execute("SELECT count(*) FROM blobs").fetchone() == (1,)
        assert verify.verify(tmp_path / each).whole
        names += found
    assert len(names) == len(set(names)) == 2


def test_once_erased_a_guess_cannot_be_tried_against_what_is_left(path: Path) -> None:
    """Of a body with few possible bytes: everything that is still in the files is looked at."""
    guess = b"approved: yes"
    with SqliteArchive(path, lambda: NOW) as archive:
        image, _ = salted(archive, guess), salted(archive, b"approved: no")
        row = archive._db.execute("SELECT key, salt, same FROM keys WHERE digest = ?", (bytes.fromhex(image[4:]),))
        traces = [bytes(each) for each in row.fetchone()]
        assert [len(each) for each in traces] == [32, 32, 32]
        assert all(each in everything(path) for each in traces)
        erase(archive, image)
        file = everything(path)
        assert not [each for each in traces if each in file or each[:16] in file or each[16:] in file]
        assert canonical.digest(guess).encode() not in file
        assert canonical.sm3(guess) not in file
        again = salted(archive, guess)
        assert again != image, "nor is it seen that the same was read again"
        assert archive.get(again) == guess
    assert verify.verify(path).whole


@pytest.mark.parametrize("act", ["salt = flip(salt, 5)", "salt = NULL", "salt = x''"])
def test_a_changed_salt_is_found_and_named(archive: SqliteArchive, act: str) -> None:
    image = salted(archive, IMAGE)
    archive._db.create_function("flip", 2, lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    archive._db.execute(f"UPDATE keys SET {act}")  # noqa: S608 - of the cases above
    with pytest.raises(AgentError, match=f"SA5010 .* {image} have been changed"):
        archive.get(image)
    assert codes(archive.path) == ["SA5028"]


def test_an_archive_that_has_lost_its_secret_takes_no_more_pages(archive: SqliteArchive) -> None:
    image = salted(archive, IMAGE)
    archive._db.execute("DELETE FROM secret")
    with pytest.raises(AgentError, match="the table `secret` is empty"):
        salted(archive, PAGE)
    assert archive.get(image) == IMAGE


def test_a_key_that_was_left_behind_does_not_stand_for_its_body(archive: SqliteArchive) -> None:
    image = salted(archive, IMAGE)
    archive._db.execute("DELETE FROM blobs")
    assert sorted(codes(archive.path)) == ["SA5029", "SA5099"]
    again = salted(archive, IMAGE)
    assert again != image
    assert archive.get(again) == IMAGE
    assert codes(archive.path) == ["SA5029"]


# --- archives of before ---------------------------------------------------------------------------------------------


@pytest.fixture
def four(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FOUR.read_text(encoding="utf-8"))
    return path


def plain(path: Path) -> dict[Digest, bytes]:
    """The bodies of an archive of version 4."""
    with closing(sqlite3.connect(path)) as db:
        found = {
            Digest(f"sm3:{digest.hex()}"): bodies.unpack(*rest) for digest, *rest in db.execute("SELECT * FROM blobs")
        }
    return {digest: data for digest, data in found.items() if data is not None}


def shown(found: Mapping[Digest, bytes], file: bytes) -> list[bytes]:
    """The bodies that can be read in it, without those that are shorter than chance allows."""
    return [
        data
        for data in found.values()
        if len(data) > 10 and (data[:60] in file or bodies.pack(data)[:60] in file)
    ]  # fmt: skip


def log(path: Path) -> list[tuple[object, ...]]:
    """All but the bodies."""
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [
            (name, *row)
            for name in sorted(names)
            if name not in ("blobs", "keys", "secret")
            for row in db.execute(f"SELECT * FROM {name}")  # noqa: S608 - the archive's own names
        ]


@pytest.mark.parametrize("cipher", CIPHERS)
def test_an_archive_with_plain_bodies_gets_keys_when_it_is_written_next(four: Path, cipher: gcm.Name) -> None:
    before, entries = plain(four), log(four)
    assert len(before) == 8
    assert len(shown(before, four.read_bytes())) == 7
    assert verify.verify(four).whole, "it can be checked as it is"
    with pytest.raises(AgentError, match="SA5014"):
        SqliteArchive(four, lambda: NOW, read_only=True)
    with SqliteArchive(four, lambda: NOW, cipher=cipher) as archive:
        assert {digest: archive.get(digest) for digest in before} == before
        assert {key_of(archive, digest)[0] for digest in before} == {cipher}
        file = everything(four)
        assert not shown(before, file)
        assert [len(archive.openings(root)) for root in roots(archive)] == [2, 2, 0]
        assert archive.put(IMAGE, salted=True) == archive.put(IMAGE, salted=True) != canonical.digest(IMAGE)
    assert log(four) == entries
    report = verify.verify(four)
    assert (report.problems, report.blobs, report.erased) == ((), 9, 3)


def roots(archive: SqliteArchive) -> list[str]:
    drafts = [entry.fact for entry in archive.entries() if isinstance(entry.fact, Draft)]
    return [draft.fields_root for draft in drafts if draft.fields_root is not None]


def test_a_changed_body_of_an_archive_of_before_is_still_named(four: Path) -> None:
    with closing(sqlite3.connect(four)) as db:
        digest = db.execute("SELECT digest FROM blobs WHERE size = 15").fetchone()[0]
        db.execute("UPDATE blobs SET data = CAST('id: demo/Order' || char(10) AS BLOB) WHERE digest = ?", (digest,))
        db.commit()
    assert codes(four) == ["SA5028"]
    with SqliteArchive(four, lambda: NOW) as archive, pytest.raises(AgentError, match="SA5010"):
        archive.get(Digest(f"sm3:{digest.hex()}"))
    assert codes(four) == ["SA5028"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process of its own")
@pytest.mark.parametrize(
    "at", ["CREATE TABLE keys", "UPDATE blobs", "INSERT INTO keys", "COMMIT", "PRAGMA wal_checkpoint"]
)
def test_a_kill_while_it_gets_keys_leaves_it_to_the_next_time(
    four: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plain(four)
    child = os.fork()
    if child == 0:
        upgrade: Callable[..., None] = sqlite._upgrade

        def killed(db: sqlite3.Connection, cipher: gcm.Name) -> None:
            met = 0

            def look(statement: str) -> None:
                nonlocal met
                met += statement.startswith(at)
                if met and (met == 5 or at not in ("UPDATE blobs", "INSERT INTO keys")):
                    os.kill(os.getpid(), signal.SIGKILL)

            db.set_trace_callback(look)
            upgrade(db, cipher)

        monkeypatch.setattr(sqlite, "_upgrade", killed)
        SqliteArchive(four, lambda: NOW)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert verify.verify(four).whole
    with SqliteArchive(four, lambda: NOW) as archive:
        assert {digest: archive.get(digest) for digest in before} == before
    assert verify.verify(four).whole
    assert not shown(before, everything(four))
