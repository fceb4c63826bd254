"""Every way in which a text may be read as a number or a date, for pages whose notation no recipe has declared.

Nothing is chosen here: `amount` and `moment` give all readings, and `inference` keeps those that the whole document
allows. A text that no usual notation explains in every character is refused. Time is linear in the text, which may have
at most 200 characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from types import MappingProxyType

from scraper_agent import convert
from scraper_agent.convert import Unreadable
from scraper_agent.messages import N_
from scraper_agent.recipe import DateOrder, Locale, NumberStyle

STYLES: Mapping[NumberStyle, Locale] = MappingProxyType(
    {
        "1,234.50": Locale(decimal=".", group=","),
        "1.234,50": Locale(decimal=",", group="."),
        "1 234,50": Locale(decimal=",", group=" "),
        "1 234.50": Locale(decimal=".", group=" "),
        "1'234.50": Locale(decimal=".", group="'"),
        "1'234,50": Locale(decimal=",", group="'"),
    }
)
"""The notations of numbers that one document may use throughout; each also reads numbers without thousands."""

_MOST = 200
_MOST_DIGITS = 100
_PLAIN = str.maketrans(
    "０１２３４５６７８９，．－−＋（）：／＇’ʼ￥＄￡\u00a0\u2007\u2009\u202f\u3000萬億圓",
    "0123456789,.--+():/'''¥$£     万亿元",
)
"""Full-width forms, either apostrophe, the true minus and the spaces that stand between thousands."""

_YUAN = ("元", "人民币", "CNY", "RMB", "¥")
_SIGNS = "¥ $ € £ ₩ ₹ ₽ US$ HK$ NT$ A$ C$ S$"
_CODES = (
    "CNY RMB USD EUR GBP JPY HKD TWD MOP KRW SGD AUD NZD CAD CHF SEK NOK DKK THB MYR IDR VND PHP INR RUB BRL ZAR AED"
    " SAR TRY MXN PLN CZK HUF KZT"
)
_NAMES = "元 人民币 人民币元 美元 欧元 日元 英镑 港元 港币 韩元 新台币"
_CURRENCY = "|".join(map(re.escape, sorted(f"{_SIGNS} {_CODES} {_NAMES}".split(), key=len, reverse=True)))
_SCALES = {"千": 3, "万": 4, "十万": 5, "百万": 6, "千万": 7, "亿": 8, "十亿": 9, "百亿": 10, "千亿": 11, "万亿": 12}
_SCALE = "|".join(sorted(_SCALES, key=len, reverse=True))
_AMOUNT = re.compile(
    rf"(?P<outer>[-+负])?(?:(?P<first>{_CURRENCY}) ?)?(?P<open>\( ?)?(?P<inner>[-+负])?(?:(?P<second>{_CURRENCY}) ?)?"
    rf"(?P<body>[0-9](?:[0-9,.' ]*[0-9])?)"
    rf" ?(?P<scale>{_SCALE})?(?: ?(?P<third>{_CURRENCY}))?(?P<after>-)?(?P<close> ?\))?(?: ?(?P<last>{_CURRENCY}))?",
    re.ASCII,
)
_WORDS = re.compile(rf"(?P<minus>负)?(?:(?:人民币|CNY|RMB|¥) ?)?(?P<words>[{convert.CHINESE}]+)")


@dataclass(frozen=True, slots=True)
class Amount:
    """What one text may be: the value by each notation that explains it."""

    seen: str
    by_style: Mapping[NumberStyle, Decimal]

    def values(self, styles: frozenset[NumberStyle]) -> frozenset[Decimal]:
        return frozenset(value for style, value in self.by_style.items() if style in styles)


def amount(text: str, scale: int = 0) -> Amount:
    """All readings of `text`; `scale`: the power of ten that its header names, such as 4 for 万元.

    Raises:
        Unreadable: no notation explains every character, there are more than 100 digits, or cell and header both name
            a power of ten.
    """
    plain = _shortened(text)
    if words := _WORDS.fullmatch(plain):
        value = convert.chinese(words["words"])
        if value is None or scale:
            raise _no_number(text)
        return Amount(text, dict.fromkeys(STYLES, -value if words["minus"] else value))
    match = _AMOUNT.fullmatch(plain)
    if match is None or not _signs_fit(match) or not _currencies_fit(match):
        raise _no_number(text)
    if sum(map(str.isdigit, match["body"])) > _MOST_DIGITS:
        raise Unreadable(N_("`{seen}` has more than {most} digits"), seen=text, most=str(_MOST_DIGITS))
    if match["scale"] and scale:
        raise Unreadable(
            N_("`{seen}` has a power of ten of its own, and its header names one too"), code="SA2316", seen=text
        )
    power = _SCALES.get(match["scale"] or "", scale)
    minus = match["open"] or match["after"] or "-" in (match["outer"], match["inner"]) or "负" in match[0]
    readings: dict[NumberStyle, Decimal] = {}
    for style, locale in STYLES.items():
        try:
            value = scaled(convert.number(match["body"], locale), power)
        except Unreadable:
            continue
        readings[style] = -value if minus else value
    if not readings:
        raise _no_number(text)
    return Amount(text, readings)


def scaled(value: Decimal, power: int) -> Decimal:
    """`value` times ten to the `power`, exactly, whatever its length."""
    if not power:
        return value
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise TypeError("a number of a page is finite")
    return Decimal(format(Decimal((sign, digits, exponent + power)), "f"))


def _shortened(text: str) -> str:
    if len(text) > _MOST:
        raise Unreadable(N_("`{seen}` has more than {most} characters"), seen=text, most=str(_MOST))
    return text.translate(_PLAIN).strip()


def _no_number(text: str) -> Unreadable:
    return Unreadable(N_("`{seen}` is no number in any usual notation"), seen=text)


def _signs_fit(match: re.Match[str]) -> bool:
    bracketed = match["open"] is not None
    signs = [mark for mark in (match["outer"], match["inner"], match["after"]) if mark is not None]
    return bracketed == (match["close"] is not None) and len(signs) + bracketed <= 1


def _currencies_fit(match: re.Match[str]) -> bool:
    """One sign, code or word; or one before and the yuan's own word after it, as in ￥5.00元."""
    named = [name for name in (match["first"], match["second"], match["third"], match["last"]) if name is not None]
    if len(named) <= 1:
        return True
    return len(named) == 2 and named[1] == "元" and named[0] in _YUAN and named[0] != "元"  # noqa: PLR2004


