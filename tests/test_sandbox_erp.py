from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import html

from scraper_agent import yamlfile
from scraper_agent.format import Context, Document
from scraper_agent.formats import FORMATS
from scraper_agent.recipe import Recipe
from scraper_agent.sandbox import despatch, licences
from scraper_agent.sandbox.erp import BOOKS, DAY, FAULTS, LIMIT, RECORDS, USER, Erp, Record

WAYBILL = FORMATS["dangerousGoodsWaybill"]
PASSWORD = "query-only-7"  # noqa: S105 - of the ERP this file starts
RECIPES = Path(__file__).parents[1] / "recipes" / "demo"
FAULTY = {f.record: f for f in FAULTS}


@pytest.fixture(scope="module")
def erp() -> Iterator[Erp]:
    with Erp(PASSWORD) as running:
        yield running


@pytest.fixture
def visitor(erp: Erp) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=erp.url, follow_redirects=True) as client:
        yield client


@pytest.fixture
def operator(visitor: httpx.Client) -> httpx.Client:
    visitor.post("/login", data={"user": USER, "password": PASSWORD})
    return visitor


def read(client: httpx.Client, path: str) -> html.HtmlElement:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return html.document_fromstring(answer.text)


def texts(page: html.HtmlElement, css: str) -> list[str]:
    return [" ".join(e.text_content().split()) for e in page.cssselect(css)]


def number(value: object) -> Decimal:
    assert isinstance(value, Decimal)
    return value


def line_sum(record: Record) -> Decimal:
    return sum((number(line["lineAmount"]) for line in record.lines), Decimal(0))


def products_hold(record: Record, quantity: str = "orderedQuantity", price: str = "unitPrice") -> bool:
    products = [(number(n[quantity]) * number(n[price])).quantize(Decimal("0.01"), ROUND_HALF_UP) for n in record.lines]
    return products == [n["lineAmount"] for n in record.lines]


def invoice_adds_up(record: Record) -> bool:
    h = record.header
    charges = sum(number(h[name]) for name in ("freightAmount", "insuranceAmount", "otherCharges"))
    return h["goodsAmount"] == line_sum(record) and h["totalAmount"] == line_sum(record) + charges


# --- the session ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/1001", "/invoices?page=2", "/suppliers", "/warehouses"])
def test_without_login_every_page_is_the_login_page(visitor: httpx.Client, path: str) -> None:
    page = read(visitor, path)
    assert texts(page, "form[action='/login'] label") == ["用户名", "密码"]
    assert not page.cssselect(".topbar")


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("admin", PASSWORD), (USER, ""), ("", "")])
def test_a_wrong_account_or_password_is_refused_in_words(visitor: httpx.Client, user: str, password: str) -> None:
    answer = visitor.post("/login", data={"user": user, "password": password})
    assert texts(html.document_fromstring(answer.text), ".login-error") == ["用户名或密码错误"]
    assert texts(read(visitor, "/orders"), "label") == ["用户名", "密码"]


def test_before_any_attempt_nothing_is_refused(visitor: httpx.Client) -> None:
    assert texts(read(visitor, "/login"), ".login-error") == []


def test_after_logout_the_session_is_worth_nothing(operator: httpx.Client) -> None:
    assert texts(read(operator, "/orders"), "h1") == ["采购订单 Purchase Orders"]
    cookies = dict(operator.cookies)
    operator.get("/logout")
    operator.cookies.update(cookies)
    assert texts(read(operator, "/orders"), "label") == ["用户名", "密码"]


@pytest.mark.parametrize("path", ["/orders/999", "/orders/2001", "/orders?page=5", "/orders?page=0", "/orders?page=x",
                                  "/nothing", "/suppliers/V10012"])  # fmt: skip
def test_what_does_not_exist_is_not_found(operator: httpx.Client, path: str) -> None:
    assert operator.get(path).status_code == 404


# --- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("book", BOOKS)
def test_the_pages_of_a_list_hold_as_many_rows_as_it_says(erp: Erp, operator: httpx.Client, book: str) -> None:
    address, links, count = f"/{book}", [], despatch.COUNT if book == "despatches" else RECORDS
    while address:
        page = read(operator, address)
        assert texts(page, ".pager .total") == [f"共 {count} 条"]
        links += [a.get("href") for a in page.cssselect("table.grid tbody tr td a")]
        (forward,) = [a for a in page.cssselect(".pager a") if a.text == "下一页"]
        assert (forward.get("href") is None) == (forward.get("aria-disabled") == "true")
        address = forward.get("href", "")
    assert len(links) == len(set(links)) == count
    assert set(links) == {f"/{key}" for key in erp.expected() if key.startswith(f"{book}/")}


