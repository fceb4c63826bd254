"""Documents of all kinds in a few words, and books of them: what the tests of cases and analyses share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from scraper_agent import canonical, messages
from scraper_agent.analysis import Analysis
from scraper_agent.analysis.book import Book
from scraper_agent.analysis.settings import DEFAULT, Settings
from scraper_agent.cases import Paper
from scraper_agent.format import encode
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Archive
from scraper_agent.rules import Document, Value
from scraper_agent.values import Draft, Finding, JobId, State

ENTERPRISE = "91350100M000100Y43"


@dataclass(frozen=True)
class Line:
    material: str = "A-1"
    quantity: str = "100"
    price: str | None = "2"
    unit: str = "007"
    ref: str = "10"
    more: Mapping[str, str] = field(default_factory=dict)


ONE = (Line(),)


def paper(
    format: str, number: str, header: Mapping[str, Value | None], lines: Iterable[Mapping[str, Any]] = ()
) -> Paper:
    given = {"enterpriseUscc": ENTERPRISE, "inSpecialZone": "0", **header}
    return Paper(
        id=JobId(f"doc/{format}/{number}"),
        key=number,
        document=Document(
            format=format,
            header={id: value for id, value in given.items() if value is not None},
            lines=tuple({id: value for id, value in line.items() if value is not None} for line in lines),
        ),
    )


def order(
    number: str = "PO-1", lines: Iterable[Line] = ONE, *, day: str = "2026-03-01", **header: Value | None
) -> Paper:
    shared: dict[str, Value | None] = {"orderNumber": number, "supplierName": "ACME", "currencyCode": "USD"}
    of = [
        {
            "orderLineNumber": line.ref,
            "materialNumber": line.material,
            "orderedQuantity": Decimal(line.quantity),
            "unitCode": line.unit,
            "unitPrice": _decimal(line.price),
        }
        for line in lines
    ]
    return paper("purchaseOrder", number, {**shared, "orderDate": date.fromisoformat(day), **header}, of)


def contract(
    number: str = "HT-1", lines: Iterable[Line] = ONE, *, day: str = "2026-02-01", **header: Value | None
) -> Paper:
    shared: dict[str, Value | None] = {"contractNumber": number, "overseasPartyName": "ACME", "currencyCode": "USD"}
    of = [
        {
            "lineNumber": Decimal(at),
            "materialNumber": line.material,
            "quantity": Decimal(line.quantity),
            "unitCode": line.unit,
            "unitPrice": _decimal(line.price),
        }
        for at, line in enumerate(lines, 1)
    ]
    return paper("contract", number, {**shared, "contractDate": date.fromisoformat(day), **header}, of)


def invoice(
    number: str = "INV-1", lines: Iterable[Line] = ONE, *, day: str = "2026-03-20", **header: Value | None
) -> Paper:
    shared: dict[str, Value | None] = {
        "invoiceNumber": number,
        "orderNumber": "PO-1",
        "sellerName": "ACME",
        "currencyCode": "USD",
    }
    of = [
        {
            "invoiceLineNumber": str(at),
            "orderLineNumber": line.ref or None,
            "materialNumber": line.material,
            "quantity": Decimal(line.quantity),
            "unitCode": line.unit,
            "unitPrice": _decimal(line.price),
        }
        for at, line in enumerate(lines, 1)
    ]
    return paper("foreignInvoice", number, {**shared, "invoiceDate": date.fromisoformat(day), **header}, of)


def receipt(
    number: str = "GR-1", lines: Iterable[Line] = ONE, *, day: str = "2026-04-10", **header: Value | None
) -> Paper:
    shared: dict[str, Value | None] = {
        "receiptNumber": number,
        "orderNumber": "PO-1",
        "invoiceNumber": "INV-1",
        "supplierName": "ACME",
    }
    of = [
        {
            "receiptLineNumber": str(at),
            "orderLineNumber": line.ref or None,
            "materialNumber": line.material,
            "receivedQuantity": Decimal(line.quantity),
            "unitCode": line.unit,
            **{id: Decimal(value) for id, value in line.more.items()},
        }
        for at, line in enumerate(lines, 1)
    ]
    return paper("goodsReceipt", number, {**shared, "receiptDate": date.fromisoformat(day), **header}, of)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def book(
    *papers: Paper, settings: Settings = DEFAULT, states: Mapping[str, State] | None = None, state: State = State.READ
) -> Book:
    """`states`: by number, where they differ from `state`."""
    return Book(papers, {p.id: (states or {}).get(p.key, state) for p in papers}, settings)


def findings(of: Paper, *others: Paper, code: str = "", settings: Settings = DEFAULT) -> list[Finding]:
    """What is found on `of`, read after the others; with `code`, of that kind only."""
    found = Analysis(book(*others, of, settings=settings)).findings(of.id)
    return [finding for finding in found if code in ("", finding.code)]


def said(found: Iterable[Finding]) -> list[str]:
    """Code, field and sentence."""
    return [f"{f.code} {f.field} {messages.english(f.text, f.values)}" for f in found]


# --- in an archive --------------------------------------------------------------------------------------------------


def whole(of: Paper) -> Document:
    """The document with everything that its format must have, so that nothing but its case is wrong with it."""
    format = FORMATS[of.format]
    price = {"purchaseOrder": "orderedQuantity", "foreignInvoice": "quantity"}.get(of.format)
    lines = [{"goodsName": "bearing", **line} for line in of.document.lines]
    if price is not None:
        lines = [{**line, "lineAmount": _times(line[price], line["unitPrice"])} for line in lines]
    total = sum((amount for line in lines if isinstance(amount := line.get("lineAmount"), Decimal)), Decimal(0))
    values: dict[str, Value] = {
        "recordGuid": "0" * 8 + "-0000-0000-0000-" + canonical.sm3(of.key.encode()).hex()[:12].upper(),
        "formatCode": of.format,
        "schemaVersion": "1.0",
        "actionType": "1",
        "reportDateTime": datetime(2026, 5, 6, 9, 30),  # noqa: DTZ001 - the formats' times are local
        "captureDateTime": datetime(2026, 5, 6, 9, 30),  # noqa: DTZ001
        "enterpriseName": "上海启明精工有限公司",
        "erpSystemCode": "TEST",
        "recipeId": "test/any",
        "recipeVersion": "1",
        "sourceRecordKey": of.key,
        "sourcePageDigest": "0" * 64,
        "buyerUscc": ENTERPRISE,
        "receiverUscc": ENTERPRISE,
        "buyerName": "上海启明精工有限公司",
        "supplierCode": "S-1",
        "sellerCountryCode": "USA",
        "transactionModeCode": "3",
        "warehouseCode": "W-1",
        "goodsAmount": total,
        "totalAmount": total,
        **of.document.header,
    }
    header = {id: value for id, value in values.items() if id in format.header_fields}
    return Document(format=of.format, header=header, lines=tuple(lines))


def file(archive: Archive, run: JobId, of: Paper) -> JobId:
    """Make the job that a harvest would have made: the same record with other content is its next version."""
    document, format = whole(of), FORMATS[of.format]
    body = encode(document, format)
    id = JobId(f"doc/{of.format}/{canonical.sm3(body).hex()}")
    if not archive.length(id):
        draft = Draft(
            run=run,
            format=of.format,
            key=of.key,
            record=of.key,
            document=archive.put(body),
            provenance=archive.put(b"[]"),
            page=archive.put(b"<html/>"),
        )
        archive.append(id, 0, draft)
    return id


def _times(quantity: Value, price: Value) -> Decimal:
    assert isinstance(quantity, Decimal)
    assert isinstance(price, Decimal)
    return (quantity * price).quantize(Decimal("0.01"))
