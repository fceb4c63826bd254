"""The whole program on a real ERP: every value that left is compared with what Tryton's own API says."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from scraper_agent import envelope, mapping
from scraper_agent.app import App
from scraper_agent.archive import verify as verifying
from scraper_agent.signing import keyfile, keyfolder, sm2
from scraper_agent.values import Completeness, Draft, Fault, ListRead, Receipt, Refused, RunEnded, State, Verdict, state
from tests.tryton import demo
from tests.tryton.oracle import Oracle
from tests.tryton.server import OPERATOR, PASSWORD, TrytonServer

COUNTRY = {"US": "USA", "DE": "DEU", "JP": "JPN", "GB": "GBR", "CN": "CHN"}
UNIT = {"u": "007", "kg": "035", "m": "030", "l": "095"}
MODE = {"CIF": "1", "CFR": "2", "FOB": "3", "EXW": "7"}
FROM_THE_PROFILE = {"buyerUscc", "buyerName", "receiverUscc"}
STATUS = {"processing": "Processing", "draft": "Draft", "done": "Done", "received": "Received"}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """The agent after one run of all three recipes, and the ERP's own account of the same records."""
    folder = tmp_path_factory.mktemp("tryton") / "demo"
    with TrytonServer() as server:
        demo.trial(folder, server).perform()
        oracle = Oracle(server.url, OPERATOR, PASSWORD)
        told = {
            "purchaseOrder": {f"purchase.purchase/{r['id']}": order(r) for r in oracle.purchases()},
            "foreignInvoice": {f"account.invoice/{r['id']}": invoice(r) for r in oracle.invoices()},
            "goodsReceipt": {f"stock.shipment.in/{r['id']}": receipt(r) for r in oracle.shipments()},
        }
    return App.load(folder / "config.yaml"), told


def order(row: dict[str, Any]) -> dict[str, Any]:
    return plain(
        orderNumber=row["number"],
        orderDate=row["purchase_date"],
        supplierCode=row["party_code"],
        supplierName=row["party_name"],
        supplierCountryCode=COUNTRY[row["country_code"]],
        currencyCode=row["currency_code"],
        totalAmount=row["total_amount"],
        taxAmount=row["tax_amount"],
        transactionModeCode=MODE.get(row["incoterm_code"]),
        paymentTermCode=row["payment_term"],
        receivingWarehouseCode=row["warehouse_code"],
        orderStatus=STATUS[row["state"]],
        lines=[
            plain(
                orderLineNumber=str(line["position"]),
                orderedQuantity=line["quantity"],
                unitPrice=line["unit_price"],
                lineAmount=line["amount"],
                **goods(line),
            )
            for line in row["lines"]
        ],
    )


def invoice(row: dict[str, Any]) -> dict[str, Any]:
    (number,) = row["order_numbers"]
    return plain(
        invoiceNumber=row["reference"],
        invoiceDate=row["invoice_date"],
        orderNumber=number,
        sellerName=row["party_name"],
        sellerCountryCode=COUNTRY[row["country_code"]],
        currencyCode=row["currency_code"],
        goodsAmount=row["untaxed_amount"],
        totalAmount=row["total_amount"],
        transactionModeCode=MODE.get(row["incoterm_codes"][0]) if row["incoterm_codes"] else None,
        paymentTermCode=row["payment_term"],
        lines=[
            plain(
                invoiceLineNumber=str(line["position"]),
                orderLineNumber=str(line["order_line_position"]),
                quantity=line["quantity"],
                unitPrice=line["unit_price"],
                lineAmount=line["amount"],
                **goods(line),
            )
            for line in row["lines"]
        ],
    )


def receipt(row: dict[str, Any]) -> dict[str, Any]:
    (number,) = row["order_numbers"]
    return plain(
        receiptNumber=row["number"],
        receiptDate=row["effective_date"],
        orderNumber=number,
        supplierName=row["party_name"],
        warehouseCode=row["warehouse_code"],
        billNumber=row["reference"],
        receivingStatus=STATUS[row["state"]],
        lines=[
            plain(
                receiptLineNumber=str(line["position"]),
                orderLineNumber=str(line["order_line_position"]),
                receivedQuantity=line["quantity"],
                **goods(line),
            )
            for line in row["lines"]
        ],
    )


def goods(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "materialNumber": line["product_code"],
        "goodsName": line["product_name"],
        "unitCode": UNIT[line["unit_symbol"]],
    }


def plain(**values: Any) -> dict[str, Any]:
    """Without what the ERP leaves empty; numbers and dates as the standard writes them."""
    return {name: written(value) for name, value in values.items() if value is not None}


def written(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value.normalize(), "f")
        case date():
            return f"{value:%Y%m%d}"
        case _:
            return value


def drafts(archive, format):
    return {draft.record: draft for draft in (archive.job(id).facts[0] for id in archive.documents(format=format))}


@pytest.mark.parametrize("format", ["purchaseOrder", "foreignInvoice", "goodsReceipt"])
def test_every_captured_value_is_what_the_erp_itself_says(read, format):
    app, told = read
    with app.archive(read_only=True) as archive:
        found = drafts(archive, format)
        assert found.keys() == told[format].keys(), "every record, and no other"
        for record, draft in found.items():
            document = json.loads(archive.get(draft.document))
            header = {
                name: value
                for name, value in document["header"].items()
                if name not in mapping.COMMON_FIELDS | FROM_THE_PROFILE
            }
            assert {**header, "lines": document["lines"]} == told[format][record], record


