"""The record of the trade statistics of 1995, and the table of errors that were to be found in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict

from scraper_agent import formats, messages, yamlfile
from scraper_agent.archive.seen import SeenKeys
from scraper_agent.errors import SourceErrors
from scraper_agent.format import Context, Document, decode, encode, json_schema
from scraper_agent.formats import FORMATS, pack
from scraper_agent.rules import conditions
from scraper_agent.rules.conditions import Tables
from scraper_agent.values import Severity

FORMAT = FORMATS["tradeStatistics"]
PACK = pack.named("must_check_1995")
HERE = Path(formats.__file__).parent

# --- what the notice prints, line by line, its columns apart --------------------------------------------------------

LETTERS = "123456789BCDEFGH"

CODE_LINES = [
    *("100", "123", "167", "200", "246", "280", "300", "400", "440", "460", "500", "550", "600", "670", "600", "670"),
    *("700", "800", "900", "B00", "BD0", "BG0", "C00", "CD0", "E00", "EF0", "F00", "GH0", "H00"),
]

ALL = range(10, 64)
RANGES = {
    "167": [19],
    "246-1": [10, 15, 30],
    "246-2": [25],
    "670": [19],
    "678-a": [19],
    "678-b": [30],
    "700-1": [*range(10, 42), *range(61, 64)],
    "700-2": [*range(10, 42), *range(61, 64)],
    "900": range(10, 42),
}
"""Of every other check 10-63."""

ZONES = {
    "1": "3502、4403、4404、4405、4601、4602、4690",
    "2": """1207、1303、2101、2102、2201、2301、3105、3111、
3122、3205、3206、3207、3301、3302、3303、3402、
3501、3702、3706、4201、4401、4408、4690、5102""",
    "3": """1108、1204、1301、1306、1401、1502、2101、2102、
2103、2201、2202、2301、2306、3104、3201、3202、
3204、3205、3301、3401、3501、3502、3601、3701、
3702、3703、3707、3710、4101、4103、4201、4206、
4301、4302、4401、4403、4404、4406、4413、4420
4501、4503、4601、5101、5102、5107、5201、5301
6101、6103、6201、6501""",
    "4": """1207、2102、3122、3215、3302、3501、3502、3702、
