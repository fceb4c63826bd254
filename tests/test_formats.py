"""The type notation, the byte form of a document, and the formats as data."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import formats, messages, yamlfile
from scraper_agent.errors import SourceErrors
from scraper_agent.format import Context, Document, Type, decode, encode, json_schema
from scraper_agent.formats import CODES, FORMATS
from scraper_agent.rules import EXACT

USCC = "91350100M000100Y43"
DIGEST = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"

HEADER = {
    "recordGuid": "3D8A9E9E-1B2C-4D5E-8F90-A1B2C3D4E5F6",
    "schemaVersion": "1.0",
    "actionType": "1",
    "reportDateTime": datetime(2026, 3, 2, 9, 30),  # noqa: DTZ001 - local time, as the formats have it
    "captureDateTime": datetime(2026, 3, 2, 9, 29, 59),  # noqa: DTZ001
    "enterpriseUscc": "91350100M000100Y43",
    "enterpriseName": "上海示例贸易有限公司",
    "inSpecialZone": "0",
    "erpSystemCode": "tryton",
    "recipeId": "tryton/order",
    "recipeVersion": "1",
    "sourceRecordKey": "purchase.purchase,17",
    "sourcePageDigest": DIGEST,
}


def order(**changes):
    header = {
        **HEADER,
        "formatCode": "purchaseOrder",
        "orderNumber": "PO-17",
        "orderDate": date(2026, 3, 1),
        "buyerUscc": "91350100M000100Y43",
        "buyerName": "上海示例贸易有限公司",
        "supplierCode": "V001",
        "supplierName": "Muster GmbH",
        "supplierCountryCode": "DEU",
        "currencyCode": "EUR",
        "totalAmount": Decimal("1130.00"),
        "transactionModeCode": "3",
    }
    line = {
        "orderLineNumber": "1",
        "materialNumber": "M-1",
        "goodsName": "轴承",
        "hsCode": "0101210010",
        "orderedQuantity": Decimal(100),
        "unitCode": "007",
        "unitPrice": Decimal("11.3"),
        "lineAmount": Decimal(1130),
        "requestedDeliveryDate": date(2026, 5, 1),
    }
    return document("purchaseOrder", header, line, changes)


def invoice(**changes):
    header = {
        **HEADER,
        "formatCode": "foreignInvoice",
        "invoiceNumber": "INV-1",
        "invoiceDate": date(2026, 3, 1),
        "orderNumber": "PO-17",
        "sellerName": "Muster GmbH",
        "sellerCountryCode": "DEU",
        "buyerUscc": "91350100M000100Y43",
        "buyerName": "上海示例贸易有限公司",
        "currencyCode": "EUR",
        "goodsAmount": Decimal("1130.00"),
        "freightAmount": Decimal("20.50"),
        "otherCharges": Decimal("-0.50"),
        "totalAmount": Decimal("1150.00"),
        "transactionModeCode": "1",
        "grossWeight": Decimal("12.5"),
        "netWeight": Decimal(12),
    }
    line = {
        "invoiceLineNumber": "1",
        "materialNumber": "M-1",
        "goodsName": "轴承",
        "quantity": Decimal(100),
        "unitCode": "007",
        "unitPrice": Decimal("11.3"),
        "lineAmount": Decimal(1130),
    }
    return document("foreignInvoice", header, line, changes)


def receipt(**changes):
    header = {
        **HEADER,
        "formatCode": "goodsReceipt",
        "receiptNumber": "GR-1",
        "receiptDate": date(2026, 6, 1),
        "orderNumber": "PO-17",
        "entryId": "223320261000000012",
        "supplierName": "Muster GmbH",
        "receiverUscc": "91350100M000100Y43",
        "warehouseCode": "W1",
    }
    line = {
        "receiptLineNumber": "1",
        "orderLineNumber": "1",
        "materialNumber": "M-1",
        "goodsName": "轴承",
        "receivedQuantity": Decimal(98),
        "rejectedQuantity": Decimal(2),
        "unitCode": "007",
    }
    return document("goodsReceipt", header, line, changes)


def document(format, header, line, changes):
    """`changes`: header fields by name, `lines` as a list of changes to the line; None takes a field away."""
    lines = tuple(_changed(line, each) for each in changes.pop("lines", [{}]))
    return Document(format=format, header=_changed(header, changes), lines=lines)


def _changed(values, changes):
    return {id: value for id, value in {**values, **changes}.items() if value is not None}


GOOD = [order(), invoice(), receipt()]


def told(document, context=None):
    """Findings as a person reads them."""
    found = FORMATS[document.format].check(document, context or Context())
    return [f"{f.severity} {f.code} {f.field} {messages.render(f.text, f.values)}" for f in found]


# --- the type notation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notation", "holds", "good", "bad"),
    [
        ("a6", "text", ["ABCdef"], ["ABCDE", "ABCDEFG", "ABCDE1", "ABCDÉF"]),
        ("n7", "text", ["0001234"], ["123456", "12345678", "123456x", "１２３４５６７"]),
        ("an18", "text", ["x" * 18, "中" * 18], ["x" * 17, "x" * 19]),
        ("a3..10", "text", ["abc", "a" * 10], ["ab", "a" * 11]),
        ("a..10", "text", ["a"], ["", "a1"]),
        ("n2..8", "number", [Decimal(10), Decimal(12345678)], [Decimal(1), Decimal(123456789), Decimal("1.5")]),
        ("an..35", "text", ["a", "北京 & <b>", "x" * 35], ["", "x" * 36, "a\x00b"]),
        ("an..ul", "text", ["x" * 100_000], [""]),
        ("n..ul", "number", [Decimal("9" * 80)], [Decimal("0.1")]),
        (
            "n..17.2",
            "number",
            [Decimal("9" * 15 + ".99"), Decimal("-0.01"), Decimal(0), Decimal("1.2300"), Decimal("1E+3")],
            [Decimal("1" + "0" * 15), Decimal("0.001"), Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999")],
        ),
        ("n..2.2", "number", [Decimal("0.99"), Decimal(0)], [Decimal(1)]),
        ("aannn", "text", ["AB123"], ["A1123", "AB12", "AB1234", "ab12x"]),
        ("(aannn)", "text", ["AB123"], ["AB12"]),
        ("YYYYMMDD", "date", [date(2026, 2, 28)], ["20260228", datetime(2026, 2, 28, tzinfo=UTC), Decimal(1)]),
        (
            "YYYYMMDDThhmmss",
            "datetime",
            [datetime(2026, 2, 28, 1, 2, 3)],  # noqa: DTZ001
            [date(2026, 2, 28), datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 2, 28, 0, 0, 0, 1)],  # noqa: DTZ001
        ),
        ("binary", "text", ["AAEC/w=="], ["not base64!"]),
    ],
)
def test_a_type_holds_its_values_and_no_others(notation, holds, good, bad):
    type = Type.parse(notation)
    assert (type.notation, type.holds) == (notation, holds)
    assert [value for value in good if type.fault(value)] == []
    assert [value for value in bad if not type.fault(value)] == []


@pytest.mark.parametrize(
    "notation", ["", "a", "n", "an", "an1..", "a0", "n..0", "x5", "an 5", "n..5.", "yyyymmdd", "a-5"]
)
def test_what_is_no_type_is_refused(notation):
    with pytest.raises(yamlfile.Wrong) as caught:
        Type.parse(notation)
    assert messages.render(caught.value.text, caught.value.values) == f"`{notation}` is not a type of GB/T 40292"


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("n5..3", "`n5..3` allows no value"),
        ("n..2.3", "`n..2.3` allows no value"),
        ("an..19.4", "`an..19.4` has decimals, but only a number can"),
        ("a..9.0", "`a..9.0` has decimals, but only a number can"),
        ("n..ul.2", "`n..ul.2` has decimals but no number of digits"),
    ],
)
def test_a_type_without_sense_is_refused(notation, message):
    with pytest.raises(yamlfile.Wrong) as caught:
        Type.parse(notation)
    assert messages.render(caught.value.text, caught.value.values) == message


@pytest.mark.parametrize(
    ("notation", "value", "message"),
    [
        ("n..19.2", Decimal("1.005"), "is 1.005, which has 3 decimals; n..19.2 allows 2"),
        ("n..4.2", Decimal(100), "is 100, which has 3 digits before the point; n..4.2 allows 2"),
        ("n2..8", Decimal(7), "is 7, which has 1 digits; n2..8 needs 2"),
        ("n..19.2", "1,00", "is `1,00`, not a number"),
        ("n..19.2", Decimal("NaN"), "is `NaN`, not a number"),
        ("an..3", "abcd", "is `abcd`, which has 4 characters; the type is an..3"),
        ("an..3", "x" * 50, f"is `{'x' * 39}…`, which has 50 characters; the type is an..3"),
        ("n3", "00x", "is `00x`, which does not fit the type n3"),
        ("an..3", "a\x00", "has the character U+0000, which is not text"),
        ("an..3", Decimal(1), "is `1`, not text"),
        ("YYYYMMDD", "2026-03-01", "is `2026-03-01`, not a date"),
        ("YYYYMMDDThhmmss", date(2026, 3, 1), "is `2026-03-01`, not a date and time"),
    ],
)
def test_a_fault_names_the_value_and_the_type(notation, value, message):
    fault = Type.parse(notation).fault(value)
    assert fault is not None
    text, values = fault
    assert messages.render(text, values) == message


# --- the byte form --------------------------------------------------------------------------------------------------


def test_the_bytes_are_compact_sorted_and_plain():
    document = Document(
        format="purchaseOrder",
        header={
            "totalAmount": Decimal("1130.00"),
            "orderNumber": "采购-1",
            "orderDate": date(2026, 3, 1),
            "reportDateTime": datetime(2026, 3, 2, 9, 5),  # noqa: DTZ001
            "taxAmount": Decimal("-0.00"),
        },
        lines=({"unitPrice": Decimal("1E+2"), "hsCode": "0101210010"}, {}),
    )
    assert encode(document, FORMATS["purchaseOrder"]).decode() == (
        '{"format":"purchaseOrder","header":{"orderDate":"20260301","orderNumber":"采购-1",'
        '"reportDateTime":"20260302T090500","taxAmount":"0","totalAmount":"1130"},'
        '"lines":[{"hsCode":"0101210010","unitPrice":"100"},{}]}'
    )


def _values(fields):
    kinds = {
        "text": st.text(max_size=8),
        "number": st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
            lambda d: abs(d.adjusted()) < 900
        )
        | st.sampled_from([Decimal("-0"), Decimal("1.10"), Decimal("1.1"), Decimal("1E+2"), Decimal("100.0")]),
        "date": st.dates(),
        "datetime": st.datetimes().map(lambda moment: moment.replace(microsecond=0)),
    }
    return st.fixed_dictionaries({}, optional={field.id: kinds[field.type.holds] for field in fields})


INVOICE = FORMATS["foreignInvoice"]


def _documents(format):
    """Documents of a few fields each: with all of them, two would never be equal."""
    header = st.lists(st.sampled_from(format.header), max_size=4, unique_by=lambda f: f.id).flatmap(_values)
    if not format.lines:
        return st.builds(Document, format=st.just(format.name), header=header)
    lines = st.lists(st.sampled_from(format.lines), max_size=3, unique_by=lambda f: f.id).flatmap(_values)
    return st.builds(Document, format=st.just(format.name), header=header, lines=st.lists(lines, max_size=2).map(tuple))


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again(name):
    format = FORMATS[name]

    @given(_documents(format))
    def check(document):
        data = encode(document, format)
        assert decode(format, data) == document
        assert json.loads(data)["format"] == name

    check()


@pytest.mark.parametrize("name", FORMATS)
def test_equal_bytes_are_equal_documents(name):
    format = FORMATS[name]

    @given(_documents(format), _documents(format), st.booleans())
    def check(one, other, swapped):
        other = _again(one) if swapped else other
        assert (encode(one, format) == encode(other, format)) is (one == other)

    check()


def _again(document):
    """The same document, with its fields in another order and its numbers written otherwise."""

    def other(values):
        return {
            id: EXACT.multiply(v, Decimal("1.000")) if isinstance(v, Decimal) else v
            for id, v in reversed(values.items())
        }

    return Document(format=document.format, header=other(document.header), lines=tuple(map(other, document.lines)))


_NUMBERS = st.sampled_from(
    [Decimal(t) for t in ("0", "-0", "0.00", "1", "1.0", "10E-1", "-1", "1E2", "100", "0.1", "1E-7")]
)


@given(_NUMBERS, _NUMBERS)
def test_equal_numbers_have_equal_bytes(one, other):
    documents = [Document(format="foreignInvoice", header={"totalAmount": each}) for each in (one, other)]
    assert (encode(documents[0], INVOICE) == encode(documents[1], INVOICE)) is (one == other)


@pytest.mark.parametrize(
    "header",
    [
        {"invoiceDate": "20260301"},
        {"totalAmount": "1"},
        {"totalAmount": Decimal("NaN")},
        {"totalAmount": Decimal("1E+999999")},
        {"invoiceNumber": Decimal(1)},
        {"invoiceDate": datetime(2026, 3, 1)},  # noqa: DTZ001
        {"captureDateTime": datetime(2026, 3, 1, tzinfo=UTC)},
        {"captureDateTime": datetime(2026, 3, 1, 0, 0, 0, 1)},  # noqa: DTZ001
        {"noSuchField": "1"},
    ],
)
def test_a_value_of_another_kind_has_no_bytes(header):
    with pytest.raises(ValueError, match=next(iter(header))):
        encode(Document(format="foreignInvoice", header=header), INVOICE)


def test_a_document_of_another_format_has_no_bytes():
    with pytest.raises(ValueError, match="purchaseOrder"):
        encode(order(), INVOICE)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b"\xff",
        b'{"format":"purchaseOrder","header":{},"lines":[]}',
        b'{"format":"foreignInvoice","header":{},"lines":[]} ',
        b'{"format":"foreignInvoice","lines":[],"header":{}}',
        b'{"format":"foreignInvoice","header":{"totalAmount":"1.0"},"lines":[]}',
        b'{"format":"foreignInvoice","header":{"totalAmount":"x"},"lines":[]}',
        b'{"format":"foreignInvoice","header":{"totalAmount":1},"lines":[]}',
        b'{"format":"foreignInvoice","header":{"invoiceDate":"2026-03-01"},"lines":[]}',
        b'{"format":"foreignInvoice","header":{"noSuchField":"1"},"lines":[]}',
        b'{"format":"foreignInvoice","header":{"invoiceNumber":"\\u0041"},"lines":[]}',
    ],
)
def test_bytes_that_were_not_written_so_are_refused(data):
    with pytest.raises(ValueError, match=r"."):
        decode(INVOICE, data)


# --- JSON Schema ----------------------------------------------------------------------------------------------------


def _accepts(document):
    format = FORMATS[document.format]
    schema = json_schema(format)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(json.loads(encode(document, format)))


@pytest.mark.parametrize("document", GOOD, ids=lambda d: d.format)
def test_the_schema_accepts_a_good_document(document):
    assert told(document) == []
    assert _accepts(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"orderNumber": None},
        {"orderNumber": "x" * 61},
        {"currencyCode": "EURO"},
        {"currencyCode": "XXX"},
        {"actionType": "4"},
        {"totalAmount": Decimal("1.001")},
        {"totalAmount": Decimal("1" + "0" * 17)},
        {"recordGuid": "3d8a9e9e-1b2c-4d5e-8f90-a1b2c3d4e5f6"},
        {"sourcePageDigest": DIGEST + "\n"},
        {"buyerUscc": ""},
        {"lines": []},
        {"lines": [{"goodsName": None}]},
        {"lines": [{"unitCode": "7"}]},
        {"lines": [{"hsCode": "01012100\n0"}]},
    ],
)
def test_the_schema_and_the_check_refuse_a_bad_document(changes):
    assert not _accepts(order(**changes))
    assert any("CHK-01" in line for line in told(order(**changes)))


_TYPES = ["a6", "n7", "a3..10", "n2..8", "n..5.2", "n..2.2", "n3..5.1", "an..4", "aannn", "n..ul", "binary"]


@given(
    st.sampled_from(_TYPES).map(Type.parse),
    st.text(max_size=9)
    | st.from_regex(r"\A[0-9]{1,10}\n?\Z")
    | st.from_regex(r"\A[A-Za-z]{1,11}\Z")
    | st.from_regex(r"\A[a-z]{2}[0-9]{3}\n?\Z")
    | st.decimals(-1000, 1000, places=2)
    | st.integers(-(10**9), 10**9).map(Decimal),
)
def test_schema_and_type_agree(type, value):
    if isinstance(value, Decimal) is not (type.holds == "number"):
        return
    if isinstance(value, Decimal):
        written = f"{value.normalize():f}" if value else "0"
    elif re.search(r"[\x00-\x1f\x7f]", value) and type.shape is None:
        return  # the schema leaves unwritable characters to the check
    else:
        written = value
    accepted = jsonschema.Draft202012Validator(type.schema()).is_valid(written)
    assert accepted is (type.fault(value) is None)


@pytest.mark.parametrize("written", ["-0", "01", "1.0", "1.", ".5", "+1", "1e3", "1\n", "1,5", "", "1.234", "-"])
def test_the_schema_refuses_what_the_bytes_never_say(written):
    schema = Type.parse("n..5.2").schema()
    assert not jsonschema.Draft202012Validator(schema).is_valid(written)
    assert jsonschema.Draft202012Validator(schema).is_valid("-999.99")


# --- the formats as data --------------------------------------------------------------------------------------------


FIELDS = {
    "contract": (21, 11),
    "purchaseOrder": (17, 11),
    "foreignInvoice": (23, 11),
    "overseasLoading": (15, 13),
    "materialRelation": (4, 20),
    "goodsReceipt": (11, 12),
    "enterpriseFinance": (8, 13),
    "bondedTransfer": (10, 10),
    "stockOut": (16, 16),
    "bondedGateOut": (20, 9),
}
"""Rows of the tables of the domain report; the header of a gate-out names one of the common fields again."""

COMMON = 19


@pytest.mark.parametrize("name", FIELDS)
def test_a_format_has_every_field_of_the_domain_report(name):
    format = FORMATS[name]
    assert format.name == name
    again = 1 if name == "bondedGateOut" else 0
    assert (len(format.header) - COMMON + again, len(format.lines)) == FIELDS[name]


def test_the_ten_formats_have_271_fields_beside_the_common_ones():
    assert len(FIELDS) == 10
    assert sum(map(sum, FIELDS.values())) == 271
    assert FIELDS.keys() <= FORMATS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_only_the_formats_of_a_zone_need_the_customs_office(name):
    zone = name in {"bondedTransfer", "stockOut", "bondedGateOut"}
    assert FORMATS[name].header_fields["customsMasterCode"].mandatory is zone
    assert ("customsMasterCode" in json_schema(FORMATS[name])["properties"]["header"]["required"]) is zone


def test_every_yaml_file_is_in_the_tables():
    folder = Path(formats.__file__).parent
    described = {yaml.stem for yaml in folder.glob("*.yaml")} - {"common"}
    assert described == {re.sub("([A-Z])", r"_\1", name).lower() for name in FORMATS}
    assert {yaml.stem for yaml in (folder / "codes").glob("*.yaml")} == set(CODES)


def test_code_lists_have_every_row():
    assert {name: len(codes.codes) for name, codes in CODES.items()} == {
        "container": 8,
        "country": 264,
        "currency": 22,
        "incoterm": 7,
        "packaging": 13,
        "supervision": 98,
        "transport": 18,
        "unit": 123,
    }
    assert {codes.date for codes in CODES.values()} == {date(2018, 8, 1)}
    assert all(codes.version for codes in CODES.values())
    assert CODES["supervision"].codes["0255"].zh == "来料深加工"
    assert (CODES["country"].codes["ZAF"].zh, CODES["country"].codes["ZAF"].numeric) == ("南非", "244")
    assert (CODES["currency"].codes["CNY"].zh, CODES["currency"].codes["CNY"].numeric) == ("人民币", "142")
    assert CODES["unit"].codes["035"].zh == "千克"
    assert CODES["incoterm"].codes["2"].also == ("CFR", "CNF")


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_key_amount_and_currency_are_fields_of_the_header(format):
    assert set(format.key) <= set(format.header_fields)
    assert all(format.header_fields[id].need == "M" for id in format.key)
    if format.amount:
        assert format.header_fields[format.amount].type.holds == "number"
        assert format.header_fields[format.currency].codes == "currency"


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_every_field_says_where_it_comes_from(format):
    for field in (*format.header, *format.lines):
        assert field.zh, field.id
        assert field.en, field.id
        assert field.source, field.id
        if field.id.endswith(("CountryCode", "currencyCode")):
            assert field.choices, field.id


WITH_COMMON_HEADER = {name: format for name, format in FORMATS.items() if "formatCode" in format.header_fields}


@pytest.mark.parametrize("format", WITH_COMMON_HEADER.values(), ids=WITH_COMMON_HEADER)
def test_the_constant_of_the_version_is_the_version(format):
    wrong = Document(format=format.name, header={"formatCode": "waybill", "schemaVersion": "0"})
    found = [line for line in told(wrong) if "but must be `" in line]
    assert found == [
        f"error CHK-01 formatCode is `waybill`, but must be `{format.name}`",
        f"error CHK-01 schemaVersion is `0`, but must be `{format.version}`",
    ]


def test_what_a_format_file_names_must_be_there(tmp_path):
    good = (Path(formats.__file__).parent / "foreign_invoice.yaml").read_text(encoding="utf-8")
    path = tmp_path / "foreign_invoice.yaml"
    path.write_text(
        good.replace("key: [invoiceNumber,", "key: [invoiceNo,")
        .replace("currency: currencyCode}", "currency: curency}")
        .replace("codes: incoterm", "codes: incoterms")
        .replace("gross: grossWeight", "gross: billNumber")
        .replace("fields: [contractNumber, orderNumber]", "fields: [contractNumber, orderNo]")
        .replace("{check: unit-quantity, unit: unitCode, quantities: [quantity]}", "{check: unit-quantiti}")
        .replace("type: an..37", "type: an..37.1"),
        encoding="utf-8",
    )
    with pytest.raises(SourceErrors) as caught:
        formats.load(path)
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [
        "`an..37.1` has decimals, but only a number can",
        "`rules[13].check` may not be `unit-quantiti`",
    ]
    text = path.read_text(encoding="utf-8").replace("an..37.1", "an..37").replace("  - {check: unit-quantiti}\n", "")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        formats.load(path)
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [
        "the header has no field `invoiceNo`",
        "the header has no field `curency`",
        f"there is no code list `incoterms`; there are {', '.join(CODES)}",
        "the format's header has no field `orderNo`",
        "`billNumber` is of type an..37, but this rule needs number",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "field: passportTypeCode, none_of",
            "field: passportType, none_of",
            "the format's header has no field `passportType`",
        ),
        ("gross: lines.grossWeight", "gross: lines.weight", "the format's lines has no field `lines.weight`"),
        ("net: lines.netWeight", "net: lines.hsCode", "`lines.hsCode` is of type n10, but this rule needs number"),
        (
            'field: statusCode, one_of: ["2", "3", "4"]',
            'field: vehicleWeight, one_of: ["2"]',
            "`vehicleWeight` is of type n..19.5, but this rule needs text",
        ),
        ('one_of: ["6"]}, status', 'one_of: ["7"]}, status', "`7` is no code of `passportTypeCode`"),
        ("mandatory: [customsMasterCode]", "mandatory: [customsMaster]", "the header has no field `customsMaster`"),
        (
            "no_lines: {field: passportTypeCode",
            "no_lines: {field: passType",
            "the format's header has no field `passType`",
        ),
    ],
)
def test_a_rule_whose_condition_does_not_fit_the_format_is_refused(tmp_path, old, new, said):
    good = (Path(formats.__file__).parent / "bonded_gate_out.yaml").read_text(encoding="utf-8")
    assert old in good
    path = tmp_path / "bonded_gate_out.yaml"
    path.write_text(good.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        formats.load(path)
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [said]


def test_a_field_of_every_format_may_not_be_described_again(tmp_path):
    good = (Path(formats.__file__).parent / "goods_receipt.yaml").read_text(encoding="utf-8")
    path = tmp_path / "goods_receipt.yaml"
    path.write_text(good.replace("\n  receiptDate:", "\n  recordGuid:"), encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        formats.load(path)
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [
        "`recordGuid` is a field of every format already"
    ]


OWN = """
name: own
zh: 自有
en: own
version: "1"
status: own
common: false
key: [number]
header:
  number: {zh: 号, en: number, type: an..9, need: M, source: own}
