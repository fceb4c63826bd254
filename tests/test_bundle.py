"""A bundle is checked by the one file in it, by a Python that knows nothing of the agent; and no change goes unseen."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from scraper_agent import canonical
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import bundle, note, verify
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder, sm2
from scraper_agent.values import Draft, Envelope, JobId, KeyChanged, Receipt
from tests.authorities import OTHER, SIGNER
from tests.world import AK, NOW, PASSPHRASE, RUN, World, frozen

ORIGIN, WITNESS = "example.cn/log-1", "witness.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two documents out of five, by way of a real platform."""
    home = tmp_path_factory.mktemp("bundle")
    keys = home / "keys"
    keyfolder.create(keys, SecretStr(PASSPHRASE), NOW)
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS, window=timedelta(days=1)) as platform:
        with https.HttpsTransport(https.Config(kind="https", url=platform.url)) as transport:
            world = World(home, keys, transport, platform.public_keys)
            with world.pipeline() as pipeline:
                made = KeyChanged(
                    action="made", sk="01", public_key=entry.public_key, fingerprint=entry.fingerprint, by="person:x"
                )
                pipeline.archive.append(JobId("keys"), 0, made)
            jobs = world.everything(*map(frozen, range(1, 6)))
        receivers = platform.public_keys
    with SqliteArchive(world.path, lambda: NOW, read_only=True) as archive:
        chosen = {JobId("keys"), RUN, jobs[1].id, jobs[3].id}
        entries = [each for each in archive.entries() if each.job in chosen]
        blobs = {
            digest
            for each in entries
            for digest in (
                [each.fact.document, each.fact.provenance, each.fact.page] if isinstance(each.fact, Draft) else []
            )
            + ([each.fact.envelope] if isinstance(each.fact, Envelope) else [])
            + ([each.fact.receipt] if isinstance(each.fact, Receipt) else [])
        }
        head = archive.head()
        checkpoint = note.Checkpoint(origin=ORIGIN, size=head.size, root=head.root, at=NOW)
        signed = note.sign(checkpoint, SIGNER) + note.cosign(note.text(checkpoint), WITNESS, OTHER, NOW)
        bundle.write(
            home / "bundle",
            archive,
            [each.index for each in entries],
            sorted(blobs),
            signed,
            {"log": {"01": SIGNER.public_key}, "witnesses": {WITNESS: OTHER.public_key}, "receivers": receivers},
        )
    return home / "bundle"


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "bundle")


def fingerprints(folder: Path) -> list[str]:
    """Of all keys that it is said to be of."""
    about = json.loads((folder / "bundle.json").read_bytes())
    named = [key for part in ("log", "witnesses", "receivers") for key in about[part].values()]
    return [keyfolder.fingerprint(key) for key in named]


def test_python_alone_proves_it(folder: Path, tmp_path: Path) -> None:
    """Isolated: no package is seen, not even those that are installed."""
    alone = tmp_path / "verify.py"
    shutil.copy(folder / "verify.py", alone)
    trust = [word for each in fingerprints(folder) for word in ("--trust", each)]
    command = [sys.executable, "-I", "-S", str(alone), str(folder), "--all", *trust]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "proven"
    assert sum(line.startswith("proven  doc/purchaseOrder/") for line in lines) == 2
    assert f"  proven: the witness {WITNESS} saw it at 2026-05-06 01:30:00 UTC" in lines
    assert sum("the receiver took it" in line for line in lines) == 2
    in_chinese = subprocess.run([*command, "--lang", "zh"], capture_output=True, text=True, check=True).stdout
    assert in_chinese.startswith("已证明\n")


def test_without_keys_from_elsewhere_nothing_is_proven(folder: Path) -> None:
    result = verify.check(folder)
    assert result.state == verify.NOT_PROVEN
    assert [document.state for document in result.documents] == [verify.NOT_PROVEN] * 2


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_every_key_is_needed(folder: Path, left_out: int) -> None:
    trust = fingerprints(folder)
    del trust[left_out]
    assert verify.check(folder, trust).state == verify.NOT_PROVEN


