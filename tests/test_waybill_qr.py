"""The QR code of a waybill of dangerous goods: its bytes, its signature, what hostile content does, and its image."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
from dataclasses import replace
from decimal import Decimal

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps

from scraper_agent.errors import BusinessError
from scraper_agent.format import Context
from scraper_agent.signing import sm2
from scraper_agent.waybill import image, qr
from scraper_agent.waybill.profile import DEFAULT
from scraper_agent.waybill.qr import Goods, Person, QrInvalid, Standing, Summary, Vehicle
from tests.waybills import DANGEROUS, samples, waybill

D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
"""The key of GB/T 32918.5; it signs the vector."""
PUBLIC = sm2.derive_public(D)
OTHER = sm2.derive_public(D + 1)

TEXT = (
    "01#01#WB2024000000000000000001#京AG6888,黄色,京AG689挂#驾驶员甲,ID-DRIVER-1;押运员乙,ID-ESCORT-1"
    "#19.625#1203,II,100桶|1202,III,20桶"
)
SIGNATURE = "CvP1yJBRBLli6Rk/0jRfg/CjsuMMX3k8kU6ql0W4lSS+mz04ni2jvoONk1yV8fuK1NRnv4Uh6VCjN8cxAvjk3g=="
VECTOR = f"{TEXT}#{SIGNATURE}".encode("gbk")

SUMMARY = Summary(
    waybill="WB2024000000000000000001",
    vehicle=Vehicle(plate="京AG6888", colour="黄色", trailer="京AG689挂"),
    driver=Person(name="驾驶员甲", certificate="ID-DRIVER-1"),
    escort=Person(name="押运员乙", certificate="ID-ESCORT-1"),
    weight=Decimal("19.625"),
    goods=(
        Goods(un_number="1203", packing_group="II", quantity="100", unit="桶"),
        Goods(un_number="1202", packing_group="III", quantity="20", unit="桶"),
    ),
)


class Province:
    """The signer of a province, with a real key."""

    def __init__(self, key_index="01", d=D, public_key=PUBLIC):
        self.key_index = key_index
        self.public_key = public_key
        self._d = d

    def sign(self, message):
        return sm2.sign(self._d, self.public_key, message)


class Unsigned(Province):
    """Of content alone: 64 bytes that sign nothing."""

    def sign(self, message):
        return bytes(range(64))


UNSIGNED = Unsigned()


def refusal(read, profile=DEFAULT.qr):
    with pytest.raises(QrInvalid) as caught:
        qr.parse(read, profile)
    return str(caught.value).splitlines()[0]


def stands(data, keys=None):
    return qr.standing(qr.parse(data), {"01": PUBLIC} if keys is None else keys, sm2.verify)


# --- the vector -----------------------------------------------------------------------------------------------------


def test_the_vector_is_read_and_holds():
    content = qr.parse(VECTOR)
    assert content.key_index == "01"
    assert content.summary == SUMMARY
    assert content.message == TEXT.encode("gbk")
    assert len(content.message) == 131
    assert hashlib.new("sm3", content.message).hexdigest() == (
        "e2bce456e89d5c8c1a94ac2e0d83923efbfb11fa8d0ed7656482fc8803883596"
    )
    assert sm2.digest(PUBLIC, content.message).hex().upper() == (
        "0607F95701C3ED2100E4E71943BC60CDAF458404FE583D2D41EA9BCA17A3FAB1"
    )
    assert content.signature.hex().upper() == (
        "0AF3F5C8905104B962E9193FD2345F83F0A3B2E30C5F793C914EAA9745B89524"
        "BE9B3D389E2DA3BE838D935C95F1FB8AD4D467BF8521E950A337C73102F8E4DE"
    )
    assert stands(VECTOR) is Standing.GENUINE


def test_the_vector_is_built_but_for_its_nonce():
    built = qr.build(SUMMARY, Province())
    assert built[: len(TEXT.encode("gbk")) + 1] == f"{TEXT}#".encode("gbk")
    assert len(built) == len(VECTOR)
    assert stands(built) is Standing.GENUINE
    assert qr.parse(built).summary == SUMMARY


def test_text_of_a_reader_that_knew_the_charset_is_as_good_as_the_bytes():
    assert qr.parse(VECTOR.decode("gbk")) == qr.parse(VECTOR)


# --- from a document ------------------------------------------------------------------------------------------------

GOOD = [sample for sample in samples("dangerous_goods_waybill") if sample.good]


@pytest.mark.parametrize("sample", GOOD, ids=str)
def test_a_good_waybill_has_a_code(sample):
    made = qr.summary(sample.document)
    content = qr.parse(qr.build(made, Province()))
    assert content.summary == made
    assert made.waybill == sample.document.header["i1"]
    assert made.weight == sample.document.header["i510"]
    assert [goods.un_number for goods in made.goods] == [line["g2"] for line in sample.document.lines]


def test_a_tank_trailer_stands_behind_the_colour_and_nothing_does_without_one():
    with_trailer = qr.build(qr.summary(waybill(i47="沪B1234挂", i471="1")), UNSIGNED).decode("gbk")
    without = qr.build(qr.summary(waybill()), UNSIGNED).decode("gbk")
    assert with_trailer.split("#")[3] == "沪A12345,黄色,沪B1234挂"
    assert without.split("#")[3] == "沪A12345,黄色"


def test_goods_without_packing_group_leave_its_place_empty():
    data = qr.build(qr.summary(waybill(lines=[{"g5": ""}])), UNSIGNED)
    assert data.decode("gbk").split("#")[6] == "1203,,19.625吨"
    assert qr.parse(data).summary.goods[0].packing_group == ""


@pytest.mark.parametrize("changes", [{"i1": ""}, {"i46": ""}, {"i501": ""}, {"i510": ""}, {"lines": []}])
def test_an_unchecked_waybill_has_no_code(changes):
    document = waybill(**changes)
    assert DANGEROUS.check(document, Context())
    with pytest.raises(ValueError, match=r"."):
        qr.summary(document)


def test_a_weight_that_was_not_checked_is_not_rounded():
    with pytest.raises(ValueError, match="read otherwise"):
        qr.build(replace(SUMMARY, weight=Decimal("19.6251")), UNSIGNED)


# --- charset and separators -----------------------------------------------------------------------------------------


def test_python_reads_no_two_rows_of_bytes_as_one_text():
    """What `parse` takes and what is signed are the same bytes only if GBK is one to one."""
    rows = [bytes([first]) for first in range(256)] + [bytes([a, b]) for a in range(128, 256) for b in range(256)]
    read = 0
    for row in rows:
        try:
            text = row.decode("gbk")
        except UnicodeDecodeError:
            continue
        read += 1
        assert text.encode("gbk") == row
    assert read == 128 + 21_791


TRAPS = [
    bytes([first, trail]).decode("gbk", "ignore")
    for first in range(0x81, 0xFF)
    for trail in b"|^"
    if first not in b"\xa2"
]
TRAPS = [each for each in TRAPS if len(each) == 1 and not each.isascii()]


def test_there_are_characters_whose_second_byte_is_a_separator():
    assert {"億", "奮", "區"} <= set(TRAPS)
    assert {each.encode("gbk")[1:] for each in TRAPS} == {b"|", b"^"}


@pytest.mark.parametrize("profile", [DEFAULT.qr, DEFAULT.qr.model_copy(update={"separator": "^"})], ids=["#", "^"])
@given(st.text(st.sampled_from(TRAPS), min_size=1, max_size=10))
def test_a_character_that_looks_like_a_separator_is_none(profile, name):
    made = replace(
        SUMMARY,
        driver=Person(name=name, certificate="1"),
        goods=tuple(replace(each, unit=name) for each in SUMMARY.goods),
    )
    assert qr.parse(qr.build(made, UNSIGNED, profile), profile).summary == made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"i49": "张#三"}, "SA1070 i49 is `张#三`, but `#` separates values in the QR code"),
        ({"i49": "张,三"}, "SA1070 i49 is `张,三`, but `,` separates values in the QR code"),
        ({"i501": "1;2"}, "SA1070 i501 is `1;2`, but `;` separates values in the QR code"),
        ({"i46": "沪A,1"}, "SA1070 i46 is `沪A,1`, but `,` separates values in the QR code"),
        ({"lines": [{"g8": "桶|1"}]}, "SA1070 g8 is `19.625桶|1`, but `|` separates values in the QR code"),
        ({"i49": "𠮷野"}, "SA1071 i49 has the character `𠮷`, which the QR code's charset GBK lacks"),
        ({"i49": "张\u202e三"}, "SA1071 i49 has the character `\u202e`, which the QR code's charset GBK lacks"),
    ],
)
def test_what_would_be_read_otherwise_is_not_written(changes, said):
    document = waybill(**changes)
    assert not DANGEROUS.check(document, Context())
    with pytest.raises(QrInvalid) as caught:
        qr.build(qr.summary(document), UNSIGNED)
    assert str(caught.value).splitlines()[0] == said


def test_a_bar_in_a_name_and_a_semicolon_in_a_unit_separate_nothing():
    made = replace(
        SUMMARY, driver=Person(name="a|b", certificate="1"), goods=(replace(SUMMARY.goods[0], unit="桶;箱"),)
    )
    assert qr.parse(qr.build(made, UNSIGNED)).summary == made


def test_too_many_goods_have_no_code():
    made = replace(SUMMARY, goods=SUMMARY.goods * 150)
    with pytest.raises(QrInvalid, match=r"SA1072 the QR content has [0-9]+ bytes; a QR code holds at most 2953"):
        qr.build(made, UNSIGNED)


_GBK = [each for first in range(0x81, 0xFF) for each in bytes([first, 0xC1, first, 0x7C]).decode("gbk", "ignore")]
_NAMES = st.text(
    st.sampled_from([each for each in [*_GBK, *"AZaz09 .-_/+=^$'<&", "Ⅱ"] if each != "|"]), min_size=1, max_size=6
)
_DIGITS = st.decimals(0, 99_999, places=2).map(str) | st.integers(0, 99_999).map(str)
SUMMARIES = st.builds(
    Summary,
    waybill=_NAMES.map(lambda name: (name * 24)[:24]),
    vehicle=st.builds(
        Vehicle,
        plate=_NAMES.map(lambda name: name[:10]),
        colour=_NAMES.map(lambda name: name[:10]),
        trailer=st.just("") | _NAMES.map(lambda name: name[:10]),
    ),
    driver=st.builds(Person, name=_NAMES, certificate=_NAMES),
    escort=st.builds(Person, name=_NAMES, certificate=_NAMES),
    weight=st.decimals("0.001", "99999.999", places=3),
    goods=st.lists(
        st.builds(
            Goods,
            un_number=st.integers(0, 9999).map("{:04}".format),
            packing_group=st.sampled_from(["", "I", "II", "III", "Ⅱ"]),
            quantity=_DIGITS,
            unit=_NAMES.map(lambda name: name[:9]).filter(lambda unit: unit[0] not in "0123456789."),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


@given(SUMMARIES)
def test_what_is_built_is_read_again(made):
    assert qr.parse(qr.build(made, UNSIGNED)).summary == made


@settings(max_examples=50)
@given(SUMMARIES, SUMMARIES)
def test_two_summaries_have_two_texts(one, other):
    assert (qr.build(one, UNSIGNED) == qr.build(other, UNSIGNED)) is (one == other)


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"separator": "^"}, {"separator": "$"}, {"weight_unit": "吨"}, {"signs_last_separator": True}, {"version": "02"}],
)
def test_both_sides_must_have_the_same_settings(changes):
    profile = DEFAULT.qr.model_copy(update=changes)
    data = qr.build(SUMMARY, Province(), profile)
    content = qr.parse(data, profile)
    assert content.summary == SUMMARY
    assert qr.standing(content, {"01": PUBLIC}, sm2.verify) is Standing.GENUINE
    if changes.keys() == {"signs_last_separator"}:
        assert stands(data) is Standing.FORGED
    else:
        assert refusal(data)


def test_the_weight_has_three_decimals_and_its_unit_if_that_is_set():
    made = replace(SUMMARY, weight=Decimal(20))
    assert qr.build(made, UNSIGNED).decode("gbk").split("#")[5] == "20.000"
    profile = DEFAULT.qr.model_copy(update={"weight_unit": "吨"})
    assert qr.build(made, UNSIGNED, profile).decode("gbk").split("#")[5] == "20.000吨"
    assert refusal(VECTOR, profile).endswith("is `19.625`; expected 0.000吨")


# --- signatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("WB2024000000000000000001", "WB2024000000000000000002"),
        ("京AG6888", "京AG6889"),
        ("黄色", "蓝色"),
        (",京AG689挂", ""),
        ("驾驶员甲", "驾驶员丙"),
        ("ID-ESCORT-1", "ID-ESCORT-2"),
        ("19.625", "19.624"),
        ("1203,II", "1203,III"),
        ("100桶", "10桶"),
        ("|1202,III,20桶", ""),
        ("CvP1", "CvP2"),
    ],
)
def test_any_change_is_seen(was, now):
    changed = VECTOR.decode("gbk").replace(was, now).encode("gbk")
    assert changed != VECTOR
    assert stands(changed) is Standing.FORGED


def test_every_single_byte_changed_is_refused_or_seen():
    genuine = 0
    for place in range(len(VECTOR)):
        changed = VECTOR[:place] + bytes([VECTOR[place] ^ 1]) + VECTOR[place + 1 :]
        try:
            content = qr.parse(changed)
        except QrInvalid:
            continue
        # The arithmetic of SM2 is tested elsewhere; here, that message and signature do not both stay as they were.
        genuine += (content.message, content.signature) == (TEXT.encode("gbk"), base64.b64decode(SIGNATURE))
    assert genuine == 0


def test_the_key_is_that_of_the_index():
    second = qr.build(SUMMARY, Province("02", D + 1, OTHER))
    assert stands(second, {"01": PUBLIC, "02": OTHER}) is Standing.GENUINE
    assert stands(second, {"01": OTHER, "02": PUBLIC}) is Standing.FORGED
    assert stands(second, {"01": OTHER}) is Standing.UNKNOWN_KEY
    assert stands(second.replace(b"01#02#", b"01#01#"), {"01": PUBLIC, "02": OTHER}) is Standing.FORGED
    assert stands(second.replace(b"01#02#", b"01#01#"), {"01": OTHER}) is Standing.FORGED


# --- display --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "shown"),
    [
        ("310101198001010010", "310101******010010"),
        ("ID-DRIVER-1", "ID******R-1"),
        ("1234567", "******7"),
        ("123456", "******"),
        ("123", "***"),
        ("", ""),
    ],
)
def test_the_middle_six_characters_are_not_shown(certificate, shown):
    assert qr.mask(certificate) == shown


def test_what_is_shown_hides_both_certificates_and_nothing_else():
    shown = qr.masked(SUMMARY)
    assert (shown.driver.certificate, shown.escort.certificate) == ("ID******R-1", "ID******T-1")
    assert replace(shown, driver=SUMMARY.driver, escort=SUMMARY.escort) == SUMMARY


# --- hostile content ------------------------------------------------------------------------------------------------


def changed(item, now):
    items = VECTOR.decode("gbk").split("#")
    items[item - 1] = now
    return "#".join(items)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (b"", "SA1075 the QR content has 1 items between `#`; expected 8"),
        (b"https://example.com/", "SA1075 the QR content has 1 items between `#`; expected 8"),
        (VECTOR + b"#", "SA1075 the QR content has 9 items between `#`; expected 8"),
        (b"#" * 3000, "SA1072 the QR content has 3000 bytes; a QR code holds at most 2953"),
        (VECTOR.decode("gbk").encode(), "SA1073 the QR content is not GBK, at place 59"),
        (b"01#01#\xff", "SA1073 the QR content is not GBK, at place 7"),
        ("01#01#𠮷", "SA1073 the QR content is not GBK, at place 7"),
        (VECTOR + b"\n", "SA1074 the QR content has the control character U+000A at character 206"),
        (changed(5, "\x1b[2J,1;乙,2"), "SA1074 the QR content has the control character U+001B at character 51"),
    ],
)
def test_what_is_no_code_of_a_waybill_is_refused(read, said):
    assert refusal(read) == said


ITEMS = {
    1: ("二维码数据格式版本", 1),
    2: ("数据校验密钥属性", 4),
    3: ("运单编号", 7),
    4: ("车辆信息", 32),
    5: ("驾押人员信息", 51),
    6: ("货物总重量", 85),
    7: ("货物信息列表", 92),
    8: ("数据校验码", 118),
}
"""Names, and where they begin in the vector, counted by hand."""


@pytest.mark.parametrize(
    ("item", "now", "form"),
    [
        (1, "", "01"),
        (1, "02", "01"),
        (2, "00", "01–99"),
        (2, "１２", "01–99"),
        (3, "WB1", "i1 运单编号 F24"),
        (3, "", "i1 运单编号 F24"),
        (4, "京AG6888", "货车号牌,货车车牌颜色[,挂车号牌]"),
        (4, "京AG6888,黄色,京AG689挂,4", "货车号牌,货车车牌颜色[,挂车号牌]"),
        (4, "京AG6888,黄色,", "i47 挂车车牌号码 V10"),
        (4, ",黄色", "i46 车牌号码 V10"),
        (5, "甲,1", "驾驶员姓名,证件号码;押运员姓名,证件号码"),
        (5, "甲,1;乙,2;丙,3", "驾驶员姓名,证件号码;押运员姓名,证件号码"),
        (5, "甲,1;乙,", "i501 押运员从业资格证 V24"),
        (6, "19.62", "0.000"),
        (6, "019.625", "0.000"),
        (6, "-1.000", "0.000"),
        (6, "0.000", "0.000"),
        (6, "19.625吨", "0.000"),
        (6, "１.000", "0.000"),
        (6, "1e9", "0.000"),
        (6, "9" * 600 + ".000", "0.000"),
        (7, "", "联合国编号,包装类别,数量单位"),
        (7, "1203,II,桶", "联合国编号,包装类别,数量单位"),
        (7, "1203,II,100桶|", "联合国编号,包装类别,数量单位"),
        (7, "1203,II,1.桶", "g7 数量 V10"),
        (7, "UN1203,II,100桶", "g2 联合国编号 F4"),
        (7, "1203,IV,100桶", "g5 包装类别 V10"),
        (7, "1203,II,100" + "桶" * 11, "g8 单位 V10"),
        (8, "", "Base64(R‖S)"),
        (8, "AAAA", "Base64(R‖S)"),
        (8, SIGNATURE[:-1], "Base64(R‖S)"),
        (8, SIGNATURE.replace("3g==", "3h=="), "Base64(R‖S)"),
        (8, SIGNATURE.replace("Cv", "C*"), "Base64(R‖S)"),
    ],
)
def test_a_foreign_item_is_refused_with_its_place(item, now, form):
    name, at = ITEMS[item]
    assert refusal(changed(item, now)) == (
        f"SA1076 item {item} ({name}) of the QR content, at character {at}, is `{now[:40]}`; expected {form}"
    )


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_nothing_that_is_read_breaks_the_reader(read):
    with pytest.raises(QrInvalid):
        qr.parse(read)


@given(st.lists(st.text(max_size=12), min_size=8, max_size=8))
def test_eight_items_of_anything_do_not_break_the_reader(items):
    with pytest.raises(QrInvalid):
        qr.parse("#".join(["01", "01", *items[2:]]))


# --- the image ------------------------------------------------------------------------------------------------------


def zbar(png, tmp_path):
    """What zbarimg reads: the bytes, its charset guessing switched off."""
    path = tmp_path / "code.png"
    path.write_bytes(png)
    command = ["zbarimg", "--quiet", "--nodbus", "--raw", "--oneshot", "-Sdisable", "-Sqrcode.enable", "-Sbinary"]
    return subprocess.run([*command, str(path)], capture_output=True, check=True, timeout=60).stdout


def zxing(png):
    with Image.open(io.BytesIO(png)) as picture:
        (found,) = zxingcpp.read_barcodes(picture.convert("L"))
    return found


TRAPPED = replace(SUMMARY, driver=Person(name="億奮倈區", certificate="310101198001010010"))


@pytest.mark.parametrize("eci", [False, True], ids=["plain", "eci"])
@pytest.mark.parametrize("made", [SUMMARY, TRAPPED], ids=["vector", "traps"])
def test_two_readers_see_the_very_bytes(made, eci, tmp_path):
    data = qr.build(made, Province())
    symbol = DEFAULT.qr.symbol.model_copy(update={"eci": eci})
    png = image.png(data, DEFAULT.qr.model_copy(update={"symbol": symbol}))
    assert zbar(png, tmp_path) == data
    seen = zxing(png)
    assert seen.bytes == data
    assert seen.format == zxingcpp.BarcodeFormat.QRCode
    assert qr.standing(qr.parse(seen.bytes), {"01": PUBLIC}, sm2.verify) is Standing.GENUINE


def test_what_a_reader_guesses_for_text_is_not_the_content():
    """Why the bytes are asked for: without ECI the charset is guessed, with it GBK is taken for its part GB 2312."""
    data = qr.build(TRAPPED, Province())
    eci = DEFAULT.qr.model_copy(update={"symbol": DEFAULT.qr.symbol.model_copy(update={"eci": True})})
    for profile in (DEFAULT.qr, eci):
        text = zxing(image.png(data, profile)).text
        assert text != data.decode("gbk")
        assert refusal(text) or qr.parse(text).message != qr.parse(data).message


@pytest.mark.parametrize("correction", ["L", "M", "Q", "H"])
def test_a_code_that_was_printed_and_photographed_is_read(correction, tmp_path):
    symbol = DEFAULT.qr.symbol.model_copy(update={"correction": correction})
    png = image.png(VECTOR, DEFAULT.qr.model_copy(update={"symbol": symbol}))
    with Image.open(io.BytesIO(png)) as picture:
        seen = picture.convert("L").rotate(7, expand=True, fillcolor=255).filter(ImageFilter.GaussianBlur(1))
    photo = io.BytesIO()
    seen.save(photo, "PNG")
    assert zxing(photo.getvalue()).bytes == VECTOR
    assert zbar(photo.getvalue(), tmp_path) == VECTOR


def test_the_largest_content_has_a_symbol_and_more_has_none():
    low = DEFAULT.qr.model_copy(update={"symbol": DEFAULT.qr.symbol.model_copy(update={"correction": "L"})})
    assert zxing(image.png(b"x" * qr.MOST_BYTES, low)).bytes == b"x" * qr.MOST_BYTES
    with pytest.raises(BusinessError) as caught:
        image.png(b"x" * qr.MOST_BYTES)
    assert str(caught.value).splitlines()[0] == "SA1077 2953 bytes are too many for a QR code with correction M"


def test_digits_are_bytes_too():
    """A charset is announced for bytes alone; segno would write digits as numbers."""
    with Image.open(io.BytesIO(image.png(b"1" * 100))) as digits, Image.open(io.BytesIO(image.png(b"a" * 100))) as text:
        assert digits.size == text.size


def test_there_is_a_quiet_zone_around_the_symbol():
    with Image.open(io.BytesIO(image.png(VECTOR))) as picture:
        seen = picture.convert("L")
        dark = ImageOps.invert(seen).getbbox()
    margin = 4 * DEFAULT.qr.symbol.scale
    assert dark == (margin, margin, seen.width - margin, seen.height - margin)
