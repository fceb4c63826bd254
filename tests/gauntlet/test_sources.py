"""Sources beside the page: what the ERP exports, sends as JSON or prints is read to the last value, or refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from scraper_agent import canonical, files, incremental
from scraper_agent.app import App, load_recipe
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.authoring.load import Loaded, load
from scraper_agent.errors import PageError, SourceErrors, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.values import Fault, Fetched, Reached, Refused, RunStarted
from tests.chromium import shared  # noqa: F401 - a fixture
from tests.gauntlet import workbooks
from tests.gauntlet.erp import NOW, Answer, Ran, Site, run, site
from tests.gauntlet.workbooks import Value, formula

pytestmark = pytest.mark.usefixtures("shared")
ROOT = Path(__file__).parent.parent.parent
HEADS = ("行号", "料号", "品名", "数量", "单价", "金额", "交货日期")
TRUE = (
    ("1", "00123", "深沟球轴承 & <油封>", "30", "10.05", "301.5", "2026-03-01"),
    ("2", "A-20110", '齿轮, 直齿 "M2"', "1000", "0.1", "100", "2026-03-02"),
    ("3", "007", "联通", "2", "1234567.89", "2469135.78", "2026-12-31"),
)
FIELDS = ("orderLineNumber", "materialNumber", "goodsName", "orderedQuantity", "unitPrice", "lineAmount")
HEADER = {"orderNumber": "PO-1", "orderDate": "20260228", "currencyCode": "USD"}

ORDER = """<!doctype html><meta charset=utf-8><main>
<dl><dt>订单编号</dt><dd>PO-1</dd><dt>下单日期</dt><dd>2026-02-28</dd><dt>币种</dt><dd>USD</dd></dl>{body}</main>"""

RECIPE = """
recipe: gauntlet/source
version: "1"
format: purchaseOrder
erp: TEST
parameters: {{base: {{type: url}}}}
steps:
  - {{do: open, url: "${{base}}/order"}}
  - {step}
  - {{do: snap, name: order}}
document:
  page: order
  record: {{url: true, pattern: '/(order)$'}}
  header: {{orderNumber: {{label: 订单编号}}, orderDate: {{label: 下单日期}}, currencyCode: {{label: 币种}}}}
  lines:
    page: lines
    {rows}
    values: {values}
"""
COLUMNS = """{orderLineNumber: {column: 行号, as: integer}, materialNumber: {column: 料号}, goodsName: {column: 品名},
      orderedQuantity: {column: 数量}, unitPrice: {column: 单价}, lineAmount: {column: 金额},
      requestedDeliveryDate: {column: 交货日期}}"""
SKIP = "skip: 'tr[data-first=\"合计\"]'"


@pytest.fixture
def erp() -> Iterator[Site]:
    with site() as here:
        yield here


def export_recipe(media: str, *, more: str = "") -> str:
    step = f"{{do: download, on: {{text: 导出}}, name: lines, media: [{media}]{more}}}"
    return RECIPE.format(step=step, rows=SKIP, values=COLUMNS)


def typed() -> list[list[Value]]:
    """As an ERP that types its cells writes it: codes as text, amounts as numbers, one of them by a formula."""
    rows: list[list[Value]] = [list(HEADS)]
    for y, (number, code, name, quantity, price, amount, day) in enumerate(TRUE, 2):
        total = formula(f"D{y}*E{y}", amount) if y == 3 else Decimal(amount)
        rows.append([int(number), code, name, Decimal(quantity), Decimal(price), total, date.fromisoformat(day)])
    rows.append(["合计", None, None, Decimal(1032), None, formula("SUM(F2:F4)", "2469537.28"), None])
    return rows


def as_text() -> list[list[Value]]:
    """As an ERP that writes every value as text."""
    rows: list[list[Value]] = [list(HEADS)]
    rows += [list(row) for row in TRUE]
    return [*rows, ["合计", "", "", "1032", "", "2469537.28", ""]]


def as_html() -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>\n" for row in as_text()[1:])
    heads = "".join(f"<td><b>{name}</b></td>" for name in HEADS)
    declared = '<meta http-equiv="Content-Type" content="text/html; charset=gb2312">'
    return f"<html><head>{declared}</head><body><table border=1><tr>{heads}</tr>\n{cells}</table></body></html>"


def escape(value: Value) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;")


def as_csv(delimiter: str = ",") -> str:
    quoted = ['"' + str(c).replace('"', '""') + '"' for row in as_text() for c in row]
    wide = len(HEADS)
    return "\r\n".join(delimiter.join(quoted[n : n + wide]) for n in range(0, len(quoted), wide)) + "\r\n"


EXPORTS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "xlsx": ("xlsx", "订单.xlsx", lambda: workbooks.xlsx(typed())),
    "xlsx of text": ("xlsx", "a.xlsx", lambda: workbooks.xlsx(as_text())),
    "xls": ("xls", "a.xls", lambda: workbooks.xls([[float_of(c) for c in row] for row in typed()])),
    "html named xls": ("html", "a.xls", lambda: as_html().encode("gb18030")),
    "csv in UTF-8": ("csv", "a.csv", lambda: as_csv().encode()),
    "csv in UTF-8 with BOM": ("csv", "a.csv", lambda: as_csv().encode("utf-8-sig")),
    "csv in GBK": ("csv", "a.csv", lambda: as_csv().encode("gbk")),
    "csv in UTF-16 with tabs": ("csv", "a.txt", lambda: as_csv("\t").encode("utf-16")),
}


def float_of(value: Value) -> Value:
    """BIFF keeps the stored value of a formula as any number."""
    return Decimal(value.stored or "0") if isinstance(value, workbooks.Formula) else value


def serve(erp: Site, data: bytes, name: str, **more: threading.Event) -> None:
    erp.put(order=ORDER.format(body="<a href=/export>导出</a>"))
    erp.answers["/export"] = Answer(data, "application/octet-stream", file_name=name.encode().decode("latin-1"), **more)


def read_lines(ran: Ran) -> list[tuple[str, ...]]:
    header, lines = ran.read()
    assert header == HEADER
    assert not ran.drafts[0].unread
    return [(*(plain(line[name]) for name in FIELDS), day(line["requestedDeliveryDate"])) for line in lines]


def day(value: object) -> str:
    text = str(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def plain(value: object) -> str:
    """A number without the zeros at its end that the standard's byte form adds."""
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text and text.replace(".", "").isdigit() else text