def test_a_body_that_is_not_there_is_not_proven(own: Path) -> None:
    entries = [line.partition(b" ")[2] for line in (own / "entries").read_bytes().splitlines()]
    drafts = [json.loads(line)["fact"] for line in entries if b'"kind":"Draft"' in line]
    (own / "blobs" / drafts[0]["document"][4:]).unlink()
    result = verify.check(own, fingerprints(own))
    assert sorted(document.state for document in result.documents) == [verify.NOT_PROVEN, verify.PROVEN]


def test_a_receipt_put_in_place_of_another_is_contradicted(own: Path) -> None:
    """Its signature holds, its bytes are not those that the log names."""
    lines = (own / "entries").read_bytes().splitlines()
    receipts = [json.loads(line.partition(b" ")[2])["fact"]["receipt"] for line in lines if b'"kind":"Receipt"' in line]
    shutil.copy(own / "blobs" / receipts[0][4:], own / "blobs" / receipts[1][4:])
    assert verify.check(own, fingerprints(own)).state == verify.CONTRADICTED


def test_an_entry_that_was_left_out_is_missed(own: Path) -> None:
    lines = (own / "entries").read_bytes().splitlines(keepends=True)
    (own / "entries").write_bytes(b"".join(lines[:-1]))
    assert verify.check(own, fingerprints(own)).state == verify.CONTRADICTED


def test_a_log_made_anew_by_whoever_has_its_key_is_not_proven(own: Path) -> None:
    """The tree and the log's signature agree; no witness has seen it."""
    lines = (own / "entries").read_bytes().splitlines()
    first = lines[0].replace(b"person:x", b"person:y")
    assert first != lines[0]
    everything = verify.leaf(first.partition(b" ")[2])
    (own / "entries").write_bytes(first + b"\n")
    (own / "hashes").write_bytes(b"")
    made = note.Checkpoint(origin=ORIGIN, size=1, root=everything, at=NOW)
    seen = (own / "checkpoint").read_bytes().splitlines(keepends=True)[-1]
    (own / "checkpoint").write_bytes(note.sign(made, SIGNER) + seen)
    result = verify.check(own, fingerprints(own))
    assert result.state == verify.NOT_PROVEN
    assert any("no witness" in part.en for part in result.log)


def mutations(folder: Path, draw: random.Random) -> Iterator[tuple[Path, bytes]]:
    """For ever: a file and the bytes it has instead."""
    names = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "verify.py")
    while True:
        path = draw.choice(names)
        data = bytearray(path.read_bytes())
        at = draw.randrange(len(data) + 1)
        match draw.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                del data[at : at + draw.randrange(1, 40)]
            case 2:
                data[at:at] = draw.randbytes(draw.randrange(1, 9))
            case 3:
                data[at:at] = data[at : at + draw.randrange(1, 200)]
            case 4:
                lines = data.split(b"\n")
                one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
                data = bytearray(b"\n".join(lines))
            case _:
                data = bytearray(draw.choice(names).read_bytes())
        yield path, bytes(data)


def test_no_mutation_is_accepted_that_changes_what_it_says(own: Path) -> None:
    trust = fingerprints(own)
    before = list(verify.told(verify.check(own, trust), "en", all=True))
    assert before[0] == "proven"
    draw = random.Random(7)
    made = mutations(own, draw)
    for _ in range(150):
        path, data = next(made)
        kept = path.read_bytes()
        path.write_bytes(data)
        said = verify.check(own, trust)
        assert said.state != verify.PROVEN or list(verify.told(said, "en", all=True)) == before, path.name
        path.write_bytes(kept)


# --- its own cryptography ---------------------------------------------------------------------------------------------


def test_its_sm3_and_sm2_are_those_of_the_standards() -> None:
    for size in (0, 1, 55, 56, 63, 64, 65, 1000):
        data = bytes(range(256)) * 4
        assert verify._own_sm3(data[:size]) == canonical.sm3(data[:size])
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


def test_base64_is_spelled_in_one_way(own: Path) -> None:
    """Bits that base64 ignores would let two bundles differ and say the same."""
    lines = (own / "hashes").read_bytes().splitlines()
    for line in lines:
        assert base64.b64encode(base64.b64decode(line)) == line
