"""Fills a fresh Tryton 8.0 database with a trading company's purchases, supplier invoices and receipts.

Runs inside Tryton's own virtual environment, against the database that `--config` names. The same `SEED` gives the same
records with the same ids: nothing here asks for today's date, and what Tryton itself dates is dated `TODAY`.
Documents are made through the bulk calls of the server's API: proteus objects ask the server after every field set,
which takes minutes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from proteus import Model  # type: ignore[import-not-found]
from proteus import config as proteus_config
from trytond.modules.account.tests.tools import (  # type: ignore[import-not-found]
    create_chart,
    create_fiscalyear,
    create_tax,
    get_accounts,
)
from trytond.modules.account_invoice.tests.tools import (  # type: ignore[import-not-found]
    set_fiscalyear_invoice_sequences,
)
from trytond.modules.company.tests.tools import create_company, get_company  # type: ignore[import-not-found]
from trytond.pool import Pool  # type: ignore[import-not-found]

SEED = 20260101
TODAY = dt.date(2026, 12, 31)
PURCHASES = 72
LONG_PURCHASE = 7
LONG_PURCHASE_LINES = 120
CHUNK = 25

COUNTRIES = {
    "CN": ("China", "CHN"),
    "US": ("United States", "USA"),
    "DE": ("Germany", "DEU"),
    "JP": ("Japan", "JPN"),
    "GB": ("United Kingdom", "GBR"),
}
# code: name, symbol, smallest amount, units per yuan
CURRENCIES = {
    "CNY": ("Yuan Renminbi", "¥", "0.01", "1"),
    "USD": ("US Dollar", "$", "0.01", "0.14"),
    "EUR": ("Euro", "€", "0.01", "0.128"),
    "JPY": ("Yen", "JP¥", "1", "21.5"),
    "GBP": ("Pound Sterling", "£", "0.01", "0.109"),
}
INCOTERMS = ("FOB", "CIF", "CFR", "EXW")
# code, name, currency, country, city, payment term
SUPPLIERS = (
    ("V0101", "Acme Industrial Inc.", "USD", "US", "Houston", "30 days"),
    ("V0102", "Globex Corp.", "USD", "US", "Long Beach", "60 days"),
    ("V0201", "Rheinmetall Werkzeuge GmbH", "EUR", "DE", "Düsseldorf", "30 days"),
    ("V0202", "Müller & Söhne KG", "EUR", "DE", "Hamburg", "T/T in advance"),
    ("V0301", "Tanaka Seiki 株式会社", "JPY", "JP", "大阪市", "60 days"),
    ("V0001", "宁波海天机械有限公司", "CNY", "CN", "宁波市", "30 days"),
    ("V0103", "Initech LLC", "USD", "US", "Austin", "30 days"),
    ("V0401", "Umbrella Supply Ltd", "GBP", "GB", "Felixstowe", "90 days"),
    ("V0302", "Hokuto Denki K.K.", "USD", "JP", "Yokohama", "T/T in advance"),
)
DOMESTIC = "V0001"
PAYMENT_DAYS = {"T/T in advance": 0, "30 days": 30, "60 days": 60, "90 days": 90}
# name, unit; marks and brackets in the names are there to be read back unharmed
GOODS = (
    ("Deep groove ball bearing 6204-2RS", "Unit"),
    ('Solenoid valve 1/2" 24V DC', "Unit"),
    ("Epoxy resin, type E-51", "Kilogram"),
    ("O-ring <NBR 70> 25x3 & washer", "Unit"),
    ("Servo motor 0.75 kW", "Unit"),
    ("Copper cable 3x2.5 mm²", "Meter"),
    ("Hydraulic oil ISO VG 46", "Liter"),
    ("不锈钢螺栓 M8×40", "Unit"),
    ("Pressure sensor [0-10 bar]", "Unit"),
    ("Polypropylene granules", "Kilogram"),
)
PRODUCTS = 150


@dataclass(frozen=True)
class Product:
    """One sellable thing; `whole` means that its unit has no decimals."""

    id: int
    unit: int
    whole: bool


@dataclass(frozen=True)
class Supplier:
    """One seller and the terms all of its orders carry; `taxes` is empty abroad."""

    code: str
    party: int
    address: int
    currency: int
    currency_code: str
    payment_term: int
    taxes: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """Ids of what every document refers to."""

    company: int
    company_address: int
    products: tuple[Product, ...]
    suppliers: tuple[Supplier, ...]
    warehouses: tuple[dict[str, int], ...]
    incoterms: dict[str, int]


def rpc(model: str) -> Any:
    """The server's own calls of `model`, taking lists of plain values."""
    return Model.get(model)._proxy


def chunks(ids: list[int]) -> list[list[int]]:
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]


