"""Templates and the files that come back: as people fill them in with a spreadsheet program (here openpyxl).

Under 30 s: every file is read in a child process of its own.
"""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
import python_calamine as calamine
from hypothesis import HealthCheck, given, settings
from hypothesis import example as sample
from hypothesis import strategies as st

from scraper_agent import canonical, files, messages
from scraper_agent.convert import Unreadable
from scraper_agent.format import Context, Document, encode
from scraper_agent.formats import FORMATS
from scraper_agent.importing import cells, example, layout, reading, template
from scraper_agent.notation import Amount

ORDER = FORMATS["purchaseOrder"]
RECEIPT = FORMATS["goodsReceipt"]
DIGEST = canonical.digest(b"file")

HEADER: dict[str, Any] = {
    "orderNumber": "PO-1",
    "orderDate": date(2026, 3, 2),
    "buyerUscc": "91350100M000100Y43",
    "buyerName": "上海启明精工有限公司",
    "supplierCode": "0017",
    "supplierName": "Great Lakes Bearings",
    "currencyCode": "USD",
    "totalAmount": Decimal("30.50"),
}
LINE: dict[str, Any] = {
    "orderNumber": "PO-1",
    "orderLineNumber": "1",
    "materialNumber": "00420",
    "goodsName": "轴承",
    "orderedQuantity": Decimal(2),
    "unitCode": "007",
    "unitPrice": Decimal("15.25"),
    "lineAmount": Decimal("30.50"),
}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    yield
    messages.use("en")


def filled(
    header: list[dict[str, Any]],
    lines: list[dict[str, Any]],
    change: Callable[[openpyxl.Workbook], None] = lambda _book: None,
) -> bytes:
    """The template of an order, its example removed, with these rows."""
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(ORDER)))
    for name, rows in ((layout.HEADER, header), (layout.LINES, lines)):
        sheet = book[name]
        sheet.delete_rows(4)
        columns = {cell.value: cell.column for cell in sheet[2]}
        for number, row in enumerate(rows, 4):
            for id, value in row.items():
                cell = sheet.cell(number, columns[id])
                cell.value = float(value) if isinstance(value, Decimal) else value
                if isinstance(value, str):
                    cell.data_type = "s"  # as typed into a column of text
    change(book)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def read(data: bytes, media: files.Media = "xlsx", wanted: str | None = None) -> reading.Contents:
    return reading.read(files.tables(data, media, layout.SKIPPED), FORMATS, wanted)


def documents(contents: reading.Contents) -> list[Document]:
    return [entry.document(contents.format) for entry in contents.entries]


def refused(data: bytes, media: files.Media = "xlsx", wanted: str | None = None) -> list[tuple[str, str]]:
    with pytest.raises(reading.Misfits) as caught:
        read(data, media, wanted)
    assert str(caught.value).count("SA23") == len(caught.value.misfits) + 1
    return [(misfit.place, misfit.code) for misfit in caught.value.misfits]


# --- the template ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_an_example_that_passes_its_checks(name: str) -> None:
    format = FORMATS[name]
    asked = {field.id for field in layout.asked(format)}
    found = format.check(example.document(format), Context())
    assert [f for f in found if f.field in asked or f.field.startswith("lines")] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_template_is_read_and_holds_its_example_alone(name: str) -> None:
    contents = read(template.workbook(FORMATS[name]))
    assert (contents.format.name, contents.entries, contents.examples) == (name, (), 1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_template_has_a_column_for_every_field_that_a_person_fills_in(name: str) -> None:
    format = FORMATS[name]
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(format)))
    for sheet, fields in ((layout.HEADER, layout.asked(format)), (layout.LINES, format.lines)):
        if not fields:
            continue
        heads = list(book[sheet].iter_cols(min_col=2, max_row=3, values_only=True))
        shown = {id.removeprefix("lines."): (zh, notation.split()[0]) for zh, id, notation in heads}
        assert {f.id: (f.zh, f.type.notation) for f in fields}.items() <= shown.items()
        assert book[sheet]["A1"].value == f"{name} {format.version}"
    told = {row[2] for row in book[layout.HELP].iter_rows(min_row=9, values_only=True)}
    assert {f.id for f in (*layout.asked(format), *format.lines)} <= told
    own = {"recordGuid", "sourcePageDigest", "recipeId", "enterpriseUscc"} & format.header_fields.keys()
    assert not own & {cell.value for cell in book[layout.HEADER][2]}


