"""`make bench`: every figure the project promises, as a ratio measured in this run; exit 1 if one is missed.

`--share`: those that take less than a minute, told only; a shared machine must not fail a change.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench import (
    bench_checks,
    bench_console,
    bench_control,
    bench_decisions,
    bench_document,
    bench_export,
    bench_history,
    bench_import,
    bench_lists,
    bench_log,
    bench_outbox,
    bench_page,
    bench_qr,
    bench_session,
    bench_signing,
    bench_statistics,
    bench_tryton,
    bench_verify,
    bench_waybills,
)


@dataclass(frozen=True, slots=True)
class Promise:
    what: str
    seen: float
    bound: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.seen >= self.bound if self.at_least else self.seen <= self.bound


def promises(*, share: bool) -> list[Promise]:
    page = _told("page", bench_page.measure())
    document = _told("document", bench_document.measure())
    checks = _told("checks", bench_checks.measure())
    verify = _told("verify", bench_verify.measure())
    signing = _told("signing", bench_signing.measure())
    imported = _told("import", bench_import.measure())
    outbox = _told("outbox", bench_outbox.measure())
    history = _told("history", bench_history.measure(bench_history.SHARE if share else bench_history.COUNT))
    waybills = _told("waybills", bench_waybills.measure())
    code = _told("qr", bench_qr.measure())
    console = _told("console", bench_console.measure(bench_console.SHARE if share else bench_console.DOCUMENTS))
    decisions = _told("decisions", bench_decisions.measure())
    log = _told("log", bench_log.measure(*((bench_console.SHARE, 5_000, 500) if share else ())))
    export = _told("export", bench_export.measure(bench_export.SHARE if share else bench_export.DOCUMENTS))
    quick = [
        Promise("reading a page of 20 fields and 240 cells / only loading it", page["ratio"], 1.25),
        Promise("one locator call per cell / reading it frozen", page["faster_than_cells"], 5, at_least=True),
        Promise("a document of 20 lines, mapped to signed and logged / a signature by gmssl", document["ratio"], 2.5),
        Promise("all checks of a document of 20 lines / pydantic's own validation", checks["check_ratio"], 3),
        Promise("its byte form, there and back / json's of the same values", checks["codec_ratio"], 2),
        Promise("MB of SM3 a second", signing["sm3_mb_s"], 300, at_least=True),
        Promise("signatures a second, made by gmssl and checked", signing["gmssl"], 50, at_least=True),
        Promise("signatures a second, made by GmSSL and checked", signing["native"], 1_000, at_least=True),
        Promise("log verify of 100,000 facts / hashing them", verify["ratio"], 4),
        Promise(
            "a workbook of 440,000 cells, read into documents / by python-calamine alone",
            imported["import_over_calamine"],
            2,
        ),
        Promise("documents signed and posted by a bare loop / drained from the outbox, over https", outbox["ratio"], 2),
        Promise("a week of waybills sent and reconciled / its file written, hashed, copied", history["ratio"], 3),
        Promise("waybills signed and posted by a bare loop / uploaded from the outbox", waybills["ratio"], 2),
        Promise("seconds of one approval of 1,000 documents, shown and decided", decisions["whole_s"], 10),
        Promise("the text of a QR code made and verified / its signature alone", code["ratio"], 1.5),
        Promise("ms of the console's slowest page, over 10 facts for each document", console["slowest_ms"], 200),
        Promise("log verify of all facts of that archive / hashing them", log["verify_ratio"], 4),
        Promise("MB more for it than for a fiftieth of them", log["verify_more_mb"], 25),
        Promise("proofs of entries in a row, made a second", log["made_s"], 20_000, at_least=True),
        Promise("proofs of entries at random, made a second", log["random_s"], 20_000, at_least=True),
        Promise("proofs checked a second", log["checked_s"], 20_000, at_least=True),
        Promise("facts appended durably / bare one-row commits", log["append_share"], 0.5, at_least=True),
        Promise("s of the processor for the export of 10,000 documents", export["export_s"], 50),
        Promise("s of the processor for its check by its own verify.py", export["verify_s"], 50),
    ]
    if share:
        return quick
    lists = _told("lists", bench_lists.measure())
    slow = [
        Promise("a virtual grid of 1,500 rows, gathered whole / only scrolled through", lists["ratio"], 2),
        Promise("MB more at the end of a list of 10,000 rows than after a tenth", lists["memory_mb"], 50),
        Promise("records of an ERP that answers in 150 ms, one tab / four", lists["faster_by_tabs"], 3, at_least=True),
        Promise("MB more for 100,000 waybills of a week than for a tenth", history["more_mb"], 25),
    ]
    session = _told("session", bench_session.measure())
    slow.append(
        Promise("of 50 sessions killed in mid-list, gone on at the same row", session["resumed"], 50, at_least=True)
    )
    control = _told("control", bench_control.measure())
    slow.append(
        Promise("s after `pause` until nothing is asked of the ERP, the worst of 7 stages", control["control_s"], 2)
    )
    statistics = _told("statistics", bench_statistics.measure())
    slow += [
        Promise("µs of a check of the 1995 pack, of 1,000,000 records", statistics["check_us"], 20),
        Promise("MB more after 1,000,000 records than after a tenth", statistics["memory_mb"], 5),
    ]
    tryton = _told("tryton", bench_tryton.measure())
    return [
        *quick,
        *slow,
        Promise("60 Tryton orders cell by cell / frozen", tryton["faster"], 3, at_least=True),
        Promise("60 Tryton orders through the read-only proxy / without it", tryton["proxy_ratio"], 1.1),
    ]


def _told(name: str, numbers: dict[str, float]) -> dict[str, float]:
    print(name, {key: round(value, 3) for key, value in numbers.items()}, file=sys.stderr)
    return numbers


def main() -> int:
    share = "--share" in sys.argv[1:]
    found = promises(share=share)
    table = Table(title=f"{platform.machine()}, Python {platform.python_version()}", title_justify="left")
    for head in ("figure", "measured", "promised", ""):
        table.add_column(head)
    for promise in found:
        sign = "≥" if promise.at_least else "≤"
        table.add_row(
            promise.what, f"{promise.seen:.2f}", f"{sign} {promise.bound:g}", "✓" if promise.kept else "missed"
        )
    Console().print(table)
    return 0 if share or all(p.kept for p in found) else 1


if __name__ == "__main__":
    sys.exit(main())
