"""A bundle of 10,000 documents: how long its export takes, and its own `verify.py` by a Python without packages.

Every document has a page, an image of 20 kB, a request that is signed and a receipt that is. Seconds are of the
processor, so that whoever else uses the machine is not measured; those of the clock are told beside them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from scraper_agent import canonical, envelope, exporting, values
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import note
from scraper_agent.cli import export as command
from scraper_agent.envelope.content import Answer
from scraper_agent.signing import keyfolder
from scraper_agent.values import Draft, Fact, JobId
from tests import bundles
from tests.authorities import OTHER, SIGNER
from tests.console import archive as small
from tests.world import AK

DOCUMENTS = 10_000
SHARE = 200
RUN_LENGTH = 200
IMAGE_BYTES = 20_000
_RECEIVER = "receiver/01"


def measure(documents: int = DOCUMENTS) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = small.folder(folder / "site")
        _fill(app, documents)
        began, clock = time.process_time(), time.monotonic()
        _exported(app, folder / "bundle")
        made_s, made_clock_s = time.process_time() - began, time.monotonic() - clock
        size_mb = sum(path.stat().st_size for path in (folder / "bundle").rglob("*") if path.is_file()) / 1e6
        trust = bundles.trusting(bundles.fingerprints(folder / "bundle"))
        program = [sys.executable, "-I", "-S", str(folder / "bundle" / "verify.py"), str(folder / "bundle")]
        began, clock = _of_children(), time.monotonic()
        done = subprocess.run([*program, *trust], capture_output=True, text=True, check=False)
        checked_s, checked_clock_s = _of_children() - began, time.monotonic() - clock
        assert done.returncode == 0, done.stdout[:2000] + done.stderr
    return {
        "documents": documents,
        "size_mb": size_mb,
        "export_s": made_s,
        "export_clock_s": made_clock_s,
        "verify_s": checked_s,
        "verify_clock_s": checked_clock_s,
    }


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _fill(app: App, documents: int) -> None:
    """As after runs of 200 documents, all of them taken."""
    clock = small._ticking(small.NOW - timedelta(days=1))
    (first,) = small._read(app, small.OLDER, clock, range(1, 2))
    image = (b"\xff\xd8\xff" + bytes(range(256)) * (IMAGE_BYTES // 256))[:IMAGE_BYTES]
    with SqliteArchive(app.home / app.config.archive, lambda: next(clock)) as archive:
        archive._db.execute("PRAGMA synchronous = OFF")  # nobody keeps this one
        (entry,) = keyfolder.entries(app.key_folder)
        archive.append(
            JobId("keys"),
            0,
            values.KeyChanged(
                action="made", sk="01", public_key=SIGNER.public_key, fingerprint=entry.fingerprint, by="person:x"
            ),
        )
        facts = archive.job(first).facts
        template = next(fact for fact in facts if isinstance(fact, Draft))
        run_facts = archive.job(small.OLDER).facts
        shot = next(fact for fact in run_facts if isinstance(fact, values.Snapshot))
        page, document = archive.get(template.page), json.loads(archive.get(template.document))
        run, length = small.OLDER, 0
        for number in range(documents - 1):
            if number % RUN_LENGTH == 0:
                run, length = JobId(f"run/{number:06}"), 1
                archive.append(run, 0, run_facts[0])
            with archive.together():
                own = b"%s<!-- %d -->" % (page, number)
                seen = replace(shot, page=archive.put(own), image=archive.put(image + b"%d" % number))
                archive.append(run, length, seen)
                length += 1
                header = {**document["header"], "orderNumber": f"PO-{number:07}"}
                body = canonical.dumps_plain({**document, "header": header})
                _life(archive, replace(template, run=run, page=seen.page, document=archive.put(body)), body)


def _life(archive: SqliteArchive, draft: Draft, body: bytes) -> None:
    request = envelope.build(body, draft.format, draft.document[4:], AK, SIGNER, small.NOW)
    answer = Answer(code="0000", msg="", key=draft.document[4:], digest=canonical.digest(body), accepted=True, id="R-1")
    receipt = envelope.build_receipt(answer, OTHER, small.NOW)
    sealed, received = archive.put(request), archive.put(receipt)
    job = JobId(f"doc/{draft.format}/{draft.document[4:]}")
    facts: tuple[Fact, ...] = (
        draft,
        values.Verdict(document=draft.document, findings=()),
        values.Approval(document=draft.document, granted=True, by="policy", reason="within the limits"),
        values.Envelope(document=draft.document, envelope=sealed, key_index="01", profile="ak-ts-sk-ps/1"),
        values.Attempt(envelope=sealed, number=1),
        values.Receipt(envelope=sealed, receipt=received, accepted=True, remote_id="R-1", message=""),
    )
    for position, fact in enumerate(facts):
        archive.append(job, position, fact)


def _exported(app: App, out: Path) -> None:
    with SqliteArchive(app.home / app.config.archive, lambda: small.NOW) as archive:
        by = replace(
            command.by(app, archive),
            signer=SIGNER,
            keys=[{"sk": "01", "public_key": SIGNER.public_key}],
            receivers={_RECEIVER: OTHER.public_key},
            now=lambda: small.NOW,
            log=lambda documents, asked: exporting.record(archive, documents, "x", exporting.ordered(asked)),
        )
        head = archive.head()
        checkpoint = note.Checkpoint(origin=by.origin, size=head.size, root=head.root, at=small.NOW)
        seen = note.sign(checkpoint, SIGNER) + note.cosign(note.text(checkpoint), "witness", OTHER, small.NOW)
        by = replace(by, seen=exporting.Seen(note=seen, witnesses={"witness": OTHER.public_key}))
        asked = exporting.Asked()
        exporting.export(out, archive, asked, by, command.reports(app, archive, asked))


if __name__ == "__main__":
    for name, value in measure(*map(int, sys.argv[1:2])).items():
        print(f"{name:>10} {value:10.2f}")