# --- exports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPORTS)
def test_export_every_value_of_every_row_is_read(erp: Site, tmp_path: Path, name: str) -> None:
    media, file_name, made = EXPORTS[name]
    data = made()
    serve(erp, data, file_name)
    ran = run(tmp_path, export_recipe(media), {"base": erp.base})
    assert ran.of(Fault) == []
    assert read_lines(ran) == list(TRUE)
    (fetched,) = ran.of(Fetched)
    assert fetched.body == canonical.digest(data)
    assert ran.blob(fetched.body) == data
    assert fetched.size_bytes == len(data)
    sheet = {"csv": "csv", "html": "table 1"}.get(media, "明细")
    places = {o["field"]: o["frame"] for o in ran.origins() if o["field"].startswith("lines[")}
    assert places["lines[3].unitPrice"] == f"{fetched.body}#{sheet}!R4C5"
    assert len(places) == 21


def test_slow_export_is_waited_for_and_then_given_up(erp: Site, tmp_path: Path) -> None:
    gate = threading.Event()
    serve(erp, as_csv().encode(), "a.csv", after=gate)
    erp.answers["/ready"] = Answer(b"", sets=gate)
    # The page asks for /ready only after the click; the export is answered after that.
    erp.put(order=ORDER.format(body="<a href=/export onclick=\"setTimeout(() => fetch('/ready'), 300)\">导出</a>"))
    ran = run(tmp_path, export_recipe("csv"), {"base": erp.base})
    assert read_lines(ran) == list(TRUE)
    gate.clear()
    erp.answers["/ready"] = Answer(b"")
    late = run(tmp_path, export_recipe("csv", more=", timeout_s: 0.4"), {"base": erp.base}, number=2)
    gate.set()
    assert [f.code for f in late.of(Fault)] == ["SA2270"]
    assert late.drafts == []
    assert late.of(Fetched) == []


def test_download_that_no_step_declares_is_refused(erp: Site, tmp_path: Path) -> None:
    serve(erp, as_csv().encode(), "a.csv")
    erp.answers["/other"] = Answer(b"x", "application/octet-stream", file_name="b.csv")
    erp.put(order=ORDER.format(body="<a href=/export>导出</a><a href=/other>附件</a>"))
    recipe = export_recipe("csv").replace(
        "  - {do: snap, name: order}", "  - {do: click, on: {text: 附件}}\n  - {do: snap, name: order}"
    )
    ran = run(tmp_path, recipe, {"base": erp.base})
    assert read_lines(ran) == list(TRUE)
    assert [f.name for f in ran.of(Fetched)] == ["lines"]
    assert [(r.method, r.reason) for r in ran.of(Refused)] == [
        ("DOWNLOAD", "no step of the recipe waits for a download")
    ]


def test_number_in_a_code_column_is_a_finding_not_a_code(erp: Site, tmp_path: Path) -> None:
    rows = typed()
    rows[1][1] = 123
    serve(erp, workbooks.xlsx(rows), "a.xlsx")
    ran = run(tmp_path, export_recipe("xlsx"), {"base": erp.base})
    assert [(f.code, f.field) for f in ran.drafts[0].unread] == [("SA2302", "lines[1].materialNumber")]
    assert "materialNumber" not in ran.read()[1][0]


