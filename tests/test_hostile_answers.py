"""Answers that prove nothing, to the real transport and the real pipeline: no document counts as received by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from scraper_agent import envelope
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline
from scraper_agent.pipeline import Receiver as Known
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder, sm2, sm2_file
from scraper_agent.values import Attempt, Envelope, JobId, Receipt, Retry
from tests.faults import hostile
from tests.faults.hostile import FAMILIES, Case, Good, Key, Receiver
from tests.world import AK, NOW, PASSPHRASE, PLAN, POLICY, PROFILE, frozen, seeing

PATIENCE_S = 0.15


@dataclass
class Bench:
    """One agent for all families, its clock in hand."""

    pipeline: Pipeline
    receiver: Receiver
    patient: https.HttpsTransport
    impatient: https.HttpsTransport
    numbers: Iterator[int]

    def new_document(self) -> JobId:
        """Approved and signed."""
        number = next(self.numbers)
        (id,) = self.pipeline.harvest(JobId(f"run/{number}"), PLAN, seeing(frozen(number))).documents
        assert isinstance(self.pipeline.advance(id, send=False).last, Envelope)
        return id


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("hostile")
    keyfolder.create(folder / "keys", SecretStr(PASSPHRASE), NOW)
    signer = sm2_file.Sm2FileSigner(
        sm2_file.Config(kind="file", folder=folder / "keys", key="01"), SecretStr(PASSPHRASE), lambda: NOW
    )
    key, ticks = Key(), count()
    with (
        Receiver(key) as receiver,
        closing(connected(receiver, 30)) as patient,
        closing(connected(receiver, PATIENCE_S)) as impatient,
        SqliteArchive(Path(folder / "archive.db"), lambda: NOW) as archive,
    ):
        pipeline = Pipeline(
            archive=archive,
            now=lambda: NOW + timedelta(hours=next(ticks)),  # nothing waits: each look at the clock is an hour later
            formats=FORMATS,
            profile=PROFILE,
            policy=POLICY,
            signer=lambda: signer,
            transport=patient,
            receiver=Known(ak=AK, profile=envelope.DEFAULT, public_keys={"01": key.public_key}, verify=sm2.verify),
        )
        yield Bench(pipeline, receiver, patient, impatient, count(1))


def connected(receiver: Receiver, total_s: float) -> https.HttpsTransport:
    config = {"kind": "https", "url": receiver.url, "read_timeout_s": total_s, "total_timeout_s": total_s}
    return https.HttpsTransport(https.Config.model_validate(config))


def good_of(bench: Bench, id: JobId) -> Good:
    """The receipt that would be true of this document."""
    archive = bench.pipeline.archive
    sealed = archive.job(id).facts[-1]
    assert isinstance(sealed, Envelope)
    key = bench.receiver._kept(archive.get(sealed.envelope))
    return Good(bench.receiver.receipts[key], bench.receiver.key, Key())


DOCUMENTS = 4
"""Of each family: as many of its answers come to a document as it is sent; all come to a question for one."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_no_answer_but_a_verified_receipt_advances_a_document(
    bench: Bench, family: Callable[[Good], Iterator[Case]]
) -> None:
    """Then one good answer settles it."""
    hostile_one = bench.impatient if family is hostile.slow else bench.patient
    for number in range(DOCUMENTS):
        id = bench.new_document()
        cases = list(family(good_of(bench, id)))
        sent = cases[number * (len(cases) - 1) // (DOCUMENTS - 1)]
        bench.pipeline.transport = hostile_one
        for case in (sent, *(cases if number == 0 else (sent,))):
            bench.receiver.said = case.said
            job = bench.pipeline.advance(id)
            assert isinstance(job.last, Attempt | Retry), (case.name, job.last)
            assert not any(isinstance(fact, Receipt) for fact in job.facts), case.name
        bench.receiver.said, bench.pipeline.transport = None, bench.patient
        bench.pipeline.advance(id)  # what failed for certain is sent, what is open is asked for
        job = bench.pipeline.advance(id)
        assert isinstance(job.last, Receipt), sent.name
        assert job.last.accepted, sent.name


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_no_such_answer_to_a_sent_document_opens_as_its_receipt(
    bench: Bench, family: Callable[[Good], Iterator[Case]]
) -> None:
    id = bench.new_document()
    sealed = bench.pipeline.archive.job(id).facts[-1]
    assert isinstance(sealed, Envelope)
    body = bench.pipeline.archive.get(sealed.envelope)
    key = bench.pipeline.key(bench.pipeline.archive.job(id))
    transport = bench.impatient if family is hostile.slow else bench.patient
    for case in family(good_of(bench, id)):
        bench.receiver.said = case.said
        assert not counts(bench, transport, body, key), case.name
    bench.receiver.said = None
    assert counts(bench, bench.patient, body, key)


def counts(bench: Bench, transport: https.HttpsTransport, body: bytes, key: str) -> bool:
    """Send it; whether the answer is its receipt."""
    digest = envelope.read_request(body).digest
    keys = bench.pipeline.receiver.public_keys
    try:
        envelope.open_receipt(transport.send(body, key=key), sm2.verify, keys, key=key, digest=digest)
    except (SendFailed, SendUnknown, envelope.ReceiptInvalid):
        return False
    return True


def test_there_are_two_hundred_of_them(bench: Bench) -> None:
    good = good_of(bench, bench.new_document())
    names = [f"{family.__name__} {case.name}" for family in FAMILIES for case in family(good)]
    assert len(set(names)) == len(names) >= 200
