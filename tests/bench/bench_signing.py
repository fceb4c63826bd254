"""How many messages a second a key file signs, every signature checked before it is released; and SM3 in MB/s.

`python -m tests.bench.bench_signing` prints it. Of the processor alone, as everywhere here: what others use of the
machine is not measured. Each message has the size of a waybill.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from scraper_agent import canonical
from scraper_agent.signing import check, keyfolder, sm2, sm2_file

PASSPHRASE = SecretStr("trusty battery")
MESSAGE = b"x" * 1_072
MEGABYTES = 30
RUNS = 5


def measure() -> dict[str, float]:
    """`gmssl` and `native` are signatures a second; both include the checks, once the tables are made."""
    with tempfile.TemporaryDirectory() as folder:
        keyfolder.create(Path(folder), PASSPHRASE, datetime(2026, 3, 2, tzinfo=UTC))
        gmssl, native = (
            sm2_file.Sm2FileSigner(
                sm2_file.Config.model_validate({"kind": "file", "folder": folder, "key": "01", "native": which}),
                PASSPHRASE,
                lambda: datetime(2026, 3, 2, tzinfo=UTC),
            )
            for which in ("never", "auto")
        )
        data = bytes(MEGABYTES * 1_000_000)
        signature = gmssl.sign(MESSAGE)
        return {
            "sm3_mb_s": MEGABYTES * max(_a_second(lambda: canonical.sm3(data), 1) for _ in range(RUNS)),
            "gmssl": _signatures(gmssl, 2 * check.EVERY),
            "native": _signatures(native, 4 * check.EVERY),
            "gmssl_verify": _a_second(lambda: sm2.verify(gmssl.public_key, MESSAGE, signature), 20),
        }


def _signatures(signer: sm2_file.Sm2FileSigner, count: int) -> float:
    """The best of some runs, each with its share of checks in full."""
    for _ in range(check.FIRST + 1):
        signer.sign(MESSAGE)
    return max(_a_second(lambda: signer.sign(MESSAGE), count // RUNS) for _ in range(RUNS))


def _a_second(act: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        act()
    return times / (time.process_time() - started)


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:>15} {value:12.1f}")
