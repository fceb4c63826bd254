"""Files that people filled in, from the command line to the receipt; what is logged, and nothing taken by halves."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import canonical, files, messages
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.format import decode, json_schema
from scraper_agent.formats import FORMATS
from scraper_agent.importing import layout, reading
from scraper_agent.pipeline import Intake
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from scraper_agent.values import (
    Completeness,
    Draft,
    Fact,
    Fetched,
    Job,
    JobId,
    ListRead,
    RunEnded,
    RunStarted,
    State,
    Unanchored,
    state,
)
from tests import policies
from tests.test_cli import Agent, Said, call
from tests.world import AK, NOW, PASSPHRASE, PROFILE, Crash, World

ORDER = FORMATS["purchaseOrder"]
ROW: dict[str, Any] = {
    "orderNumber": "PO-1",
    "orderDate": "2026-03-02",
    "buyerUscc": PROFILE["uscc"],
    "buyerName": PROFILE["name"],
    "supplierCode": "0017",
    "supplierName": "ACME",
    "currencyCode": "USD",
    "totalAmount": "30.50",
    "orderLineNumber": "1",
    "materialNumber": "00420",
    "goodsName": "轴承",
    "orderedQuantity": "2",
    "unitCode": "007",
    "unitPrice": "15.25",
    "lineAmount": "30.50",
}
POLICY = {"automatic": {"purchaseOrder": {"amounts": {"USD": "1000"}}}, "lists": "proved"}


def table(*rows: dict[str, Any]) -> bytes:
    made = io.StringIO(newline="")
    writer = csv.DictWriter(made, fieldnames=[*ROW])
    writer.writeheader()
    writer.writerows(rows)
    return made.getvalue().encode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture(scope="module")
def platform(keys: Path) -> Iterator[Platform]:
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: datetime.now(UTC), {(AK, "01"): entry.public_key}, FORMATS) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, keys: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a config; what is sent from it arrives."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("CANARY_KEY", PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    config = {
        "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
        "signing": {"kind": "file", "folder": str(keys), "key": "01"},
        "passphrase": {"env": "CANARY_KEY"},
        "receiver": {
            "ak": AK,
            "transport": {"kind": "https", "url": platform.url},
            "public_keys": platform.public_keys,
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(POLICY), encoding="utf-8")
    policies.sign(tmp_path, PASSPHRASE)
    yield tmp_path
    messages.use("en")


@pytest.fixture
def agent(site: Path, capsys: pytest.CaptureFixture[str]) -> Agent:
    return lambda *arguments: call(capsys, *arguments)


def archive(site: Path) -> SqliteArchive:
    return SqliteArchive(site / "archive.db", wiring.now, read_only=True)


def taken(agent: Agent, site: Path, *rows: dict[str, Any]) -> Said:
    (site / "orders.csv").write_bytes(table(*rows))
    return agent("format", "import", "orders.csv", "--format", "purchaseOrder")


# --- what becomes of a file -----------------------------------------------------------------------------------------


def test_documents_of_a_file_are_checked_approved_signed_and_sent(agent: Agent, site: Path) -> None:
    said = taken(agent, site, ROW | {"orderNumber": "A-1"}, ROW | {"orderNumber": "A-2"})
    assert said.code == 0, said.err
    with archive(site) as kept:
        jobs = [kept.job(id) for id in kept.documents()]
        assert [state(job) for job in jobs] == [State.RECEIPTED, State.RECEIPTED]
        run = kept.job(kept.runs()[0])
    assert [type(fact).__name__ for fact in run.facts[:3]] == ["RunStarted", "Fetched", "ListRead"]
    assert verify(site / "archive.db").whole


def test_the_log_tells_who_took_in_which_file_with_how_many_rows(agent: Agent, site: Path) -> None:
    taken(agent, site, ROW, ROW | {"orderLineNumber": "2", "totalAmount": ""})
    body = (site / "orders.csv").read_bytes()
    with archive(site) as kept:
        (id,) = kept.runs(recipe_id="import/purchaseOrder")
        started, fetched, rows, ended = kept.job(id).facts
        assert isinstance(started, RunStarted)
        assert (started.recipe_version, dict(started.parameters)) == ("1.0", {"file": "orders.csv"})
        assert started.started_by == canonical.sm3(wiring.account().encode()).hex()
        assert json.loads(kept.get(started.recipe)) == json_schema(ORDER)
        assert isinstance(fetched, Fetched)
        assert (fetched.file_name, fetched.media, fetched.size_bytes) == ("orders.csv", "csv", len(body))
        assert kept.get(fetched.body) == body
        assert isinstance(rows, ListRead)
        assert (rows.name, rows.harvested) == ("csv", 2)
        assert rows.certificate is not None
        assert rows.certificate.state is Completeness.PROVED
        assert ended == RunEnded(complete=True, documents=1, faults=0)


def test_every_value_leads_back_to_its_cell_in_the_kept_file(agent: Agent, site: Path) -> None:
    taken(agent, site, ROW)
    digest = canonical.digest((site / "orders.csv").read_bytes())
    with archive(site) as kept:
        draft = drafted(kept.job(kept.documents()[0]))
        document = decode(ORDER, kept.get(draft.document))
        origins = {o["field"]: o for o in json.loads(kept.get(draft.provenance))}
    assert (draft.page, draft.key, draft.record) == (digest, "PO-1", "PO-1")
    assert document.header["sourcePageDigest"] == digest.removeprefix("sm3:")
    assert (document.header["recipeId"], document.header["erpSystemCode"]) == ("import/purchaseOrder", "IMPORT")
    assert document.header["sourceRecordKey"] == "PO-1"
    columns = [*ROW]
    for id, value in ROW.items():
        origin = origins[id if id in ORDER.header_fields else f"lines[1].{id}"]
        letter = layout.letters(columns.index(id))
        assert (origin["target"], origin["raw"], origin["page"]) == (f"orders.csv csv!{letter}2", value, digest)


def drafted(job: Job) -> Draft:
    draft = job.facts[0]
    assert isinstance(draft, Draft)
    return draft


def test_the_same_file_again_is_the_same_jobs_and_a_changed_one_a_new_version(agent: Agent, site: Path) -> None:
    taken(agent, site, ROW | {"orderNumber": "B-1"})
    assert taken(agent, site, ROW | {"orderNumber": "B-1"}).code == 0
    with archive(site) as kept:
        assert len(kept.documents()) == 1
        assert len(kept.runs()) == 2
    assert taken(agent, site, ROW | {"orderNumber": "B-1", "supplierName": "ACME Ltd"}).code == 0
    with archive(site) as kept:
        first, second = (decode(ORDER, kept.get(drafted(kept.job(id)).document)) for id in kept.documents())
    assert (first.header["actionType"], second.header["actionType"]) == ("1", "2")


def test_a_document_that_breaks_a_rule_is_blocked_and_the_others_go_on(agent: Agent, site: Path) -> None:
    said = taken(agent, site, ROW | {"orderNumber": "C-1", "totalAmount": "31.50"}, ROW | {"orderNumber": "C-2"})
    assert said.code == 3
    with archive(site) as kept:
        assert [state(kept.job(id)) for id in kept.documents()] == [State.BLOCKED, State.RECEIPTED]


def test_an_import_is_shown_by_the_commands_that_show_runs(agent: Agent, site: Path) -> None:
    taken(agent, site, ROW | {"orderNumber": "D-1"})
    assert agent("report").code == 0
    told = (site / "report.html").read_text(encoding="utf-8")
    assert "import/purchaseOrder" in told
    assert "orders.csv" in told
    assert "The page is not among those of its run." not in told
    assert "csv!A2" in agent("job", "D-1", "--origins").out
    assert agent("log", "verify").code == 0


# --- nothing by halves ----------------------------------------------------------------------------------------------


def test_a_wrong_file_leaves_nothing_and_tells_every_place(agent: Agent, site: Path) -> None:
    taken(agent, site, ROW)
    with archive(site) as kept:
        before = kept.head()
    said = taken(agent, site, ROW | {"orderNumber": "E-1"}, ROW | {"orderNumber": "E-2", "totalAmount": "\x1b[31mmuch"})
    assert (said.code, said.out) == (3, "")
    letter = layout.letters([*ROW].index("totalAmount"))
    assert said.err == (
        "SA2330 1 place(s) of the file are wrong; nothing is taken from it\n"
        f"csv!{letter}3 订单总价 totalAmount: SA2302 `\\u001b[31mmuch` is no number in any usual notation\n"
    )
    with archive(site) as kept:
        assert kept.head() == before


@pytest.fixture
def world(tmp_path: Path, keys: Path, platform: Platform) -> Iterator[World]:
    with https.HttpsTransport(https.Config(kind="https", url=platform.url)) as transport:
        yield World(tmp_path, keys, transport, platform.public_keys)


def intake(*rows: dict[str, Any]) -> Intake:
    body = table(*rows)
    contents = reading.read(files.tables(body, "csv"), FORMATS, "purchaseOrder")
    return Intake(
        file_name="orders.csv",
        media="csv",
        body=body,
        format=ORDER,
        rows=contents.rows,
        readings=lambda digest: contents.readings("orders.csv", digest),
        policy_source=b"automatic: {}",
        started_by="0" * 64,
        agent="scraper_agent test",
    )


APPENDS = 3 + 2 + 1
"""RunStarted, Fetched and ListRead; two drafts; RunEnded."""


@pytest.mark.parametrize("at", range(APPENDS))
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_in_mid_import_leaves_nothing_of_it(world: World, at: int, after: bool) -> None:
    run = JobId("run/import")
    given = intake(ROW, ROW | {"orderNumber": "PO-2"})
    heard: list[Fact] = []
    world.at, world.after = at, after
    with world.pipeline() as pipeline:
        pipeline.watch = lambda _job, fact: heard.append(fact)
        with pytest.raises(Crash):
            pipeline.take_in(run, given)
    assert heard == []
    with SqliteArchive(world.path, lambda: NOW, read_only=True) as kept:
        assert (kept.head().size, kept.documents(), kept.runs()) == (0, [], [])
    with world.pipeline() as pipeline:
        pipeline.watch = lambda _job, fact: heard.append(fact)
        found = pipeline.take_in(run, given)
    assert len(found.documents) == 2
    assert len(heard) == APPENDS
    assert verify(world.path).whole


# --- where no witness has seen the log ------------------------------------------------------------------------------


def unseen(site: Path, **ago: int) -> None:
    """A share that is not connected is the only witness, and the first fact is so old."""
    config = yaml.safe_load((site / "config.yaml").read_text(encoding="utf-8"))
    config["witnesses"] = [{"kind": "folder", "name": "share", "path": "share"}]
    (site / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    with SqliteArchive(site / "archive.db", lambda: wiring.now() - timedelta(**ago)) as made:
        made.append(JobId("run/old"), 0, RunEnded(complete=True, documents=0, faults=0))


def test_after_a_day_that_no_witness_saw_no_file_is_taken_in(agent: Agent, site: Path) -> None:
    unseen(site, hours=24)
    said = taken(agent, site, ROW | {"orderNumber": "W-1"})
    assert (said.code, said.out) == (5, "")
    assert re.search(r"SA6080 no witness has seen what was logged since .*; the policy allows 24 h\n", said.err)
    with archive(site) as kept:
        assert kept.documents() == []
        assert not any(isinstance(entry.fact, RunStarted) for entry in kept.entries())
    (site / "share").mkdir()  # it is back, and is shown the log first
    assert taken(agent, site, ROW | {"orderNumber": "W-1"}).code == 0


def test_a_person_may_have_a_file_taken_in_all_the_same_and_that_is_logged(agent: Agent, site: Path) -> None:
    unseen(site, hours=48)
    (site / "orders.csv").write_bytes(table(ROW | {"orderNumber": "W-2"}))
    why = ("--without-anchor", "the share is down")
    said = agent("format", "import", "orders.csv", "--format", "purchaseOrder", *why)
    assert said.code == 4, "it is there, and waits until a witness has the log"
    assert "SA4131 the witness share cannot be reached" in said.err
    assert "after 24 h nothing is read or taken in." in said.err
    with archive(site) as kept:
        (document,) = kept.documents()
        assert state(kept.job(document)) is State.SIGNED
        assert kept.job(JobId("anchor")).facts == (
            Unanchored(by=f"person:{wiring.account()}", reason="the share is down"),
        )


def test_before_that_it_is_said_in_amber(agent: Agent, site: Path) -> None:
    unseen(site, hours=4)
    said = taken(agent, site, ROW | {"orderNumber": "W-3"})
    assert "No witness has seen what was logged since" in said.err
    with archive(site) as kept:
        assert len(kept.documents()) == 1


# --- check ----------------------------------------------------------------------------------------------------------


def test_check_tells_every_finding_at_its_cell_and_keeps_nothing(agent: Agent, site: Path) -> None:
    (site / "orders.csv").write_bytes(table(ROW | {"totalAmount": "31.50", "currencyCode": "USB"}))
    (site / "config.yaml").unlink()
    said = agent("format", "check", "orders.csv", "--format", "purchaseOrder")
    assert said.code == 3
    columns = [*ROW]
    currency, total = (layout.letters(columns.index(id)) for id in ("currencyCode", "totalAmount"))
    assert f"PO-1 csv!{currency}2 CHK-01 currencyCode is `USB`, which is not in the code list `currency`\n" in said.out
    assert f"PO-1 csv!{total}2 CHK-05 totalAmount " in said.out
    assert said.out.endswith("1 document(s), 2 error(s), 0 warning(s)\n")
    assert not (site / "archive.db").exists()


def test_check_is_content_with_what_import_would_take(agent: Agent, site: Path) -> None:
    (site / "orders.csv").write_bytes(table(ROW))
    said = agent("format", "check", "orders.csv", "--format", "purchaseOrder")
    assert (said.code, said.out, said.err) == (0, "1 document(s), 0 error(s), 0 warning(s)\n", "")


def test_a_whole_document_of_the_archive_is_checked_whole(agent: Agent, site: Path) -> None:
    taken(agent, site, ROW | {"orderNumber": "F-1"})
    with archive(site) as kept:
        body = json.loads(kept.get(drafted(kept.job(kept.documents()[0])).document))
    (site / "one.json").write_text(json.dumps(body), encoding="utf-8")
    assert agent("format", "check", "one.json").code == 0
    body["header"]["recordGuid"] = "x"
    (site / "one.json").write_text(json.dumps(body), encoding="utf-8")
    said = agent("format", "check", "one.json")
    assert said.code == 3
    assert "/header/recordGuid CHK-01 recordGuid " in said.out
    assert "SA2331" in agent("format", "import", "one.json").err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("check", "none.xlsx"), 2, "SA7061 "),
        (("check", "orders.txt"), 2, "SA7060 "),
        (("check", "orders.csv"), 3, "SA2347 "),
        (("check", "orders.csv", "--format", "order"), 2, "SA7108 "),
        (("import", "orders.xlsx"), 3, "SA2030 "),
        (("import", "empty.xlsx"), 3, "SA7119 "),
        (("template", "purchaseOrder", "--out", "orders.csv"), 2, "SA7101 "),
        (("template", "purchaseOrder", "--out", "none/orders.xlsx"), 2, "SA7107 "),
        (("show", "order"), 2, "SA7108 "),
    ],
)
def test_what_cannot_be_done_is_told(
    agent: Agent, site: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    (site / "orders.csv").write_bytes(table(ROW))
    (site / "orders.xlsx").write_bytes(table(ROW))
    agent("format", "template", "purchaseOrder", "--out", "empty.xlsx")
    said = agent("format", *arguments)
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert not (site / "archive.db").exists()


# --- list, show, template -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_formats_are_listed_and_shown(agent: Agent, language: str) -> None:
    listed = agent("--lang", language, "format", "list").out
    for format in FORMATS.values():
        assert format.name in listed
        assert (format.zh if language == "zh" else format.en) in listed
        shown = agent("--lang", language, "format", "show", format.name).out
        for field in (*format.header, *format.lines):
            assert f" {field.id} " in shown
            assert field.type.notation in shown
        assert ("credit-code  field=enterpriseUscc" in shown) is ("enterpriseUscc" in format.header_fields)


def test_a_format_as_json_has_every_attribute(agent: Agent) -> None:
    told = json.loads(agent("format", "show", "purchaseOrder", "--json").out)
    assert [field["id"] for field in told["header"]] == [field.id for field in ORDER.header]
    currency = next(field for field in told["header"] if field["id"] == "currencyCode")
    assert (currency["type"], currency["need"], currency["codes"]) == ("a3", "M", "currency")
    assert currency["choices"]["CNY"] == "人民币"
    assert {"check": "line-sum", "amount": "lineAmount", "total": "totalAmount", "tax": "taxAmount"} in told["rules"]


def test_a_template_is_written_and_passes_its_own_check(agent: Agent, site: Path) -> None:
    assert agent("format", "template", "goodsReceipt").out == "goodsReceipt.xlsx\n"
    said = agent("format", "check", "goodsReceipt.xlsx")
    assert (said.code, said.out) == (0, "0 document(s), 0 error(s), 0 warning(s)\n")
    assert said.err == "The template's example was passed over.\n"
