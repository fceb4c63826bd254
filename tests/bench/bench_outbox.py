"""Draining what waits over https on loopback, against a bare httpx loop that signs and posts the same bytes."""

from __future__ import annotations

import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from scraper_agent import canonical, envelope
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline, Receiver
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sandbox.tls import Authority
from scraper_agent.sending import https
from scraper_agent.signing import keyfile, sm2
from scraper_agent.values import Approval, Draft, JobId, State, state
from tests.world import AK, NOW, PLAN, POLICY, PROFILE, RUN, frozen, seeing

DOCUMENTS = 15
ROUNDS = 5


class Key:
    key_index = "01"

    def __init__(self) -> None:
        self._key = keyfile.generate()
        self.public_key = self._key.public_key

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self._key.d, self.public_key, message)


def _serve(public_key: str, files: tuple[Path, Path], pipe: Connection) -> None:
    senders = {(AK, "01"): public_key}
    with Platform(lambda: NOW, senders, FORMATS, tls=files, window=timedelta(days=1)) as platform:
        pipe.send((platform.url, platform.public_keys))
        pipe.recv()


@contextmanager
def platform_apart(public_key: str, files: tuple[Path, Path]) -> Iterator[tuple[str, dict[str, str]]]:
    """In a process of its own: neither side is to wait for the other's interpreter."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(public_key, files, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


Approved = Callable[[Pipeline, range], dict[JobId, Draft]]
"""Makes documents of these numbers, as far as they go before they are signed."""


def measure(rounds: int = ROUNDS, approved: Approved | None = None) -> dict[str, float]:
    """Documents per second; `ratio` is the bare loop's rate through the outbox's, the median of `rounds` pairs."""
    approved = approved or _approved
    outbox, bare = [], []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, key = Path(name), Key()
        files = Authority().write(folder)
        url, keys = stack.enter_context(platform_apart(key.public_key, (files.certificate, files.key)))
        transport = stack.enter_context(https.HttpsTransport(https.Config(kind="https", url=url, ca_file=files.ca)))
        trust = ssl.create_default_context(cafile=files.ca)
        client = stack.enter_context(httpx.Client(verify=trust, trust_env=False))
        for number in range(rounds + 1):  # the first one makes the connections, and is left out
            with SqliteArchive(folder / f"{number}.db", lambda: NOW) as archive:
                pipeline = Pipeline(
                    archive=archive,
                    now=lambda: NOW,
                    formats=FORMATS,
                    profile=PROFILE,
                    policy=POLICY,
                    signer=lambda: key,
                    transport=transport,
                    receiver=Receiver(ak=AK, profile=envelope.DEFAULT, public_keys=keys, verify=sm2.verify),
                )
                drafts = approved(pipeline, range(number * DOCUMENTS + 1, (number + 1) * DOCUMENTS + 1))
                bodies = [(draft.format, archive.get(draft.document)) for draft in drafts.values()]
                outbox.append(_rate(partial(App.advance, None, pipeline, list(drafts))))  # type: ignore[arg-type] # it needs nothing of the App
                assert {state(archive.job(id)) for id in drafts} == {State.RECEIPTED}
            bare.append(_rate(partial(_posted, client, url, key, bodies, number)))
    ratios = [loop / ours for loop, ours in zip(bare[1:], outbox[1:], strict=True)]
    return {
        "outbox_per_s": statistics.median(outbox[1:]),
        "bare_per_s": statistics.median(bare[1:]),
        "ratio": statistics.median(ratios),
    }


def _approved(pipeline: Pipeline, records: range) -> dict[JobId, Draft]:
    drafts = pipeline.harvest(RUN, PLAN, seeing(*map(frozen, records))).documents
    for id in drafts:
        job = pipeline.archive.job(id)
        while not isinstance(job.last, Approval):
            fact = pipeline._next(job, fresh=True, send=False)
            assert fact is not None
            job = pipeline._with(job, fact)
    return drafts


def _posted(client: httpx.Client, url: str, key: Key, bodies: list[tuple[str, bytes]], number: int) -> None:
    """Documents of other keys than the outbox sends, so that the platform has as much to do."""
    for at, (format, body) in enumerate(bodies):
        name = envelope.idempotency_key(AK, format, f"bare {number} {at}", canonical.digest(body))
        sealed = envelope.build(body, format, name, AK, key, NOW)
        client.post(url, content=sealed, headers={"Idempotency-Key": name}).raise_for_status()


def _rate(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return DOCUMENTS / (time.perf_counter() - started)


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.2f}")