def test_a_drop_down_offers_every_code_with_its_name_and_what_it_shows_is_read_as_the_code() -> None:
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(ORDER)))
    columns = {cell.value: cell.column_letter for cell in book[layout.HEADER][2]}
    rule = next(
        v for v in book[layout.HEADER].data_validations.dataValidation if f"{columns['currencyCode']}4" in str(v.sqref)
    )
    assert (rule.type, rule.showErrorMessage, rule.errorStyle) == ("list", True, "warning")
    sheet, _, area = rule.formula1.removeprefix("=").partition("!")
    assert book[sheet].sheet_state == "veryHidden"
    offered = [cell.value for (cell,) in book[sheet][area.replace("$", "")]]
    currencies = ORDER.header_fields["currencyCode"].choices
    assert offered == [f"{code} {zh}" for code, zh in currencies.items()]
    codes = cells.reader(ORDER.header_fields["currencyCode"])
    assert [codes(text) for text in offered] == list(currencies)


def test_columns_of_text_keep_leading_zeros() -> None:
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(ORDER)))
    sheet = book[layout.LINES]
    letters = {cell.value: cell.column_letter for cell in sheet[2]}
    assert sheet.column_dimensions[letters["materialNumber"]].number_format == "@"
    assert {sheet.cell(4, c.column).number_format for c in sheet[2] if c.value == "materialNumber"} == {"@"}


def test_no_cell_of_a_template_is_a_formula() -> None:
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(ORDER)))
    assert {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row} <= {"s", "n", "d"}
    assert calamine.CalamineWorkbook.from_filelike(io.BytesIO(template.workbook(ORDER))).sheet_names[:3] == [
        layout.HEADER,
        layout.LINES,
        layout.HELP,
    ]


# --- what comes back ------------------------------------------------------------------------------------------------


def test_a_filled_template_gives_the_documents_that_were_filled_in() -> None:
    second = HEADER | {"orderNumber": "PO-2", "currencyCode": "CNY 人民币", "remark": "加急"}
    lines = [LINE, LINE | {"orderLineNumber": "2"}, LINE | {"orderNumber": "PO-2"}]
    contents = read(filled([HEADER, second], lines))
    one = {id: value for id, value in LINE.items() if id != "orderNumber"}
    assert documents(contents) == [
        Document(format="purchaseOrder", header=HEADER, lines=(one, one | {"orderLineNumber": "2"})),
        Document(format="purchaseOrder", header=second | {"currencyCode": "CNY"}, lines=(one,)),
    ]
    assert dict(contents.rows) == {layout.HEADER: 2, layout.LINES: 3}


@pytest.mark.parametrize("wrong", [False, True])
def test_no_garbage_is_looked_for_while_a_file_is_read_and_is_again_afterwards(wrong: bool) -> None:
    def parts() -> Iterator[files.Part]:
        assert not gc.isenabled()
        yield from files.tables(
            filled([{**HEADER, "orderDate": "gone"} if wrong else HEADER], [LINE]), "xlsx", layout.SKIPPED
        )

    with pytest.raises(reading.Misfits) if wrong else nullcontext():
        reading.read(parts(), FORMATS)
    assert gc.isenabled()


