"""A bundle is checked by the one file in it: what it says of one that somebody within the enterprise has altered.

Whoever alters it here has the enterprise's key, and signs the manifest anew. What an outsider could do, and what
chance does, is tried in `tests/faults/mutations.py`.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scraper_agent import exporting, retention
from scraper_agent.app import App
from scraper_agent.archive import bodies
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import note, verify
from scraper_agent.canonical import sm3
from scraper_agent.envelope import Profile
from scraper_agent.policy import Retention
from scraper_agent.signing import keyfolder, sm2
from tests import bundles
from tests.authorities import OTHER, SIGNER, Signer
from tests.console import archive as small
from tests.faults import mutations

LATER = small.NOW + timedelta(days=40)
DAY = f"{LATER:%Y-%m-%d}"


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


def without(own: Path, kind: str) -> str:
    """The body of this kind that belongs to one of the two documents is not there. Its digest."""
    about = json.loads((own / "manifest.json").read_bytes())
    name: str = next(each["name"] for each in about["files"] if each.get("holds") == kind)
    (own / name).unlink()
    return name.replace("blobs/", "sm3:")


@pytest.mark.parametrize("kind", ["page", "image", "provenance", "envelope", "receipt"])
def test_a_document_is_not_proven_without_a_body_that_nothing_says_is_gone(
    own: Path, insider: Signer, folder: Path, kind: str
) -> None:
    digest = without(own, kind)
    result = checked(own, insider, folder)
    assert sorted(document.state for document in result.documents) == [verify.NOT_PROVEN, verify.PROVEN]
    (part,) = (part for each in result.documents for part in each.parts if part.state != verify.PROVEN)
    assert part.en.endswith(f" is not in the bundle: {digest}")


# --- what is gone -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pruned(site: bundles.Site, tmp_path_factory: pytest.TempPathFactory) -> bundles.Site:
    """All images are gone, as the policy says, and some fields of the second document, as somebody asked."""
    home = shutil.copytree(site.app.home, tmp_path_factory.mktemp("pruned") / "home")
    at = replace(site, app=App.load(home / "config.yaml", tell=lambda _: None))
    with SqliteArchive(at.archive, lambda: LATER) as archive:
        retention.carry_out(
            archive, retention.plan(archive, Retention(images_days=30), LATER), by="li.na", policy=b"the policy"
        )
        planned = retention.fields_of(archive, site.documents[1], ["supplierName"])
        assert planned.bodies
        retention.erase_fields(
            archive, planned, by="wang.fang", reason="asked", basis="个人信息保护法 47", policy=b"the policy"
        )
    return at


@pytest.fixture(scope="module")
def rest(pruned: bundles.Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "bundle"
    pruned.export(out, exporting.Asked(documents=pruned.documents[:2]))
    return out


def test_what_was_erased_is_told_with_day_person_and_reason(rest: Path) -> None:
    result = verify.check(rest, bundles.fingerprints(rest))
    images, fields = result.documents
    gone = [part for part in images.parts if " was erased on " in part.en]
    assert [part.en.partition(":")[0] for part in gone] == [f"the image of the page was erased on {DAY} by person"]
    assert images.state == verify.PROVEN  # nothing is computed from an image
    told = [
        part
        for part in fields.parts
        if f" was erased on {DAY} by person:wang.fang: asked (个人信息保护法 47)" in part.en
    ]
    assert {part.en.partition(" was erased")[0] for part in told} == {
        "the document",
        "the page",
        "the provenance",
        "what was signed",
    }
    assert fields.state == verify.NOT_PROVEN  # who signed bytes that nobody has cannot be seen
    assert result.state == verify.NOT_PROVEN


def test_who_leaves_the_fact_out_of_the_bundle_is_contradicted(
    rest: Path, pruned: bundles.Site, tmp_path: Path
) -> None:
    own = shutil.copytree(rest, tmp_path / "bundle")
    lines = (own / "entries.jsonl").read_bytes().splitlines(keepends=True)
    (own / "entries.jsonl").write_bytes(b"".join(line for line in lines if b'"kind":"Erased"' not in line))
    bundles.resigned(own, bundles.enterprise(pruned))
    assert verify.check(own, bundles.fingerprints(rest)).state == verify.CONTRADICTED


def test_who_never_put_the_fact_into_the_bundle_gets_no_proof(
    pruned: bundles.Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter that leaves it out and makes the proof without it."""
    monkeypatch.setattr(exporting, "_concerns", lambda *_: False)
    pruned.export(tmp_path / "bundle", exporting.Asked(documents=pruned.documents[:1]))
    result = verify.check(tmp_path / "bundle", bundles.fingerprints(tmp_path / "bundle"))
    assert [document.state for document in result.documents] == [verify.NOT_PROVEN]
    (part,) = (part for part in result.documents[0].parts if part.state != verify.PROVEN)
    assert part.en.startswith("the image of the page is not in the bundle: ")


def test_of_200_mutations_of_what_is_left_none_is_accepted(pruned: bundles.Site, tmp_path: Path) -> None:
    outcome = mutations.run(pruned, tmp_path, 200, seed=5, documents=pruned.documents[:1])
    assert outcome.accepted == []
    assert outcome.found > 180


def test_what_a_key_is_called_in_the_bundle_is_not_told_as_proven(own: Path, insider: Signer, folder: Path) -> None:
    """Whoever signs the manifest may call a receiver's key what they like; its index is signed by the receiver."""
    keys = json.loads((own / "keys.json").read_bytes())
    (key,) = keys["receivers"].values()
    keys["receivers"] = {"customs of Shanghai": key}
    (own / "keys.json").write_bytes(verify.canonical(keys))
    result = checked(own, insider, folder)
    assert result.state == verify.PROVEN
    assert not [line for line in verify.told(result, "en", all=True) if "Shanghai" in line]


# --- entries ----------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("profile", "state"),
    [
        (Profile(sn="hex-upper"), verify.PROVEN),
        (Profile(signed=("ts", "ak", "sk", "ps")), verify.NOT_PROVEN),
        (Profile(signed_receipt=("rs", "code", "msg", "ts", "sk")), verify.NOT_PROVEN),
    ],
    ids=["hex", "request in another order", "receipt in another order"],
)
def test_what_was_agreed_otherwise_is_not_contradicted(tmp_path: Path, profile: Profile, state: str) -> None:
    with bundles.site(tmp_path / "site", profile) as site:
        site.export(tmp_path / "bundle", exporting.Asked(documents=site.documents[:1]))
    result = verify.check(tmp_path / "bundle", bundles.fingerprints(tmp_path / "bundle"))
    assert result.state == state


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
