"""What Tryton itself says its documents hold, asked through its JSON-RPC interface and not through its pages.

One plain dict per record, its `lines` in the order in which the client shows them, `position` counting from 1. Amounts,
prices and quantities are Decimal, dates are `datetime.date`, and what the ERP leaves empty is None. Values are raw:
codes and numbers as stored, never as displayed.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import urllib.request
from collections import defaultdict
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

CHUNK = 200


def decoded(value: dict[str, Any]) -> Any:
    """Tryton's own wrapping of what JSON has no word for."""
    match value.get("__class__"):
        case "Decimal":
            return Decimal(value["decimal"])
        case "date":
            return dt.date(value["year"], value["month"], value["day"])
        case "datetime":
            return dt.datetime(  # noqa: DTZ001 - Tryton's time stamps bear no zone
                *(value[part] for part in ("year", "month", "day", "hour", "minute", "second", "microsecond"))
            )
        case _:
            return value


def quantity(row: Row) -> Decimal:
    """Tryton keeps quantities as floats; the unit says how many digits of them are meant."""
    exact = Decimal(repr(row["quantity"]))
    return exact.quantize(Decimal(1).scaleb(-row["unit."]["digits"]))


class Oracle:
    """A session of its own, logged in by the constructor; reads only."""

    def __init__(self, url: str, user: str, password: str, database: str = "tryton") -> None:
        self._url = f"{url.rstrip('/')}/{database}/rpc/"
        self._headers = {"Content-Type": "application/json"}
        self._context: Row = {}
        # Not the way of the web client: its cookie is marked Secure, and no cookie jar sends that over plain HTTP.
        user_id, token, _ = self._post("common.db.login", [user, {"password": password}, "en"])
        session = base64.b64encode(f"{user}:{user_id}:{token}".encode()).decode()
        self._headers["Authorization"] = f"Session {session}"
        preferences = self.call("model.res.user.get_preferences", True)
        self._context = {name: value for name, value in preferences.items() if name in {"company", "employee"}}

    def call(self, method: str, *arguments: Any) -> Any:
        """One remote call; the session's context is added as its last argument."""
        return self._post(method, [*arguments, self._context])

    def purchases(self) -> list[Row]:
        names = [
            *("number", "reference", "state", "purchase_date", "delivery_date", "description"),
            *("untaxed_amount", "tax_amount", "total_amount", "lines"),
            *("party.code", "party.name", "invoice_address.country.code", "payment_term.name"),
            *("currency.code", "currency.name", "currency.digits", "incoterm.code", "incoterm.version"),
            *("warehouse.code", "warehouse.name"),
        ]
        orders = self._all("purchase.purchase", [], names)
        lines = self._by_id("purchase.line", [i for order in orders for i in order["lines"]], [
            *("sequence", "quantity", "unit.symbol", "unit.name", "unit.digits", "unit_price", "amount"),
            *("product.code", "product.name", "delivery_date"),
        ])  # fmt: skip
        return [
            {
                **_plain(order, "number", "reference", "state", "purchase_date", "delivery_date", "description"),
                **_plain(order, "untaxed_amount", "tax_amount", "total_amount"),
                **_seller(order, "party."),
                "country_code": _inner(order, "invoice_address.", "country.", "code"),
                "currency_code": _inner(order, "currency.", "code"),
                "currency_name": _inner(order, "currency.", "name"),
                "payment_term": _inner(order, "payment_term.", "name"),
                **_incoterm(order),
                "warehouse_code": _inner(order, "warehouse.", "code"),
                "warehouse_name": _inner(order, "warehouse.", "name"),
                "lines": [
                    {**_line(position, lines[i]), **_plain(lines[i], "sequence", "delivery_date")}
                    for position, i in enumerate(order["lines"], start=1)
                ],
            }
            for order in orders
        ]

    def invoices(self) -> list[Row]:
        """Supplier invoices; `due_dates` is empty until the invoice is posted."""
        names = [
            *("number", "reference", "state", "invoice_date", "untaxed_amount", "tax_amount", "total_amount"),
            *("party.code", "party.name", "invoice_address.country.code", "payment_term.name", "lines"),
            *("currency.code", "currency.name", "lines_to_pay.maturity_date"),
        ]
        invoices = self._all("account.invoice", [["type", "=", "in"]], names)
        lines = self._by_id("account.invoice.line", [i for invoice in invoices for i in invoice["lines"]], [
            *("quantity", "unit.symbol", "unit.name", "unit.digits", "unit_price", "amount"),
            *("product.code", "product.name", "origin"),
        ])  # fmt: skip
        origins = self._origins()
        found = []
        for invoice in invoices:
            rows = [
                {**_line(position, lines[i]), **_origin(origins, lines[i])}
                for position, i in enumerate(invoice["lines"], start=1)
            ]
            found.append({
                **_plain(invoice, "number", "reference", "state", "invoice_date"),
                **_plain(invoice, "untaxed_amount", "tax_amount", "total_amount"),
                **_seller(invoice, "party."),
                "country_code": _inner(invoice, "invoice_address.", "country.", "code"),
                "currency_code": _inner(invoice, "currency.", "code"),
                "currency_name": _inner(invoice, "currency.", "name"),
                "payment_term": _inner(invoice, "payment_term.", "name"),
                "due_dates": sorted(line["maturity_date"] for line in invoice["lines_to_pay."]),
                **_orders(rows),
                "lines": rows,
            })  # fmt: skip
        return found

    def shipments(self) -> list[Row]:
        """Supplier shipments, which are the receipts; the lines are the incoming moves."""
        names = [
            *("number", "reference", "state", "planned_date", "effective_date", "incoming_moves"),
            *("supplier.code", "supplier.name", "contact_address.country.code", "warehouse.code", "warehouse.name"),
            *("incoterm.code", "incoterm.version"),
        ]
        shipments = self._all("stock.shipment.in", [], names)
        moves = self._by_id("stock.move", [i for shipment in shipments for i in shipment["incoming_moves"]], [
            *("quantity", "unit.symbol", "unit.name", "unit.digits", "product.code", "product.name"),
            *("state", "origin", "planned_date", "effective_date"),
        ])  # fmt: skip
        origins = self._origins()
        found = []
        for shipment in shipments:
            rows = [
                {
                    **_line(position, moves[i]),
                    **_plain(moves[i], "state", "planned_date", "effective_date"),
                    **_origin(origins, moves[i]),
                }
                for position, i in enumerate(shipment["incoming_moves"], start=1)
            ]
            found.append({
                **_plain(shipment, "number", "reference", "state", "planned_date", "effective_date"),
                **_seller(shipment, "supplier."),
                "country_code": _inner(shipment, "contact_address.", "country.", "code"),
                "warehouse_code": _inner(shipment, "warehouse.", "code"),
                "warehouse_name": _inner(shipment, "warehouse.", "name"),
                **_incoterm(shipment),
                "order_numbers": _orders(rows)["order_numbers"],
                "lines": rows,
            })  # fmt: skip
        return found

    def _origins(self) -> dict[str, Row]:
        """What an invoice line or a move says it comes from, by the reference that it bears."""
        orders = self._all("purchase.purchase", [], ["number", "lines", "incoterm.code"])
        return {
            f"purchase.line,{i}": {
                "order_id": order["id"],
                "order_number": order["number"],
                "order_line_position": position,
                "incoterm_code": _inner(order, "incoterm.", "code"),
            }
            for order in orders
            for position, i in enumerate(order["lines"], start=1)
        }

    def _all(self, model: str, domain: list[Any], names: list[str]) -> list[Row]:
        ids = self.call(f"model.{model}.search", domain, 0, None, [["id", "ASC"]])
        rows = self._by_id(model, ids, names)
        return [rows[i] for i in ids]

    def _by_id(self, model: str, ids: list[int], names: list[str]) -> dict[int, Row]:
        found: dict[int, Row] = {}
        for start in range(0, len(ids), CHUNK):
            for row in self.call(f"model.{model}.read", ids[start : start + CHUNK], names):
                found[row["id"]] = row
        return found

    def _post(self, method: str, parameters: list[Any]) -> Any:
        body = json.dumps({"id": 0, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            said = json.load(answer, object_hook=decoded)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        return said["result"]


def _plain(row: Row, *names: str) -> Row:
    return {"id": row["id"], **{name: row[name] for name in names}}


def _inner(row: Row, *names: str) -> Any:
    value: Any = row
    for name in names:
        if value is None:
            return None
        value = value[name]
    return value


def _seller(row: Row, name: str) -> Row:
    return {"party_code": _inner(row, name, "code"), "party_name": _inner(row, name, "name")}


def _incoterm(row: Row) -> Row:
    return {
        "incoterm_code": _inner(row, "incoterm.", "code"),
        "incoterm_version": _inner(row, "incoterm.", "version"),
    }


def _line(position: int, row: Row) -> Row:
    line = {
        "id": row["id"],
        "position": position,
        "product_code": _inner(row, "product.", "code"),
        "product_name": _inner(row, "product.", "name"),
        "quantity": quantity(row),
        "unit_symbol": _inner(row, "unit.", "symbol"),
        "unit_name": _inner(row, "unit.", "name"),
    }
    for name in ("unit_price", "amount"):
        if name in row:
            line[name] = row[name]
    return line


def _origin(origins: dict[str, Row], row: Row) -> Row:
    nothing = {"order_id": None, "order_number": None, "order_line_position": None, "incoterm_code": None}
    return origins.get(row["origin"] or "", nothing)


def _orders(rows: list[Row]) -> Row:
    """The orders and terms behind a document's lines, each once, in the order of their first line."""
    seen: dict[str, dict[Any, None]] = defaultdict(dict)
    for row in rows:
        for name in ("order_number", "incoterm_code"):
            if row[name] is not None:
                seen[name][row[name]] = None
    return {"order_numbers": list(seen["order_number"]), "incoterm_codes": list(seen["incoterm_code"])}
