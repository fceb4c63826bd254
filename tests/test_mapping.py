"""Frozen pages become a document; every value says where it came from, and what cannot be read is told."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from scraper_agent import canonical, mapping, messages, yamlfile
from scraper_agent.authoring import samples
from scraper_agent.authoring.load import load
from scraper_agent.errors import PageError
from scraper_agent.format import Context, Document, decode, encode
from scraper_agent.formats import FORMATS
from scraper_agent.mapping import Reader, Reading, Stamp
from scraper_agent.page import PREFIX
from scraper_agent.recipe import Recipe
from scraper_agent.values import Digest, JobId

ROOT = Path(__file__).parents[1] / "recipes" / "demo"
ORDER = FORMATS["purchaseOrder"]
LOOKUPS = {"currency": {"美元": "USD"}, "unit": {"个": "007"}, "country": {"德国": "DEU"}}
PROFILE = {"uscc": "91350100M000100Y43", "name": "甲公司"}

RECIPE = r"""
recipe: test/order
version: "1.0"
format: purchaseOrder
erp: TEST
parameters: {base: {type: url}}
locale: {group: ",", date: YYYY-MM-DD}
lookups: {currency: {美元: USD}, unit: {个: "007"}, country: {德国: DEU}}
sources:
  suppliers:
    steps: [{do: open, url: "${base}/s"}, {do: snap, name: suppliers}]
    page: suppliers
    rows: {declared: {css: .total}}
    key: {column: 名称}
    take: {code: {column: 编码}, country: {column: 国家, optional: true}}
steps: [{do: open, url: "${base}/1"}, {do: snap, name: order}]
document:
  page: order
  record: {url: true, pattern: '/(orders/\d+)$'}
  header:
    orderNumber: {label: 订单号}
    orderDate: {label: 日期}
    buyerUscc: {profile: uscc}
    supplierName: {label: 供应商}
    supplierCode: {source: suppliers, by: {label: 供应商}, take: code}
    supplierCountryCode: {source: suppliers, by: {label: 供应商}, take: country, lookup: country}
    currencyCode: {label: 币种, css: .currency, lookup: currency}
    totalAmount: {label: 总额, pattern: '^([\d.,]+) 元$'}
    taxAmount: {label: 税额, optional: true}
  lines:
    skip: tr.sum
    declared: {css: .count}
    values:
      orderLineNumber: {row: true}
      materialNumber: {column: 料号}
      goodsName: {column: 品名}
      goodsSpecification: {column: 规格, optional: true}
      orderedQuantity: {column: 数量}
      unitCode: {column: 单位, lookup: unit}
      unitPrice: {column: 单价}
      lineAmount: {column: 金额}
