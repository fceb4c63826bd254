"""A small ERP, as a browser sees it: a login, lists, record pages, and buttons the robot must not press.

The books are the same at every start, but for the days of the waybills. Between good records stand the `FAULTS`: one of
each kind of thing that goes wrong with an ERP's pages, so that a demonstration and the tests can see each of them
stopped.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import jinja2
from markupsafe import Markup

from scraper_agent.sandbox import despatch

Value: TypeAlias = str | int | Decimal | date | None
T = TypeVar("T")

USER = "operator"
PER_PAGE = 20
RECORDS = 62
"""Orders, and so invoices and receipts. Of waybills there are `despatch.COUNT`."""
DAY = date(2026, 6, 30)
"""Today, for the waybills of books that are to be the same on every day."""
LIMIT = Decimal(1_000_000)
"""Only the two `huge` records are above it, in whatever currency."""
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one record page shows. Keys are the identifiers of the standard format; words are not yet codes."""

    key: str
    """The page's path without the first slash, such as `orders/1001`."""
    header: Mapping[str, Value]
    lines: tuple[Mapping[str, Value], ...]
    declared: int
    """The number of lines that the page states."""
    lacks: str = ""
    """A column that this page's line table does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: str
    record: str
    outcome: Literal["blocked", "held", "page refused"]
    """`blocked`: a finding blocks it. `held`: waits for a person. `page refused`: no document may come of it."""
    code: str
    """Of the finding or of the refusal; empty where nothing is wrong."""


FAULTS = (
    # The header states 100.00 more than its lines add up to.
    Fault(kind="total", record="orders/1007", outcome="blocked", code="CHK-05"),
    # The first line's amount is not quantity × price; the header agrees with the wrong amount.
    Fault(kind="amount", record="orders/1019", outcome="blocked", code="CHK-04"),
    # 下单日期 is an empty field.
    Fault(kind="no-date", record="orders/1028", outcome="blocked", code="CHK-01"),
    # An order and its invoice far above what may go without a person; nothing else is wrong with them.
    Fault(kind="huge", record="orders/1041", outcome="held", code=""),
    Fault(kind="huge", record="invoices/2041", outcome="held", code=""),
    # 比索 is the currency of eight countries: no lookup table may have it.
    Fault(kind="currency", record="invoices/2012", outcome="blocked", code="SA2302"),
    # Gross and net weight stand in each other's place.
    Fault(kind="weight", record="invoices/2033", outcome="blocked", code="CHK-06"),
    # 运费 reads 面议: an optional field, but what it says must not get lost.
    Fault(kind="words", record="invoices/2050", outcome="blocked", code="SA2302"),
    # Two receipts of different orders with one number.
    Fault(kind="twin", record="receipts/3015", outcome="blocked", code="CHK-03"),
    Fault(kind="duplicate", record="receipts/3016", outcome="blocked", code="CHK-03"),
    # The line table has no column 实收数量.
    Fault(kind="no-column", record="receipts/3024", outcome="page refused", code="SA2005"),
    # The page states one line more than it shows.
    Fault(kind="count", record="receipts/3047", outcome="page refused", code="SA2301"),
    # The first UN number is written with its letters.
    Fault(kind="un-number", record="despatches/4005", outcome="blocked", code="CHK-01"),
    # 押运员 is empty.
    Fault(kind="no-escort", record="despatches/4008", outcome="blocked", code="CHK-01"),
    # A trailer without its certificate.
    Fault(kind="trailer", record="despatches/4012", outcome="blocked", code="CHK-01"),
    # City distribution that ends in another city.
    Fault(kind="city", record="despatches/4015", outcome="held", code="WB-02"),
    # It departed the day before yesterday.
    Fault(kind="late", record="despatches/4017", outcome="held", code="WB-04"),
    # The page states one more of the goods than it shows.
    Fault(kind="goods-count", record="despatches/4020", outcome="page refused", code="SA2301"),
)


# --- master files ---------------------------------------------------------------------------------------------------


class Material(NamedTuple):
    number: str
    name: str
    specification: str
    hs: str
    unit: str
    price: Decimal
    """In US dollars."""
    weight: Decimal
    """Net, in kilograms for one unit."""


class Supplier(NamedTuple):
    code: str
    name: str
    country: str
    currency: str
    mark: str
    """How its invoice numbers begin."""
    materials: tuple[int, ...]
    """Places in `MATERIALS`."""


class Warehouse(NamedTuple):
    code: str
    name: str
    address: str


MATERIALS = (
    Material("A-20110", "深沟球轴承", "6204-2RS/C3", "8482102000", "个", Decimal("1.8500"), Decimal("0.106")),
    Material("A-20135", "圆锥滚子轴承", "30206", "8482200000", "个", Decimal("6.4200"), Decimal("0.231")),
    Material("B-31002", "交流伺服电机", "750W 220V 3000rpm", "8501520000", "件", Decimal("58.6000"), Decimal("2.9")),
    Material("B-31047", "行星减速机", "PLF090 10:1", "8483409000", "套", Decimal("46.2500"), Decimal("3.35")),
    Material("C-40018", "光电传感器", "NPN 常开 检测距离 2 m", "8536500090", "个", Decimal("9.7350"), Decimal("0.06")),
    Material("C-40052", "微型连接器", "1.25 mm 12P", "8536690000", "个", Decimal("0.4280"), Decimal("0.004")),
    Material("D-52001", "气动调节阀", "DN25 PN16 316L", "8481804090", "套", Decimal("52.9000"), Decimal("4.8")),
    Material("D-52060", "不锈钢无缝管", "Φ25×2 304", "7304419000", "米", Decimal("7.1500"), Decimal("1.15")),
    Material("E-60007", "聚碳酸酯粒子", "PC 透明级 MFR 10", "3907400000", "千克", Decimal("2.9650"), Decimal(1)),
    Material("E-60021", "双酚A型环氧树脂", "E-51", "3907300090", "千克", Decimal("3.3800"), Decimal(1)),
    Material("F-71003", "屏蔽控制电缆", "RVVP 4×0.75 mm²", "8544492100", "米", Decimal("1.1260"), Decimal("0.082")),
    Material("G-80040", "光学玻璃镜片", "BK7 Φ25.4 AR 镀膜", "9001909090", "件", Decimal("12.4000"), Decimal("0.012")),
)

SUPPLIERS = (
    Supplier("V10012", "Yamada Seimitsu Co., Ltd.", "日本", "日元", "YS", (0, 1, 5, 4)),
    Supplier("V10025", "Rheinwerk Antriebstechnik GmbH", "德国", "欧元", "RW", (2, 3, 4)),
    Supplier("V10031", "Hanil Sensor Co., Ltd.", "韩国", "美元", "HS", (4, 5, 10)),
    Supplier("V10047", "Great Lakes Bearing Inc.", "美国", "美元", "GLB", (0, 1, 9)),
    Supplier("V10058", "Valvole Brenta S.r.l.", "意大利", "欧元", "VB", (6, 7)),
    Supplier("V10063", "Siam Polymer Public Co., Ltd.", "泰国", "美元", "SP", (8, 9)),
    Supplier("V10074", "Penang Circuits Sdn. Bhd.", "马来西亚", "人民币", "PC", (5, 10, 4)),
    Supplier("V10086", "Optique du Rhône SAS", "法国", "欧元", "OR", (11, 4)),
)

WAREHOUSES = (
    Warehouse("WH-SH01", "外高桥一号库", "上海市浦东新区富特北路"),
    Warehouse("WH-SH02", "临港原料库", "上海市浦东新区新元南路"),
    Warehouse("WH-KS01", "昆山零部件库", "江苏省昆山市前进东路"),
)

RATES = {"美元": Decimal(1), "欧元": Decimal("0.92"), "人民币": Decimal("7.2"), "日元": Decimal(150)}
"""One US dollar in each currency."""


# --- the books ------------------------------------------------------------------------------------------------------


def _pick(choices: Sequence[T], *about: object) -> T:
    """One of `choices`, always the same for the same `about`."""
    digest = hashlib.sha256(repr(about).encode()).digest()
    return choices[int.from_bytes(digest[:8], "big") % len(choices)]


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def _sum(lines: Sequence[Mapping[str, Value]], name: str) -> Decimal:
    return sum((v for line in lines if isinstance(v := line[name], Decimal)), Decimal(0))


def _quantity(number: int, line: int, material: Material, currency: str) -> Decimal:
    pieces = _pick(range(60, 480, 12), number, line, "quantity")
    if currency == "日元":
        pieces //= 4
    if number == 41:  # noqa: PLR2004 - the huge order
        pieces *= 1500
    return pieces + Decimal("0.50") if material.unit == "千克" else Decimal(pieces)


def _order_line(number: int, line: int, supplier: Supplier, ordered: date) -> dict[str, Value]:
    material = MATERIALS[supplier.materials[(number + line) % len(supplier.materials)]]
    quantity = _quantity(number, line, material, supplier.currency)
    price = (material.price * RATES[supplier.currency]).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return {
        "orderLineNumber": str(line * 10),
        "materialNumber": material.number,
        "goodsName": material.name,
        "goodsSpecification": material.specification,
        "hsCode": material.hs,
        "orderedQuantity": quantity,
        "unitCode": material.unit,
        "unitPrice": price,
        "lineAmount": _cents(quantity * price),
        "originCountryCode": supplier.country,
        "requestedDeliveryDate": ordered + timedelta(days=_pick((28, 35, 42), number, line, "delivery")),
    }


def _order(number: int) -> Record:
    # Number 41 must be one of those who sell in US dollars, so that a limit in dollars holds it.
    supplier = SUPPLIERS[3] if number == 41 else _pick(SUPPLIERS, number, "supplier")  # noqa: PLR2004
    ordered = date(2026, 1, 5) + timedelta(days=(number - 1) * 170 // 65)
    lines = tuple(_order_line(number, n, supplier, ordered) for n in range(1, _pick(range(2, 7), number, "lines")))
    header: dict[str, Value] = {
        "orderNumber": f"PO{ordered:%Y%m}-{number:04}",
        "orderVersion": _pick((1, 1, 1, 2, 3), number, "version"),
        "orderDate": ordered,
        "contractNumber": f"HT-2026-{(number + 4) // 5:03}" if number % 4 else None,
        "supplierCode": supplier.code,
        "supplierName": supplier.name,
        "supplierCountryCode": supplier.country,
        "currencyCode": supplier.currency,
        "totalAmount": _sum(lines, "lineAmount"),
        "taxAmount": Decimal("0.00"),
        "transactionModeCode": _pick(("FOB", "CIF", "C&F", "EXW"), number, "terms"),
        "paymentTermCode": _pick(("T/T 30 天", "T/T 60 天", "即期信用证 L/C", "预付 30%，余款见提单"), number, "pay"),
        "receivingWarehouseCode": _pick(WAREHOUSES, number, "warehouse").code,
        "orderStatus": _pick(("已审核", "执行中", "已完成"), number, "status"),
        "approvalDate": ordered + timedelta(days=_pick((0, 1, 2), number, "approval")),
    }
    return Record(key=f"orders/{1000 + number}", header=header, lines=lines, declared=len(lines))


def _invoice_line(line: int, order_line: Mapping[str, Value]) -> dict[str, Value]:
    same = ("orderLineNumber", "materialNumber", "goodsName", "goodsSpecification", "hsCode", "unitCode", "unitPrice")
    return {
        "invoiceLineNumber": str(line),
        **{name: order_line[name] for name in same},
        "quantity": order_line["orderedQuantity"],
        "lineAmount": order_line["lineAmount"],
        "originCountryCode": order_line["originCountryCode"],
    }


def _net_weight(order: Record) -> Decimal:
    weights = {m.number: m.weight for m in MATERIALS}
    return _cents(
        sum((Decimal(str(n["orderedQuantity"])) * weights[str(n["materialNumber"])] for n in order.lines), Decimal(0))
    )


def _invoice(number: int, order: Record) -> Record:
    supplier = next(s for s in SUPPLIERS if s.code == order.header["supplierCode"])
    ordered = date(2026, 1, 5) + timedelta(days=(number - 1) * 170 // 65)
    invoiced = ordered + timedelta(days=_pick(range(12, 26), number, "invoiced"))
    terms, goods, net = order.header["transactionModeCode"], _sum(order.lines, "lineAmount"), _net_weight(order)
    freight = _cents(goods * Decimal("0.018")) if terms in {"CIF", "C&F"} else Decimal("0.00")
    insurance = _cents(goods * Decimal("0.003")) if terms == "CIF" else Decimal("0.00")
    other = _pick([Decimal(v) for v in ("0.00", "0.00", "0.00", "35.00", "-50.00")], number, "other")
    header: dict[str, Value] = {
        "invoiceNumber": f"{supplier.mark}-26{number * 37 + 1180:06}",
        "invoiceDate": invoiced,
        "contractNumber": order.header["contractNumber"],
        "orderNumber": order.header["orderNumber"],
        "sellerCode": supplier.code,
        "sellerName": supplier.name,
        "sellerCountryCode": supplier.country,
        "currencyCode": supplier.currency,
        "goodsAmount": goods,
        "freightAmount": freight,
        "insuranceAmount": insurance,
        "otherCharges": other,
        "totalAmount": goods + freight + insurance + other,
        "transactionModeCode": terms,
        "paymentTermCode": order.header["paymentTermCode"],
        "invoiceDueDate": invoiced + timedelta(days=_pick((30, 45, 60), number, "due")),
        "packageQuantity": _pick(range(1, 25), number, "packages"),
        "grossWeight": _cents(net * Decimal("1.06") + 8),
        "netWeight": net,
        "billNumber": f"{_pick(('COSU', 'OOLU', 'EGLV'), number, 'line')}62{number * 7919 + 1040000:08}",
    }
    lines = tuple(_invoice_line(n, line) for n, line in enumerate(order.lines, 1))
    return Record(key=f"invoices/{2000 + number}", header=header, lines=lines, declared=len(lines))


def _receipt_line(number: int, line: int, order_line: Mapping[str, Value]) -> dict[str, Value]:
    ordered, price = Decimal(str(order_line["orderedQuantity"])), Decimal(str(order_line["unitPrice"]))
    rejected, short = _pick(((0, 0), (0, 0), (0, 0), (2, 0), (0, 1)), number, line, "rejected")
    received = ordered - rejected - short
    return {
        "receiptLineNumber": str(line),
        "orderLineNumber": order_line["orderLineNumber"],
        "materialNumber": order_line["materialNumber"],
        "goodsName": order_line["goodsName"],
        "receivedQuantity": received,
        "rejectedQuantity": Decimal(rejected),
        "shortQuantity": Decimal(short),
        "unitCode": order_line["unitCode"],
        "batchNumber": f"B26{number:03}{line:02}",
        "storageLocation": f"{_pick('ABCDE', number, line, 'aisle')}-{_pick(range(1, 13), number, line, 'bay'):02}",
        "unitCost": price,
        "lineAmount": _cents(received * price),
    }


def _receipt(number: int, order: Record, invoice: Record) -> Record:
    invoiced = invoice.header["invoiceDate"]
    assert isinstance(invoiced, date)  # noqa: S101 - made so above, before any fault
    received = invoiced + timedelta(days=_pick(range(14, 32), number, "received"))
    header: dict[str, Value] = {
        "receiptNumber": f"GR{received:%y%m%d}{number:03}",
        "receiptDate": received,
        "orderNumber": order.header["orderNumber"],
        "invoiceNumber": invoice.header["invoiceNumber"],
        "entryId": f"224820261{number * 7841 + 100000000:09}",
        "supplierName": order.header["supplierName"],
        "warehouseCode": order.header["receivingWarehouseCode"],
        "billNumber": invoice.header["billNumber"],
        "receivingStatus": _pick(("已入库", "已入库", "待质检"), number, "receiving"),
    }
    lines = tuple(_receipt_line(number, n, line) for n, line in enumerate(order.lines, 1))
    return Record(key=f"receipts/{3000 + number}", header=header, lines=lines, declared=len(lines))


def _despatch(number: int, today: date) -> Record:
    header, lines = despatch.waybill(number, today)
    return Record(key=f"despatches/{4000 + number}", header=header, lines=lines, declared=len(lines))


def _with(record: Record, **header: Value) -> Record:
    return replace(record, header={**record.header, **header})


def _faulty(record: Record, kind: str, others: Mapping[str, Record]) -> Record:
    header = record.header
    match kind:
        case "total":
            return _with(record, totalAmount=_sum(record.lines, "lineAmount") + 100)
        case "amount":
            wrong = {**record.lines[0], "lineAmount": _sum(record.lines[:1], "lineAmount") + Decimal("18.60")}
            lines = (wrong, *record.lines[1:])
            return _with(replace(record, lines=lines), totalAmount=_sum(lines, "lineAmount"))
        case "no-date":
            return _with(record, orderDate=None)
        case "currency":
            return _with(record, currencyCode="比索")
        case "weight":
            return _with(record, grossWeight=header["netWeight"], netWeight=header["grossWeight"])
        case "words":
            return _with(record, freightAmount="面议")
        case "duplicate":
            return _with(record, receiptNumber=others["receipts/3015"].header["receiptNumber"])
        case "no-column":
            return replace(record, lacks="实收数量")
        case "count":
            return replace(record, declared=len(record.lines) + 1)
        case _:  # huge: made so from the order's quantities on, for the case to agree; twin: nothing wrong of itself
            return _faulty_despatch(record, kind) if record.key.startswith("despatches/") else record


def _faulty_despatch(record: Record, kind: str) -> Record:
    match kind:
        case "un-number":
            return replace(record, lines=({**record.lines[0], "g2": f"UN{record.lines[0]['g2']}"}, *record.lines[1:]))
        case "no-escort":
            return _with(record, i50=None, i501=None)
        case "trailer":
            return _with(record, i471=None)
        case "city":
            return _with(record, i44="是")
        case "late":
            days = {id: day - timedelta(days=4) for id in ("i41", "i54") if isinstance(day := record.header[id], date)}
            return _with(record, **days)
        case _:
            return replace(record, declared=len(record.lines) + 1)


def _records(today: date) -> dict[str, Record]:
    made: dict[str, Record] = {}
    for number in range(1, RECORDS + 1):
        order = _order(number)
        invoice = _invoice(number, order)
        made |= {r.key: r for r in (order, invoice, _receipt(number, order, invoice))}
    made |= {r.key: r for r in (_despatch(number, today) for number in range(1, despatch.COUNT + 1))}
    return made | {f.record: _faulty(made[f.record], f.kind, made) for f in FAULTS}


# --- the pages ------------------------------------------------------------------------------------------------------


class Book(NamedTuple):
    title: str
    english: str
    columns: Mapping[str, str]
    """Header of the list's column -> field of the record. The first links to the record page."""