# --- what a header says of its numbers ------------------------------------------------------------------------------

_SI = ("克", "米", "瓦", "升", "赫", "卡", "帕", "伏", "安", "焦", "字", "分", "牛")
_REMARK = re.compile(r"[(\[【{]([^()\[\]【】{}]{1,30})[)\]】}]")
_OF_MONEY = re.compile(
    rf"(?:单位 ?[::]? ?|in )?(?:(?:{_CURRENCY}) ?)?(?P<scale>{_SCALE}|thousands?|millions?|'?000s?)"
    rf"(?: ?(?:of )?(?:{_CURRENCY}))?",
    re.ASCII | re.IGNORECASE,
)
_TRAILING = re.compile(rf"(?:[/_-]|单位 ?[::]) ?(?P<scale>{_SCALE})(?:{_CURRENCY})$", re.ASCII)
_ENGLISH = {"thousand": 3, "thousands": 3, "million": 6, "millions": 6, "000": 3, "000s": 3}


def header_power(header: str) -> int:
    """The power of ten that a label or header names for its numbers: 4 for 金额(万元), 0 for none.

    Raises:
        Unreadable: it names one of pieces, such as 数量(万件): whether their unit has it too, no page tells.
    """
    plain = header[:_MOST].translate(_PLAIN).strip().rstrip(":* ")
    powers: set[int] = set()
    for remark in _REMARK.findall(plain):
        if match := _OF_MONEY.fullmatch(remark.strip()):
            word = match["scale"].lower().lstrip("'")
            powers.add(_SCALES[word] if word in _SCALES else _ENGLISH[word])
        elif re.match(rf"(?:{_SCALE})", remark) and not re.match(rf"千(?:{'|'.join(_SI)})", remark):
            raise Unreadable(N_("the header `{header}` names a power of ten of pieces"), code="SA2319", header=header)
    if match := _TRAILING.search(plain):
        powers.add(_SCALES[match["scale"]])
    if len(powers) > 1:
        raise Unreadable(N_("the header `{header}` names two powers of ten"), code="SA2322", header=header)
    return powers.pop() if powers else 0


# --- dates ----------------------------------------------------------------------------------------------------------

