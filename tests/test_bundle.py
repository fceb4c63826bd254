"""A bundle is checked by the one file in it: what it says of one that somebody within the enterprise has altered.

Whoever alters it here has the enterprise's key, and signs the manifest anew. What an outsider could do, and what
chance does, is tried in `tests/faults/mutations.py`.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scraper_agent import exporting
from scraper_agent.archive import bodies
from scraper_agent.audit import note, verify
from scraper_agent.canonical import sm3
from scraper_agent.signing import keyfolder, sm2
from tests import bundles
from tests.authorities import OTHER, SIGNER, Signer
from tests.faults import mutations


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bundles.Site]:
    with bundles.site(tmp_path_factory.mktemp("bundle") / "site") as made:
        yield made


@pytest.fixture(scope="module")
def insider(site: bundles.Site) -> Signer:
    return bundles.enterprise(site)


@pytest.fixture(scope="module")
def folder(site: bundles.Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "bundle"
    site.export(out, exporting.Asked(documents=site.documents[:2]))
    return out


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "bundle")


def facts(folder: Path, kind: str) -> list[dict[str, str]]:
    entries = (json.loads(line) for line in (folder / "entries.jsonl").read_bytes().splitlines())
    return [each["fact"] for each in entries if each["kind"] == kind]


def checked(own: Path, insider: Signer, trust: Path) -> verify.Result:
    bundles.resigned(own, insider)
    return verify.check(own, bundles.fingerprints(trust))


def test_a_manifest_signed_anew_over_the_same_files_is_proven(own: Path, insider: Signer, folder: Path) -> None:
    assert checked(own, insider, folder).state == verify.PROVEN


def test_what_was_captured_has_its_salt_before_it_and_documents_have_none(own: Path) -> None:
    for shot in facts(own, "Snapshot"):
        for name in (shot["page"], shot["image"]):
            data = (own / "blobs" / name[4:]).read_bytes()
            assert data.startswith(bodies.HEAD)
            assert (sm3(data).hex(), sm3(data[64:]).hex() != name[4:]) == (name[4:], True)
    for fact in facts(own, "Draft"):
        data = (own / "blobs" / fact["document"][4:]).read_bytes()
        assert json.loads(data)["header"]["sourcePageDigest"] == fact["page"][4:]


def test_a_page_under_another_salt_is_contradicted(own: Path, insider: Signer, folder: Path) -> None:
    file = own / "blobs" / facts(own, "Draft")[0]["page"][4:]
    file.write_bytes(file.read_bytes()[:32] + bytes(32) + file.read_bytes()[64:])
    assert checked(own, insider, folder).state == verify.CONTRADICTED


def test_a_body_that_is_not_there_is_not_proven(own: Path, insider: Signer, folder: Path) -> None:
    (own / "blobs" / facts(own, "Draft")[0]["document"][4:]).unlink()
    result = checked(own, insider, folder)
    assert sorted(document.state for document in result.documents) == [verify.NOT_PROVEN, verify.PROVEN]


def test_a_receipt_in_place_of_another_is_contradicted(own: Path, insider: Signer, folder: Path) -> None:
    """Its signature holds, its bytes are not those that the log names."""
    receipts = [fact["receipt"] for fact in facts(own, "Receipt")]
    shutil.copy(own / "blobs" / receipts[0][4:], own / "blobs" / receipts[1][4:])
    result = checked(own, insider, folder)
    assert result.state == verify.CONTRADICTED


def test_an_entry_that_was_left_out_is_missed(own: Path, insider: Signer, folder: Path) -> None:
    lines = (own / "entries.jsonl").read_bytes().splitlines(keepends=True)
    (own / "entries.jsonl").write_bytes(b"".join(lines[:-1]))
    assert checked(own, insider, folder).state == verify.CONTRADICTED


def rewritten(own: Path, insider: Signer) -> None:
    """A log made anew, with its checkpoint: tree and signature agree."""
    at, lines = 0, (own / "entries.jsonl").read_bytes().splitlines()
    lines[at] = lines[at].replace(b"person:x", b"person:y")
    entries = [(json.loads(line)["index"], verify.leaf(line)) for line in lines]
    checkpoint = note.read((own / "checkpoint").read_bytes()).checkpoint
    hashes = [base64.b64decode(line) for line in (own / "hashes").read_bytes().splitlines()]
    root = verify.root_of(checkpoint.size, entries, iter(hashes))
    assert root != checkpoint.root
    made = note.Checkpoint(origin=checkpoint.origin, size=checkpoint.size, root=root, at=checkpoint.at)
    (own / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (own / "checkpoint").write_bytes(note.sign(made, insider))


def test_a_log_made_anew_is_not_the_one_that_the_witness_saw(own: Path, insider: Signer, folder: Path) -> None:
    rewritten(own, insider)
    assert checked(own, insider, folder).state == verify.CONTRADICTED


def test_a_log_made_anew_that_no_witness_saw_is_not_proven(own: Path, insider: Signer, folder: Path) -> None:
    rewritten(own, insider)
    (own / "witnessed").unlink()
    (own / "witnessed.proof").unlink()
    result = checked(own, insider, folder)
    assert result.state == verify.NOT_PROVEN
    assert any("no witness" in part.en for part in result.log)
    assert {document.state for document in result.documents} == {verify.NOT_PROVEN}


def extra(own: Path) -> None:
    (own / "more.txt").write_text("more")


def hidden(own: Path) -> None:
    (own / "blobs" / ".more").write_text("more")


def lost(own: Path) -> None:
    next((own / "blobs").iterdir()).unlink()


def altered(own: Path) -> None:
    (own / "report.en.html").write_bytes((own / "report.en.html").read_bytes().replace(b"Approved", b"Declined"))


@pytest.mark.parametrize("change", [extra, hidden, lost, altered])
def test_every_file_is_the_one_of_the_manifest(own: Path, folder: Path, change: Callable[[Path], None]) -> None:
    change(own)
    assert verify.check(own, bundles.fingerprints(folder)).state == verify.CONTRADICTED


def test_a_stranger_who_signs_everything_anew_is_nobody(own: Path, folder: Path) -> None:
    checkpoint = note.read((own / "checkpoint").read_bytes()).checkpoint
    (own / "checkpoint").write_bytes(note.sign(checkpoint, SIGNER))
    keys = json.loads((own / "keys.json").read_bytes())
    keys["log"] = {"01": SIGNER.public_key}
    (own / "keys.json").write_text(json.dumps(keys, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
    bundles.resigned(own, SIGNER)
    result = verify.check(own, bundles.fingerprints(folder))
    assert result.state == verify.NOT_PROVEN
    assert any("which nobody has vouched for" in part.en for part in result.log)


def test_of_600_mutations_none_is_accepted_that_changes_what_it_says(site: bundles.Site, tmp_path: Path) -> None:
    outcome = mutations.run(site, tmp_path, 600, seed=7)
    assert outcome.accepted == []
    assert outcome.found > 540
    assert all(outcome.by_level[level] > 50 for level in mutations.LEVELS)


# --- its own cryptography ---------------------------------------------------------------------------------------------


def test_its_sm3_and_sm2_are_those_of_the_standards() -> None:
    for size in (0, 1, 55, 56, 63, 64, 65, 1000):
        data = bytes(range(256)) * 4
        assert verify._own_sm3(data[:size]) == sm3(data[:size])
    key = verify.PublicKey(SIGNER.public_key)
    assert key.fingerprint == keyfolder.fingerprint(SIGNER.public_key)
    for n in range(40):
        message = b"%d" % n
        signature = SIGNER.sign(message)
        assert key.verifies(message, signature)
        assert sm2.verify(SIGNER.public_key, message, signature)
        assert not key.verifies(message + b"x", signature)
        assert not key.verifies(message, signature[:32] + bytes(32))
        assert not key.verifies(message, signature[::-1])
        assert not verify.PublicKey(OTHER.public_key).verifies(message, signature)


@pytest.mark.parametrize("bad", ["", "0" * 128, "f" * 128, SIGNER.public_key[:-1], SIGNER.public_key.upper() + "x"])
def test_what_is_no_point_is_no_key(bad: str) -> None:
    with pytest.raises(ValueError, match="no p"):
        verify.PublicKey(bad)