"""


def recipe(text: str = RECIPE) -> Recipe:
    return yamlfile.parse(dedent(text), Path("r.yaml"), Recipe)


def frozen(body: str, url: str = "http://erp.test/orders/7") -> bytes:
    """Every element that begins with text, and every cell and field, is shown at one and the same place."""
    shown = re.sub(r"<(td|th|b|p|i|input|select)\b", r'<\1 frozen-box="8 9 40 20"', body)
    return PREFIX + f'{url}"><body>{shown}</body></html>'.encode()


def form(**changes: str | None) -> str:
    values = {
        "订单号": "PO-1",
        "日期": "2026-03-01",
        "供应商": "Rhein",
        "币种": "美元",
        "总额": "1,130.00 元",
    } | changes
    cells = [f"<tr><th>{label}</th><td>{text}</td></tr>" for label, text in values.items() if text is not None]
    return f"<table>{''.join(cells)}</table>"


HEADS = ("料号", "品名", "数量", "单位", "单价", "金额")
LINE = ("A-1", "轴承", "100", "个", "11.3", "1,130.00")


def lines(*rows: tuple[str, ...], heads: tuple[str, ...] = HEADS, count: str = "共 1 行") -> str:
    head = "".join(f"<th>{h}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows or [LINE])
    total = '<tr class="sum"><td colspan="5">合计</td><td>1,130.00</td></tr>'
    return f'<table><thead><tr>{head}</tr></thead><tbody>{body}{total}</tbody></table><p class="count">{count}</p>'


def suppliers(
    *rows: tuple[str, ...], heads: tuple[str, ...] = ("编码", "名称", "国家"), total: int | None = None
) -> str:
    head = "".join(f"<th>{h}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    count = len(rows) if total is None else total
    return f'<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p class="total">共 {count} 条</p>'


RHEIN = ("V1", "Rhein", "德国")


def reader(made: Recipe | None = None, *pages: str) -> Reader:
    found = Reader(recipe=made or recipe(), format=ORDER, lookups=LOOKUPS, profile=PROFILE)
    for page in pages or (suppliers(RHEIN),):
        found.learn("suppliers", frozen(page), Digest("sm3:source"))
    return found


def reading(page: str | None = None, *, of: Reader | None = None, url: str = "http://erp.test/orders/7") -> Reading:
    return (of or reader()).read(frozen(page or form() + lines(), url), Digest("sm3:page"))


def told(of: Reading) -> list[str]:
    return [f"{f.severity} {f.code} {f.field} {messages.english(f.text, f.values)}" for f in of.unread]


def refused(page: str | None = None, *, of: Reader | None = None, url: str = "http://erp.test/orders/7") -> str:
    with pytest.raises(PageError) as caught:
        reading(page, of=of, url=url)
    return f"{caught.value.code} {caught.value.sentence}"


# --- a page that has everything -------------------------------------------------------------------------------------


def test_header_lines_and_sources_become_the_values_of_the_format() -> None:
    made = reading()
    assert made.record == "orders/7"
    assert made.unread == ()
    assert made.header == {
        "orderNumber": "PO-1",
        "orderDate": date(2026, 3, 1),
        "buyerUscc": PROFILE["uscc"],
        "supplierName": "Rhein",
        "supplierCode": "V1",
        "supplierCountryCode": "DEU",
        "currencyCode": "USD",
        "totalAmount": Decimal("1130.00"),
    }
    assert made.lines == (
        {
            "orderLineNumber": "1",
            "materialNumber": "A-1",
            "goodsName": "轴承",
            "orderedQuantity": Decimal(100),
            "unitCode": "007",
            "unitPrice": Decimal("11.3"),
            "lineAmount": Decimal("1130.00"),
        },
    )


def test_the_same_bytes_give_the_same_reading() -> None:
    assert reading() == reading()
    assert canonical.dumps(reading().origins) == canonical.dumps(reading().origins)


# --- where each value came from -------------------------------------------------------------------------------------


def origin(made: Reading, field: str) -> mapping.Origin:
    (found,) = [o for o in made.origins if o.field == field]
    return found


def test_every_value_has_one_origin() -> None:
    made = reading()
    fields = [*made.header, *(f"lines[{n}].{id}" for n, line in enumerate(made.lines, 1) for id in line)]
    assert sorted(o.field for o in made.origins) == sorted(fields)


def test_an_origin_tells_page_place_and_every_step_to_the_value() -> None:
    assert origin(reading(), "totalAmount") == mapping.Origin(
        field="totalAmount",
        page=Digest("sm3:page"),
        frame="/",
        target="label 总额",
        raw="1,130.00 元",
        steps=(r"pattern ^([\d.,]+) 元$: 1,130.00", "decimal: 1130.00"),
        value="1130.00",
        box=(8, 9, 40, 20),
    )
    assert origin(reading(), "lines[1].unitCode") == mapping.Origin(
        field="lines[1].unitCode",
        page=Digest("sm3:page"),
        frame="/",
        target="column 单位",
        raw="个",
        steps=("lookup unit: 007",),
        value="007",
        box=(8, 9, 40, 20),
        lookups=(mapping.Lookup(kind="table", name="unit", key="个", value="007", place=""),),
    )


def test_a_joined_value_points_to_the_sources_page_and_names_its_key() -> None:
    assert origin(reading(), "supplierCountryCode") == mapping.Origin(
        field="supplierCountryCode",
        page=Digest("sm3:source"),
        frame="/",
        target="column 国家",
        raw="德国",
        steps=("suppliers 'Rhein' (label 供应商)", "lookup country: DEU"),
        value="DEU",
        box=(8, 9, 40, 20),
        lookups=(
            mapping.Lookup(kind="source", name="suppliers", key="Rhein", value="德国", place="label 供应商"),
            mapping.Lookup(kind="table", name="country", key="德国", value="DEU", place=""),
        ),
    )


def test_address_row_number_and_profile_are_origins_too() -> None:
    text = RECIPE.replace(
        "taxAmount: {label: 税额, optional: true}", "contractNumber: {url: true, pattern: '([a-z]+)/7'}"
    )
    made = reading(of=reader(recipe(text)))
    url, row, profile = (origin(made, f) for f in ("contractNumber", "lines[1].orderLineNumber", "buyerUscc"))
    assert (url.target, url.raw, url.value) == ("url", "http://erp.test/orders/7", "orders")
    assert (row.target, row.value, row.box) == ("row", "1", (8, 9, 40, 20))
    assert (profile.page, profile.target, profile.value, profile.box) == (None, "profile uscc", PROFILE["uscc"], None)


def test_a_fallback_that_hit_is_recorded() -> None:
    page = form(币种=None) + '<p class="currency">美元</p>' + lines()
    assert origin(reading(page), "currencyCode").target == "css .currency"
    assert origin(reading(), "currencyCode").target == "label 币种"


def test_provenance_is_written_as_canonical_json() -> None:
    written = json.loads(canonical.dumps(reading().origins))
    assert {o["field"]: o["value"] for o in written}["orderDate"] == "2026-03-01"
    assert written[0].keys() == {"field", "page", "frame", "target", "raw", "steps", "value", "box"}


# --- what cannot be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"币种": "比索"}, "currencyCode", "`比索` is not in the lookup table `currency`"),
        ({"总额": "面议"}, "totalAmount", r"`面议` does not match ^([\d.,]+) 元$"),
        (
            {"总额": "1.130,00 元"},
            "totalAmount",
            "`1.130,00` is not a number written with `.` before decimals and `,` between thousands",
        ),
        ({"日期": "01/03/2026"}, "orderDate", "`01/03/2026` is not a date written as YYYY-MM-DD"),
        ({"日期": "2026-02-30"}, "orderDate", "`2026-02-30` is no day of the calendar, read as YYYY-MM-DD"),
        ({"税额": "x" * 500}, "taxAmount", f"`{'x' * 119}…` is not a number written with `.` before decimals"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_value_leaves_its_field_empty_and_blocks(
    changes: dict[str, str], field: str, said: str
) -> None:
    made = reading(form(**changes) + lines())
    assert field not in made.header
    assert made.header["orderNumber"] == "PO-1"
    (finding,) = told(made)
    assert finding.startswith(f"error SA2302 {field} {said}")


def test_a_fault_in_a_line_names_the_line() -> None:
    bad = ("A-2", "轴承", "zwei", "个", "11.3", "1,130.00")
    assert told(reading(form() + lines(LINE, bad, count="共 2 行"))) == [
        (
            "error SA2302 lines[2].orderedQuantity `zwei` is not a number written with `.` before decimals "
            "and `,` between thousands"
        )
    ]


def test_an_empty_place_gives_no_value_and_no_finding() -> None:
    made = reading(form(日期="") + lines())
    assert "orderDate" not in made.header
    assert made.unread == ()


def test_an_optional_place_may_be_absent_and_another_may_not() -> None:
    assert "taxAmount" not in reading().header
    assert reading(form(税额="5.00") + lines()).header["taxAmount"] == Decimal("5.00")
    assert refused(form(日期=None) + lines()) == "SA2002 the page http://erp.test/orders/7 has no label 日期"


def test_an_optional_column_may_be_absent_and_another_may_not() -> None:
    with_it = reading(form() + lines((*LINE, "6204"), heads=(*HEADS, "规格")))
    assert with_it.lines[0]["goodsSpecification"] == "6204"
    without = tuple(h for h in HEADS if h != "数量")
    assert refused(form() + lines(LINE[:5], heads=without)).startswith("SA2005 no table has the column(s) ")


@pytest.mark.parametrize(("count", "expected"), [("共 2 行", "2"), ("共 0 行", "0"), ("没有", "-")])
def test_another_number_of_lines_than_declared_refuses_the_page(count: str, expected: str) -> None:
    assert refused(form() + lines(count=count)) == (
        f"SA2301 the page http://erp.test/orders/7 shows 1 rows, but declares {expected}"
    )


@pytest.mark.parametrize("url", ["http://erp.test/orders/new", "http://erp.test/"])
def test_a_page_that_does_not_tell_its_record_is_refused(url: str) -> None:
    assert refused(url=url) == rf"SA2302 `{url}` does not match /(orders/\d+)$"


# --- sources --------------------------------------------------------------------------------------------------------


def test_a_key_that_the_source_lacks_is_a_finding_for_each_value() -> None:
    assert told(reading(of=reader(None, suppliers(("V2", "Donau", "德国"))))) == [
        "error SA2302 supplierCode suppliers has no `Rhein`",
        "error SA2302 supplierCountryCode suppliers has no `Rhein`",
    ]


def test_a_key_twice_is_a_finding_only_where_the_values_differ() -> None:
    made = reading(of=reader(None, suppliers(RHEIN, ("V9", "Rhein", "德国"))))
    assert told(made) == [
        "error SA2302 supplierCode suppliers has `Rhein` more than once, with different values: V1, V9"
    ]
    assert made.header["supplierCountryCode"] == "DEU"
    assert told(reading(of=reader(None, suppliers(RHEIN), suppliers(RHEIN)))) == []


def test_a_key_twice_of_which_one_row_lacks_the_value_is_a_finding() -> None:
    made = reading(of=reader(None, suppliers(("", "Rhein", "德国"), RHEIN)))
    assert told(made) == [
        "error SA2302 supplierCode suppliers has `Rhein` more than once, with different values: -, V1"
    ]
    assert "supplierCode" not in made.header
    lacking = reading(of=reader(None, suppliers(RHEIN), suppliers(RHEIN[:2], heads=("编码", "名称"))))
    assert told(lacking) == [
        "error SA2302 supplierCountryCode suppliers has `Rhein` more than once, with different values: -, 德国"
    ]


def test_a_source_that_was_never_read_has_no_key() -> None:
    assert told(reading(of=Reader(recipe=recipe(), format=ORDER, lookups=LOOKUPS, profile=PROFILE)))[0] == (
        "error SA2302 supplierCode suppliers has no `Rhein`"
    )


def test_without_a_key_nothing_is_looked_up() -> None:
    made = reading(form(供应商="") + lines())
    assert told(made) == []
    assert made.header.keys().isdisjoint({"supplierName", "supplierCode", "supplierCountryCode"})


def test_a_source_may_lack_an_optional_column() -> None:
    made = reading(of=reader(None, suppliers(RHEIN[:2], heads=("编码", "名称"))))
    assert (made.header["supplierCode"], made.header.get("supplierCountryCode"), told(made)) == ("V1", None, [])


def test_a_source_that_shows_fewer_rows_than_it_declares_is_refused() -> None:
    with pytest.raises(PageError) as caught:
        reader(None, suppliers(RHEIN, total=2))
    assert caught.value.sentence == "the page http://erp.test/orders/7 shows 1 rows, but declares 2"


def test_a_pattern_holds_for_joined_values_and_the_profile_too() -> None:
    text = RECIPE.replace("take: code}", "take: code, pattern: 'V(.)'}").replace(
        "{profile: uscc}", "{profile: uscc, pattern: '^(.{17}).$'}"
    )
    made = reading(of=reader(recipe(text)))
    assert (made.header["supplierCode"], made.header["buyerUscc"]) == ("1", PROFILE["uscc"][:17])


# --- notations that the page tells ---------------------------------------------------------------------------------

FREE = RECIPE.replace('locale: {group: ",", date: YYYY-MM-DD}\n', "").replace(", pattern: '^([\\d.,]+) 元$'", "")


def freely(*rows: tuple[str, ...], text: str = FREE, heads: tuple[str, ...] = HEADS, **changes: str) -> Reading:
    page = form(**changes) + lines(*rows, heads=heads, count=f"共 {len(rows)} 行")
    return reading(page, of=reader(recipe(text)))


def test_a_document_tells_its_notation_by_all_its_cells() -> None:
    made = freely(("A", "轴", "1.000", "个", "1,13", "1.130,00"), 总额="1.130,00 EUR", 日期="1 Mar 2026")
    assert told(made) == []
    assert made.lines[0]["orderedQuantity"] == 1000
    assert (made.header["totalAmount"], made.header["orderDate"]) == (Decimal("1130.00"), date(2026, 3, 1))
    origin = next(o for o in made.origins if o.field == "lines[1].orderedQuantity")
    assert (origin.raw, origin.steps, origin.value) == ("1.000", ("decimal: 1000",), "1000")


def test_what_the_page_leaves_open_is_a_finding_that_names_its_readings() -> None:
    made = freely(("A", "轴", "1", "个", "1.130", "1.130"), 总额="1.130", 日期="03/04/2026")
    assert told(made) == [
        (
            "error SA2312 orderDate `03/04/2026` can be 2026-03-04 / 2026-04-03, and nothing on the page decides; "
            "set `dates:` to day-first or month-first"
        ),
        (
            "error SA2310 totalAmount `1.130` can be 1.130 / 1130, and nothing on the page decides; "
            "set `numbers:` to one of 1,234.50 / 1.234,50"
        ),
        (
            "error SA2310 lines[1].unitPrice `1.130` can be 1.130 / 1130, and nothing on the page decides; "
            "set `numbers:` to one of 1,234.50 / 1.234,50"
        ),
        (
            "error SA2310 lines[1].lineAmount `1.130` can be 1.130 / 1130, and nothing on the page decides; "
            "set `numbers:` to one of 1,234.50 / 1.234,50"
        ),
    ]
    assert made.lines[0] == {
        "orderLineNumber": "1",
        "materialNumber": "A",
        "goodsName": "轴",
        "orderedQuantity": 1,
        "unitCode": "007",
    }


def test_a_recipe_and_a_field_may_fix_the_notation() -> None:
    row = ("A", "轴", "1", "个", "1.130", "1.130")
    fixed = 'numbers: "1.234,50"\ndates: day-first\n' + FREE.lstrip()
    made = freely(row, text=fixed, 总额="1.130", 日期="03/04/2026")
    assert (told(made), made.header["totalAmount"], made.header["orderDate"]) == ([], Decimal(1130), date(2026, 4, 3))
    other = fixed.replace("{column: 单价}", '{column: 单价, numbers: "1,234.50"}').replace(
        "{label: 日期}", "{label: 日期, dates: month-first}"
    )
    made = freely(row, text=other, 总额="1.130", 日期="03/04/2026")
    assert (made.lines[0]["unitPrice"], made.lines[0]["lineAmount"]) == (Decimal("1.130"), Decimal(1130))
    assert made.header["orderDate"] == date(2026, 3, 4)
    made = freely(row, text=fixed.replace("day-first", "year-first"), 总额="1,130.00", 日期="03/04/2026")
    assert told(made)[:2] == [
        "error SA2302 orderDate `03/04/2026` is not a date written as year-first",
        (
            "error SA2302 totalAmount `1,130.00` is not a number written with `,` before decimals "
            "and `.` between thousands"
        ),
    ]


@pytest.mark.parametrize("text", [RECIPE, FREE])
def test_the_header_of_a_column_may_name_a_power_of_ten(text: str) -> None:
    heads = (*HEADS[:5], "金额（万元）")
    text = text.replace("{column: 金额}", "{column: 金额（万元）}").replace(", pattern: '^([\\d.,]+) 元$'", "")
    made = freely(("A", "轴", "100", "个", "11.3", "0.113"), text=text, heads=heads, 总额="1,130.00")
    assert (told(made), made.lines[0]["lineAmount"]) == ([], Decimal(1130))
    origin = next(o for o in made.origins if o.field == "lines[1].lineAmount")
    assert origin.steps == ("header 金额（万元）: 10^4", "decimal: 1130")


# --- from a reading to a document -----------------------------------------------------------------------------------

STAMP = Stamp(
    page=Digest("sm3:" + "0a" * 32),
    taken_at=datetime(2026, 3, 1, 23, 0, 0, 999999, UTC),
    reported_at=datetime(2026, 3, 1, 23, 1, tzinfo=UTC),
    replaces=None,
    operator="ab" * 32,
)


def test_a_job_is_the_record_and_its_content() -> None:
    id = mapping.job_id(reading(), ORDER)
    assert re.fullmatch("doc/purchaseOrder/[0-9a-f]{64}", id)
    assert mapping.job_id(reading(form(订单号="  PO-1 ") + "<p>别的</p>" + lines()), ORDER) == id
    assert mapping.job_id(reading(form(订单号="PO-2") + lines()), ORDER) != id
    assert mapping.job_id(reading(url="http://erp.test/orders/8"), ORDER) != id


def test_a_document_without_a_number_is_known_by_its_record() -> None:
    assert mapping.business_key(reading(), ORDER) == "PO-1"
    assert mapping.business_key(reading(form(订单号="") + lines()), ORDER) == "?orders/7"


def test_the_common_header_tells_how_the_document_came_about() -> None:
    made = mapping.document(reading(), ORDER, recipe(), samples.PROFILE, JobId("doc/x"), STAMP)
    common = {id: made.header[id] for id in mapping.COMMON_FIELDS}
    assert re.fullmatch("[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", str(common.pop("recordGuid")))
    assert common == {
        "formatCode": "purchaseOrder",
        "schemaVersion": "1.0",
        "actionType": "1",
        "reportDateTime": datetime(2026, 3, 2, 7, 1),  # noqa: DTZ001 - local time of China
        "captureDateTime": datetime(2026, 3, 2, 7, 0),  # noqa: DTZ001
        "erpSystemCode": "TEST",
        "recipeId": "test/order",
        "recipeVersion": "1.0",
        "sourceRecordKey": "orders/7",
        "sourcePageDigest": "0a" * 32,
        "operatorAccountHash": "ab" * 32,
        "enterpriseUscc": "91350100M000100Y43",
        "enterpriseName": "Sample Enterprise",
        "enterpriseCustomsCode": "3101910001",
        "customsMasterCode": "2200",
        "inSpecialZone": "0",
    }
    assert decode(ORDER, encode(made, ORDER)) == made


def test_a_document_that_was_accepted_before_is_a_change() -> None:
    changed = Stamp(
        page=STAMP.page,
        taken_at=STAMP.taken_at,
        reported_at=STAMP.reported_at,
        replaces=JobId("doc/w"),
        operator=None,
    )
    made = mapping.document(reading(), ORDER, recipe(), PROFILE, JobId("doc/x"), changed)
    assert made.header["actionType"] == "2"
    assert made.header["remark"] == f"变更 {mapping.record_guid(JobId('doc/w'))}"
    assert "operatorAccountHash" not in made.header


@pytest.mark.parametrize("name", ["order", "invoice", "receipt"])
def test_a_good_page_of_each_format_becomes_a_document_without_findings(name: str) -> None:
    loaded = load(ROOT / f"{name}.yaml", FORMATS)
    case = samples.folder(loaded.path) / "normal"
    found = Reader(recipe=loaded.recipe, format=loaded.format, lookups=loaded.lookups, profile=samples.PROFILE)
    for source in loaded.recipe.sources.values():
        found.learn(source.page, (case / f"{source.page}.xhtml").read_bytes(), Digest("sm3:source"))
    made = found.read((case / f"{name}.xhtml").read_bytes(), Digest("sm3:page"))
    document = mapping.document(made, loaded.format, loaded.recipe, samples.PROFILE, JobId("doc/x"), STAMP)
    assert made.unread == ()
    assert loaded.format.check(document, Context()) == ()
    assert {f.id for f in loaded.format.header if f.mandatory} <= document.header.keys()


def test_the_amount_of_a_document_has_its_currency() -> None:
    made = reading()
    document = Document(format=ORDER.name, header=made.header, lines=made.lines)
    assert mapping.amount(document, ORDER) == ("USD", Decimal("1130.00"))
    unread = reading(form(币种="比索") + lines())
    assert mapping.amount(Document(format=ORDER.name, header=unread.header), ORDER) is None