_NAMES_OF_MONTHS = "january february march april may june july august september october november december"
_MONTHS = {known: number for number, name in enumerate(_NAMES_OF_MONTHS.split(), 1) for known in (name, name[:3])} | {
    "sept": 9
}
_TIME = (
    r"(?P<time>(?:[T ] ?|, ?)?(?P<half>上午|下午)? ?(?P<h>\d{1,2})(?::(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,]\d{1,9})?)?"
    r"|时(?:(?P<mm>\d{1,2})分(?:(?P<ss>\d{1,2})秒)?)?)"
    r"(?: ?(?P<ampm>[AaPp][Mm]))?(?: ?(?P<zone>Z|[+-]\d{2}:?\d{2}))?)?"
)
_YEAR_FIRST = re.compile(
    rf"(?:(?P<y>\d{{4}})(?:年 ?(?P<m1>\d{{1,2}})月 ?(?P<d1>\d{{1,2}})日"
    rf"|(?P<sep>[-/.])(?P<m2>\d{{1,2}})(?P=sep)(?P<d2>\d{{1,2}})|(?P<m3>\d{{2}})(?P<d3>\d{{2}})(?=$|[T ])))"
    rf"{_TIME}",
    re.ASCII,
)
_ROC = re.compile(
    rf"民[国國] ?(?P<y>\d{{1,3}})(?:年 ?(?P<m1>\d{{1,2}})月 ?(?P<d1>\d{{1,2}})日"
    rf"|(?P<sep>[-/.])(?P<m2>\d{{1,2}})(?P=sep)(?P<d2>\d{{1,2}})){_TIME}",
    re.ASCII,
)
_YEAR_LAST = re.compile(rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}}){_TIME}", re.ASCII)
_SHORT_YEAR = re.compile(r"\d{2}([-/.])\d{1,2}\1\d{2}", re.ASCII)
_NAMED = re.compile(
    rf"(?:(?P<d1>\d{{1,2}})(?:st|nd|rd|th|\.)?[ -](?P<n1>[A-Za-z]{{3,9}})\.?(?:,? |-)"
    rf"|(?P<n2>[A-Za-z]{{3,9}})\.? (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,? )(?P<y>\d{{4}}){_TIME}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What one text may be: the day by each order of its parts. `separator` is empty where there is one order alone."""

    seen: str
    by_order: Mapping[DateOrder, date]
    separator: str = ""

    def values(self, orders: frozenset[DateOrder]) -> frozenset[date]:
        return frozenset(value for order, value in self.by_order.items() if order in orders)


ORDERS: frozenset[DateOrder] = frozenset({"day-first", "month-first"})
"""What a document may have to be asked for: a year that comes first is always followed by the month."""


def moment(text: str) -> Moment:
    """All readings of `text`; a time of day behind the date must be one, and is left out.

    Raises:
        Unreadable: no notation explains every character, there is no such day, its year has two digits, or its time is
            another zone's than China's, where it may be another day.
    """
    plain = _shortened(text)
    if match := _YEAR_FIRST.fullmatch(plain) or _ROC.fullmatch(plain):
        year = int(match["y"]) + (1911 if match.re is _ROC else 0)
        month, day = (next(g for k in (1, 2, 3) if (g := match.groupdict().get(f"{part}{k}"))) for part in "md")
        return _one(text, match, _day(year, int(month), int(day)))
    if match := _NAMED.fullmatch(plain):
        month_number = _MONTHS.get((match["n1"] or match["n2"]).lower())
        found = None if month_number is None else _day(int(match["y"]), month_number, int(match["d1"] or match["d2"]))
        return _one(text, match, found)
    if match := _YEAR_LAST.fullmatch(plain):
        _check_time(text, match)
        first, second, year = int(match["a"]), int(match["b"]), int(match["y"])
        readings: dict[DateOrder, date] = {}
        if found := _day(year, second, first):
            readings["day-first"] = found
        if found := _day(year, first, second):
            readings["month-first"] = found
        if not readings:
            raise _no_date(text)
        return Moment(text, readings, match["sep"])
    if _SHORT_YEAR.match(plain):
        raise Unreadable(N_("`{seen}` is a date whose year has two digits"), code="SA2318", seen=text)
    raise _no_date(text)


def _one(text: str, match: re.Match[str], found: date | None) -> Moment:
    if found is None:
        raise _no_date(text)
    _check_time(text, match)
    return Moment(text, {"year-first": found, "day-first": found, "month-first": found})


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _check_time(text: str, match: re.Match[str]) -> None:
    if match["time"] is None:
        return
    hour, minute, second = (int(match[a] or match[b] or 0) for a, b in (("h", "h"), ("m", "mm"), ("s", "ss")))
    twelve = bool(match["ampm"] or match["half"])
    if (twelve and not 1 <= hour <= 12) or (match["ampm"] and match["half"]):  # noqa: PLR2004
        raise _no_date(text)
    try:
        time(hour, minute, second)
    except ValueError:
        raise _no_date(text) from None
    if match["zone"] and match["zone"].replace(":", "") != "+0800":
        raise Unreadable(
            N_("`{seen}` is a time of another zone than China's, where it may be another day"), code="SA2317", seen=text
        )


def _no_date(text: str) -> Unreadable:
    return Unreadable(N_("`{seen}` is no date in any usual notation"), seen=text)
