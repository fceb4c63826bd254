"""Documents as UBL 2.1: valid against the schemas that OASIS published, nothing lost unseen, nothing guessed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from scraper_agent import formats
from scraper_agent.errors import AgentError, SourceErrors
from scraper_agent.format import Document, Format
from scraper_agent.formats import FORMATS, ubl
from tests import ubl_schemas
from tests.test_formats import HEADER, document, invoice, order, receipt

LOADING = """
name: overseasLoading
zh: 境外装货数据
en: loading abroad
version: "1.0"
status: proposal
key: [loadingNumber, enterpriseUscc]
header:
  loadingNumber: {zh: 装货单/装箱单号, en: n, type: an..60, need: M, source: own}
  loadingDate: {zh: 装货日期, en: n, type: YYYYMMDD, need: M, source: own}
  invoiceNumber: {zh: 发票号, en: n, type: an..60, need: C, source: own}
  consignerName: {zh: 境外发货人, en: n, type: an..150, need: M, source: own}
  loadingCountryCode: {zh: 装货国(地区), en: n, type: a3, need: M, codes: country, source: own}
  loadingPortCode: {zh: 启运港, en: n, type: an..8, need: C, source: own}
  entryPortCode: {zh: 入境口岸, en: n, type: an..8, need: O, source: own}
  transportModeCode: {zh: 运输方式, en: n, type: an1, need: M, source: own}
  conveyanceName: {zh: 运输工具名称, en: n, type: an..26, need: C, source: own}
  voyageNumber: {zh: 航次号, en: n, type: an..32, need: C, source: own}
  billNumber: {zh: 提运单号, en: n, type: an..37, need: M, source: own}
  packageQuantity: {zh: 件数, en: n, type: n..9, need: M, source: own}
  packageTypeCode: {zh: 包装种类, en: n, type: an2, need: O, source: own}
  grossWeight: {zh: 毛重(千克), en: n, type: n..19.5, need: M, source: own}
  netWeight: {zh: 净重(千克), en: n, type: n..19.5, need: O, source: own}
lines:
  lineNumber: {zh: 序号, en: n, type: n..9, need: M, source: own}
  containerNumber: {zh: 集装箱号, en: n, type: an11, need: C, source: own}
  containerTypeCode: {zh: 集装箱规格, en: n, type: n2, need: C, source: own}
  sealNumber: {zh: 封志号, en: n, type: an..30, need: O, source: own}
  packageMark: {zh: 唛头, en: n, type: an..400, need: O, source: own}
  materialNumber: {zh: 料号, en: n, type: an..32, need: M, source: own}
  goodsName: {zh: 品名, en: n, type: an..255, need: M, source: own}
  loadedQuantity: {zh: 装货数量, en: n, type: n..19.5, need: M, source: own}
  unitCode: {zh: 计量单位, en: n, type: n3, need: M, codes: unit, source: own}
  batchNumber: {zh: 批号, en: n, type: an..100, need: O, source: own}
  lineGrossWeight: {zh: 行毛重, en: n, type: n..19.5, need: O, source: own}
  lineNetWeight: {zh: 行净重, en: n, type: n..19.5, need: O, source: own}
  unNumber: {zh: 联合国编号, en: n, type: n4, need: C, source: own}