def test_serial_number_in_a_cell_not_typed_as_a_date_is_no_date(erp: Site, tmp_path: Path) -> None:
    rows = typed()
    rows[1][6] = workbooks.serial(date(2026, 3, 1))
    serve(erp, workbooks.xlsx(rows), "a.xlsx")
    ran = run(tmp_path, export_recipe("xlsx"), {"base": erp.base})
    assert [(f.code, f.field) for f in ran.drafts[0].unread] == [("SA2302", "lines[1].requestedDeliveryDate")]


def test_typed_numbers_do_not_follow_the_notation_of_the_pages(erp: Site, tmp_path: Path) -> None:
    serve(erp, workbooks.xlsx(typed()), "a.xlsx")
    recipe = export_recipe("xlsx") + "locale: {decimal: ',', group: '.'}\n"
    ran = run(tmp_path, recipe, {"base": erp.base})
    assert read_lines(ran) == list(TRUE)


def test_title_rows_and_two_row_headers(erp: Site, tmp_path: Path) -> None:
    rows = typed()
    head: list[Value] = list(HEADS)
    title: list[Value] = ["采购订单明细", *[None] * 6]
    group: list[Value] = ["行号", "料号", "品名", "数量与金额", None, None, "交货日期"]
    second: list[Value] = [None, None, None, *head[3:6], None]
    merged = ["A1:G1", "D2:F2", "A2:A3", "B2:B3", "C2:C3", "G2:G3"]
    serve(erp, workbooks.xlsx([title, group, second, *rows[1:]], merged), "a.xlsx")
    ran = run(tmp_path, export_recipe("xlsx", more=", header: 2, header_rows: 2"), {"base": erp.base})
    assert ran.of(Fault) == []
    assert read_lines(ran) == list(TRUE)


# --- JSON that the page received ------------------------------------------------------------------------------------

GRID = ORDER.format(
    body="""<button onclick="show()">明细</button><p class=count></p><table><tbody></tbody></table><script>
async function show() {
  const got = await (await fetch('/api/lines?order=1')).json();
  document.querySelector('.count').textContent = '共 ' + got.data.total + ' 条';
  document.querySelector('tbody').innerHTML = '<tr><td>' + got.data.items[0].code + '</td></tr>';
}</script>"""
)
JSON_VALUES = """{orderLineNumber: {json: no}, materialNumber: {json: code}, goodsName: {json: goods/name},
      orderedQuantity: {json: qty}, unitPrice: {json: price}, lineAmount: {json: amount},
      requestedDeliveryDate: {json: day}}"""
JSON_ROWS = """json: /data/items/*
    declared: {css: '[frozen-json="/data/total"]'}"""


def json_recipe(more: str = "", *, path: str = r"/api/lines\?order=\d+") -> str:
    step = f"{{do: receive, name: lines, path: '{path}', steps: [{{do: click, on: {{text: 明细}}}}]{more}}}"
    return RECIPE.format(step=step, rows=JSON_ROWS, values=JSON_VALUES)


def as_json() -> bytes:
    """Amounts as JSON numbers: what a float would make of them is another number."""
    items = [
        f'{{"no": {number}, "code": {json.dumps(code)}, "goods": {{"name": {json.dumps(name, ensure_ascii=False)}}}, '
        f'"qty": {quantity}, "price": {price}, "amount": {amount}, "day": "{day}"}}'
        for number, code, name, quantity, price, amount, day in TRUE
    ]
    return f'{{"data": {{"total": {len(items)}, "items": [{", ".join(items)}]}}}}'.encode()


def test_json_every_value_of_every_row_is_read(erp: Site, tmp_path: Path) -> None:
    erp.put(order=GRID)
    erp.answers["/api/lines"] = Answer(as_json(), "application/json")
    ran = run(tmp_path, json_recipe(), {"base": erp.base})
    assert ran.of(Fault) == []
    assert read_lines(ran) == list(TRUE)
    (fetched,) = ran.of(Fetched)
    assert (fetched.media, ran.blob(fetched.body)) == ("json", as_json())
    places = {o["field"]: o["frame"] for o in ran.origins()}
    assert places["lines[2].goodsName"] == f"{fetched.body}#/data/items/1/goods/name"
    assert erp.asked == ["/order", "/api/lines?order=1"], "the robot asks for nothing by itself"


def test_json_number_keeps_every_digit(erp: Site, tmp_path: Path) -> None:
    erp.put(order=GRID)
    erp.answers["/api/lines"] = Answer(as_json().replace(b"1234567.89", b"12345678901234567.8901"))
    ran = run(tmp_path, json_recipe(), {"base": erp.base})
    origin = next(o for o in ran.origins() if o["field"] == "lines[3].unitPrice")
    assert (origin["raw"], origin["value"]) == ("12345678901234567.8901", "12345678901234567.8901")


