"""`log explain` and the console's page of one field, over the archive that the console's tests fill."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from scraper_agent import canonical, leaving, mapping, messages
from scraper_agent import console as consoles
from scraper_agent.app import App
from scraper_agent.capture import cutting
from scraper_agent.console.rows import path
from scraper_agent.errors import BusinessError
from scraper_agent.format import Document, decode
from scraper_agent.formats import FORMATS, looks_at
from scraper_agent.policy import Leaving, Mask
from scraper_agent.report import field as explaining
from scraper_agent.values import (
    Digest,
    Draft,
    Excluded,
    Finding,
    Job,
    JobId,
    RunStarted,
    Severity,
    Snapshot,
    Verdict,
    in_force,
)
from tests import world
from tests.calls import caller
from tests.console import archive as books
from tests.console.conftest import Served

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    made = books.folder(tmp_path_factory.mktemp("explain"))
    books.fill(made)
    return made


@pytest.fixture
def call(app: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")

    yield caller(app.home / "config.yaml", capsys, monkeypatch)
    messages.use("en")


def record(app: App, key: str) -> explaining.Record:
    with app.archive(read_only=True) as archive:
        (id,) = archive.documents(key=key)
        job = archive.job(id)
        draft = job.facts[0]
        assert isinstance(draft, Draft)
        run = archive.job(draft.run)
        started = run.facts[0]
        assert isinstance(started, RunStarted)
        pages = {fact.page: fact for fact in run.facts if isinstance(fact, Snapshot)}
        format = FORMATS[draft.format]
        return explaining.Record(
            job=job,
            times=archive.times(id),
            provenance=archive.get(draft.provenance),
            document=decode(format, archive.get(in_force(job))),
            format=format,
            started=started,
            snapshot=pages.get,
        )


def explain(of: explaining.Record, field: str, *, whole: bool = False) -> explaining.Explained:
    return explaining.explain(of, field, whole=whole, names={})


# --- what is told ---------------------------------------------------------------------------------------------------


def test_a_value_is_explained_from_its_pixels_to_its_rules(app: App) -> None:
    of = record(app, "PO-9")
    found = explain(of, "lines[1].orderedQuantity")
    assert found.value == "30"
    (source,) = found.sources
    assert (source.origin.target, source.origin.raw, source.origin.frame) == ("column 数量", "30", "/")
    assert source.origin.box == (0, 0, 9, 9)
    assert source.page is not None
    assert source.image == source.page.image
    rules = {rule.code: rule for rule in found.rules}
    assert rules["CHK-04"].verdict == "passed"
    assert "line-amount" in rules["CHK-04"].name
    assert found.read_by.recipe == canonical.digest(world.PLAN.recipe_source)
    assert found.read_by.account == canonical.digest(world.ACCOUNT.encode())
    assert found.read_by.started_by == f"sm3:{world.PLAN.started_by}"
    assert found.read_at == of.times[0]


def test_a_broken_rule_is_told_for_every_field_that_it_looked_at(app: App) -> None:
    of = record(app, "PO-10")  # its total is none of its lines
    total = {rule.code: rule for rule in explain(of, "totalAmount").rules}
    amount = {rule.code: rule for rule in explain(of, "lines[1].lineAmount").rules}
    assert total["CHK-05"].verdict == amount["CHK-05"].verdict == "broken"
    assert total["CHK-05"].findings == amount["CHK-05"].findings
    assert total["CHK-01"].verdict == "passed"
    assert "CHK-05" not in {rule.code for rule in explain(of, "supplierName").rules}


def test_before_the_check_no_rule_has_a_verdict(app: App) -> None:
    of = record(app, "PO-10")
    unread = replace(of, job=Job(id=of.job.id, facts=of.job.facts[:1]))
    assert {rule.verdict for rule in explain(unread, "totalAmount").rules} == {"not checked"}


def test_another_line_is_not_accused(app: App) -> None:
    of = record(app, "PO-9")
    said = Finding(code="CHK-04", severity=Severity.ERROR, field="lines[1].lineAmount", text="x")
    facts = (of.job.facts[0], Verdict(document=in_force(of.job), findings=(said,)))
    two = Document(format=of.format.name, header=of.document.header, lines=of.document.lines * 2)
    of = replace(of, job=Job(id=of.job.id, facts=facts), document=two)
    verdicts = [
        {rule.code: rule.verdict for rule in explain(of, f"lines[{n}].unitPrice").rules}["CHK-04"] for n in (1, 2)
    ]
    assert verdicts == ["broken", "passed"]


def test_what_a_rule_looks_at_is_named_as_a_policy_names_it() -> None:
    (rule,) = [each for each in FORMATS["purchaseOrder"].rules if getattr(each, "check", "") == "line-amount"]
    assert {"lines.orderedQuantity", "lines.unitPrice", "lines.lineAmount"} <= looks_at(rule)


def test_a_field_that_was_left_out_or_is_not_there_is_not_explained(app: App) -> None:
    of = record(app, "PO-9")
    gone = Excluded(
        document=in_force(of.job),
        before=in_force(of.job),
        fields=("lines.goodsName",),
        by="person:li.na",
        reason="x",
        mark="0" * 32,
        kept_back=False,
    )
    without = replace(of, job=Job(id=of.job.id, facts=(*of.job.facts, gone)))
    for field, code in (("lines[1].goodsName", "SA5080"), ("colour", "SA5081"), ("lines[7].unitPrice", "SA5081")):
        with pytest.raises(BusinessError) as caught:
            explain(without, field)
        assert caught.value.code == code


def test_what_the_format_masks_stays_masked_and_its_page_unseen(app: App) -> None:
    of = record(app, "PO-9")
    header = tuple(replace(each, masked=4) if each.id == "supplierName" else each for each in of.format.header)
    lookup = mapping.Lookup(kind="table", name="names", key="ACME", value="ACME", place="")
    origins = explaining._ORIGINS.validate_json(of.provenance)
    looked_up = [replace(each, lookups=(lookup,)) if each.field == "supplierName" else each for each in origins]
    masking = replace(of, format=replace(of.format, header=header), provenance=canonical.dumps(looked_up))
    found = explain(masking, "supplierName")
    assert "ACME" not in str(canonical.dumps(found))
    assert found.sources[0].hidden
    assert found.sources[0].image is None
    assert explain(masking, "supplierName", whole=True).value == "ACME"
    assert explain(masking, "totalAmount").sources[0].hidden  # the same page shows the other


def test_what_the_policy_masks_is_not_shown_by_its_pixels(app: App) -> None:
    of = record(app, "PO-9")
    origins = explaining._ORIGINS.validate_json(of.provenance)
    rule = Leaving(mask={"supplierName": Mask()})
    masked = [leaving._origin(each, rule) for each in origins]
    found = explain(replace(of, provenance=canonical.dumps(masked)), "supplierName", whole=True)
    assert found.sources[0].image is None
    assert found.sources[0].hidden


def test_the_alternative_that_hit_and_every_lookup_are_kept() -> None:
    reads = {
        "supplierName": {"any_of": [{"css": "#nowhere"}, {"css": "#supplier"}]},
        "currencyCode": {"css": "#currency", "lookup": "money"},
    }
    raw = world.RECIPE.model_dump(by_alias=True, exclude_unset=True)
    raw["document"]["header"] |= reads
    raw["lookups"] = {"money": {"USD": "EUR"}}
    reader = mapping.Reader(
        recipe=type(world.RECIPE).model_validate(raw),
        format=FORMATS["purchaseOrder"],
        lookups={"money": {"USD": "EUR"}},
        profile=world.PROFILE,
    )
    origins = {each.field: each for each in reader.read(world.frozen(), Digest("sm3:page")).origins}
    assert origins["supplierName"].alternative == (2, 2)
    assert origins["orderNumber"].alternative is None
    assert origins["currencyCode"].lookups == (
        mapping.Lookup(kind="table", name="money", key="USD", value="EUR", place=""),
    )
    assert b"lookups" not in canonical.dumps(origins["orderNumber"])


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_tells_it_as_table_and_as_json(call: Call) -> None:
    code, out, _ = call("log", "explain", "PO-9", "totalAmount")
    assert code == 0
    for told in ("7500.00", "css #total", "0 0 9 9", "test/order", canonical.digest(world.PLAN.recipe_source)):
        assert told in out
    assert "passed CHK-05" in out
    code, out, _ = call("log", "explain", "PO-9", "totalAmount", "--json")
    read = json.loads(out)
    assert (code, read["value"], read["sources"][0]["origin"]["raw"]) == (0, "7500", "7500.00")
    assert call("log", "explain", "PO-9", "colour")[0] != 0


def test_the_crop_is_what_the_image_has_at_the_box(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("log", "explain", "PO-9", "totalAmount", "--crop", tmp_path / "cell.png")
    assert code == 0
    assert str(tmp_path / "cell.png") in out
    with Image.open(tmp_path / "cell.png") as cut:
        assert (cut.format, cut.size) == ("PNG", (9, 9))


def test_a_cut_has_the_pixels_of_its_box_and_no_others() -> None:
    drawn = Image.new("RGB", (400, 300), "white")
    drawn.paste("red", (100, 50, 180, 90))
    out = io.BytesIO()
    drawn.save(out, "JPEG", quality=95, subsampling=0)
    with Image.open(io.BytesIO(cutting.png(out.getvalue(), (104, 54, 72, 32), None))) as cut:
        assert cut.size == (72, 32)
        colours = cut.convert("RGB").getcolors()
    assert colours is not None
    assert all(red > 240 and green < 20 and blue < 20 for _, (red, green, blue) in colours)  # type: ignore[misc]
    for wrong, box in ((out.getvalue(), (900, 0, 9, 9)), (b"no image", (0, 0, 9, 9))):
        with pytest.raises(ValueError, match=r"."):
            cutting.png(wrong, box, None)


# --- the console ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def console(app: App) -> Iterator[Served]:
    clock = [books.NOW]
    with consoles.serve(app, config=app.home / "config.yaml", port=0, clock=lambda: clock[0]) as made:
        yield Served(app, made, clock)


def test_a_documents_page_leads_from_each_field_to_how_it_came_about(console: Served) -> None:
    with console.app.archive(read_only=True) as archive:
        (id,) = archive.documents(key="PO-9")
    with console.client("wang.fang") as client:
        text = client.get(path(id)).text
        assert f'href="{path(id)}/fields/totalAmount"' in text
        assert f'href="{path(id)}/fields/lines%5B1%5D.orderedQuantity"' in text
        shown = client.get(f"{path(id)}/fields/lines%5B1%5D.orderedQuantity").text
        assert 'viewBox="0 0 9 9"' in shown
        assert "column 数量" in shown
        assert "CHK-04" in shown
        image = shown.partition('image href="')[2].partition('"')[0]
        assert client.get(image).headers["content-type"] == "image/jpeg"
        assert client.get(f"{path(id)}/fields/colour").status_code == 404
        assert client.get(f"{path(JobId('doc/purchaseOrder/' + '0' * 64))}/fields/totalAmount").status_code == 404


def test_who_began_the_run_is_named_only_where_the_policy_says_so(
    app: App, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = canonical.sm3(b"li.na").hex()
    assert explaining.by_digest({"li.na": None}) == {started: "li.na"}
    of = record(app, "PO-9")
    of = replace(of, started=replace(of.started, started_by=started))
    assert explain(of, "totalAmount").read_by.started_by == f"sm3:{started}"
    named = explaining.explain(of, "totalAmount", whole=False, names=explaining.by_digest({"li.na": None}))
    assert named.read_by.started_by == "li.na"
    policy = yaml.safe_load((app.home / "policy.yaml").read_text(encoding="utf-8"))
    assert "evidence" not in policy  # the default is the digest
    assert app.policy.evidence.operator == "digest"