4401、4403、4404、4405、4601""",
}
TAIWAN = "22、23、29、31、35、37、42、51、52、53、57、60、64、67、68"
BORDER = "101、104、106、110、111、119、121、124、125、127、141、143、341、342、344、345"
BARTER = "109、119、124、141、313、316、321、328"

REPAIRED = {
    "246-1": {"第六位为1.5的 → 第六位为1、5的 (high)", "10,15, / 30 → 10,15,30 (high)"},
    "400-3": {"上一行的10-63 → 10-63 (high)"},
    "440-1": {"必须为10-63 → 必须为 / 10-63 (high)"},
    "440-3": {"4420 / 4501 → 4420、4501 (high)", "5301 / 6101 → 5301、6101 (high)"},
    "460": {"不应为11、10-63 / 12、19、30 → 不应为11、12、19、30 / 10-63 (high)"},
    "550-1": {"必须: 10-63 / 为 → 必须为 / 10-63 (high)"},
    "550-2": {"境内目的地/货源代号 → 境内目的地/货源地代号 (high)"},
    "550-3": {"3202 / 3204 → 3202、3204 (high)", "4420 / 4501 → 4420、4501 (high)"},
    "670": {"1191 121 → 119、121 (high)"},
    "678-a": {"600 → 678 (medium)"},
    "678-b": {"670 → 678 (medium)", "313 30 / 316 → 313、316 / 30 (high)"},
    "700-1": {"10-41 → 10-41,61-63 (medium)"},
    "700-2": {"61-63 → 10-41,61-63 (medium)"},
    "BD0": {"每数量单位 → 第一数量单位 (high)"},
}


def codes(printed: str) -> set[str]:
    return set(printed.replace("\n", "、").replace("、、", "、").split("、"))


# --- samples --------------------------------------------------------------------------------------------------------


class Bad(BaseModel):
    model_config = ConfigDict(extra="forbid")

    of: str
    change: dict[str, str]
    finds: list[str]


class Samples(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pack: str
    tables: Tables
    good: dict[str, dict[str, str]]
    bad: list[Bad]


SAMPLES = yamlfile.load(Path(__file__).parent / "samples/formats/trade_statistics/samples.yaml", Samples)
GOOD = [Document(format="tradeStatistics", header=values) for values in SAMPLES.good.values()]


def changed(of: str, **change: str) -> Document:
    values = {**SAMPLES.good[of], "identificationCode": "CHANGED99", **change}
    return Document(format="tradeStatistics", header={id: value for id, value in values.items() if value})


@pytest.fixture
def checker() -> Iterator[pack.Checker]:
    with SeenKeys() as seen:
        yield pack.checker(PACK, SAMPLES.tables, seen)


def found(checker: pack.Checker, *documents: Document) -> list[list[str]]:
    """By document, the check of each finding, or the finding's code where it is the format's own."""
    return [
        [finding.values.get("check", finding.code) for finding in each.findings]
        for each in pack.check(documents, FORMAT, Context(), checker)
    ]


def test_good_records_have_nothing_wrong(checker):
    assert len(GOOD) >= 3
    assert checker.not_run == ()
    assert found(checker, *GOOD) == [[]] * len(GOOD)


@pytest.mark.parametrize("document", GOOD, ids=list(SAMPLES.good))
def test_a_good_record_has_bytes_and_fits_the_schema(document):
    data = encode(document, FORMAT)
    assert decode(FORMAT, data) == document
    schema = json_schema(FORMAT)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(json.loads(data))


@pytest.mark.parametrize("bad", SAMPLES.bad, ids=lambda bad: "+".join(bad.finds))
def test_a_bad_record_is_found_out_by_exactly_its_checks(bad, checker):
    assert found(checker, *GOOD, changed(bad.of, **bad.change))[-1] == bad.finds


def test_every_check_has_a_bad_sample():
    assert {name for bad in SAMPLES.bad for name in bad.finds} - {"CHK-01"} == {each.id for each in PACK.checks}
    assert len(SAMPLES.bad) >= 10


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_pack_has_all_lines_and_checks_of_the_table():
    lines = dict.fromkeys((each.code, each.by_rule) for each in PACK.checks)
    assert [code for code, _ in lines] == CODE_LINES
    assert (len(CODE_LINES), len(set(CODE_LINES)), len(PACK.checks)) == (29, 27, 41)


def test_a_code_is_made_of_its_indicators_or_says_what_would_be():
    assert "".join(PACK.indicators) == LETTERS
    assert list(PACK.indicators.values()) == [field.id for field in FORMAT.header]
    assert {each.id: each.by_rule for each in PACK.checks if each.by_rule} == {"678-a": "678", "678-b": "678"}
    for each in PACK.checks:
        assert (each.by_rule or each.code) == each.indicators.ljust(3, "0"), each.id


def test_a_check_looks_at_its_indicators_alone():
    for each in PACK.checks:
        fields = {PACK.indicators[letter] for letter in each.indicators} | {"tradeMode"}
        looked_at = {id for _, condition in each.conditions for id in conditions.fields_of(condition)}
        assert looked_at <= fields, each.id


def test_the_lists_are_as_printed():
    assert {name: set(printed) for name, printed in PACK.lists.items()} == {
        **{f"zone{zone}": codes(printed) for zone, printed in ZONES.items()},
        "taiwanSmallTradeCustoms": codes(TAIWAN),
        "borderCountries": codes(BORDER),
        "barterCountries": codes(BARTER) | {"334-355"},
        "import": {"I"},
        "export": {"E"},
        "importOrExport": {"I", "E"},
    }
    assert [len(PACK.lists[f"zone{zone}"]) for zone in "1234"] == [7, 24, 52, 13]
    assert all(len(set(printed)) == len(printed) for printed in PACK.lists.values())


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("field", "code"), [("operatingUnitCode", "440"), ("domesticDistrictCode", "550")])
def test_a_zone_has_the_printed_places_and_no_others(zone, field, code):
    bare = pack.checker(PACK, Tables(), None)
    rest = "90001" if field == "operatingUnitCode" else ""

    def fits(place):
        document = Document(format="tradeStatistics", header={"tradeMode": "10", field: place + zone + rest})
        return not any(each.values["check"] == f"{code}-{zone}" for each in bare.findings(document, 1))

    places = set.union(*(codes(each) for each in ZONES.values()))
    near = {f"{int(place) + by:04}" for place in places for by in range(-9, 10)} | {"0000", "9999"}
    assert {place for place in near if fits(place)} == codes(ZONES[zone])


def country_checks(mode: str, field: str, check: str, **values: str) -> set[str]:
    """The three-digit codes that `check` lets pass in `field`."""
    bare = pack.checker(PACK, Tables(), None)

    def fits(code):
        document = Document(format="tradeStatistics", header={"tradeMode": mode, **values, field: code})
        return not any(each.values["check"] == check for each in bare.findings(document, 1))

    return {code for code in (f"{n:03}" for n in range(1000)) if fits(code)}


def test_countries_are_compared_with_the_printed_ones():
    barter = codes(BARTER) | {str(n) for n in range(334, 356)}
    every = {f"{n:03}" for n in range(1000)}
    assert country_checks("19", "shipmentCountry", "670") == codes(BORDER)
    assert country_checks("30", "originOrDestCountry", "678-b", shipmentCountry="109") == barter
    assert country_checks("30", "shipmentCountry", "678-b", originOrDestCountry="502") == every - barter
    assert country_checks("19", "originOrDestCountry", "678-a", shipmentCountry="143") == {"143"}
    assert country_checks("10", "originOrDestCountry", "280-1", ieMark="E") == every - {"142", "399", "701", "702"}
    assert country_checks("10", "originOrDestCountry", "280-2", ieMark="I") == every - {"399", "702"}
    assert country_checks("10", "shipmentCountry", "700-2") == every - {"142", "399", "701", "702"}


def test_the_small_trade_with_taiwan_has_the_printed_districts():
    bare = pack.checker(PACK, Tables(), None)

    def fits(district):
        header = {"tradeMode": "19", "shipmentCountry": "143", "customsDistrict": district}
        document = Document(format="tradeStatistics", header=header)
        return not any(each.code == "167" for each in bare.findings(document, 1))

    assert {n for n in (f"{n:02}" for n in range(100)) if fits(n)} == codes(TAIWAN)
    assert {n for n in (f"{n:02}" for n in range(100)) if fits(n + "00")} == codes(TAIWAN)


@pytest.mark.parametrize("check", [each.id for each in PACK.checks])
def test_a_check_holds_in_its_trade_modes_alone(check):
    bad = next(bad for bad in SAMPLES.bad if check in bad.finds)
    tables = SAMPLES.tables.model_copy(update={"lists": SAMPLES.tables.lists | {"tradeModes": ()}})
    with SeenKeys() as seen:
        checker = pack.checker(PACK, tables, seen)

        def tells(mode):
            document = changed(bad.of, **{**bad.change, "tradeMode": mode})
            # Twice, so that the code is a repeated one.
            return any(f.values["check"] == check for n in (1, 2) for f in checker.findings(document, n))

        told = {mode for mode in range(100) if tells(f"{mode:02}")}
    expected = set(RANGES.get(check, ALL))
    if check == "460":
        expected = {11, 12, 19, 30}
    assert told == expected


# --- findings -------------------------------------------------------------------------------------------------------


def test_a_finding_bears_the_printed_code_and_the_text_of_the_check(checker):
    (finding,) = checker.findings(changed("export of clothes after processing", operatingUnitCode="4403159999"), 7)
    assert (finding.code, finding.severity, finding.field) == ("246", Severity.ERROR, "operatingUnitCode")
    assert messages.render(finding.text, finding.values) == (
        "is `4403159999`; check 246-1 of must_check_1995: "
        "出口贸易方式为10、15、30,经营单位第六位为1、5的,其经营单位第7-10位不应为0000、9999; "
        "its print was repaired: 第六位为1.5的 → 第六位为1、5的 (high); 10,15, / 30 → 10,15,30 (high)"
    )


def test_a_misprinted_code_is_kept_and_the_right_one_is_beside_it(checker):
    (finding,) = checker.findings(changed("small trade with Taiwan", originOrDestCountry="101"), 7)
    assert (finding.code, finding.values["codeByRule"]) == ("600", "678")
    (finding,) = checker.findings(changed("barter", originOrDestCountry="502"), 7)
    assert (finding.code, finding.values["codeByRule"]) == ("670", "678")


def test_a_list_is_written_out_in_the_finding(checker):
    (finding,) = checker.findings(changed("import of computers", operatingUnitCode="3101410001"), 7)
    assert finding.values["content"] == (
        "经营单位代号第五位为4,其前四位必须为1207、2102、3122、3215、3302、3501、3502、3702、4401、4403、4404、4405、4601"
    )


def test_a_missing_value_is_called_so(checker):
    found = checker.findings(changed("import of computers", customsDistrict="", firstUnit=""), 7)
    assert [messages.render(each.text, each.values) for each in found] == [
        "is missing; check 100 of must_check_1995: 不合法的关别代号",
        "is missing; check BD0 of must_check_1995: 商品编号和第一数量单位不一致; "  # noqa: ISC004
        "its print was repaired: 每数量单位 → 第一数量单位 (high)",
    ]


def test_what_was_repaired_is_told_with_the_finding(checker):
    told = {}
    for bad in SAMPLES.bad:
        for finding in checker.findings(changed(bad.of, **bad.change), 7):
            if "repairs" in finding.values:
                told[finding.values["check"]] = set(finding.values["repairs"].split("; "))
                assert "its print was repaired" in messages.render(finding.text, finding.values)
    assert told == REPAIRED


def test_korea_that_the_print_may_have_lost_is_an_error_unless_read_leniently():
    record = changed("small trade with Taiwan", shipmentCountry="109", customsDistrict="2200")
    other = changed("small trade with Taiwan", shipmentCountry="502")

    def severities(document, *, lenient):
        made = pack.checker(PACK, SAMPLES.tables, None, lenient=lenient)
        return [(finding.code, finding.severity) for finding in made.findings(document, 1)]

    assert severities(record, lenient=False) == [("670", Severity.ERROR)]
    assert severities(record, lenient=True) == [("670", Severity.WARNING)]
    assert severities(other, lenient=True) == [("670", Severity.ERROR)]


def test_numbers_of_another_kind_are_read_too(checker):
    values = {
        "valueRmb": Decimal(84500),
        "valueUsd": Decimal(0),
        "firstQuantity": Decimal("NaN"),
        "secondQuantity": Decimal(0),
    }
    document = Document(format="tradeStatistics", header={**SAMPLES.good["import of computers"], **values})
    assert [each.code for each in checker.findings(document, 1)] == ["C00", "F00"]


# --- the user's tables ----------------------------------------------------------------------------------------------


def test_a_check_whose_table_is_absent_is_told_as_not_run():
    bare = pack.checker(PACK, Tables(), None)
    said = {each.check: messages.render(each.why.text, each.why.values) for each in bare.not_run}
    assert list(said) == [
        *("100", "123", "300", "400-1", "400-3", "500", "600", "700-1", "800", "900", "B00-1", "BD0", "BG0", "EF0")
    ]
    assert said["100"] == "the table `customs` (合法的关别代号), under `lists`, is not given"
    assert said["EF0"] == "the table `rmbPerUsd` (人民币值与美元币值比率的允许范围), under `bands`, is not given"
    assert said["123"] == "the records are not checked as one stream"
    assert bare.run == {each.id for each in PACK.checks} - said.keys()
    assert found(bare, changed("import of computers", customsDistrict="0000", secondQuantity="x")) == [["GH0", "H00"]]


def test_tables_come_from_a_file(tmp_path):
    path = tmp_path / "tables.yaml"
    path.write_text(
        'lists: {customs: ["2200-2202", "0098-0101"]}\nbands: {rmbPerUsd: {at_least: 8, at_most: 9}}\n',
        encoding="utf-8",
    )
    read = pack.checker(PACK, pack.load_tables(path, PACK), None)
    assert {"100", "EF0"} <= read.run

    def knows(district):
        return "100" not in found(read, changed("import of computers", customsDistrict=district))[0]

    assert [knows(each) for each in ("2199", "2200", "2202", "2203")] == [False, True, True, False]
    assert [knows(each) for each in ("0097", "0098", "0101", "98")] == [False, True, True, False]


def test_a_table_does_not_replace_a_list_of_the_pack():
    bare = pack.checker(PACK, Tables(lists={"zone1": ("3101",)}), None)
    assert "440-1" in found(bare, changed("import of computers", operatingUnitCode="3101110001"))[0]


def test_a_ratio_of_values_below_nothing_is_the_same_ratio(checker):
    assert found(checker, changed("import of computers", valueRmb="-84500", valueUsd="-10000")) == [[]]
    assert "EF0" in found(checker, changed("import of computers", valueRmb="-84500"))[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lists: {custom: []}", "SA1090 the pack `must_check_1995` has no table `custom` under `lists`"),
        ("lists: {rmbPerUsd: []}", "SA1090 the pack `must_check_1995` has no table `rmbPerUsd` under `lists`"),
        ('lists: {customs: ["9-1"]}', "SA1022 `9-1` is no range of codes"),
        ('patterns: {identificationCode: "("}', "SA1022 `(` is not a regular expression"),
        ("bands: {rmbPerUsd: {at_least: 8}}", "SA1021 key `at_most` is missing here"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, said):
    path = tmp_path / "tables.yaml"
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        pack.load_tables(path, PACK)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("format: tradeStatistics", "format: none", "there is no format `none`; there are contract,"),
        ("range: tradeMode", "range: mode", "the header has no field `mode`"),
        ("  H: secondQuantity", "  H: quantity", "the header has no field `quantity`"),
        ("field: customsDistrict, list: customs", "field: district, list: customs", "has no field `district`"),
        ("list: zone4", "list: zone5", "the pack has no `zone5` under `lists`"),
        ("units: tariffUnits}", "units: customs}", "the pack has no `customs` under `units`"),
        ("其关别必须为{taiwan", "其关别必须为{china", "the pack has no list `chinaSmallTradeCustoms`"),
        ("  - id: EF0", "  - id: E00", "`E00` is the id of another check already"),
        ("indicators: EF", "indicators: EX", "there is no indicator `X`"),
        ("  customs: {kind", "  zone1: {kind", "`zone1` is a list of the pack already"),
        ("digits: 7-10, codes", "digits: 10-7, codes", "`10-7` is no place of a code"),
        ('"334-355"', '"355-334"', "`355-334` is no range of codes"),
        ("{test: zero, field: firstUnit}", "{test: nought, field: firstUnit}", "may not be `nought`"),
        ("field: ieMark, list: importOrExport", "field: ieMark", "either `list` or `codes` is needed"),
        (
            "must: [{test: unique,",
            "must: [{test: numeric, field: hsCode}, {test: unique,",
            "`unique` must stand alone",
        ),
    ],
)
def test_a_pack_that_is_wrong_is_refused_where_it_is(tmp_path, before, after, said):
    good = (HERE / "packs" / "must_check_1995.yaml").read_text(encoding="utf-8")
    assert before in good
    path = tmp_path / "pack.yaml"
    path.write_text(good.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        pack.load(path)
    assert said in str(caught.value)


def test_every_pack_is_in_the_table():
    assert {yaml.stem for yaml in (HERE / "packs").glob("*.yaml")} == set(pack.PACKS)


# --- the stream -----------------------------------------------------------------------------------------------------


def test_a_repeated_code_names_the_record_that_had_it_first(checker):
    documents = [*GOOD, changed("import of computers", **SAMPLES.good["barter"]), GOOD[0]]
    *before, second, third = pack.check(documents, FORMAT, Context(), checker)
    assert all(each.findings == () for each in before)
    assert [messages.render(each.text, each.values) for each in (*second.findings, *third.findings)] == [
        "is `220019950000005`, as in record 5; check 123 of must_check_1995: 标识码重复",
        "is `220019950000001`, as in record 1; check 123 of must_check_1995: 标识码重复",
    ]
    assert (second.number, third.number) == (7, 8)


def test_only_district_mark_and_code_together_are_a_key(checker):
    assert found(checker, changed("import of computers", customsDistrict="2200"), GOOD[0]) == [[], []]
    assert found(checker, changed("import of computers", customsDistrict="2210")) == [[]]
    assert found(checker, changed("import of computers", ieMark="E", tradeMode="11")) == [[]]
    assert found(checker, changed("import of computers")) == [["123"]]


def test_a_key_that_lacks_a_part_is_no_key(checker):
    nameless = changed("import of computers", identificationCode="")
    assert found(checker, nameless, nameless) == [["CHK-01", "300"]] * 2


def test_parts_of_a_key_do_not_run_into_one_another():
    with SeenKeys() as seen:
        assert seen.first(("1", "23"), 1) is None
        assert seen.first(("12", "3"), 2) is None
        assert seen.first(("1:2", "3"), 3) is None
        assert seen.first(("1", "23"), 4) == 1


def test_a_key_may_be_any_text():
    with SeenKeys() as seen:
        for number, text in enumerate(("a\x00b", "a\x00c", "a", "A", "\ud800", "中", "é", "e\u0301"), start=1):
            assert seen.first((text,), number) is None
        assert seen.first(("a\x00c",), 9) == 2
        assert seen.first(("\ud800",), 9) == 5


def test_a_stream_is_checked_as_it_comes(checker):
    def endless():
        number = 0
        while True:
            number += 1
            yield changed("import of computers", identificationCode=f"{number:018}", valueRmb="1")

    stream = pack.check(endless(), FORMAT, Context(), checker)
    assert [[f.code for f in next(stream).findings] for _ in range(3)] == [["EF0"]] * 3
