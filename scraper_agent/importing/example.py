"""A document of a format that passes its checks: what the template shows as filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal

from scraper_agent.format import Context, Document, Field, Format, Value, read_value
from scraper_agent.importing import layout
from scraper_agent.rules.amounts import Balance, HeaderSum, LineAmount, LineSum
from scraper_agent.rules.fields import Constant, Numbering
from scraper_agent.rules.identity import CreditCode, credit_code_check, organisation_check
from scraper_agent.rules.weights import TotalWeight

_DAY = date(2026, 3, 5)
_PREFERRED = ("CHN", "CNY", "007", "1")
_ORGANISATION = "MA1EXAMP"
_PATH = re.compile(r"lines\[1\]\.(\w+)|(\w+)")


def document(format: Format) -> Document:
    """One document with the fewest lines: what is mandatory, and what the rules ask for beside."""
    header = {field.id: _value(field) for field in layout.asked(format) if field.mandatory}
    line = {field.id: _value(field) for field in format.lines if field.mandatory}
    while True:
        _calculate(format, header, line)
        made = Document(format=format.name, header=header, lines=_lines(format, line))
        filled = [path for path in _absent(made, format) if _fill(path, format, header, line)]
        if not filled:
            return made


def _lines(format: Format, line: dict[str, Value]) -> tuple[dict[str, Value], ...]:
    """What is debited is credited too, on a second line."""
    if not format.lines:
        return ()
    credit = {rule.mark: rule.credit for rule in format.rules if isinstance(rule, Balance)}
    second = {rule.field: Decimal(2) for rule in format.rules if isinstance(rule, Numbering)}
    return (line, line | second | credit) if credit else (line,)


def _absent(made: Document, format: Format) -> Iterator[str]:
    filled = {field.id for field in layout.asked(format)}
    for finding in format.check(made, Context()):
        path = _PATH.fullmatch(finding.field)
        if path is not None and (path[1] or path[2] in filled):
            yield finding.field


def _fill(path: str, format: Format, header: dict[str, Value], line: dict[str, Value]) -> bool:
    """Gives the field a value; whether it had none."""
    match = _PATH.fullmatch(path)
    if match is None:
        return False
    values, fields = (line, format.line_fields) if match[1] else (header, format.header_fields)
    id = match[1] or match[2]
    if id in values or id not in fields:
        return False
    values[id] = _value(fields[id])
    return True


def _calculate(format: Format, header: dict[str, Value], line: dict[str, Value]) -> None:
    """Sums and products as the rules have them."""
    for rule in format.rules:
        match rule:
            case LineAmount(quantity=quantity, price=price, amount=amount):
                if amount in line:
                    line[amount] = _number(line, quantity) * _number(line, price)
            case LineSum(amount=amount, total=total) if total in header:
                header[total] = _number(line, amount)
            case HeaderSum(total=total, parts=parts) if total in header:
                header[total] = sum((_number(header, part) for part in parts if part in header), Decimal(0))
            case TotalWeight(total=total, parts=parts) if total in header:
                header[total] = sum((_number(header, part) for part in parts), Decimal(0))
            case Constant(field=id, value=value) if id in header:
                header[id] = value
            case Numbering(field=id):
                line[id] = Decimal(1)
            case CreditCode(field=id) if id in header:
                header[id] = _uscc()
            case _:
                pass


def _number(values: Mapping[str, Value], id: str) -> Decimal:
    value = values.get(id)
    return value if isinstance(value, Decimal) else Decimal(0)


def _value(field: Field) -> Value:
    if field.example:
        return read_value(field.example, field.type.holds)
    match field.type.holds:
        case "date":
            return _DAY
        case "datetime":
            return datetime(2026, 3, 5, 8, 30)  # noqa: DTZ001 - local time of China, as the standard has it
        case "number":
            return _amount(field)
        case "text":
            return _text(field)


def _amount(field: Field) -> Decimal:
    whole = (field.type.most or 1) - field.type.decimals
    return Decimal("2.5") if "Price" in field.id else Decimal(10 if whole > 1 else 1)


def _text(field: Field) -> str:
    if field.choices:
        return next((code for code in _PREFERRED if code in field.choices), next(iter(field.choices)))
    least, most = field.type.least, field.type.most or 20
    if field.type.shape is not None:
        digits = field.type.notation.startswith("n")
        return ("1" if digits else "A") * least
    if field.id.lower().endswith("linenumber"):
        return "1".rjust(least, "0")
    if field.id.endswith(("Number", "Code", "Key")) and most > len("示例-0001"):
        return "示例-0001"
    return f"示例{field.zh}"[:most].ljust(least, "0")


def _uscc() -> str:
    body = f"91310000{_ORGANISATION}"
    body += organisation_check(_ORGANISATION)
    return body + credit_code_check(body)