def test_a_search_narrows_the_list_and_its_count(operator: httpx.Client) -> None:
    page = read(operator, "/orders?q=PO202601-0004")
    assert texts(page, "table.grid tbody td a") == ["PO202601-0004"]
    assert texts(page, ".pager .total") == ["共 1 条"]
    assert texts(read(operator, "/orders?q=%3Cb%3E"), ".pager .total") == ["共 0 条"]


@pytest.mark.parametrize(("path", "field", "column"), [("/suppliers", "supplierName", 2), ("/warehouses", "", 1)])
def test_the_master_files_resolve_every_name_and_code(
    erp: Erp, operator: httpx.Client, path: str, field: str, column: int
) -> None:
    shown = set(texts(read(operator, path), f"table.grid tbody td:nth-child({column})"))
    used = {r.header[field or "receivingWarehouseCode"] for r in erp.expected().values() if "orderVersion" in r.header}
    assert used <= shown


# --- records --------------------------------------------------------------------------------------------------------


def test_every_record_page_shows_its_lines_and_their_number(erp: Erp, operator: httpx.Client) -> None:
    for key, record in erp.expected().items():
        page = read(operator, f"/{key}")
        assert len(page.cssselect(".lines tbody tr:not(.sum)")) == len(record.lines), key
        assert texts(page, ".lines .count") == [f"共 {record.declared} 行"], key


def shown(page: html.HtmlElement) -> set[str]:
    """Texts and values of fields on a page."""
    chosen = [o.text for o in page.cssselect("option[selected]")]
    return {*texts(page, ".value, td"), *(i.get("value") for i in page.cssselect("input")), *chosen}


def test_a_page_writes_values_as_people_do(operator: httpx.Client) -> None:
    order = shown(read(operator, "/orders/1005"))
    assert {"PO202601-0005", "2026-01-15", "2026/01/17", "欧元", "30,267.26", "C&F"} <= order
    invoice = shown(read(operator, "/invoices/2005"))
    assert {"PO202601-0005", "Rheinwerk Antriebstechnik GmbH"} <= invoice
    assert any(re.fullmatch(r"2026年[1-9]月[1-9]\d?日", text) for text in invoice)
    assert any(re.fullmatch(r"[\d,]+\.\d\d 千克", text) for text in invoice)


def test_every_record_page_offers_to_write(operator: httpx.Client) -> None:
    page = read(operator, "/invoices/2001")
    buttons = {b.text: b.get("formaction") for b in page.cssselect("form[method=post] button")}
    assert buttons == {
        "保存": "/invoices/2001/save",
        "提交": "/invoices/2001/submit",
        "删除": "/invoices/2001/delete",
    }


def test_documents_of_one_case_agree(erp: Erp) -> None:
    records = erp.expected()
    for number_ in range(1, RECORDS + 1):
        order, invoice, receipt = (records[k] for k in (f"orders/{1000 + number_}", f"invoices/{2000 + number_}",
                                                        f"receipts/{3000 + number_}"))  # fmt: skip
        assert order.header["orderNumber"] == invoice.header["orderNumber"] == receipt.header["orderNumber"]
        assert invoice.header["invoiceNumber"] == receipt.header["invoiceNumber"]
        numbers = [[n["orderLineNumber"] for n in r.lines] for r in (order, invoice, receipt)]
        assert numbers[0] == numbers[1] == numbers[2]
        for ordered, received in zip(order.lines, receipt.lines, strict=True):
            parts = [number(received[name]) for name in ("receivedQuantity", "rejectedQuantity", "shortQuantity")]
            assert sum(parts) == ordered["orderedQuantity"]


def test_records_without_a_fault_are_sound(erp: Erp) -> None:
    for key, r in erp.expected().items():
        if key in FAULTY:
            continue
        assert r.declared == len(r.lines)
        assert not r.lacks
        if key.startswith("despatches/"):
            assert waybill_findings(r) == []
            continue
        if key.startswith("receipts/"):
            assert products_hold(r, "receivedQuantity", "unitCost")
            continue
        assert number(r.header["totalAmount"]) < LIMIT
        assert r.header["currencyCode"] in {"美元", "欧元", "人民币", "日元"}
        if key.startswith("orders/"):
            assert r.header["totalAmount"] == line_sum(r)
            assert products_hold(r)
        else:
            assert invoice_adds_up(r)
            assert number(r.header["grossWeight"]) >= number(r.header["netWeight"])
    numbers = Counter(r.header["receiptNumber"] for k, r in erp.expected().items() if k.startswith("receipts/"))
    assert [n for n in numbers.values() if n > 1] == [2]