def company_and_accounts(config: Any) -> tuple[Any, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Returns the company, currencies by code, countries by code and accounts by kind; opens the fiscal year 2026."""
    currencies, countries = {}, {}
    for code, (name, symbol, rounding, rate) in CURRENCIES.items():
        digits = max(0, -int(Decimal(rounding).as_tuple().exponent))
        currency = Model.get("currency.currency")(
            name=name, code=code, symbol=symbol, rounding=Decimal(rounding), digits=digits
        )
        currency.save()
        Model.get("currency.currency.rate")(date=dt.date(2020, 1, 1), rate=Decimal(rate), currency=currency).save()
        currencies[code] = currency
    for code, (name, code3) in COUNTRIES.items():
        countries[code] = Model.get("country.country")(name=name, code=code, code3=code3)
        countries[code].save()
    party, user = Model.get("party.party"), Model.get("res.user")
    owner = party(name="Ningbo Import Trading Co., Ltd.", code="OWN")
    owner.addresses[0].country = countries["CN"]
    owner.addresses[0].city = "Ningbo"
    owner.save()
    create_company(party=owner, currency=currencies["CNY"])
    company = get_company()
    person = party(name="Robot Operator", code="EMP01")
    person.save()
    employee = Model.get("company.employee")(party=person, company=company)
    employee.save()
    admin = user(config.user)
    admin.employees.append(employee)
    admin.employee = employee
    admin.save()
    config._context = user.get_preferences(True, {})

    create_chart(company)
    accounts = get_accounts(company)
    # Posting a foreign invoice fails without these two.
    settings = Model.get("account.configuration")(1)
    settings.currency_exchange_debit_account = accounts["expense"]
    settings.currency_exchange_credit_account = accounts["revenue"]
    settings.save()
    year = create_fiscalyear(company, (dt.date(2026, 1, 1), dt.date(2026, 12, 31)))
    set_fiscalyear_invoice_sequences(year).click("create_period")
    return company, currencies, countries, accounts


def made_taxes(company: Any) -> tuple[Any, Any]:
    """Returns the purchase tax and the rule that takes it off the orders of foreign suppliers."""
    tax = create_tax(Decimal(".13"), company)
    tax.save()
    rule = Model.get("account.tax.rule")(name="Foreign supplier", kind="purchase")
    rule.lines.new().origin_tax = tax
    rule.save()
    return tax, rule


def made_products(
    accounts: dict[str, Any], tax: Any, context: dict[str, Any], rng: random.Random
) -> tuple[Product, ...]:
    category = Model.get("product.category")(name="Goods", accounting=True)
    category.account_expense = accounts["expense"]
    category.account_revenue = accounts["revenue"]
    category.supplier_taxes.append(tax)
    category.save()
    uom = Model.get("product.uom")
    units = {name: uom.find([("name", "=", name)])[0].id for name in sorted({unit for _, unit in GOODS})}
    values = []
    for number in range(PRODUCTS):
        name, unit = GOODS[number % len(GOODS)]
        values.append(
            {
                "name": f"{name} {rng.choice('ABCX')}{number:03d}",
                "default_uom": units[unit],
                "purchase_uom": units[unit],
                "type": "goods",
                "purchasable": True,
                "list_price": Decimal(rng.randint(500, 90000)) / 100,
                "cost_price_method": "fixed",
                "account_category": category.id,
                "products": [("create", [{"suffix_code": f"P{number:04d}"}])],
            }
        )
    template = rpc("product.template")
    # One condition for each record: SQLite's parser gives up on some hundreds of them.
    ids = [i for start in range(0, PRODUCTS, CHUNK) for i in template.create(values[start : start + CHUNK], context)]
    made = template.read(ids, ["products", "default_uom"], context)
    return tuple(
        Product(row["products"][0], row["default_uom"], whole=row["default_uom"] == units["Unit"])
        for row in sorted(made, key=lambda row: row["id"])
    )


def made_suppliers(
    tax: Any, foreign: Any, currencies: dict[str, Any], countries: dict[str, Any]
) -> tuple[Supplier, ...]:
    terms = {}
    for name, days in PAYMENT_DAYS.items():
        term = Model.get("account.invoice.payment_term")(name=name)
        term.lines.new(type="remainder").relativedeltas.new().days = days
        term.save()
        terms[name] = term
    suppliers = []
    for code, name, currency, country, city, term_name in SUPPLIERS:
        party = Model.get("party.party")(name=name, code=code)
        party.supplier_payment_term = terms[term_name]
        party.supplier_currency = currencies[currency]
        if code != DOMESTIC:
            party.supplier_tax_rule = foreign
        address = party.addresses[0]
        address.street = f"{int(code[1:])} Harbour Road"
        address.city = city
        address.country = countries[country]
        party.save()
        suppliers.append(
            Supplier(
                code,
                party.id,
                party.addresses[0].id,
                currencies[currency].id,
                currency,
                terms[term_name].id,
                (tax.id,) if code == DOMESTIC else (),
            )
        )
    return tuple(suppliers)


def made_warehouses() -> tuple[dict[str, int], ...]:
    """Names Tryton's own warehouse and adds a second one."""
    location = Model.get("stock.location")
    first, *_ = location.find([("type", "=", "warehouse")], limit=1)
    first.name, first.code = "Ningbo Beilun Warehouse", "NB01"
    first.save()
    parts = {}
    for part in ("input", "output", "storage"):
        parts[part] = location(name=f"Yangshan {part}", code=f"SH02-{part[:3].upper()}")
        parts[part].type = "storage"
        parts[part].save()
    second = location(name="Shanghai Yangshan Bonded Warehouse", code="SH02", type="warehouse")
    for part, place in parts.items():
        setattr(second, f"{part}_location", place)
    second.save()
    return tuple(
        {"warehouse": w.id, "warehouse_input": w.input_location.id, "warehouse_storage": w.storage_location.id}
        for w in (first, second)
    )


def number_documents() -> None:
    """Puts a prefix before Tryton's bare order and shipment numbers, as a company does whose papers mix."""
    for kind, prefix in (("Purchase", "PO26-"), ("Supplier Shipment", "GR26-")):
        sequence, *_ = Model.get("ir.sequence").find([("sequence_type.name", "=", kind)])
        sequence.prefix, sequence.padding = prefix, 5
        sequence.save()


def made_world(config: Any, rng: random.Random) -> World:
    company, currencies, countries, accounts = company_and_accounts(config)
    incoterms = {
        term: Model.get("incoterm.incoterm").find([("code", "=", term), ("version", "=", "2020")])[0]
        for term in INCOTERMS
    }
    company.incoterms.extend(incoterms.values())
    company.save()
    number_documents()
    tax, foreign = made_taxes(company)
    return World(
        company.id,
        company.party.addresses[0].id,
        made_products(accounts, tax, config.context, rng),
        made_suppliers(tax, foreign, currencies, countries),
        made_warehouses(),
        {code: term.id for code, term in incoterms.items()},
    )


def order_lines(
    supplier: Supplier, count: int, products: tuple[Product, ...], rng: random.Random
) -> list[dict[str, Any]]:
    """No product twice in one order, so that order and product together say which line a receipt belongs to."""
    lines = []
    for position, product in enumerate(rng.sample(products, count), start=1):
        quantity = Decimal(rng.randint(1, 5000)) if product.whole else Decimal(rng.randint(1, 90000)) / 100
        yen = supplier.currency_code == "JPY"
        unit_price = Decimal(rng.randint(100, 90000)) if yen else Decimal(rng.randint(100, 9000000)) / 10000
        lines.append(
            {
                "type": "line",
                "sequence": position,
                "product": product.id,
                "unit": product.unit,
                "quantity": float(quantity),
                "unit_price": unit_price,
                "taxes": [("add", list(supplier.taxes))] if supplier.taxes else [],
            }
        )
    return lines


def made_purchases(world: World, context: dict[str, Any], rng: random.Random) -> tuple[list[int], list[int]]:
    """Returns the ids of the orders placed and of those left as drafts, which have no number."""
    values = []
    for number in range(PURCHASES):
        supplier = world.suppliers[number % len(world.suppliers)]
        ordered = dt.date(2026, 1, 5) + dt.timedelta(days=number * 4)
        count = LONG_PURCHASE_LINES if number == LONG_PURCHASE else rng.randint(2, 9)
        order = {
            "company": world.company,
            "party": supplier.party,
            "invoice_party": supplier.party,
            "invoice_address": supplier.address,
            "currency": supplier.currency,
            "payment_term": supplier.payment_term,
            "warehouse": world.warehouses[number % 3 == 2]["warehouse"],
            "invoice_method": "fulfillment" if number % 2 else "order",
            "reference": f"PI-{supplier.code}-{rng.randint(1, 99999):05d}",
            "description": f"Order batch {number}",
            "purchase_date": ordered,
            "delivery_date": ordered + dt.timedelta(days=30),
            "lines": [("create", order_lines(supplier, count, world.products, rng))],
        }
        if supplier.code != DOMESTIC:
            term = INCOTERMS[(number // len(world.suppliers) + number) % len(INCOTERMS)]
            order["incoterm"] = world.incoterms[term]
            order["incoterm_location"] = supplier.address if term in {"FOB", "EXW"} else world.company_address
        values.append(order)
    purchase = rpc("purchase.purchase")
    ids = [i for start in range(0, PURCHASES, CHUNK) for i in purchase.create(values[start : start + CHUNK], context)]
    placed = [i for number, i in enumerate(ids) if number % 15 != 14]
    for part in chunks(placed):
        purchase.quote(part, context)
        purchase.confirm(part, context)
    return placed, [i for i in ids if i not in placed]


def made_shipments(world: World, placed: list[int], context: dict[str, Any], rng: random.Random) -> None:
    """Receipts of most orders: some in two parts, some short, some not yet put away, a few still expected."""
    names = ["moves", "party", "purchase_date", "warehouse", "incoterm", "incoterm_location"]
    orders = {order["id"]: order for order in rpc("purchase.purchase").read(placed, names, context)}
    places = {place["warehouse"]: place for place in world.warehouses}
    addresses = {supplier.party: supplier.address for supplier in world.suppliers}
    values, short, received, done = [], [], [], []
    for number, order_id in enumerate(placed):
        if number % 7 == 5:
            continue
        order = orders[order_id]
        moves = sorted(order["moves"])
        parts = [moves[:2], moves[2:]] if number % 4 == 0 and len(moves) > 2 else [moves]
        for part, some_moves in enumerate(parts):
            arrived = order["purchase_date"] + dt.timedelta(days=20 + part)
            if number % 6 == 0:
                short.append(some_moves[0])
            received.append(number % 16 != 15)
            done.append(received[-1] and number % 8 != 6)
            values.append(
                {
                    "company": world.company,
                    "supplier": order["party"],
                    "contact_address": addresses[order["party"]],
                    "incoterm": order["incoterm"],
                    "incoterm_location": order["incoterm_location"],
                    # The web client fills the two places below by itself; the bulk call does not.
                    **places[order["warehouse"]],
                    "reference": f"BL-{rng.randint(1, 999999):06d}",
                    "planned_date": arrived,
                    "effective_date": arrived,
                    "incoming_moves": [("add", some_moves)],
                }
            )
    shipment, move = rpc("stock.shipment.in"), rpc("stock.move")
    ids = shipment.create(values, context)
    for row in move.read(short, ["quantity"], context):
        move.write([row["id"]], {"quantity": max(1.0, float(int(row["quantity"] * 0.8)))}, context)
    for some in chunks([i for i, yes in zip(ids, received, strict=True) if yes]):
        shipment.receive(some, context)
    for some in chunks([i for i, yes in zip(ids, done, strict=True) if yes]):
        shipment.do(some, context)


def made_invoices(placed: list[int], context: dict[str, Any], rng: random.Random) -> None:
    """Gives Tryton's own draft invoices the supplier's number and date, and posts all but some."""
    invoice = rpc("account.invoice")
    references = rng.sample(range(1, 999999), 2 * PURCHASES)
    posted = []
    for number, order in enumerate(rpc("purchase.purchase").read(placed, ["invoices", "purchase_date"], context)):
        for invoice_id in sorted(order["invoices"]):
            values = {
                "reference": f"INV-{references.pop():06d}",
                "invoice_date": order["purchase_date"] + dt.timedelta(days=25),
            }
            invoice.write([invoice_id], values, context)
            if number % 6 != 5:
                posted.append(invoice_id)
    for part in chunks(posted):
        invoice.post(part, context)


def made_operator(company: int, password: str) -> None:
    """The robot's user. Tryton's groups let it write: only the robot's own guard keeps it from that."""
    for item in Model.get("ir.module.config_wizard.item").find([("state", "!=", "done")]):
        item.state = "done"
        item.save()
    user = Model.get("res.user")(name="Robot Operator", login="operator", password=password)
    user.language = Model.get("ir.lang").find([("code", "=", "en")])[0]
    for group in Model.get("res.group").find([("name", "in", ["Purchase", "Accounting", "Stock"])]):
        user.groups.append(group)
    user.companies.append(Model.get("company.company")(company))
    user.company = Model.get("company.company")(company)
    employee, *_ = Model.get("company.employee").find()
    user.employees.append(employee)
    user.employee = employee
    user.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fills a fresh Tryton database.")
    parser.add_argument("--config", required=True, help="trytond.conf of the database")
    parser.add_argument("--database", default="tryton")
    parser.add_argument("--password-variable", default="TRYTON_OPERATOR_PASSWORD", help="environment variable to read")
    arguments = parser.parse_args()
    config = proteus_config.set_trytond(database=arguments.database, user="admin", config_file=arguments.config)
    Pool(arguments.database).get("ir.date").today = staticmethod(lambda timezone=None: TODAY)
    rng = random.Random(SEED)
    world = made_world(config, rng)
    context = config.context
    placed, _ = made_purchases(world, context, rng)
    made_shipments(world, placed, context, rng)
    made_invoices(placed, context, rng)
    made_operator(world.company, os.environ[arguments.password_variable])


if __name__ == "__main__":
    main()