def test_every_value_names_its_file_sheet_row_and_column() -> None:
    contents = read(filled([HEADER | {"currencyCode": "USD 美元"}], [LINE]))
    (made,) = contents.readings("orders.xlsx", DIGEST)
    places = {origin.field: origin for origin in made.origins}
    assert places.keys() == {*HEADER, *(f"lines[1].{id}" for id in LINE if id != "orderNumber")}
    amount = places["lines[1].lineAmount"]
    letter = {t.field.id: layout.letters(n) for n, t in enumerate(layout.targets(ORDER, "lines"), 1)}["lineAmount"]
    assert (amount.target, amount.page, amount.raw, amount.value) == (
        f"orders.xlsx 表体!{letter}4",
        DIGEST,
        "30.5",
        "30.5",
    )
    assert (places["currencyCode"].raw, places["currencyCode"].value) == ("USD 美元", "USD")
    assert made.record == "PO-1"


def test_columns_may_change_places_and_optional_ones_may_go() -> None:
    def rearranged(book: openpyxl.Workbook) -> None:
        sheet = book[layout.HEADER]
        rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
        kept = [n for n in range(1, len(rows[0])) if rows[1][n] in HEADER]
        sheet.delete_cols(2, 40)
        for y, row in enumerate(rows, 1):
            for x, n in enumerate(reversed(kept), 2):
                sheet.cell(y, x).value = row[n]
                if isinstance(row[n], date):
                    sheet.cell(y, x).number_format = "yyyy-mm-dd"

    assert documents(read(filled([HEADER], [LINE], rearranged))) == documents(read(filled([HEADER], [LINE])))


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="_"), max_size=12)
"""`_`: openpyxl writes some of what begins with it as an escape of OOXML."""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.builds("{}{}".format, st.sampled_from("=+-@中"), _WORDS), min_size=1, max_size=30))
@sample(["=1+1", "+1", "-1", "@SUM(1)", "=cmd|'/C calc'!A0", "＝1", "-", '=HYPERLINK("http://x")'])
def test_a_text_is_taken_as_it_is_whatever_it_begins_with(texts: list[str]) -> None:
    rows = [LINE | {"orderLineNumber": str(n), "goodsName": text} for n, text in enumerate(texts)]
    (document,) = documents(read(filled([HEADER], rows)))
    assert [line["goodsName"] for line in document.lines] == texts
    written = encode(document, ORDER)
    assert documents(read(written, "json")) == [document]


# --- what a cell may be ---------------------------------------------------------------------------------------------


def field(id: str) -> Any:
    return ORDER.header_fields.get(id) or ORDER.line_fields[id]


@pytest.mark.parametrize(
    ("id", "cell", "value"),
    [
        ("totalAmount", Decimal("0.1"), Decimal("0.1")),
        ("totalAmount", Decimal("5.0"), Decimal(5)),
        ("totalAmount", "1,234.50", Decimal("1234.50")),
        ("totalAmount", "（5.00）", Decimal("-5.00")),
        ("totalAmount", "１２", Decimal(12)),
        ("orderDate", ["date", "2026-03-05"], date(2026, 3, 5)),
        ("orderDate", ["date", "2026-03-05T00:00:00"], date(2026, 3, 5)),
        ("orderDate", "2026年3月5日", date(2026, 3, 5)),
        ("orderDate", "20260305", date(2026, 3, 5)),
        ("orderDate", Decimal(20260305), date(2026, 3, 5)),
        ("orderNumber", "  007 ", "007"),
        ("orderNumber", "　", None),
        ("currencyCode", "USD 美元", "USD"),
        ("currencyCode", "USD", "USD"),
        ("currencyCode", "USD 欧元", "USD 欧元"),
    ],
)
def test_a_cell_is_read(id: str, cell: object, value: object) -> None:
    seen = cells.reader(field(id))(cell)
    assert (next(iter(seen.by_style.values())) if isinstance(seen, Amount) else seen) == value