# --- the faults -----------------------------------------------------------------------------------------------------


def fault(erp: Erp, kind: str, book: str) -> Record:
    (found,) = [f.record for f in FAULTS if f.kind == kind and f.record.startswith(book)]
    return erp.expected()[found]


def test_each_record_has_one_fault_at_most() -> None:
    assert len(FAULTY) == len(FAULTS) == 18


def test_an_order_states_a_total_that_is_not_the_sum_of_its_lines(erp: Erp) -> None:
    order = fault(erp, "total", "orders")
    assert number(order.header["totalAmount"]) - line_sum(order) == 100
    assert products_hold(order)


def test_an_order_has_a_line_whose_amount_is_not_its_product(erp: Erp) -> None:
    order = fault(erp, "amount", "orders")
    assert order.header["totalAmount"] == line_sum(order)
    assert not products_hold(order)


def test_an_order_has_an_empty_date(erp: Erp, operator: httpx.Client) -> None:
    (field,) = read(operator, f"/{fault(erp, 'no-date', 'orders').key}").cssselect("#order-date")
    assert field.get("value") == ""


@pytest.mark.parametrize("book", ["orders", "invoices"])
def test_a_huge_record_is_above_the_limit_in_dollars_and_otherwise_sound(erp: Erp, book: str) -> None:
    record = fault(erp, "huge", book)
    assert number(record.header["totalAmount"]) > LIMIT
    assert record.header["currencyCode"] == "美元"
    assert products_hold(record) if book == "orders" else invoice_adds_up(record)


def test_an_invoice_has_a_currency_that_no_table_knows(erp: Erp, operator: httpx.Client) -> None:
    page = read(operator, f"/{fault(erp, 'currency', 'invoices').key}")
    assert "比索" in texts(page, "option[selected]")
    assert "比索" not in (RECIPES / "lookups.yaml").read_text("utf-8")


def test_an_invoice_weighs_less_with_its_packing(erp: Erp) -> None:
    header = fault(erp, "weight", "invoices").header
    assert number(header["grossWeight"]) < number(header["netWeight"])


def test_an_invoice_has_words_for_an_amount(erp: Erp, operator: httpx.Client) -> None:
    (field,) = read(operator, f"/{fault(erp, 'words', 'invoices').key}").cssselect("#freight")
    assert field.get("value") == "面议"


def test_two_receipts_have_the_same_number(erp: Erp, operator: httpx.Client) -> None:
    receipt = fault(erp, "duplicate", "receipts")
    assert fault(erp, "twin", "receipts").header["orderNumber"] != receipt.header["orderNumber"]
    address = f"/receipts?q={receipt.header['receiptNumber']}"
    assert [a.get("href") for a in read(operator, address).cssselect("tbody a")] == ["/receipts/3016", "/receipts/3015"]


def test_a_receipt_lacks_the_column_of_what_was_received(erp: Erp, operator: httpx.Client) -> None:
    key = fault(erp, "no-column", "receipts").key
    assert texts(read(operator, "/receipts/3001"), ".lines th").count("实收数量") == 1
    page = read(operator, f"/{key}")
    assert "实收数量" not in texts(page, ".lines th")
    widths = {len(row.cssselect("td")) for row in page.cssselect(".lines tbody tr")}
    assert widths == {len(page.cssselect(".lines th"))}


def test_a_receipt_states_one_line_more_than_it_shows(erp: Erp, operator: httpx.Client) -> None:
    page = read(operator, f"/{fault(erp, 'count', 'receipts').key}")
    rows = len(page.cssselect(".lines tbody tr"))
    assert texts(page, ".lines .count") == [f"共 {rows + 1} 行"]


# --- waybills -------------------------------------------------------------------------------------------------------


def as_document(record: Record) -> Document:
    header: Any = {
        id: {"是": "1", "否": "0"}.get(str(v), v) if id == "i44" else v for id, v in record.header.items() if v
    }
    lines = [{id: Decimal(v) if isinstance(v, int) else v for id, v in line.items() if v} for line in record.lines]
    return Document(format=WAYBILL.name, header=header, lines=tuple(lines))


def waybill_findings(record: Record) -> list[str]:
    """What the format's own checks say of what the books have."""
    return [f"{f.code} {f.field}" for f in WAYBILL.check(as_document(record), Context())]


