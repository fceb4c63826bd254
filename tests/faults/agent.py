"""The whole agent in a process of its own, which can be told at which point to die; imported by its fork server."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from scraper_agent import envelope, values
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline, Receiver
from scraper_agent.ports import Standing
from scraper_agent.sending import https
from scraper_agent.signing import sm2, sm2_file
from scraper_agent.values import JobId
from tests.world import AK, NOW, PASSPHRASE, PLAN, POLICY, PROFILE, RUN, frozen, seeing

KILL = int(getattr(signal, "SIGKILL", signal.SIGTERM))
"""Where there is no SIGKILL, as on Windows, SIGTERM ends a process as hard."""


@dataclass(frozen=True)
class Agent:
    """All that it takes to begin it."""

    folder: Path
    keys: Path
    config: https.Config
    public_key: str
    records: range
    hours: int = 0
    """How late it is: each beginning is an hour after the one before, so that nothing waits."""
    point: str = ""

    def pass_by(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), KILL)

    def run(self) -> None:
        now = NOW + timedelta(hours=self.hours)
        config = sm2_file.Config(kind="file", folder=self.keys, key="01")
        with closing(_Transport(self)) as transport, _Archive(self.folder / "archive.db", lambda: now) as archive:
            archive.agent = self
            pipeline = Pipeline(
                archive=archive,
                now=lambda: now,
                formats=FORMATS,
                profile=PROFILE,
                policy=POLICY,
                signer=lambda: sm2_file.Sm2FileSigner(config, SecretStr(PASSPHRASE), lambda: now),
                transport=transport,
                receiver=Receiver(
                    ak=AK, profile=envelope.DEFAULT, public_keys={"01": self.public_key}, verify=sm2.verify
                ),
            )
            pipeline.harvest(RUN, PLAN, seeing(*map(frozen, self.records)))
            for id in archive.documents():
                pipeline.advance(id)


class _Archive(SqliteArchive):
    agent: Agent

    def append(self, job: JobId, position: int, fact: values.Fact) -> values.Entry:
        kind = type(fact).__name__
        self.agent.pass_by(f"before {kind}")
        entry = super().append(job, position, fact)
        self.agent.pass_by(f"after {kind}")
        return entry


class _Transport(https.HttpsTransport):
    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.config)
        self._agent = agent
        self._client.event_hooks["response"] = [lambda _: agent.pass_by("on answer")]

    def send(self, envelope: bytes, *, key: str) -> bytes:
        self._agent.pass_by("before send")
        answer = super().send(envelope, key=key)
        self._agent.pass_by("after send")
        return answer

    def find(self, key: str) -> bytes | Standing:
        self._agent.pass_by("before find")
        found = super().find(key)
        self._agent.pass_by("after find")
        return found