@pytest.mark.parametrize(
    ("id", "cell", "code"),
    [
        ("totalAmount", Decimal("0.30000000000000004"), "SA2339"),
        ("totalAmount", Decimal("1E-17"), "SA2339"),
        ("totalAmount", Decimal(2**53), "SA2335"),
        ("totalAmount", True, "SA2332"),
        ("totalAmount", ["date", "2026-03-05"], "SA2332"),
        ("totalAmount", "about 5", "SA2302"),
        ("totalAmount", "1.2.3", "SA2302"),
        ("orderDate", Decimal(46086), "SA2332"),
        ("orderDate", ["date", "2026-03-05T08:30:00"], "SA2332"),
        ("orderDate", "2026-02-30", "SA2302"),
        ("orderDate", "05/03/26", "SA2318"),
        ("orderNumber", Decimal(7), "SA2334"),
        ("orderNumber", False, "SA2332"),
        ("orderNumber", ["time", "08:30:00"], "SA2332"),
    ],
)
def test_a_cell_that_is_not_certain_is_refused(id: str, cell: object, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        cells.reader(field(id))(cell)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (["date", "2026-03-05T08:30:00"], datetime.fromisoformat("2026-03-05T08:30:00")),
        (["date", "2026-03-05T08:29:59.999700"], datetime.fromisoformat("2026-03-05T08:30:00")),
        (["date", "2026-03-05"], datetime.fromisoformat("2026-03-05")),
        ("20260305T083000", datetime.fromisoformat("2026-03-05T08:30:00")),
        ("2026-3-5 8:30:00", datetime.fromisoformat("2026-03-05T08:30:00")),
        (["date", "2026-03-05T08:29:59.400000"], None),
        ("2026-03-05", None),
        ("2026-03-05 25:00:00", None),
        ("2026335 83000", None),
        (Decimal("46086.5"), None),
    ],
)
def test_a_date_with_a_time_is_read_to_the_second(cell: object, value: datetime | None) -> None:
    moment = cells.reader(ORDER.header_fields["reportDateTime"])
    if value is None:
        with pytest.raises(Unreadable):
            moment(cell)
    else:
        assert moment(cell) == value


# --- text that only the whole document tells ------------------------------------------------------------------------


COLUMNS = [t for t in layout.targets(ORDER, "both") if t.field.id in HEADER or t.field.id in LINE]


def separated(rows: list[dict[str, object]], heading: list[str] | None = None, sign: str = ";") -> str:
    lines = [heading or [t.field.id for t in COLUMNS]]
    lines += [[str(row.get(t.field.id, "")) for t in COLUMNS] for row in rows]
    return "\r\n".join(sign.join(line) for line in lines) + "\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_rows_of_one_table_with_the_same_key_are_one_document(encoding: str) -> None:
    rows = [HEADER | LINE, LINE | {"orderLineNumber": "2"}, HEADER | LINE | {"orderNumber": "PO-2"}]
    heading = [t.field.zh for t in COLUMNS]
    contents = read(separated(rows, heading).encode(encoding), "csv", "purchaseOrder")
    found = documents(contents)
    assert [(d.header["orderNumber"], len(d.lines)) for d in found] == [("PO-1", 2), ("PO-2", 1)]
    assert found[0].header == HEADER
    (first, _) = contents.readings("a.csv", DIGEST)
    origins = {o.field: o.target for o in first.origins}
    assert origins["lines[2].materialNumber"].startswith("a.csv csv!")
    assert origins["lines[2].materialNumber"].endswith("3")


def test_the_arithmetic_of_a_document_tells_what_its_texts_mean() -> None:
    row = HEADER | LINE | {"orderedQuantity": "2", "unitPrice": "1.250", "lineAmount": "2.500", "totalAmount": "2.500"}
    rows = [row | {"orderedQuantity": "2,000", "unitPrice": "1,250", "lineAmount": "2,500", "totalAmount": "2,500"}]
    (document,) = documents(read(separated(rows).encode(), "csv", "purchaseOrder"))
    assert document.lines[0]["lineAmount"] == Decimal("2.5")
    assert [code for _, code in refused(separated([row]).encode(), "csv", "purchaseOrder")] == ["SA2337"] * 3