def test_there_is_enough_of_everything(read):
    _, told = read
    assert {format: len(records) >= 60 for format, records in told.items()} == dict.fromkeys(told, True)
    assert max(len(order["lines"]) for order in told["purchaseOrder"].values()) == 120


def test_lists_were_read_to_their_end_and_no_page_was_refused(read):
    app, told = read
    with app.archive(read_only=True) as archive:
        runs = [archive.job(id).facts for id in archive.runs()]
    lists = {
        (started.recipe_id, f.name): (f.declared, f.harvested, f.pages)
        for started, *facts in runs
        for f in facts
        if isinstance(f, ListRead)
    }
    orders, invoices, receipts = (len(records) for records in told.values())
    assert [f for facts in runs for f in facts if isinstance(f, Fault)] == []
    assert lists["tryton/order", "records"] == (orders, orders, 3)
    assert lists["tryton/invoice", "records"] == (invoices, invoices, 1)
    assert lists["tryton/receipt", "records"] == (receipts, receipts, 3)
    read_lists = [f for facts in runs for f in facts if isinstance(f, ListRead)]
    assert all(f.certificate and f.certificate.state is not Completeness.UNPROVED for f in read_lists)
    ends = [facts[-1] for facts in runs]
    assert [(end.complete, end.faults) for end in ends if isinstance(end, RunEnded)] == [(True, 0)] * 3


def test_only_what_the_page_saves_of_its_own_state_was_refused(read):
    app, _ = read
    with app.archive(read_only=True) as archive:
        refused = {
            (f.method, f.reason) for id in archive.runs() for f in archive.job(id).facts if isinstance(f, Refused)
        }
    assert refused == {("POST", "answered in the ERP's place")}


def test_what_is_complete_was_sent_or_held_and_what_is_not_was_blocked(read):
    app, told = read
    states: dict[str, Counter[State]] = {}
    with app.archive(read_only=True) as archive:
        for format in told:
            jobs = [archive.job(id) for id in archive.documents(format=format)]
            states[format] = Counter(state(job) for job in jobs)
            for job in jobs:
                record = draft_of(job).record
                blocked = state(job) is State.BLOCKED
                assert blocked == (faults(format, told[format][record]) != []), (record, findings(job))
    assert all(found[State.RECEIPTED] >= 30 for found in states.values()), states
    assert all(set(found) <= {State.RECEIPTED, State.BLOCKED, State.HELD} for found in states.values()), states


def faults(format: str, document: dict[str, Any]) -> list[str]:
    """What of the mandatory the ERP does not have, or what makes a sum go wrong."""
    needed = {
        "purchaseOrder": ["orderNumber"],
        "foreignInvoice": ["invoiceNumber", "invoiceDate", "transactionModeCode"],
        "goodsReceipt": ["receiptNumber", "receiptDate"],
    }[format]
    missing = [name for name in needed if name not in document]
    taxed = format == "foreignInvoice" and document["goodsAmount"] != document["totalAmount"]
    return missing + ["totalAmount"] * taxed


def draft_of(job) -> Draft:
    assert isinstance(job.facts[0], Draft)
    return job.facts[0]


def findings(job):
    return [(f.code, f.field) for fact in job.facts if isinstance(fact, Verdict) for f in fact.findings]


def test_every_receipt_names_the_document_that_was_signed(read):
    app, _ = read
    with app.archive(read_only=True) as archive:
        receipts = [(job, job.last) for job in map(archive.job, archive.documents()) if isinstance(job.last, Receipt)]
        assert receipts
        for job, last in receipts:
            said = json.loads(archive.get(last.receipt))
            assert said["rs"]["digest"] == draft_of(job).document


def test_openssl_verifies_what_was_sent(read, tmp_path):
    app, _ = read
    (key,) = keyfolder.entries(app.home / "keys")
    public = tmp_path / "public.pem"
    public.write_text(keyfile.public_pem(key.public_key), encoding="ascii")
    with app.archive(read_only=True) as archive:
        jobs = map(archive.job, archive.documents())
        sent = [archive.get(job.last.envelope) for job in jobs if isinstance(job.last, Receipt)]
    for number, request in enumerate(map(envelope.read_request, sent[::20])):
        message, signature = tmp_path / f"{number}.message", tmp_path / f"{number}.der"
        message.write_bytes(request.message)
        signature.write_bytes(sm2.signature_to_der(request.signature))
        where = ["-inkey", public, "-rawin", "-in", message, "-sigfile", signature]
        said = subprocess.run(
            [
                "openssl",
                "pkeyutl",
                "-verify",
                "-pubin",
                *where,
                "-digest",
                "sm3",
                "-pkeyopt",
                "distid:1234567812345678",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Signature Verified Successfully" in said.stdout, said.stderr


def test_the_log_is_whole_and_no_password_is_in_it(read):
    app, _ = read
    found = verifying.verify(app.home / app.config.archive)
    assert found.problems == ()
    with app.archive(read_only=True) as archive:
        pages = [f.page for id in archive.runs() for f in archive.job(id).facts if hasattr(f, "page") and f.page]
        assert all(PASSWORD.encode() not in archive.get(page) for page in pages)