BOOKS = {
    "orders": Book("采购订单", "Purchase Orders", {
        "订单编号": "orderNumber", "下单日期": "orderDate", "供应商": "supplierName", "币种": "currencyCode",
        "订单总额": "totalAmount", "成交方式": "transactionModeCode", "单据状态": "orderStatus",
    }),
    "invoices": Book("外方发票", "Supplier Invoices", {
        "发票号": "invoiceNumber", "开票日期": "invoiceDate", "外方名称": "sellerName", "采购订单号": "orderNumber",
        "币制": "currencyCode", "发票总价": "totalAmount",
    }),
    "receipts": Book("收货单", "Goods Receipts", {
        "收货单号": "receiptNumber", "收货日期": "receiptDate", "采购订单号": "orderNumber", "供货方": "supplierName",
        "仓库号": "warehouseCode", "收货状态": "receivingStatus",
    }),
    "despatches": Book("危货派车单", "Dangerous Goods Despatch", {
        "运单编号": "i1", "起运日期": "i41", "承运人": "i45", "车牌号码": "i46", "挂车": "i47", "收货人": "i31",
        "货物总重量": "i510",
    }),
}  # fmt: skip

FILES = {
    "suppliers": Book("供应商档案", "Suppliers", {
        "编码": "code", "供应商名称": "name", "国家/地区": "country", "结算币种": "currency",
    }),
    "warehouses": Book("仓库档案", "Warehouses", {"仓库编码": "code", "仓库名称": "name", "地址": "address"}),
}  # fmt: skip