"""


def test_a_format_may_have_a_record_of_its_own_without_lines(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    own = formats.load(path)

    def said(**parts):
        document = Document(format="own", **parts)
        schema = jsonschema.Draft202012Validator(json_schema(own))
        found = [messages.render(f.text, f.values) for f in own.check(document, Context())]
        assert schema.is_valid(json.loads(encode(document, own))) is (not found)
        return found

    assert said(header={"number": "1"}) == []
    assert said(header={}) == ["is missing"]
    assert said(header={"number": "1"}, lines=({},)) == ["has 1; this format has no lines"]


_LOOKED_AT = st.text(max_size=12) | st.decimals() | st.sampled_from(
    ["", "\x00", "I", "1", "CNY", "0", Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E+9"), Decimal("0.00001"),
     Decimal("-0"), Decimal(100), date(2026, 1, 1), USCC, "\ufffe", "\ud800", "１２３"]
)  # fmt: skip


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_a_quick_look_never_passes_what_is_wrong(format):
    @given(st.sampled_from(format.header + format.lines), _LOOKED_AT)
    def check(field, value):
        assert not field.fits(value) or field.fault(value) is None

    check()


def test_checking_and_encoding_twenty_lines_is_fast():
    document = invoice(
        goodsAmount=Decimal(22600),
        totalAmount=Decimal(22620),
        lines=[{"invoiceLineNumber": str(n)} for n in range(1, 21)],
    )
    assert told(document) == []

    def once():
        started = time.process_time()
        INVOICE.check(document, Context())
        encode(document, INVOICE)
        return time.process_time() - started

    assert min(once() for _ in range(20)) < 0.003