def test_a_day_that_may_be_two_is_refused_unless_another_date_decides() -> None:
    row = HEADER | LINE | {"orderDate": "05/03/2026"}
    heading = [t.field.id for t in COLUMNS]
    assert refused(separated([row]).encode(), "csv", "purchaseOrder") == [
        (f"csv!{layout.letters(heading.index('orderDate'))}2", "SA2338")
    ]
    wider = separated([row]).replace("\r\n", ";requestedDeliveryDate\r\n", 1).replace("\r\n", ";25/04/2026\r\n")
    wider = wider.replace("requestedDeliveryDate;25/04/2026", "requestedDeliveryDate")
    (document,) = documents(read(wider.encode(), "csv", "purchaseOrder"))
    assert document.header["orderDate"] == date(2026, 3, 5)


# --- what refuses a file --------------------------------------------------------------------------------------------


def at(sheet: str, id: str, row: int) -> str:
    kind: layout.Kind = "header" if sheet == layout.HEADER else "lines"
    letter = {t.field.id: layout.letters(n) for n, t in enumerate(layout.targets(ORDER, kind), 1)}[id]
    return f"{sheet}!{letter}{row}"


def test_everything_wrong_is_told_at_its_place_and_nothing_is_taken() -> None:
    header = [HEADER | {"totalAmount": "x", "supplierCode": 17}, HEADER, HEADER | {"orderNumber": None}]
    lines = [LINE | {"orderNumber": "PO-9"}, LINE | {"orderedQuantity": "soon"}]
    assert refused(filled(header, lines)) == [
        (at("表头", "supplierCode", 4), "SA2334"),
        (at("表头", "totalAmount", 4), "SA2302"),
        ("表头!5", "SA2340"),
        ("表头!6", "SA2342"),
        (at("表体", "orderedQuantity", 5), "SA2302"),
        ("表体!4", "SA2341"),
    ]


def _set(sheet: str, place: str, value: object) -> Callable[[openpyxl.Workbook], None]:
    def change(book: openpyxl.Workbook) -> None:
        book[sheet][place].value = value

    return change


def _formula_noise(book: openpyxl.Workbook) -> None:
    book[layout.LINES][at("表体", "lineAmount", 4).partition("!")[2]].value = 30.5000000001


def _merged(book: openpyxl.Workbook) -> None:
    book[layout.HEADER].merge_cells("C5:C6")


def _another_sheet(book: openpyxl.Workbook) -> None:
    book.create_sheet("Sheet1").append(["orderNumber", "remark"])


def _no_key(book: openpyxl.Workbook) -> None:
    book[layout.LINES].delete_cols(2)


def _marked(book: openpyxl.Workbook) -> None:
    book[layout.HEADER]["A4"].value = layout.EXAMPLE
    book[layout.LINES]["A4"].value = layout.EXAMPLE


WRONG: dict[str, tuple[Callable[[openpyxl.Workbook], None], list[tuple[str, str]]]] = {
    "an unknown column": (_set("表头", "AA2", "mine"), [("表头!AA2", "SA2331")]),
    "a column that the agent fills": (_set("表头", "AA2", "recordGuid"), [("表头!AA2", "SA2331")]),
    "a column twice": (_set("表头", "AA2", "remark"), [("表头!AA2", "SA2348")]),
    "another format": (_set("表头", "A1", "nothing 1.0"), [("表头!A1", "SA2347")]),
    "another version": (_set("表头", "A1", "purchaseOrder 2.0"), [("表头!A1", "SA2347")]),
    "no format": (_set("表头", "A1", None), [("表头!A1", "SA2347")]),
    "two formats": (_set("表体", "A1", "goodsReceipt 1.0"), [("表体!A1", "SA2347")]),
    "no key": (_no_key, [("表体!2", "SA2333")]),
    "merged cells": (_merged, [("表头!C5", "SA2344")]),
    "a third table": (_another_sheet, [("Sheet1", "SA2345")]),
    "an unknown mark": (_set("表头", "A4", "x"), [("表头!A4", "SA2346")]),
    "an example that was changed": (_marked, [("表头!A4", "SA2346")]),
    "what a formula left behind": (_formula_noise, [(at("表体", "lineAmount", 4), "SA2339")]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_is_refused_for(what: str) -> None:
    change, places = WRONG[what]
    assert refused(filled([HEADER], [LINE], change)) == places


def test_the_example_is_passed_over_though_its_mark_was_removed() -> None:
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(ORDER)))
    for name in (layout.HEADER, layout.LINES):
        book[name]["A4"].value = None
    made = io.BytesIO()
    book.save(made)
    contents = read(made.getvalue())
    assert (contents.entries, contents.examples) == ((), 1)