def _shown(value: Value, how: str = "text") -> str:
    """A value as a page writes it. What is text already stays as it is."""
    match value, how:
        case None, _:
            return ""
        case Decimal(), "price":
            return f"{value:,.4f}"
        case Decimal(), "quantity":
            return f"{value:,}"
        case Decimal(), _:
            return f"{value:,.2f}"
        case date(), "slashes":
            return f"{value:%Y/%m/%d}"
        case date(), "chinese":
            return f"{value.year}年{value.month}月{value.day}日"
        case date(), _:
            return value.isoformat()
        case _:
            return str(value)


def templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("scraper_agent.sandbox")
    env = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    env.filters["shown"] = _shown
    env.filters["warehouse"] = {w.code: w.name for w in WAREHOUSES}.__getitem__
    css = resources.files("scraper_agent.sandbox").joinpath("erp.css").read_text("utf-8")
    env.globals["css"] = Markup(css)  # noqa: S704 - our own file
    env.globals |= {"books": BOOKS, "files": FILES, "warehouses": [w.name for w in WAREHOUSES]}
    return env


# --- the server -----------------------------------------------------------------------------------------------------


@dataclass
class Erp:
    """The ERP on the loopback interface, from `start` to `stop`; a context manager for both.

    The one account is `operator`. `port` 0 lets the system choose one. `writes` has the method and path of every
    request that is neither a query nor the login, in the order they came: whoever only reads leaves it empty.
    """

    password: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    company: str = "上海启明精工有限公司"
    today: date = DAY
    """The day around which waybills depart."""
    writes: list[str] = field(default_factory=list)
    _server: _Server | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._records = _records(self.today)
        self._templates = templates()
        self._sessions: set[str] = set()

    def start(self) -> None:
        self._server = _Server((self.host, self.port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="erp", daemon=True).start()

    def stop(self) -> None:
        """Stop listening. May be repeated."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:43211`: what recipes call `base`.

        Raises:
            RuntimeError: the ERP is not running.
        """
        if self._server is None:
            raise RuntimeError("the ERP is not running")
        return f"http://{self.host}:{self._server.server_port}"

    def expected(self) -> Mapping[str, Record]:
        """What every record page shows, by record key, faults and all."""
        return self._records

    # What the request handler asks for; None is a page that does not exist.

    def login(self, user: str, password: str) -> str | None:
        """A new session, or None if the account or the password is wrong."""
        known = secrets.compare_digest(f"{user}\n{password}".encode(), f"{USER}\n{self.password}".encode())
        if not known:
            return None
        session = secrets.token_urlsafe(18)
        self._sessions.add(session)
        return session

    def logout(self, session: str) -> None:
        self._sessions.discard(session)

    def knows(self, session: str) -> bool:
        return session in self._sessions

    def login_page(self, *, refused: bool) -> str:
        return self._render("login.html", refused=refused)

    def page(self, path: str, query: Mapping[str, list[str]]) -> str | None:
        name, _, id = path.partition("/")
        if id:
            record = self._records.get(path)
            return None if record is None else self._render(f"{name}.html", book=name, record=record, h=record.header)
        asked = query.get("q", [""])[0].strip()
        number = query.get("page", ["1"])[0]
        rows = [r for r in self._rows(name) if asked.lower() in " ".join(map(_shown, r[1].values())).lower()]
        pages = max(1, -(-len(rows) // PER_PAGE))
        if name not in BOOKS | FILES or not number.isdecimal() or not 1 <= int(number) <= pages:
            return None
        here = int(number)
        shown = rows[(here - 1) * PER_PAGE : here * PER_PAGE]
        book = (BOOKS | FILES)[name]
        return self._render(
            "list.html",
            book=name,
            title=book.title,
            english=book.english,
            columns=book.columns,
            rows=shown,
            total=len(rows),
            here=here,
            pages=pages,
            asked=asked,
        )

    def _rows(self, name: str) -> list[tuple[str, Mapping[str, Value]]]:
        """Key and values of each row of a list; the newest record first."""
        if name == "suppliers":
            return [("", s._asdict()) for s in SUPPLIERS]
        if name == "warehouses":
            return [("", w._asdict()) for w in WAREHOUSES]
        return [(r.key, r.header) for r in reversed(self._records.values()) if r.key.startswith(f"{name}/")]

    def _render(self, template: str, **values: object) -> str:
        return self._templates.get_template(template).render(company=self.company, **values)


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], erp: Erp) -> None:
        super().__init__(address, _Handler)
        self.erp = erp


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # one packet for head and body: two of them wait for each other 40 ms a page

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path, erp = address.path.strip("/"), self.server.erp
        session = self._session()
        if path == "login":
            self._send(erp.login_page(refused=False))
        elif not erp.knows(session):
            self._redirect("/login")
        elif path == "logout":
            erp.logout(session)
            self._redirect("/login")
        elif not path:
            self._redirect("/orders")
        elif page := erp.page(path, parse_qs(address.query)):
            self._send(page)
        else:
            self._send("没有这个页面", HTTPStatus.NOT_FOUND, kind="text/plain")

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's own

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if self.command == "POST" and path == "/login":
            self._login(parse_qs(body.decode("utf-8", "replace")))
            return
        self.server.erp.writes.append(f"{self.command} {path}")
        if path.startswith("/api/"):
            self._send('{"items": []}', kind="application/json")
        elif path == "/telemetry":
            self._send("", HTTPStatus.NO_CONTENT)
        else:
            self._redirect("/" + "/".join(path.split("/")[1:-1]))

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Keep still: what matters is in `Erp.writes`."""

    def _login(self, form: Mapping[str, list[str]]) -> None:
        session = self.server.erp.login(form.get("user", [""])[0], form.get("password", [""])[0])
        if session is None:
            self._send(self.server.erp.login_page(refused=True))
        else:
            self._redirect("/orders", cookie=f"erp_session={session}; Path=/; HttpOnly; SameSite=Lax")

    def _session(self) -> str:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("erp_session")
        return cookie.value if cookie else ""

    def _redirect(self, to: str, cookie: str = "") -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", to)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, text: str, status: HTTPStatus = HTTPStatus.OK, *, kind: str = "text/html") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
