"""`case list | show | months`, and `send` for documents that waited for their case: as a person meets them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from loguru import logger
from pydantic import SecretStr

from scraper_agent import cli, messages
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cases import Paper
from scraper_agent.cli import show
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfolder
from scraper_agent.values import JobId, RunEnded, RunStarted
from tests import policies
from tests.papers import ENTERPRISE, Line, file, invoice, order, receipt
from tests.world import AK, NOW, PASSPHRASE

RUN = JobId("run/1")
LIMIT = {"amounts": {"USD": "1000"}, "case": "complete"}
POLICY = {
    "automatic": {"purchaseOrder": LIMIT, "foreignInvoice": LIMIT, "goodsReceipt": {"lines": 9, "case": "complete"}}
}


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Agent = Callable[..., Said]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture
def desk(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a config, a policy, and an archive whose one run has ended; and the receiver."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setattr(show.console, "_width", 160)  # it took the width of the first terminal that it saw
    monkeypatch.setenv("CANARY_KEY", PASSPHRASE)
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: datetime.now(UTC), {(AK, "01"): entry.public_key}, FORMATS) as platform:
        config = {
            "enterprise": {"name": "上海启明精工有限公司", "uscc": ENTERPRISE},
            "signing": {"kind": "file", "folder": str(keys), "key": "01"},
            "passphrase": {"env": "CANARY_KEY"},
            "receiver": {
                "ak": AK,
                "transport": {"kind": "https", "url": platform.url},
                "public_keys": platform.public_keys,
            },
        }
        write(tmp_path / "config.yaml", config)
        write(tmp_path / "policy.yaml", POLICY)
        policies.sign(tmp_path, PASSPHRASE)
        with SqliteArchive(tmp_path / "archive.db", lambda: NOW) as archive:
            body = archive.put(b"")
            started = RunStarted(
                recipe_id="test/any",
                recipe_version="1",
                recipe=body,
                policy=body,
                parameters={},
                started_by="0" * 64,
                agent="test",
                dry_run=False,
            )
            archive.append(RUN, 0, started)
            archive.append(RUN, 1, RunEnded(complete=True, documents=0, faults=0))
        yield tmp_path
    messages.use("en")


@pytest.fixture
def agent(desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agent:
    def call(*arguments: str) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["scraper-agent", "-c", str(desk / "config.yaml"), *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logger.remove()
        return Said(code, *capsys.readouterr())

    return call


def write(path: Path, data: dict[str, Any]) -> None:
    apart = json.loads(json.dumps(data))  # what is the same object would be written once and referred to
    path.write_text(yaml.safe_dump(apart, allow_unicode=True), encoding="utf-8")


def read(desk: Path, *papers: Paper) -> None:
    with SqliteArchive(desk / "archive.db", lambda: NOW) as archive:
        for each in papers:
            file(archive, RUN, each)


def cells(text: str) -> list[list[str]]:
    """The rows of a table, without its lines."""
    rows = [line.replace("┃", "│").split("│")[1:-1] for line in text.splitlines() if "│" in line or "┃" in line]
    return [[cell.strip() for cell in row] for row in rows]


CASE = (order(), invoice(), receipt())
SHORT = receipt(lines=[Line(quantity="60")])


def test_the_list_tells_what_each_case_has_and_lacks(desk: Path, agent: Agent) -> None:
    read(desk, order(contractNumber="HT-1"), invoice(), receipt(), order("PO-9", [Line(quantity="5")]))
    assert cells(agent("case", "list").out) == [
        ["case", "documents", "complete", "it lacks"],
        ["HT-1", f"{FORMATS['purchaseOrder'].en} 1", "yes", ""],
        ["", f"{FORMATS['foreignInvoice'].en} 1", "", ""],
        ["", f"{FORMATS['goodsReceipt'].en} 1", "", ""],
        ["PO-9", f"{FORMATS['purchaseOrder'].en} 1", "no", FORMATS["foreignInvoice"].en],
        ["", "", "", FORMATS["goodsReceipt"].en],
    ]
    assert [row[0] for row in cells(agent("case", "list", "--incomplete").out)] == ["case", "PO-9", ""]


def test_the_list_as_json(desk: Path, agent: Agent) -> None:
    read(desk, order())
    (case,) = json.loads(agent("case", "list", "--json").out)
    id = case["documents"][0].pop("id")
    assert id.startswith("doc/purchaseOrder/")
    assert case == {
        "case": "PO-1",
        "numbers": {"order": ["PO-1"]},
        "complete": False,
        "missing": ["foreignInvoice", "goodsReceipt"],
        "documents": [{"format": "purchaseOrder", "number": "PO-1", "date": "2026-03-01", "state": "read"}],
    }


def test_an_archive_without_documents_has_no_cases(agent: Agent) -> None:
    assert json.loads(agent("case", "list", "--json").out) == []
    assert json.loads(agent("case", "months", "--json").out) == []


def test_one_case_is_shown_with_its_documents_the_three_way_match_and_what_is_wrong(desk: Path, agent: Agent) -> None:
    read(desk, order(), SHORT)
    said = agent("case", "show", "gr-1").out
    assert said.startswith(f"case PO-1: not complete; it lacks {FORMATS['foreignInvoice'].en}\n")
    assert "CHK-02 foreignInvoice is missing: the case PO-1 has none that can be sent (OBL-3)" in said
    read(desk, invoice())
    said = agent("case", "show", "INV-1").out
    assert said.startswith("case PO-1: complete\n")
    documents, match = said.split("Order, invoice and receipt")
    assert [row[1:] for row in cells(documents)] == [
        ["format", "number", "date", "state"],
        [FORMATS["purchaseOrder"].en, "PO-1", "2026-03-01", "read"],
        [FORMATS["goodsReceipt"].en, "GR-1", "2026-04-10", "read"],
        [FORMATS["foreignInvoice"].en, "INV-1", "2026-03-20", "read"],
    ]
    assert ["A-1", "10", "007 个", "100", "100", "60", "60", "2", "2"] in cells(match)
    assert (
        "foreignInvoice INV-1: CHK-15 lines[1].quantity does not match: of A-1, foreignInvoice INV-1 has 100 and"
        " goodsReceipt GR-1 has 60 (received, rejected and short), in unit 007; 1 of difference is allowed"
    ) in " ".join(said.split())


def test_one_case_as_json(desk: Path, agent: Agent) -> None:
    read(desk, order(), invoice(), SHORT)
    case = json.loads(agent("case", "show", "PO-1", "--json").out)
    assert (case["case"], case["complete"], case["obligations"]) == ("PO-1", True, [])
    assert case["match"] == [
        {
            "material": "A-1",
            "order_line": "10",
            "unit": "007",
            "ordered": "100",
            "invoiced": "100",
            "received": "60",
            "accounted": "60",
            "order_prices": ["2"],
            "invoice_prices": ["2"],
        }
    ]
    told = [(f["document"].split("/")[1], f["code"], f["severity"], f["field"]) for f in case["findings"]]
    assert told == [
        ("foreignInvoice", "CHK-15", "warning", "lines[1].quantity"),
        ("goodsReceipt", "CHK-15", "warning", "lines[1].receivedQuantity"),
    ]


def test_a_case_that_does_not_exist_is_refused(desk: Path, agent: Agent) -> None:
    read(desk, order())
    said = agent("case", "show", "PO-9")
    assert said.code == 2
    assert said.err == (
        "SA3021 0 cases are called `PO-9`\n"
        "hint: give the number of a contract, order or invoice, or of one of its documents\n"
    )


def test_text_of_documents_cannot_speak_to_the_terminal(desk: Path, agent: Agent) -> None:
    evil = "PO-\x1b[31m[bold]x"
    read(desk, order(evil), invoice(orderNumber=evil))
    for arguments in (("case", "list"), ("case", "show", "INV-1"), ("case", "list", "--json")):
        said = agent(*arguments)
        assert said.code == 0
        assert "\x1b" not in said.out
        assert "[bold]x" in said.out


def test_months_are_compared(desk: Path, agent: Agent) -> None:
    read(
        desk,
        *(order(f"PO-{n}", [Line(quantity=str(n))], day="2026-01-05") for n in range(1, 11)),
        order("PO-99", day="2026-02-01"),
    )
    rows = cells(agent("case", "months").out)
    assert rows[0] == ["format", "month", "documents", "sums", "against the month before"]
    assert rows[1] == [FORMATS["purchaseOrder"].en, "2026-01", "10", "110 USD", ""]
    assert rows[2][:4] == [FORMATS["purchaseOrder"].en, "2026-02", "1", "200 USD"]
    assert rows[2][4].startswith("ANL-6 has 1 documents in 2026-02, and the month before has 10")
    assert any(row[1] == "2026-03" and row[4].startswith("ANL-8 has no document in 2026-03") for row in rows)
    assert rows[-1][4] == "not over yet"
    found = json.loads(agent("case", "months", "--json").out)
    assert [f["code"] for f in found[1]["findings"]] == ["ANL-6", "ANL-7"]


def test_a_strange_month_is_told_before_anything_is_sent(desk: Path, agent: Agent) -> None:
    read(desk, *(order(f"PO-{n}", [Line(quantity=str(n))], day="2026-01-05") for n in range(1, 3)))
    said = agent("send").err
    assert "ANL-8 purchaseOrder has no document in " in said
    assert "2026-02" not in said, "only of the last month that is over"
    write(desk / "ours.yaml", {"periods": {"empty_is_fine": {"purchaseOrder": True}}})
    config = yaml.safe_load((desk / "config.yaml").read_text(encoding="utf-8"))
    write(desk / "config.yaml", {**config, "analysis": "ours.yaml"})
    assert "ANL-8" not in agent("send").err


def test_a_file_of_the_user_changes_what_is_told(desk: Path, agent: Agent) -> None:
    read(desk, order(), invoice(), SHORT)
    config = yaml.safe_load((desk / "config.yaml").read_text(encoding="utf-8"))
    write(desk / "config.yaml", {**config, "analysis": "ours.yaml"})
    write(desk / "ours.yaml", {"tolerances": {"quantity": {"relative": "0.4"}}})
    assert json.loads(agent("case", "show", "PO-1", "--json").out)["findings"] == []
    write(desk / "ours.yaml", {"tolerances": {"quality": {}}})
    said = agent("case", "show", "PO-1")
    assert said.code == 2
    assert "ours.yaml:2:3: SA1020 unknown key `quality`" in said.err


def test_a_policy_that_raises_a_check_that_does_not_exist_is_refused(desk: Path, agent: Agent) -> None:
    write(desk / "policy.yaml", {**POLICY, "severities": {"CHK-99": "error"}})
    said = agent("case", "list")
    assert said.code == 2
    assert "SA7040 there is no check between documents `CHK-99`; there are OBL-1, OBL-2" in said.err


def test_send_lets_a_case_go_that_has_become_complete(desk: Path, agent: Agent) -> None:
    read(desk, order(), invoice())
    assert agent("send").out.strip() == "held 2"
    said = agent("jobs", "--state", "held").out
    assert "its case PO-1 is not complete; it lacks goodsReceipt" in " ".join(
        cell for row in cells(said) for cell in row
    )
    read(desk, receipt())
    assert agent("send").out.strip() == "receipted 3"
    assert agent("send").out.strip() == "nothing to send"


def test_send_lets_a_case_go_whose_last_document_was_read_by_a_dry_run(desk: Path, agent: Agent) -> None:
    read(desk, *CASE)
    app = App.load(desk / "config.yaml")
    with app.archive() as archive:
        assert app.advance(app.pipeline(archive, lambda _job, _fact: None), archive.documents(), dry_run=True) == []
    assert len(cells(agent("jobs", "--state", "held").out)) > 3, "none is open any more"
    assert agent("send").out.strip() == "receipted 3"


def test_everything_is_said_in_chinese_as_well(desk: Path, agent: Agent) -> None:
    read(desk, order(), SHORT)
    for arguments in (("case", "list"), ("case", "show", "PO-1"), ("case", "months")):
        said = agent("--lang", "zh", *arguments)
        assert said.code == 0
        assert "中方采购订单数据" in said.out


def test_the_config_example_may_name_such_a_file(desk: Path) -> None:
    config = yaml.safe_load((desk / "config.yaml").read_text(encoding="utf-8"))
    write(desk / "config.yaml", {**config, "analysis": "ours.yaml"})
    write(desk / "ours.yaml", {"outliers": {"least": "20"}})
    loaded = App.load(desk / "config.yaml").analyses
    assert (loaded.outliers.least, loaded.outliers.relative) == (20, Decimal("0.2"))
