"""The user's own code lists, tariff, districts and rates, instead of or beside those of the package."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from scraper_agent import canonical, messages
from scraper_agent.app import App
from scraper_agent.errors import SourceErrors, UsageError
from scraper_agent.formats import CODES, FORMATS, PACKAGED, with_tables
from tests import docs
from tests.test_formats import order

CURRENCIES = (
    "version,2026-01\ndate,2026/1/5\nsource,GACC\ncode,zh,numeric\nEUR,欧元,300\nCNY,人民币,142\nBRL,巴西雷亚尔,\n"
)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding, newline="")
    return path


def problems(caught: pytest.ExceptionInfo[SourceErrors]) -> list[str]:
    told = caught.value.problems
    return [f"{p.at.line}:{p.at.column} {p.code} {messages.render(p.text, p.values)}" for p in told]


# --- code lists -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        CURRENCIES,
        CURRENCIES.replace(",", ";"),
        CURRENCIES.replace(",", "\t").replace("\n", "\r\n"),
        CURRENCIES.replace("GACC\n", "GACC,,\n\n").replace("巴西雷亚尔,", '"巴西雷亚尔",'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_list_as_a_spreadsheet_saves_it_replaces_the_packaged_one(tmp_path: Path, text: str, encoding: str) -> None:
    path = written(tmp_path / "currency.csv", text, encoding)
    own = with_tables(tmp_path)
    codes = own.codes["currency"]
    assert list(codes.codes) == ["EUR", "CNY", "BRL"]
    assert (codes.codes["CNY"].zh, codes.codes["CNY"].numeric, codes.codes["BRL"].numeric) == ("人民币", "142", None)
    assert (codes.version, codes.date, codes.source, codes.zh) == ("2026-01", date(2026, 1, 5), "GACC", "币制")
    assert own.versions["currency"] == f"2026-01 (2026-01-05) {canonical.digest(path.read_bytes())}"


def test_documents_are_judged_by_the_list_that_replaces_another(tmp_path: Path) -> None:
    written(tmp_path / "currency.csv", CURRENCIES)
    own = with_tables(tmp_path)
    for currency, right_before, right_now in (("USD", True, False), ("BRL", False, True), ("EUR", True, True)):
        document = order(currencyCode=currency)
        before = FORMATS["purchaseOrder"].check(document, PACKAGED.context((), {}))
        now = own.formats["purchaseOrder"].check(document, own.context((), {}))
        assert ([f.field for f in before], [f.field for f in now]) == (
            [] if right_before else ["currencyCode"],
            [] if right_now else ["currencyCode"],
        )


def test_the_packaged_formats_stay_as_they_are(tmp_path: Path) -> None:
    written(tmp_path / "currency.csv", CURRENCIES)
    own = with_tables(tmp_path)
    assert "USD" not in own.formats["contract"].header_fields["currencyCode"].choices
    assert "USD" in FORMATS["contract"].header_fields["currencyCode"].choices
    assert own.formats["contract"].header_fields["tradeCountryCode"].choices.keys() == CODES["country"].codes.keys()
    assert own.codes["country"] is CODES["country"]


def test_a_list_in_yaml_says_everything_itself(tmp_path: Path) -> None:
    written(
        tmp_path / "incoterm.yaml",
        "name: incoterm\nzh: 成交方式\nen: terms\nversion: '2'\ndate: 2026-02-01\n"
        "codes:\n  1: {zh: CIF, also: [到岸]}\n",
    )
    assert list(with_tables(tmp_path).codes["incoterm"].codes) == ["1"]
    written(tmp_path / "incoterm.yaml", "name: incoterm\nversion: '2'\ndate: 2026-02-31\ncodes: {1: {name: CIF}}\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert [each.partition(" ")[0] for each in problems(caught)] == ["3:7", "4:12", "4:13"]


def test_what_is_wrong_with_a_list_is_told_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "unit.csv", "version,1\ndate,2026-01-05\ncode,zh\n001,台\n7,个\n001,座\n,只\n035\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert problems(caught) == ["6:1 SA1054 `001` is there twice"]
    written(path, "version,1\ndate,2026-01-05\ncode,zh\n001,台\n7,个\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert problems(caught) == ["5:1 SA1059 the code `7` is not of the type n3"]
    assert "leading zeros" in str(caught.value)
    assert "  | 7,个" in str(caught.value)
    written(path, "version,1\ndate,5.1.2026\ncode,zh\n001,台\n035\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert [each.partition(" ")[0] for each in problems(caught)] == ["2:1", "5:1"]
    written(path, "version,1\ndate,2026-01-05\ncode,zh,nummer\n001,台,3\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert problems(caught)[0] == "3:1 SA1053 there is no column `nummer`; there are code, zh, numeric"
    written(path, "001,台\n002,座\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert problems(caught) == ["1:1 SA1052 no row begins with `code`, the name of the first column"]
    written(path, "version,1\ndate,2026-01-05\ncode,zh\n001," + "x" * 200_000)
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert [each.partition(" ")[0] for each in problems(caught)] == ["4:1"]


def test_a_list_without_version_or_day_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "currency.csv", CURRENCIES.partition("source")[2].partition("\n")[2])
    with pytest.raises(SourceErrors) as caught:
        with_tables(tmp_path)
    assert "`version`" in problems(caught)[0]
    assert "`date`" in problems(caught)[1]


def test_a_folder_has_nothing_but_lists_that_are_known(tmp_path: Path) -> None:
    written(tmp_path / "currencies.csv", CURRENCIES)
    with pytest.raises(SourceErrors, match="there is no code list `currencies`"):
        with_tables(tmp_path)
    (tmp_path / "currencies.csv").rename(tmp_path / "currency.xlsx")
    with pytest.raises(UsageError, match="neither YAML nor CSV"):
        with_tables(tmp_path)
    (tmp_path / "currency.xlsx").rename(tmp_path / "~$currency.xlsx")  # what Excel leaves beside an open file
    assert with_tables(tmp_path).codes == PACKAGED.codes
    with pytest.raises(UsageError, match="is no folder"):
        with_tables(tmp_path / "none")


# --- tariff, districts, rates ---------------------------------------------------------------------------------------


def test_a_tariff_names_codes_and_their_legal_units(tmp_path: Path) -> None:
    path = written(
        tmp_path / "tariff.csv",
        "version,2026\ndate,2026-01-01\ncode,first,second\n8482102000,006,035\n0101210010,035,\n",
    )
    own = with_tables(tariff=path)
    assert own.tariff == {"8482102000": ("006", "035"), "0101210010": ("035", "")}
    written(path, "version,2026\ndate,2026-01-01\ncode,first,second\n8482102000,6,035\n101210010,035,\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tariff=path)
    assert [each.partition(" ")[0] for each in problems(caught)] == ["5:1"]
    written(path, "version,2026\ndate,2026-01-01\ncode,first,second\n8482102000,6,035\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(tariff=path)
    assert problems(caught) == ["4:1 SA1055 `6` is no unit of the code list"]


def test_districts_are_a_list_of_codes(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", "version,2018\ndate,2018-08-01\ncode,zh\n31222,上海浦东\n")
    assert with_tables(districts=path).districts == frozenset({"31222"})


def test_rates_hold_from_a_day_on(tmp_path: Path) -> None:
    text = "version,3\ndate,2026-03-01\ncurrency,from,rate\nUSD,2026/2/1,7.0\nUSD,2026-01-01,7.1\nEUR,2026-01-01,8.2\n"
    path = written(tmp_path / "rates.csv", text)
    own = with_tables(rates=path)
    assert own.rates is not None
    assert own.rates["USD"] == [(date(2026, 1, 1), Decimal("7.1")), (date(2026, 2, 1), Decimal("7.0"))]
    assert own.rates["CNY"] == [(date.min, Decimal(1))]
    written(path, text.replace("EUR", "GER").replace("7.0", "0") + "USD,2026-01-01,7.2\n")
    with pytest.raises(SourceErrors) as caught:
        with_tables(rates=path)
    assert problems(caught) == ["7:1 SA1054 `2026-01-01` is there twice"]
    written(path, text.replace("EUR", "GER"))
    with pytest.raises(SourceErrors) as caught:
        with_tables(rates=path)
    assert problems(caught) == ["6:1 SA1056 `GER` is no currency of the code list"]
    written(path, text.replace("7.0", "0"))
    with pytest.raises(SourceErrors) as caught:
        with_tables(rates=path)
    assert [each.partition(" ")[0] for each in problems(caught)] == ["4:1"]


def test_the_config_names_them_and_the_policy_knows_their_currencies(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    written(tmp_path / "lists" / "currency.csv", CURRENCIES)
    written(tmp_path / "rates.csv", "version,3\ndate,2026-03-01\ncurrency,from,rate\nBRL,2026-01-01,1.3\n")
    config = (docs.ROOT / "config.example.yaml").read_text(encoding="utf-8")
    written(tmp_path / "config.yaml", f"code_lists: lists\nrates: rates.csv\n{config}")
    written(tmp_path / "policy.yaml", "automatic: {purchaseOrder: {amounts: {BRL: 100}}}\n")
    app = App.load(tmp_path / "config.yaml")
    assert list(app.tables.codes["currency"].codes) == ["EUR", "CNY", "BRL"]
    assert app.tables.rates is not None
    assert app.recipe("demo/order").format is app.tables.formats["purchaseOrder"]
    written(tmp_path / "policy.yaml", "automatic: {purchaseOrder: {amounts: {USD: 100}}}\n")
    with pytest.raises(SourceErrors, match="`USD` is no currency of the code list"):
        App.load(tmp_path / "config.yaml")


def test_an_auditor_is_told_by_which_tables_a_document_was_judged(tmp_path: Path) -> None:
    path = written(tmp_path / "tariff.csv", "version,2026\ndate,2026-01-01\ncode,first\n8482102000,006\n")
    own = with_tables(tariff=path)
    assert [each.split(" ")[:2] for each in own.behind(own.formats["bondedTransfer"])] == [
        ["districts", "none"],
        ["tariff", "2026"],
        ["unit", "2018-08-01"],
    ]
    assert PACKAGED.behind(FORMATS["goodsReceipt"]) == (
        "districts none",
        f"unit {PACKAGED.versions['unit']}",
    )