def test_waybills_are_of_every_kind(erp: Erp) -> None:
    waybills = [r for key, r in erp.expected().items() if key.startswith("despatches/")]
    assert len(waybills) == despatch.COUNT >= 20
    assert {len(r.lines) for r in waybills} == {1, 2, 3, 4}
    assert len({r.header["i1"] for r in waybills}) == despatch.COUNT
    tanks = [r for r in waybills if r.header["i48"]]
    assert len(tanks) == 8
    assert all(r.header["i47"] and r.header["i481"] for r in tanks)
    assert {r.header["i44"] for r in waybills} == {"是", "否"}
    assert {line["g5"] for r in waybills for line in r.lines} == {"II", "III", None}


def test_waybills_depart_around_the_day_that_is_given_and_one_has_departed() -> None:
    today = date(2027, 3, 1)
    books = Erp("unused", today=today).expected()
    days = {key: r.header["i41"] for key, r in books.items() if key.startswith("despatches/")}
    assert {key for key, day in days.items() if not (isinstance(day, date) and day >= today)} == {"despatches/4017"}


def test_the_simulated_provinces_license_what_the_waybills_name(erp: Erp) -> None:
    known = licences.load()
    for key, record in erp.expected().items():
        if key.startswith("despatches/") and key not in FAULTY:
            assert list(known.lacks(as_document(record), DAY)) == [], key


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("un-number", ["CHK-01 lines[1].g2"]),
        ("no-escort", ["CHK-01 i50", "CHK-01 i501"]),
        ("trailer", ["CHK-01 i471"]),
        ("city", ["WB-02 i431"]),
        ("late", []),
    ],
)
def test_a_faulty_waybill_has_its_fault_alone(erp: Erp, kind: str, found: list[str]) -> None:
    assert waybill_findings(fault(erp, kind, "despatches")) == found


# --- the server -----------------------------------------------------------------------------------------------------


def test_every_write_is_counted_and_no_query_is() -> None:
    with Erp(PASSWORD) as erp, httpx.Client(base_url=erp.url, follow_redirects=True) as client:
        client.post("/login", data={"user": USER, "password": PASSWORD})
        client.get("/orders/1001")
        client.head("/orders/1001")
        assert erp.writes == []
        assert client.post("/orders/1001/save").url.path == "/orders/1001"
        client.delete("/orders/1001")
        client.put("/orders/1001", content=b"x")
        assert client.post("/api/recent", json={"viewed": "/orders"}).json() == {"items": []}
        assert client.post("/telemetry", content=b"{}").status_code == 204
        assert erp.writes == ["POST /orders/1001/save", "DELETE /orders/1001", "PUT /orders/1001", "POST /api/recent",
                              "POST /telemetry"]  # fmt: skip


def test_every_page_writes_by_itself(operator: httpx.Client, visitor: httpx.Client) -> None:
    for path in ("/login", "/orders", "/orders/1001", "/suppliers"):
        script = "".join(texts(read(operator, path), "script"))
        assert 'sendBeacon("/telemetry"' in script
        assert 'fetch("/api/recent", {method: "POST"' in script


def all_pages(erp: Erp) -> Mapping[str, str]:
    with httpx.Client(base_url=erp.url, follow_redirects=True) as client:
        client.post("/login", data={"user": USER, "password": PASSWORD})
        return {path: client.get(path).text for path in ("/orders", "/suppliers", *(f"/{k}" for k in erp.expected()))}


def test_two_starts_show_the_same_pages() -> None:
    with Erp(PASSWORD) as first, Erp(PASSWORD) as second:
        assert first.url != second.url
        assert all_pages(first) == all_pages(second)


def test_a_stopped_erp_has_no_address() -> None:
    erp = Erp(PASSWORD)
    erp.start()
    erp.stop()
    erp.stop()
    with pytest.raises(RuntimeError, match="the ERP is not running"):
        _ = erp.url


# --- the recipes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["order", "invoice", "receipt", "despatch"])
def test_a_demo_recipe_is_one_screenful_and_reads_every_field_the_erp_has(erp: Erp, name: str) -> None:
    recipe = yamlfile.load(RECIPES / f"{name}.yaml", Recipe)
    assert len((RECIPES / f"{name}.yaml").read_text("utf-8").splitlines()) <= 80
    book = next(b for b in BOOKS if b.startswith(name))
    record = next(r for k, r in erp.expected().items() if k.startswith(f"{book}/"))
    profile = {id for id, read in recipe.document.header.items() if read.profile}
    assert recipe.document.header.keys() - profile == record.header.keys()
    assert recipe.document.lines.values.keys() == record.lines[0].keys()
