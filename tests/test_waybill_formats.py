"""The two waybills as formats: their samples, their one byte form, what may be added, and clause 8 of GB/T 40292."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import formats, messages
from scraper_agent.errors import SourceErrors, UsageError
from scraper_agent.format import Context, Document, decode, encode, json_schema
from scraper_agent.formats import FORMATS
from scraper_agent.rules import identity
from scraper_agent.waybill import profile, status, verification
from tests.test_formats import _values
from tests.waybills import CROSS_BORDER, DANGEROUS, FOLDERS, SAMPLES, STATUS, samples

ALL = [sample for folder in FOLDERS for sample in samples(folder)]


def told(document, format):
    return [
        f"{f.severity} {f.code} {f.field} {messages.render(f.text, f.values)}"
        for f in format.check(document, Context())
    ]


def verified(document, format):
    found = verification.verify(document, format)
    return [
        f"{each.step} {each.finding.severity} {each.finding.code} {each.finding.field} "
        f"{messages.render(each.finding.text, each.finding.values)}"
        for each in found.findings
    ]


# --- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_a_sample_has_these_findings_and_no_others(sample):
    telling = verified if sample.format.name == "crossBorderWaybill" else told
    assert telling(sample.document, sample.format) == sample.found


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_format_has_good_and_bad_samples(folder):
    of = [sample for sample in ALL if sample.folder == folder]
    good = [sample for sample in of if sample.good]
    assert len(good) >= 3
    assert len(of) - len(good) >= 10
    assert not [sample.name for sample in good if sample.found]
    assert not [sample.name for sample in of if not sample.good and not sample.found]


@pytest.mark.parametrize("sample", [s for s in ALL if s.good], ids=str)
def test_a_good_sample_has_one_byte_form_that_its_schema_accepts(sample):
    data = encode(sample.document, sample.format)
    assert decode(sample.format, data) == sample.document
    schema = json_schema(sample.format)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(data), schema)


@pytest.mark.parametrize("sample", [s for s in ALL if not s.good], ids=str)
def test_the_schema_refuses_what_a_field_alone_tells(sample):
    """It knows missing fields, types, codes; not the rules across fields, nor the bounds of numbers."""
    try:
        data = encode(sample.document, sample.format)
    except ValueError:
        return  # a value of another kind, or an unknown field, has no bytes at all
    alone = [line for line in sample.found if "CHK-01" in line and "because" not in line and "but must be " not in line]
    accepted = jsonschema.Draft202012Validator(json_schema(sample.format)).is_valid(json.loads(data))
    assert not (accepted and alone)
    assert accepted or any("CHK-01" in line for line in sample.found)


# --- the formats as data --------------------------------------------------------------------------------------------


def test_the_dangerous_goods_waybill_has_every_node_of_table_1():
    nodes = (
        "i1 i11 i12 i21 i22 i31 i32 i41 i42 i421 i43 i431 i44 i45 i451 i452 i46 i461 i462 i47 i471 i48 i481 "
        "i49 i491 i492 i50 i501 i502 i510 i52 i53 i54"
    )
    assert list(DANGEROUS.header_fields) == nodes.split()
    assert list(DANGEROUS.line_fields) == [f"g{n}" for n in range(1, 9)]


@pytest.mark.parametrize(
    ("printed", "notation"),
    [("F24", "an24"), ("F4", "n4"), ("F6", "n6"), ("V256", "an..256"), ("V128", "an..128"), ("(5,2)", "n..7.2")],
)
def test_a_printed_length_is_the_length_of_the_type(printed, notation):
    fields = (*DANGEROUS.header, *DANGEROUS.lines)
    assert {field.type.notation for field in fields if field.printed == printed} == {notation}


def test_every_printed_length_of_text_is_that_of_its_type():
    for field in (*DANGEROUS.header, *DANGEROUS.lines):
        if field.type.holds == "text" and field.printed[0] in "FV":
            assert field.type.most == int(field.printed[1:])
            assert (field.type.least == field.type.most) is (field.printed[0] == "F")


def test_the_cross_border_waybill_has_the_36_elements_of_table_3():
    assert len(CROSS_BORDER.header) == 36
    assert CROSS_BORDER.lines == ()
    ids = list(CROSS_BORDER.header_fields)
    assert [ids.index(id) + 1 for id in ("logisticsEnterpriseCode", "consigner", "consignee", "carrierID")] == [
        11,
        13,
        17,
        33,
    ]


def test_a_change_of_status_knows_the_names_of_the_profile():
    """All but the first: a waybill begins as that, and never becomes it."""
    named = {name: each.zh for name, each in profile.DEFAULT.statuses.items() if name != status.first()}
    assert STATUS.header_fields["status"].choices == named


def test_certificate_numbers_are_masked_as_the_profile_says():
    code = profile.DEFAULT.qr
    assert {f.id: f.masked for f in (*DANGEROUS.header, *DANGEROUS.lines) if f.masked} == {
        id: code.masked for _, id in (code.driver, code.escort)
    }


@pytest.mark.parametrize("certificate", ["310101198001010010-A2-2026", "31010119800101\x010010"])
def test_a_finding_on_a_certificate_number_does_not_quote_it(certificate):
    document = Document(format=DANGEROUS.name, header={"i491": certificate})
    (said,) = [line for line in told(document, DANGEROUS) if " i491 " in line]
    assert certificate not in said
    assert "198001" not in said


def test_a_longer_text_is_masked_where_the_number_may_be():
    field = DANGEROUS.header_fields["i491"]
    assert field.masked_in("证号 310101198001010010 (A2)") == "证号 310101******010010 (A2)"
    assert field.masked_in("证号 ID-7", "ID-7") == "证号 ****"
    assert DANGEROUS.header_fields["i49"].masked_in("310101198001010010") == "310101198001010010"


def test_these_and_no_others_may_be_left_out():
    def needs(format):
        return {f.id: f.need for f in (*format.header, *format.lines) if f.need != "M"}

    assert needs(DANGEROUS) == {"i47": "O", "i471": "C", "i48": "O", "i481": "C", "i52": "O", "g5": "O"}
    assert needs(CROSS_BORDER) == {
        "estimatedReceiptGoodsDateTime": "O",
        "transportPermitNumber": "C",
        "transportMeansTypeCode": "C",
        "cargoOrConveyanceReferenceNumber": "C",
        "driver": "O",
        "conveyanceLicenseNumber": "O",
        "identifierOfGoods": "O",
        "volume": "O",
        "carrierName": "C",
        "carrierBusinessLicense": "C",
        "carrierID": "C",
        "remark": "O",
    }


def test_a_reading_that_is_not_sure_says_so():
    assert {id for id, field in DANGEROUS.header_fields.items() if field.need != "M"} <= {
        id for id, field in DANGEROUS.header_fields.items() if field.confidence != "high"
    }
    assert DANGEROUS.line_fields["g5"].confidence == "low"
    assert {id for id, f in CROSS_BORDER.header_fields.items() if f.confidence == "low"} == {
        "transportMeansTypeCode",
        "volume",
    }


@pytest.mark.parametrize("need", ["M", "O"])
def test_a_cardinality_is_changed_in_the_file_alone(tmp_path, need):
    source = (formats.HERE / "dangerous_goods_waybill.yaml").read_text(encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text(
        source.replace("printed: V10, need: O, rule: 附录A", f"printed: V10, need: {need}, rule: 附录A"), "utf-8"
    )
    without = next(s for s in ALL if "one without packing group" in s.name).document
    assert told(without, formats.load(path)) == (["error CHK-01 lines[2].g5 is missing"] if need == "M" else [])


def _documents(format):
    lines = st.lists(_values(format.lines), max_size=2).map(tuple) if format.lines else st.just(())
    return st.builds(Document, format=st.just(format.name), header=_values(format.header[-9:]), lines=lines)


@given(st.sampled_from([DANGEROUS, CROSS_BORDER]).flatmap(lambda f: st.tuples(_documents(f), _documents(f))))
def test_equal_bytes_are_equal_documents(pair):
    one, other = pair
    format = FORMATS[one.format]
    assert decode(format, encode(one, format)) == one
    assert (encode(one, format) == encode(other, format)) is (one == other)


# --- rules that samples cannot show ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("digits", "last"), [("11010519491231002", "X"), ("34052419800101001", "X")])
def test_the_check_character_of_an_identity_card(digits, last):
    assert identity.identity_card_check(digits) == last


@given(st.from_regex(r"\A[1-9][0-9]{16}\Z"), st.integers(0, 16), st.integers(1, 9))
def test_no_single_wrong_digit_of_an_identity_card_passes(digits, place, more):
    wrong = digits[:place] + str((int(digits[place]) + more) % 10) + digits[place + 1 :]
    assert identity.identity_card_check(wrong) != identity.identity_card_check(digits)


def test_a_wrong_identity_number_is_not_quoted():
    document = next(s for s in ALL if s.name == "a wrong identity card number").document
    assert "110105194912310021" not in "".join(map(repr, CROSS_BORDER.check(document, Context())))


# --- clause 8 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [s for s in ALL if s.format.name == "crossBorderWaybill"], ids=str)
def test_an_error_rejects_the_waybill_and_a_warning_does_not(sample):
    wrong = any(" error " in line for line in sample.found)
    assert verification.verify(sample.document, sample.format).verdict == ("REJECT_TO_LOGISTICS" if wrong else "ACCEPT")


@pytest.mark.parametrize("id", [f.id for f in CROSS_BORDER.header if f.need == "M"])
def test_every_mandatory_element_is_missed(id):
    base = next(s for s in ALL if s.name == "an export by air to a person").document
    header = {each: value for each, value in base.header.items() if each != id}
    found = verified(Document(format=base.format, header=header), CROSS_BORDER)
    assert f"V1 error CHK-01 {id} is missing" in found


# --- clause 7: added elements ---------------------------------------------------------------------------------------


def added(tmp_path, text):
    path = tmp_path / "added.yaml"
    path.write_text(text, encoding="utf-8")
    return formats.extended(CROSS_BORDER, path)


def test_an_added_element_names_its_standard():
    more = formats.extended(CROSS_BORDER, SAMPLES / "cross_border_waybill" / "added.yaml")
    assert {field.id: field.standard for field in more.header if field.standard} == {
        "numberOfSeal": "GB/T 40202-2021",
        "modeOfTemperature": "JT/T 919.2-2014",
    }
    assert more.header[:36] == CROSS_BORDER.header
    assert len(CROSS_BORDER.header) == 36


ELEMENT = "elements:\n  {id}: {{zh: 号, en: number, type: an..9, need: O, source_standard: '{standard}'}}\n"


@pytest.mark.parametrize(
    "standard",
    [
        "GB 32100-2015",
        "GB/T 40202-2021",
        "GB/T 2659",
        "JT/T 919.2-2014",
        "YZ/T 0149-2015",
        "HS/T 38—2012",
        "DB/T 40-2010",
    ],
)
def test_national_and_industry_standards_may_be_added_from(tmp_path, standard):
    assert added(tmp_path, ELEMENT.format(id="sealNumber", standard=standard)).header[-1].standard == standard


@pytest.mark.parametrize(
    "standard", ["", "own", "DB33/T 2023-2017", "T/CFLP 1-2020", "Q/ABC 1", "GB/T", "ISO 21378:2019", "GB 1 or own"]
)
def test_no_other_standard_is_enough(tmp_path, standard):
    with pytest.raises(SourceErrors) as caught:
        added(tmp_path, ELEMENT.format(id="sealNumber", standard=standard))
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [
        f"`{standard}` is not the number of a national or industry standard, such as `GB/T 40202-2021`"
    ]


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("volume", "`volume` is a field of this format already"),
        ("seal_number", "`seal_number` is no identifier of a data element"),
        ("SealNumber", "`SealNumber` is no identifier of a data element"),
        ("seal-number", "`seal-number` is no identifier of a data element"),
    ],
)
def test_an_added_element_is_named_as_the_standard_names_them(tmp_path, id, said):
    with pytest.raises(SourceErrors) as caught:
        added(tmp_path, ELEMENT.format(id=id, standard="GB/T 40202-2021"))
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [said]


def test_an_added_element_without_a_standard_is_refused(tmp_path):
    with pytest.raises(SourceErrors, match="source_standard"):
        added(tmp_path, "elements:\n  sealNumber: {zh: 号, en: number, type: an..9, need: O}\n")


def test_nothing_is_added_to_another_format():
    with pytest.raises(UsageError) as caught:
        formats.extended(DANGEROUS, SAMPLES / "cross_border_waybill" / "added.yaml")
    assert str(caught.value) == "SA1081 no elements can be added to the format dangerousGoodsWaybill"
