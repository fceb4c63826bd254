"""A week's waybills made into files, sent over SFTP, taken and reconciled, against one file written, hashed, copied.

`python -m tests.bench.bench_history [COUNT]` prints it. Province and ministry are two processes, as they are in life;
both ways go through the same server, and to the same disk.
"""

from __future__ import annotations

import asyncio
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import asyncssh
from cryptography.hazmat.primitives import hashes

from scraper_agent.sandbox.history_file import Completed
from scraper_agent.sandbox.sftp_server import Files
from scraper_agent.sandbox.weeks import Week
from tests.history import JIANGSU, WEEK, CutServer, Key, Site, message_of, number

COUNT = 100_000
SHARE = 10_000
ROUNDS = 3
_FIRST_NUMBER = number(0)


@dataclass
class Weekly:
    """So many waybills in every week; their words, numbers and times are drawn, so that deflating has work to do."""

    count: int

    def completed(self, begin: datetime, end: datetime) -> Iterator[Completed]:
        rng = random.Random(begin.toordinal())
        pattern = message_of(0).decode()
        made = _pattern(pattern)
        family, given = (
            "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗",
            "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉红",
        )
        for count in range(self.count):
            digits = f"{rng.getrandbits(256):077}"
            words = "".join(rng.choices(given, k=12))
            who = [family[int(digits[at : at + 2]) % 20] + words[at : at + 2] for at in range(3)]
            message = made % {
                "number": f"{begin:%y%m%d}{digits[:8]}{count:010}",
                "town": words[4:8],
                "street": digits[70:73],
                "phone": digits[8:16],
                "phone2": digits[16:24],
                "phone3": digits[24:32],
                "plate": digits[32:37],
                "permit": digits[37:49],
                "driver": who[0],
                "escort": who[1],
                "other": who[2],
                "id1": digits[49:59],
                "id2": digits[59:69],
                "weight": f"2{digits[73:74]}.{digits[74:77]}",
            }
            at = begin + timedelta(seconds=6 * count)
            yield Completed(message.encode(), "done", at - timedelta(minutes=int(digits[5:8])), at)


def _pattern(message: str) -> str:
    """The sample with places for what is drawn."""
    for old, new in (
        (_FIRST_NUMBER, "number"), ("55550001", "phone"), ("55550003", "phone2"), ("13900000001", "phone3"),
        ("310116012345", "permit"), ("12345", "plate"), ("张三", "driver"), ("李四", "escort"), ("王五", "other"),
        ("310101198001010010", "id1"), ("310101198101010010", "id2"), ("19.625", "weight"), ("示例新材料", "town"),
        ("示例路8", "street"),
    ):  # fmt: skip
        assert old in message, old
        message = message.replace(old, f"%({new})s")
    return message


class _Server(CutServer):
    """The other account is without rules: a plain copy goes there. Nothing is cut."""

    def files(self, channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        user = str(channel.get_extra_info("username"))
        if user == JIANGSU:
            return asyncssh.SFTPServer(channel, chroot=str(self._home / user).encode())
        return Files(channel, self._home / user)


class BenchSite(Site):
    new_server = _Server


def _serve(folder: Path, keys: dict[str, Key], ministry: Key, ssh: bytes, pipe: Connection) -> None:
    BenchSite.keys, BenchSite.ministry = keys, ministry
    BenchSite.ssh = asyncssh.import_private_key(ssh)
    with BenchSite(folder, WEEK.begin + timedelta(days=10_000)) as site:
        pipe.send((site.server.port, site.server.fingerprint))
        while pipe.recv():
            pipe.send((site.desk.take(), _peak_mb()))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int = COUNT, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds and MB; `ratio` is the median of `rounds` pairs.

    `more_mb`: by how much the larger of both processes' peaks grew from a tenth of the waybills to all.
    """
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = Site(folder)
        (folder / "id").write_bytes(site.ssh.export_private_key())
        process = spawn.Process(
            target=_serve, args=(folder, site.keys, site.ministry, site.ssh.export_private_key(), theirs), daemon=True
        )
        process.start()
        port, fingerprint = ours.recv()
        site.server = _Address(port, fingerprint)  # type: ignore[assignment] # it is in the other process
        try:
            return _measured(site, ours, count, rounds)
        finally:
            ours.send(False)
            process.join()


@dataclass
class _Address:
    port: int
    fingerprint: str


def _measured(site: Site, ministry: Connection, count: int, rounds: int) -> dict[str, float]:
    week = WEEK
    _exchanged(site, ministry, week, Weekly(count // 10))
    small_mb = max(_peaks(ministry))
    ratios, whole, plain, steps = [], [], [], []
    more_mb = 0.0
    for round in range(rounds):
        week = week.following
        step = _exchanged(site, ministry, week, Weekly(count))
        steps.append(step)
        if round == 0:  # the plain copy takes more than all of this
            more_mb = max(_peaks(ministry)) - small_mb
        whole.append(sum(step))
        plain.append(_copied(site, week, Weekly(count)))
        ratios.append(whole[-1] / plain[-1])
    made, taken, read = (statistics.median(step) for step in zip(*steps, strict=True))
    return {
        "made_and_sent_s": made,
        "taken_s": taken,
        "reconciled_s": read,
        "history_s": statistics.median(whole),
        "copy_s": statistics.median(plain),
        "plain_mb": (site.folder / "plain").stat().st_size / 1e6,
        "ratio": statistics.median(ratios),
        "more_mb": more_mb,
    }


def _peaks(ministry: Connection) -> tuple[float, float]:
    ministry.send(True)
    return ministry.recv()[1], _peak_mb()


def _exchanged(site: Site, ministry: Connection, week: Week, source: Weekly) -> tuple[float, float, float]:
    """Seconds of the province, of the ministry, and of the province again, which reads the answer."""
    site.store = source  # type: ignore[assignment] # another kind of source
    with site.outlet() as outlet:
        history = site.province(first=week, folder=f"history {week}")
        began = time.perf_counter()
        history.send_due(lambda: week.end, outlet)
        sent = time.perf_counter()
        ministry.send(True)
        assert ministry.recv()[0] == 1
        taken = time.perf_counter()
        (told,) = history.send_due(lambda: week.end, outlet)
        ended = time.perf_counter()
    assert told.reconciled
    assert told.answer is not None
    assert told.answer.taken == source.count
    return sent - began, taken - sent, ended - taken


def _copied(site: Site, week: Week, source: Weekly) -> float:
    """Seconds."""
    file = site.folder / "plain"
    began = time.perf_counter()
    with file.open("wb") as plain:
        for each in source.completed(week.begin, week.end):
            plain.write(each.line)
    hasher = hashes.Hash(hashes.SM3())
    with file.open("rb") as plain:
        while piece := plain.read(1 << 20):
            hasher.update(piece)
    hasher.finalize()
    asyncio.run(_put(site.config(JIANGSU), file))
    return time.perf_counter() - began


async def _put(config: Any, file: Path) -> None:
    async with (
        asyncssh.connect(
            config.host,
            config.port,
            username=config.user,
            client_keys=[str(config.key_file)],
            known_hosts=None,
            config=None,
            agent_path=None,
            compression_algs=None,
        ) as line,
        line.start_sftp_client() as client,
    ):
        await client.put(str(file), "/requests/plain")


if __name__ == "__main__":
    for name, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT).items():
        print(f"{name:>16} {value:10.2f}")
