"""The pack of 1995 over 1,000,000 records: what a check of a record costs, and whether memory stays flat.

`python -m tests.bench.bench_statistics` prints it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from scraper_agent.archive.seen import SeenKeys
from scraper_agent.format import Context, Document
from scraper_agent.formats import FORMATS, pack
from tests.test_statistics import SAMPLES

RECORDS = 1_000_000


def records(count: int) -> Iterator[Document]:
    """Good records of every kind, their codes in no order; one in a thousand repeats an earlier one."""
    kinds = list(SAMPLES.good.values())
    for number in range(count):
        code = number - 500 if number % 1000 == 999 else number
        # The factor is prime to 10^9, so that the codes are spread and none comes twice by itself.
        own = {"identificationCode": f"{code * 387_420_489 % 10**9:09}", "ieMark": "I", "customsDistrict": "2200"}
        yield Document(format="tradeStatistics", header={**kinds[number % len(kinds)], **own})


def measure(count: int = RECORDS) -> dict[str, float]:
    """`check_us`: processor time of one check of one record, the format's own rules not counted.

    `memory_mb`: how much more is held after the last record than after a tenth of them.
    """
    format = FORMATS["tradeStatistics"]
    used, found, tenth = 0.0, 0, 0.0
    with SeenKeys() as seen:
        checker = pack.checker(pack.named("must_check_1995"), SAMPLES.tables, seen)
        checks = len(checker.run)
        assert checks == len(checker.pack.checks)
        for number, document in enumerate(records(count), start=1):
            started = time.process_time()
            findings = list(checker.findings(document, number))
            used += time.process_time() - started
            found += any(each.code == "123" for each in findings)
            if number == count // 10:
                tenth = _resident_mb()
        last = _resident_mb()
        started = time.process_time()
        whole = sum(1 for _ in pack.check(records(count // 100), format, Context(), None))
        format_us = (time.process_time() - started) / whole * 1e6
    assert found == count // 1000, found
    return {
        "records": count,
        "checks": checks,
        "record_us": used / count * 1e6,
        "check_us": used / count / checks * 1e6,
        "format_us": format_us,
        "memory_mb": last - tenth,
    }


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:>12} {value:14.2f}")