def test_a_document_that_was_made_of_the_example_is_none() -> None:
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(ORDER)))
    for name in (layout.HEADER, layout.LINES):
        book[name]["A4"].value = None
    book[layout.LINES][at("表体", "goodsName", 4).partition("!")[2]].value = "轴承"
    made = io.BytesIO()
    book.save(made)
    contents = read(made.getvalue())
    assert (len(contents.entries), contents.examples) == (1, 0)


def test_rows_of_one_document_may_not_contradict() -> None:
    rows = [HEADER | LINE, HEADER | LINE | {"orderLineNumber": "2", "supplierName": "ACME"}]
    heading = [t.field.id for t in COLUMNS]
    assert refused(separated(rows).encode(), "csv", "purchaseOrder") == [
        (f"csv!{layout.letters(heading.index('supplierName'))}3", "SA2343")
    ]


def test_no_more_wrong_places_are_told_than_a_person_reads() -> None:
    rows = [HEADER | LINE | {"orderNumber": f"PO-{n}", "totalAmount": "x"} for n in range(reading.MOST + 5)]
    assert len(refused(separated(rows).encode(), "csv", "purchaseOrder")) == reading.MOST


# --- JSON -----------------------------------------------------------------------------------------------------------


def canonical_form(**header: str) -> dict[str, Any]:
    (document,) = documents(read(separated([HEADER | LINE]).encode(), "csv", "purchaseOrder"))
    made: dict[str, Any] = json.loads(encode(document, ORDER))
    made["header"] |= header
    return made


def test_the_standards_own_form_is_read_and_a_list_of_it() -> None:
    one, two = canonical_form(), canonical_form(orderNumber="PO-2", totalAmount="12.345")
    contents = read(json.dumps([one, two]).encode(), "json")
    assert [d.header["totalAmount"] for d in documents(contents)] == [Decimal("30.50"), Decimal("12.345")]
    assert documents(read(json.dumps(one).encode(), "json")) == documents(contents)[:1]
    origins = {o.field: o.target for o in list(contents.readings("a.json", DIGEST))[1].origins}
    assert origins["orderNumber"] == "a.json /1/header/orderNumber"
    assert origins["lines[1].goodsName"] == "a.json /1/lines/0/goodsName"


@pytest.mark.parametrize(
    ("change", "place", "code"),
    [
        ({"format": "invoice"}, "/format", "SA2347"),
        ({"lines": {}}, "/lines", "SA2349"),
        ({"header": []}, "/header", "SA2349"),
        ({"other": 1}, "/", "SA2349"),
        ({"header": {"orderNumber": "1", "recordGuid": "x"}}, "/header/recordGuid", "SA2331"),
        ({"header": {"orderNumber": 7}}, "/header/orderNumber", "SA2334"),
        ({"header": {"orderNumber": "1", "totalAmount": "1,234.50"}}, "/header/totalAmount", "SA2302"),
        ({"header": {"orderNumber": "1", "remark": ["x"]}}, "/header/remark", "SA2349"),
    ],
)
def test_a_json_file_is_refused_at_its_pointer(change: dict[str, Any], place: str, code: str) -> None:
    assert (place, code) in refused(json.dumps(canonical_form() | change).encode(), "json")