def test_json_with_fewer_rows_than_it_declares_is_refused(erp: Site, tmp_path: Path) -> None:
    erp.put(order=GRID)
    erp.answers["/api/lines"] = Answer(as_json().replace(b'"total": 3', b'"total": 4'), "application/json")
    ran = run(tmp_path, json_recipe(), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == ["SA2301"]


def test_json_value_that_is_not_there_is_refused(erp: Site, tmp_path: Path) -> None:
    erp.put(order=GRID)
    erp.answers["/api/lines"] = Answer(as_json().replace(b'"price"', b'"prize"', 1), "application/json")
    ran = run(tmp_path, json_recipe(), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == ["SA2002"]


def test_two_answers_are_ambiguous_unless_all_are_wanted(erp: Site, tmp_path: Path) -> None:
    erp.put(order=GRID.replace("async function show() {", "async function show() { await fetch('/api/lines?order=2');"))
    erp.answers["/api/lines"] = Answer(as_json(), "application/json")
    ran = run(tmp_path, json_recipe(), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == ["SA2275"]
    one = run(tmp_path, json_recipe(path=r"/api/lines\?order=1"), {"base": erp.base}, number=2)
    assert read_lines(one) == list(TRUE)
    both = run(tmp_path, json_recipe(", every: true"), {"base": erp.base}, number=3)
    assert len(both.of(Fetched)) == 2


def test_answer_that_never_comes_is_told(erp: Site, tmp_path: Path) -> None:
    erp.put(order=GRID)
    ran = run(tmp_path, json_recipe(", timeout_s: 0.3", path="/api/other"), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == ["SA2274"]


BAD_JSON: dict[str, tuple[str, bytes]] = {
    "key twice": ("SA2039", b'{"a": {"b": 1, "b": 2}}'),
    "NaN": ("SA2039", b'{"a": NaN}'),
    "Infinity": ("SA2039", b"[-Infinity]"),
    "nested deep": ("SA2031", b"[" * 70 + b"]" * 70),
    "nested deeper than the stack": ("SA2031", b"[" * 1_000_000),
    "truncated": ("SA2032", b'{"a": [1, 2'),
    "an error page": ("SA2032", b"<html>Session expired</html>"),
    "not UTF-8": ("SA2034", '{"a": "料"}'.encode("gbk")),
    "UTF-16": ("SA2034", '{"a": 1}'.encode("utf-16")),
    "endless number": ("SA2042", b"[" + b"9" * 200 + b"]"),
    "control character": ("SA2038", b'["\\u0007"]'),
    "lone surrogate": ("SA2038", b'["\\ud800"]'),
    "too many values": ("SA2031", b"[" + b"0," * 600_000 + b"0]"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused_within_limits(name: str) -> None:
    code, data = BAD_JSON[name]
    with pytest.raises(PageError) as refused:
        files.page(data, files.Wanted(kind="json"), "http://erp.test/")
    assert refused.value.code == code, str(refused.value)


# --- PDF ------------------------------------------------------------------------------------------------------------

PRINT = ORDER.format(
    body="""<button onclick="window.open('/print')">window</button>
<button onclick="show('/print')">frame</button><button onclick="made().then(u => window.open(u))">blob window</button>
<button onclick="made().then(show)">blob frame</button><a href=/print download=a.pdf>file</a><script>
function show(url) {
  const frame = document.createElement('iframe');
  frame.src = url;
  document.querySelector('main').append(frame);
}
async function made() {
  const bytes = await (await fetch('/print')).arrayBuffer();
  return URL.createObjectURL(new Blob([bytes], {type: 'application/pdf'}));
}</script><table><tr><th>行号</th></tr><tbody><tr><td>1</td></tr></tbody></table>"""
)


def print_recipe(button: str, timeout_s: str = "10") -> str:
    step = f"{{do: keep, name: print, timeout_s: {timeout_s}, steps: [{{do: click, on: {{text: {button}}}}}]}}"
    recipe = RECIPE.format(step=step, rows="", values="{orderLineNumber: {column: 行号}}")
    return recipe.replace("    page: lines\n", "")


@pytest.mark.parametrize("button", ["window", "frame", "blob window", "blob frame", "file"])
def test_print_preview_is_kept_with_the_document(erp: Site, tmp_path: Path, button: str) -> None:
    data = workbooks.pdf("Order PO-1")
    erp.put(order=PRINT)
    erp.answers["/print"] = Answer(data, "application/pdf")
    ran = run(tmp_path, print_recipe(button), {"base": erp.base})
    assert ran.of(Fault) == []
    (fetched,) = ran.of(Fetched)
    assert (fetched.media, fetched.body, ran.blob(fetched.body)) == ("pdf", canonical.digest(data), data)
    attached = [o for o in ran.origins() if o["field"] == "attachment print"]
    assert [o["value"] for o in attached] == [fetched.body]
    assert ran.read()[0] == HEADER
    assert erp.asked.count("/print") == 1, "the page's request leaves once"


@pytest.mark.parametrize(
    ("body", "type", "code"),
    [
        (workbooks.pdf("x")[:-30], "application/pdf", "SA2277"),
        (b"<html>Session expired</html>", "text/html", "SA2276"),
    ],
)
def test_print_preview_that_is_no_whole_pdf_is_refused(
    erp: Site, tmp_path: Path, body: bytes, type: str, code: str
) -> None:
    erp.put(order=PRINT)
    erp.answers["/print"] = Answer(body, type)
    ran = run(tmp_path, print_recipe("window", "1"), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == [code]
    assert ran.drafts == []


def test_attachment_of_a_record_that_broke_off_is_not_the_next_ones(erp: Site, tmp_path: Path) -> None:
    rows = "".join(f"<li><a href=/order/{n}>{n}</a></li>" for n in (1, 2))
    erp.put(order=f"<ul>{rows}</ul>")
    for n in (1, 2):
        ready = "<p class=ready>ok</p>" if n == 2 else ""
        erp.answers[f"/order/{n}"] = Answer((PRINT + ready).replace("'/print'", f"'/print/{n}'").encode())
        erp.answers[f"/print/{n}"] = Answer(workbooks.pdf(f"Order {n}"), "application/pdf")
    keep = "{do: keep, name: print, steps: [{do: click, on: {text: window}}]}"
    wait = "{do: wait, until: {css: .ready}, timeout_s: 0.3}"
    steps = f"[{keep}, {wait}, {{do: snap, name: order}}]"
    read = f"{{do: list, name: orders, rows: li, open: {{how: link, target: a}}, steps: {steps}}}"
    recipe = RECIPE.format(step=read, rows="", values="{orderLineNumber: {column: 行号}}")
    recipe = recipe.replace("    page: lines\n", "").replace("  - {do: snap, name: order}\n", "")
    ran = run(tmp_path, recipe.replace("'/(order)$'", "'/(order/2)$'"), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == ["SA2202"]
    attached = [o["value"] for o in ran.origins() if o["field"] == "attachment print"]
    assert attached == [canonical.digest(workbooks.pdf("Order 2"))]


# --- twins ----------------------------------------------------------------------------------------------------------

TWIN = """  twin:
    page: other
    match: orderLineNumber
    header: {orderNumber: {json: /data/order}}
    lines: {json: /data/items/*, values: {orderLineNumber: {json: no}, orderedQuantity: {json: qty},
      unitPrice: {json: price}, lineAmount: {json: amount}, requestedDeliveryDate: {json: day}}}
"""


def twin_recipe() -> str:
    """The lines from an export, and once more from what the page received."""
    receive = f"  - {json_recipe().split('- {do: open')[1].split('  - ')[1].strip()}\n".replace(
        "name: lines", "name: other"
    )
    before, mark, after = export_recipe("xlsx").partition("  - {do: download")
    return before + receive + mark + after + TWIN


def serve_twins(erp: Site, answer: bytes) -> None:
    serve(erp, workbooks.xlsx(typed()), "a.xlsx")
    erp.put(order=GRID.replace("</main>", "<a href=/export>导出</a></main>"))
    erp.answers["/api/lines"] = Answer(answer.replace(b'"total"', b'"order": "PO-1", "total"'), "application/json")


def test_twins_that_agree_are_no_finding(erp: Site, tmp_path: Path) -> None:
    serve_twins(erp, as_json())
    ran = run(tmp_path, twin_recipe(), {"base": erp.base})
    assert ran.of(Fault) == []
    assert read_lines(ran) == list(TRUE)
    twins = [o["field"] for o in ran.origins() if o["field"].startswith("twin ")]
    assert len(twins) == 1 + 5 * len(TRUE)


@pytest.mark.parametrize(
    ("change", "field", "seen", "pointer"),
    [
        ((b"10.05", b"10.06"), "lines[1].unitPrice", ("10.05", "10.06"), "/data/items/0/price"),
        ((b"-12-31", b"-12-30"), "lines[3].requestedDeliveryDate", ("2026-12-31", "2026-12-30"), "/data/items/2/day"),
        ((b"PO-1", b"PO-2"), "orderNumber", ("PO-1", "PO-2"), "/data/order"),
        ((b'"amount": 100', b'"amount": null'), "lines[2].lineAmount", ("100", "-"), ""),
    ],
)
def test_twins_that_differ_block_the_document(
    erp: Site, tmp_path: Path, change: tuple[bytes, bytes], field: str, seen: tuple[str, str], pointer: str
) -> None:
    serve_twins(erp, as_json())
    answer = erp.answers["/api/lines"].body
    assert answer.count(change[0]) == 1
    erp.answers["/api/lines"] = Answer(answer.replace(*change), "application/json")
    ran = run(tmp_path, twin_recipe(), {"base": erp.base})
    (finding,) = ran.drafts[0].unread
    assert (finding.code, finding.severity, finding.field) == ("SA2321", "error", field)
    assert (finding.values["here"], finding.values["there"]) == seen
    body = next(f.body for f in ran.of(Fetched) if f.media == "json")
    assert finding.values["there_place"].endswith(f"{body}#{pointer}" if pointer else "-")
    assert finding.values["here_place"].endswith(tuple("0123456789") if "lines" in field else "订单编号")


def test_line_that_only_one_twin_has_is_told(erp: Site, tmp_path: Path) -> None:
    serve_twins(erp, as_json().replace(b'"no": 3', b'"no": 4'))
    ran = run(tmp_path, twin_recipe(), {"base": erp.base})
    findings = {(f.field, f.values["here"], f.values["there"]) for f in ran.drafts[0].unread}
    assert ("lines[3].orderedQuantity", "2", "-") in findings
    assert ("lines[3].orderedQuantity", "-", "2") in findings
    assert len(findings) == 10


def test_twin_reads_only_fields_that_the_document_reads(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(twin_recipe().replace("{orderNumber: {json: /data/order}}", "{totalAmount: {json: /data/sum}}"))
    with pytest.raises(SourceErrors) as refused:
        load(path, FORMATS)
    assert [p.code for p in refused.value.problems] == ["SA1225"]


# --- only what is new -----------------------------------------------------------------------------------------------

LIST = """
recipe: gauntlet/since
version: "1"
format: purchaseOrder
erp: TEST
parameters:
  base: {type: url}
  company: {default: "A"}
  from_date: {type: date, default: "2026-01-01"}
since: {parameter: from_date, field: orderDate, look_back_days: 3}
steps:
  - {do: open, url: "${base}/list?company=${company}&from=${from_date}"}
  - {do: list, name: orders, rows: li, declared: {css: .count}, open: {how: link, target: a},
     steps: [{do: snap, name: order}]}
document:
  page: order
  record: {url: true, pattern: '/(order/\\d+)$'}
  header: {orderNumber: {label: 订单编号}, orderDate: {label: 下单日期}, totalAmount: {label: 金额}}
  lines: {values: {orderLineNumber: {column: 行号}}}
"""


@dataclass
class Orders:
    """An ERP with a list that can be narrowed: number -> day and amount."""

    erp: Site
    folder: Path
    known: dict[int, tuple[str, str]]
    runs: int = 0

    def publish(self, begin: str, *, declared: int | None = None) -> None:
        wanted = [n for n, (day, _) in self.known.items() if day >= begin]
        rows = "".join(f"<li><a href=/order/{n}>{n}</a></li>" for n in wanted)
        for n, (day, amount) in self.known.items():
            shown = (("订单编号", f"PO-{n}"), ("下单日期", day), ("金额", amount))
            cells = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in shown)
            page = (
                f"<meta charset=utf-8><dl>{cells}</dl><table><tr><th>行号</th></tr><tbody><tr><td>1</td></tr></table>"
            )
            self.erp.answers[f"/order/{n}"] = Answer(page.encode())
        count = len(wanted) if declared is None else declared
        self.erp.answers["/list"] = Answer(f"<meta charset=utf-8><p class=count>{count}</p><ul>{rows}</ul>".encode())

    def run(self, begin: str = "", *, declared: int | None = None, company: str = "A") -> Ran:
        """`begin`: as `--since`; without it, where the last complete run ended."""
        self.runs += 1

        def then(archive: SqliteArchive, loaded: Loaded) -> Mapping[str, str]:
            given = {"base": self.erp.base, "company": company, "from_date": "2026-01-01"}
            day = begin or incremental.start(archive, loaded.recipe, given)
            self.publish(day, declared=declared)
            return {**given, "from_date": day}

        return run(self.folder, LIST, {}, number=self.runs, then=then)


@pytest.fixture
def orders(erp: Site, tmp_path: Path) -> Orders:
    return Orders(erp, tmp_path, {1: ("2026-03-01", "10"), 2: ("2026-03-10", "20")})


def begun(ran: Ran) -> str:
    (started,) = ran.of(RunStarted)
    return str(started.parameters["from_date"])


def reached(ran: Ran) -> list[str]:
    return [fact.newest for fact in ran.of(Reached)]


def test_next_run_begins_at_the_newest_day_less_the_look_back(orders: Orders) -> None:
    first = orders.run()
    assert (begun(first), reached(first), len(first.drafts)) == ("2026-01-01", ["2026-03-10"], 2)
    orders.known[3] = ("2026-03-08", "30")  # written late, for a day before the mark
    orders.known[4] = ("2026-03-20", "40")
    second = orders.run()
    assert (begun(second), reached(second)) == ("2026-03-07", ["2026-03-20"])
    assert [draft.key for draft in second.drafts] == ["PO-2", "PO-3", "PO-4"]
    new = [draft.key for draft in second.drafts if draft.run == "run/2"]
    assert new == ["PO-3", "PO-4"], "what has not changed makes no new job"


def test_changed_document_is_a_new_version(orders: Orders) -> None:
    first = orders.run()
    orders.known[2] = ("2026-03-10", "21")
    second = orders.run()
    (changed,) = second.drafts
    assert (changed.key, changed.run, changed.record) == ("PO-2", "run/2", "order/2")
    assert changed.document != first.drafts[1].document
    assert (first.read(1)[0]["totalAmount"], second.read()[0]["totalAmount"]) == ("20", "21")
    third = orders.run()
    assert [draft.run for draft in third.drafts] == ["run/2"]


def test_incomplete_run_does_not_move_the_mark(orders: Orders) -> None:
    short = orders.run(declared=3)
    assert (short.harvest.complete, reached(short)) == (False, [])
    again = orders.run()
    assert (begun(again), reached(again)) == ("2026-01-01", ["2026-03-10"])
    orders.known[3] = ("2026-04-01", "30")
    assert reached(orders.run(declared=9)) == []
    assert begun(orders.run()) == "2026-03-07"


def test_run_that_begins_after_the_mark_does_not_move_it(orders: Orders) -> None:
    orders.run()
    orders.known |= {3: ("2026-03-15", "30"), 4: ("2026-04-20", "40")}
    gap = orders.run("2026-04-01")
    assert (len(gap.drafts), reached(gap)) == (1, [])
    after = orders.run()
    assert begun(after) == "2026-03-07"
    assert [draft.key for draft in after.drafts] == ["PO-2", "PO-3", "PO-4"], "PO-3 is not lost"


def test_day_in_the_future_does_not_hide_what_comes_until_then(orders: Orders) -> None:
    orders.known[3] = ("2062-01-01", "30")
    assert reached(orders.run()) == ["2026-05-06"], "the day of the run"


def test_mark_of_another_company_is_not_taken(orders: Orders) -> None:
    assert reached(orders.run()) == ["2026-03-10"]
    other = orders.run(company="B")
    assert begun(other) == "2026-01-01"


def test_run_option_since_goes_before_the_mark_and_full_before_both(orders: Orders) -> None:
    ran = orders.run()
    given = {"base": orders.erp.base, "company": "A", "from_date": "2026-01-01"}
    folder = orders.folder
    (folder / "config.yaml").write_text((ROOT / "config.example.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "policy.yaml").write_text((ROOT / "policy.example.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    app = App.load(folder / "config.yaml")
    with SqliteArchive(ran.path, lambda: NOW, read_only=True) as archive:
        assert app.since(archive, ran.loaded, given) == {**given, "from_date": "2026-03-07"}
        assert app.since(archive, ran.loaded, given, "2026-02-01") == {**given, "from_date": "2026-02-01"}
        assert app.since(archive, ran.loaded, given, full=True) == given
        for since, full, code in (("1.2.2026", False, "SA7010"), ("2026-02-01", True, "SA7008")):
            with pytest.raises(UsageError) as refused:
                app.since(archive, ran.loaded, given, since, full=full)
            assert refused.value.code == code
        other = load_recipe("demo/order", folder)
        with pytest.raises(UsageError) as refused:
            app.since(archive, other, given, "2026-02-01")
        assert refused.value.code == "SA7009"


@pytest.mark.parametrize(
    ("change", "to", "code"),
    [
        ("parameter: from_date", "parameter: form_date", "SA1210"),
        ('from_date: {type: date, default: "2026-01-01"}', "from_date: {type: date}", "SA1227"),
        ("field: orderDate", "field: orderNumber", "SA1228"),
    ],
)
def test_mistake_in_since_is_told(tmp_path: Path, change: str, to: str, code: str) -> None:
    path = tmp_path / "recipe.yaml"
    assert change in LIST
    path.write_text(LIST.replace(change, to), encoding="utf-8")
    with pytest.raises(SourceErrors) as refused:
        load(path, FORMATS)
    assert [p.code for p in refused.value.problems] == [code]


# --- bad files ------------------------------------------------------------------------------------------------------


def bomb() -> bytes:
    return workbooks.xlsx([["a"]], more={"xl/sharedStrings.xml": bytes(80 * 1024 * 1024)})


def wide() -> bytes:
    return workbooks.xlsx([[f"h{n}" for n in range(1_500)]])


def million_columns() -> bytes:
    return (",".join("a" for _ in range(1_000_000)) + "\r\n").encode()


def far() -> bytes:
    return workbooks.xlsx([], sheet=workbooks.sheet_xml([["a"]]).replace('"A1"', '"XFD190000"'))


def lying() -> bytes:
    """A sheet whose size the directory says is small."""
    return workbooks.xlsx([["a", "b"]] * 3)[:-30]


def entities() -> bytes:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return workbooks.xlsx(
        [],
        sheet=f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>'
        + workbooks.sheet_xml([["&"]]).removeprefix('<?xml version="1.0"?>').replace("&amp;", "&l9;"),
    )


BAD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip bomb": ("SA2031", bomb),
    "too many columns": ("SA2031", wide),
    "a million columns": ("SA2031", million_columns),
    "one cell far away": ("SA2031", far),
    "more than 32 MB": ("SA2031", lambda: b"a,b\n" * (9 * 1024 * 1024)),
    "wrong magic": ("SA2030", lambda: b"%PDF-1.4 not a table"),
    "an error page": ("SA2032", lambda: b"<html><body>Session expired</body></html>"),
    "JSON in place of a file": ("SA2030", lambda: b'{"error": "busy"}'),
    "nothing": ("SA2030", lambda: b"\n"),
    "another zip": ("SA2030", lambda: workbooks.xlsx([["a"]]).replace(b"xl/workbook.xml", b"xl/w0rkbook.xml")),
    "truncated xlsx": ("SA2032", lying),
    "truncated xls": ("SA2032", lambda: workbooks.xls([["a", "b"], ["c", "d"]])[:1400]),
    "truncated html": ("SA2032", lambda: as_html().encode("gbk")[:-60]),
    "truncated csv": ("SA2037", lambda: as_csv().encode()[:-20]),
    "macros in xlsx": ("SA2033", lambda: workbooks.xlsx([["a"]], more={"xl/vbaProject.bin": b"x"})),
    "macros in xls": ("SA2033", lambda: workbooks.compound({"Workbook": b"x", "_VBA_PROJECT_CUR": b"x"})),
    "nested": ("SA2033", lambda: workbooks.xlsx([["a"]], more={"xl/embeddings/a.xlsx": workbooks.xlsx([["a"]])})),
    "xlsx with a password": ("SA2033", lambda: workbooks.compound({"EncryptionInfo": b"x", "EncryptedPackage": b"x"})),
    "xls with a password": ("SA2033", lambda: workbooks.xls([["a"]], password=True)),
    "entities": ("SA2032", entities),
    "formula without value": ("SA2036", lambda: workbooks.xlsx([["a", "b"], [formula("1+1", None), "x"]])),
    "a number beyond what the file holds": ("SA2042", lambda: workbooks.xlsx([["a"], [12345678901234567]])),
    "control characters": ("SA2038", lambda: b"a,b\r\nc,\x07d\r\n"),
    "neither UTF-8 nor GB18030": ("SA2034", lambda: b"a,b\r\nc,\xff\xff\r\n"),
    "UTF-8 or GBK": ("SA2034", "a,b\r\nc,éé\r\n".encode),
    "UTF-16 without a mark": ("SA2034", lambda: "a,b\r\nc,d\r\n".encode("utf-16-le")),
    "two delimiters": ("SA2037", lambda: b"a;b,c\r\nd;e,f\r\n"),
    "ragged": ("SA2037", lambda: b"a,b\r\nc,d,e\r\n"),
    "no table's end": ("SA2032", lambda: b"<table><tr><td>a"),
    "two tables": ("SA2035", lambda: b"<table><tr><td>a</table><table><tr><td>b</table>"),
    "spans that overlap": ("SA2037", lambda: b"<table><tr><td>a<td rowspan=2>b<tr><td colspan=3>c</table>"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_within_limits(name: str) -> None:
    code, made = BAD[name]
    with pytest.raises(PageError) as refused:
        files.page(made(), files.Wanted(), "http://erp.test/")
    assert refused.value.code == code, str(refused.value)


def test_child_that_takes_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MEMORY_BYTES", 100 * 1024 * 1024)
    rows = [[f"text {y} {x}" for x in range(100)] for y in range(3_000)]
    with pytest.raises(PageError) as refused:
        files.page(workbooks.xlsx(rows), files.Wanted(), "http://erp.test/")
    assert refused.value.code == "SA2040"


def test_refused_file_stays_in_the_log(erp: Site, tmp_path: Path) -> None:
    data = workbooks.xlsx([["a"]], more={"xl/vbaProject.bin": b"x"})
    serve(erp, data, "a.xlsx")
    ran = run(tmp_path, export_recipe("xlsx"), {"base": erp.base})
    assert [f.code for f in ran.of(Fault)] == ["SA2033"]
    assert [f.body for f in ran.of(Fetched)] == [canonical.digest(data)]
    assert ran.drafts == []
    assert not ran.harvest.complete


@pytest.mark.parametrize("text", ["联通", "料号", "a,b", "é中"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-8-sig", "utf-16"])
def test_text_is_read_in_its_encoding_or_refused(text: str, encoding: str) -> None:
    data = f"h,{text.replace(',', '')}\r\n1,2\r\n".encode(encoding)
    assert f">{text.replace(',', '')}<" in files.page(data, files.Wanted(), "http://erp.test/").decode()