"""


@pytest.fixture(scope="session")
def all_formats(tmp_path_factory) -> dict[str, Format]:
    if "overseasLoading" in FORMATS:
        return FORMATS
    path = tmp_path_factory.mktemp("formats") / "overseas_loading.yaml"
    path.write_text(LOADING, encoding="utf-8")
    return {**FORMATS, "overseasLoading": formats.load(path)}


def loading(**changes):
    header = {
        **HEADER,
        "formatCode": "overseasLoading",
        "loadingNumber": "PL-1",
        "loadingDate": date(2026, 2, 20),
        "consignerName": "Muster GmbH",
        "loadingCountryCode": "DEU",
        "loadingPortCode": "DEU009",
        "transportModeCode": "2",
        "conveyanceName": "EVER GIVEN",
        "voyageNumber": "012E",
        "billNumber": "COSU123456",
        "packageQuantity": Decimal(4),
        "grossWeight": Decimal("120.50"),
        "netWeight": Decimal(110),
    }
    line = {
        "lineNumber": Decimal(1),
        "containerNumber": "CSQU3054383",
        "containerTypeCode": "11",
        "sealNumber": "S-1",
        "materialNumber": "M-1",
        "goodsName": "轴承",
        "loadedQuantity": Decimal(100),
        "unitCode": "007",
    }
    return document("overseasLoading", header, line, changes)


MAKERS = {"purchaseOrder": order, "foreignInvoice": invoice, "overseasLoading": loading, "goodsReceipt": receipt}


@cache
def schema(document: str) -> etree.XMLSchema:
    return ubl_schemas.schema(document)


def faults(data: bytes) -> list[str]:
    root = etree.fromstring(data)
    of = schema(etree.QName(root).localname)
    return [] if of.validate(root) else str(of.error_log).splitlines()


def read(data: bytes, path: str) -> list[str]:
    found = etree.fromstring(data).xpath(path, namespaces=ubl.profile().prefixes)
    assert isinstance(found, list)
    return [str(each) for each in found]


def full(format: Format) -> Document:
    """A document in which every field has a value."""
    texts = {"formatCode": format.name, "actionType": "1", "unitCode": "035", "transportModeCode": "2"}
    kinds = {"number": Decimal("12.50"), "date": date(2026, 3, 1), "datetime": HEADER["reportDateTime"]}

    def value(field):
        if field.type.holds != "text":
            return kinds[field.type.holds]
        return texts.get(field.id) or next(iter(field.choices), None) or "x" * field.type.least

    header = {field.id: value(field) for field in format.header}
    return Document(format=format.name, header=header, lines=({field.id: value(field) for field in format.lines},) * 2)


# --- valid ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("purchaseOrder", "Order"),
        ("foreignInvoice", "Invoice"),
        ("overseasLoading", "DespatchAdvice"),
        ("goodsReceipt", "ReceiptAdvice"),
    ],
)
def test_a_document_is_valid_ubl(name, root, all_formats):
    data = ubl.to_ubl(MAKERS[name](), all_formats[name])
    assert etree.QName(etree.fromstring(data)).localname == root
    assert faults(data) == []


@pytest.mark.parametrize("name", MAKERS)
def test_a_document_with_every_field_is_valid_ubl(name, all_formats):
    assert faults(ubl.to_ubl(full(all_formats[name]), all_formats[name])) == []


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None)  # the first document waits for its schema
@given(data=st.data())
def test_whatever_is_missing_it_is_valid_or_refused(name, data, all_formats):
    whole = full(all_formats[name])
    header = data.draw(st.sets(st.sampled_from(sorted(whole.header))))
    line = data.draw(st.sets(st.sampled_from(sorted(whole.lines[0]))))
    some = Document(
        format=name,
        header={id: value for id, value in whole.header.items() if id not in header},
        lines=(whole.lines[0], {id: value for id, value in whole.lines[1].items() if id not in line}),
    )
    try:
        found = faults(ubl.to_ubl(some, all_formats[name]))
    except AgentError as refused:
        missing = {*header, *(f"lines[2].{id}" for id in line)}
        found = [] if refused.code == "SA1092" and refused.values["field"] in missing else [str(refused)]
    assert found == []


@pytest.mark.parametrize("name", MAKERS)
def test_every_field_has_a_place_or_is_said_to_have_none(name, all_formats):
    format, mapped = all_formats[name], ubl.profile().documents[name]
    placed = {each for element in mapped.parts for each in element.fields()}
    left_out = {*ubl.profile().left_out, *mapped.left_out}
    every = {("header", id) for id in format.header_fields} | {("lines", id) for id in format.line_fields}
    assert placed <= every
    assert {id for _, id in every - placed} == left_out - {id for _, id in placed}


@pytest.mark.parametrize("name", MAKERS)
def test_what_a_field_says_is_in_the_document(name, all_formats):
    format, mapped = all_formats[name], ubl.profile().documents[name]
    whole = full(format)
    for part, id in {each for element in mapped.parts for each in element.fields()}:
        if format.header_fields.get(id, format.line_fields.get(id)).type.holds != "text" or "Code" in id:
            continue
        said = f"the very {id}"
        changed = {**(whole.header if part == "header" else whole.lines[1]), id: said}
        other = (
            Document(format=name, header=changed, lines=whole.lines)
            if part == "header"
            else Document(format=name, header=whole.header, lines=(whole.lines[0], changed))
        )
        assert said.encode() in ubl.to_ubl(other, format), id


# --- what it says ---------------------------------------------------------------------------------------------------


def test_an_invoice_in_full():
    data = ubl.to_ubl(
        invoice(remark='a<b>&"c"\'', billNumber="B-1", lines=[{"unitCode": "035", "hsCode": "8482102000"}]), INVOICE
    )
    assert data.decode() == (
        '<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2" '
        'xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2" '
        'xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">'
        "<cbc:UBLVersionID>2.1</cbc:UBLVersionID><cbc:ID>INV-1</cbc:ID>"
        "<cbc:UUID>3D8A9E9E-1B2C-4D5E-8F90-A1B2C3D4E5F6</cbc:UUID><cbc:IssueDate>2026-03-01</cbc:IssueDate>"
        '<cbc:Note>a&lt;b&gt;&amp;"c"\'</cbc:Note>'
        '<cbc:DocumentCurrencyCode listID="ISO 4217">EUR</cbc:DocumentCurrencyCode>'
        "<cac:OrderReference><cbc:ID>PO-17</cbc:ID></cac:OrderReference>"
        "<cac:AdditionalDocumentReference><cbc:ID>B-1</cbc:ID><cbc:DocumentType>提运单</cbc:DocumentType>"
        "</cac:AdditionalDocumentReference>"
        "<cac:AccountingSupplierParty><cac:Party><cac:PartyName><cbc:Name>Muster GmbH</cbc:Name></cac:PartyName>"
        '<cac:PostalAddress><cac:Country><cbc:IdentificationCode listAgencyName="GACC" listID="GACC-COUNTRY-A3">DEU'
        "</cbc:IdentificationCode></cac:Country></cac:PostalAddress></cac:Party></cac:AccountingSupplierParty>"
        '<cac:AccountingCustomerParty><cac:Party><cac:PartyIdentification><cbc:ID schemeID="USCC" '
        'schemeName="GB 32100-2015">91350100M000100Y43</cbc:ID></cac:PartyIdentification>'
        "<cac:PartyName><cbc:Name>上海示例贸易有限公司</cbc:Name></cac:PartyName></cac:Party>"
        "</cac:AccountingCustomerParty>"
        '<cac:DeliveryTerms><cbc:ID schemeAgencyName="GACC" schemeID="GACC-TRANSMODE">1</cbc:ID></cac:DeliveryTerms>'
        "<cac:AllowanceCharge><cbc:ChargeIndicator>true</cbc:ChargeIndicator>"
        "<cbc:AllowanceChargeReason>运费</cbc:AllowanceChargeReason>"
        '<cbc:Amount currencyID="EUR">20.5</cbc:Amount></cac:AllowanceCharge>'
        "<cac:AllowanceCharge><cbc:ChargeIndicator>false</cbc:ChargeIndicator>"
        "<cbc:AllowanceChargeReason>杂费</cbc:AllowanceChargeReason>"
        '<cbc:Amount currencyID="EUR">0.5</cbc:Amount></cac:AllowanceCharge>'
        '<cac:LegalMonetaryTotal><cbc:LineExtensionAmount currencyID="EUR">1130</cbc:LineExtensionAmount>'
        '<cbc:PayableAmount currencyID="EUR">1150</cbc:PayableAmount></cac:LegalMonetaryTotal>'
        "<cac:InvoiceLine><cbc:ID>1</cbc:ID>"
        '<cbc:InvoicedQuantity unitCode="KGM" unitCodeListAgencyID="6" unitCodeListID="UNECERec20">100'
        '</cbc:InvoicedQuantity><cbc:LineExtensionAmount currencyID="EUR">1130</cbc:LineExtensionAmount>'
        "<cac:Item><cbc:Name>轴承</cbc:Name><cac:BuyersItemIdentification><cbc:ID>M-1</cbc:ID>"
        "</cac:BuyersItemIdentification><cac:CommodityClassification>"
        '<cbc:ItemClassificationCode listAgencyName="GACC" listID="GACC-HS10">8482102000'
        "</cbc:ItemClassificationCode></cac:CommodityClassification></cac:Item>"
        '<cac:Price><cbc:PriceAmount currencyID="EUR">11.3</cbc:PriceAmount></cac:Price></cac:InvoiceLine></Invoice>'
    )
    assert faults(data) == []


INVOICE = FORMATS["foreignInvoice"]


def test_a_charge_is_a_charge_and_a_discount_an_allowance():
    def charges(**changes):
        data = ubl.to_ubl(invoice(freightAmount=None, **changes), INVOICE)
        assert faults(data) == []
        return read(data, "//cac:AllowanceCharge/*/text()")

    assert charges(otherCharges=Decimal(3)) == ["true", "杂费", "3"]
    assert charges(otherCharges=Decimal("-3.10")) == ["false", "杂费", "3.1"]
    assert charges(otherCharges=Decimal(0)) == ["true", "杂费", "0"]
    assert charges(otherCharges=None) == []
    assert charges(otherCharges=None, insuranceAmount=Decimal(2)) == ["true", "保险费", "2"]


def test_a_unit_keeps_the_name_of_its_own_list_unless_it_is_one_of_recommendation_20():
    def unit(code):
        data = ubl.to_ubl(receipt(lines=[{"unitCode": code}]), FORMATS["goodsReceipt"])
        assert faults(data) == []
        return read(data, "//cbc:ReceivedQuantity/@*")

    assert unit("007") == ["007", "GACC", "GACC-UNIT"]
    assert unit("035") == ["KGM", "6", "UNECERec20"]


def test_known_units_are_units_of_customs():
    known = ubl.profile().units.known
    names = {formats.CODES["unit"].codes[code].zh: rec20 for code, rec20 in known.items()}
    assert names == {
        "米": "MTR",
        "平方米": "MTK",
        "立方米": "MTQ",
        "千克": "KGM",
        "克": "GRM",
        "吨": "TNE",
        "升": "LTR",
        "毫升": "MLT",
        "千米": "KMT",
        "千瓦时": "KWH",
    }


@pytest.mark.parametrize(
    ("mode", "path"),
    [
        ("2", "cac:MaritimeTransport/cbc:VesselName"),
        ("3", "cac:RailTransport/cbc:TrainID"),
        ("4", "cac:RoadTransport/cbc:LicensePlateID"),
        ("5", "cac:AirTransport/cbc:AircraftID"),
    ],
)
def test_a_conveyance_is_named_as_what_it_is(mode, path, all_formats):
    data = ubl.to_ubl(loading(transportModeCode=mode, conveyanceName="X1"), all_formats["overseasLoading"])
    assert faults(data) == []
    assert read(data, f"//cac:TransportMeans/{path}/text()") == ["X1"]
    assert len(etree.fromstring(data).findall(".//{*}TransportMeans/*")) == 2


def test_a_line_without_weight_and_container_has_no_shipment(all_formats):
    bare = loading(lines=[{"containerNumber": None, "containerTypeCode": None, "sealNumber": None}])
    data = ubl.to_ubl(bare, all_formats["overseasLoading"])
    assert read(data, "//cac:DespatchLine/cac:Shipment/cbc:ID/text()") == []
    assert read(data, "//cac:DespatchLine/cac:OrderLineReference/cbc:LineID/text()") == ["NA"]
    assert faults(data) == []


def test_lines_stay_in_their_order():
    data = ubl.to_ubl(order(lines=[{"orderLineNumber": str(n)} for n in (3, 1, 2)]), FORMATS["purchaseOrder"])
    assert read(data, "//cac:LineItem/cbc:ID/text()") == ["3", "1", "2"]


def test_equal_documents_have_equal_bytes():
    one = invoice(totalAmount=Decimal("1150.00"), freightAmount=Decimal("20.50"))
    other = Document(format=one.format, header=dict(reversed(one.header.items())), lines=one.lines)
    same = invoice(totalAmount=Decimal("11.5E+2"), freightAmount=Decimal("20.5"))
    assert ubl.to_ubl(one, INVOICE) == ubl.to_ubl(other, INVOICE) == ubl.to_ubl(same, INVOICE)


def test_an_empty_text_is_no_value():
    assert ubl.to_ubl(invoice(paymentTermCode=""), INVOICE) == ubl.to_ubl(invoice(), INVOICE)


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (invoice(currencyCode=None), "SA1092 currencyCode is missing, but the Invoice of UBL 2.1 needs it"),
        (invoice(sellerName=""), "SA1092 sellerName is missing, but the Invoice of UBL 2.1 needs it"),
        (
            invoice(lines=[{}, {"lineAmount": None}]),
            "SA1092 lines[2].lineAmount is missing, but the Invoice of UBL 2.1 needs it",
        ),
        (receipt(lines=[]), "SA1092 lines is missing, but the ReceiptAdvice of UBL 2.1 needs it"),
        (order(lines=[{"unitCode": ""}]), "SA1092 lines[1].unitCode is missing, but the Order of UBL 2.1 needs it"),
        (invoice(actionType="3"), "SA1093 a document whose actionType is `3` is none of UBL 2.1"),
        (invoice(sellerName="a\x00b"), "SA1094 sellerName has a character that XML cannot carry"),
        (
            order(lines=[{"goodsName": "a\ufffe"}]),
            "SA1094 lines[1].goodsName has a character that XML cannot carry",
        ),
    ],
)
def test_what_ubl_cannot_say_is_refused(document, said):
    with pytest.raises(AgentError) as caught:
        ubl.to_ubl(document, FORMATS[document.format])
    assert str(caught.value) == said


def test_a_format_without_a_document_of_ubl_is_refused():
    record = Document(format="tradeStatistics", header={"customsDistrict": "2200"})
    with pytest.raises(AgentError) as caught:
        ubl.to_ubl(record, FORMATS["tradeStatistics"])
    assert str(caught.value) == (
        "SA1091 a tradeStatistics has no document of UBL 2.1\n"
        "hint: these have one: purchaseOrder, foreignInvoice, overseasLoading, goodsReceipt"
    )


def test_a_value_of_another_kind_is_the_callers_mistake():
    with pytest.raises(ValueError, match="totalAmount"):
        ubl.to_ubl(invoice(totalAmount="1150"), INVOICE)


def test_an_element_has_one_content(tmp_path):
    path = tmp_path / "profile.yaml"
    good = (formats.HERE / "profiles" / "ubl_2_1.yaml").read_text(encoding="utf-8")
    path.write_text(good.replace("field: orderNumber, need", "field: orderNumber, text: x, need", 1), encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        ubl.load(path)
    assert "`cbc:ID` needs exactly one of `field`, `header`, `text`, `parts`" in str(caught.value)
