"""The workbook of a format: as people fill it in, with drop-downs and one example; and filled with one document."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

import xlsxwriter

from scraper_agent.format import Document, Field, Format, Value
from scraper_agent.importing import example, layout
from scraper_agent.importing.layout import Target
from scraper_agent.rules import Values

_NEED = {"M": "必填", "C": "条件", "O": "可选"}
_HEADS = 3
"""Rows above the first document."""
_LAST_ROW = 1_048_575
_FORMATS = {"text": "@", "number": "General", "date": "yyyy-mm-dd", "datetime": "yyyy-mm-dd hh:mm:ss"}
_HELP = (
    "一份单据占“表头”一行、“表体”若干行；“表体”每行以开头的关键列对应“表头”的单据。",
    "标记为“示例”的行不导入；请勿改动，可以删除。自己的单据标记列留空。",
    "带下拉框的列选择或只填代码；文本列已设为文本格式，代码前的零会保留。",
    "数字直接填写，不加千分位；日期填写为日期，或写成 2026-03-05。",
    "以 = + - @ 开头的文本按原样导入；公式只取文件中已存的结果，不会重新计算。",
    "列可以调换顺序，不用的可选列可以删除；不要合并单元格，也不要添加其他列或工作表。",
)


_FILLED = (
    "本文件由代理按标准模板生成，供人工在“智慧通”页面上传；请勿改动任何单元格。",
    "签名针对单据原文，不针对本文件；原文和签名保存在代理的日志中，可按下列编号查到。",
    "下列字段由代理填写，模板中没有对应的列。",
)
_DIGITS = 15
"""More than a spreadsheet program shows and keeps of a number."""
_FIRST_DAY = date(1900, 3, 1)
"""Before, days of a workbook are not what they seem: it has a 29 February 1900, and nothing before that year."""
_MADE = datetime(1980, 1, 1)  # noqa: DTZ001 - a constant, so that the same document gives the same bytes

# Nothing that is written becomes a formula, a link or a number by how it looks.
_OPTIONS = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}


def workbook(format: Format) -> bytes:
    """A template with its example."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, _OPTIONS) as book:
        _Book(format, book).write(example.document(format))
    return made.getvalue()


def filled(document: Document, format: Format, about: Mapping[str, str]) -> bytes:
    """The template's sheets and columns with one document, for upload by a person. Equal arguments give equal bytes.

    Every value is there as the document has it: fields without a column, and `about`, on the sheet 说明; numbers of
    more than 15 digits as texts. There are no drop-downs, for nothing is to be filled in.

    Raises:
        ValueError: a text is longer than a cell.
    """
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, _OPTIONS) as book:
        book.set_properties({"title": layout.title(format), "created": _MADE})
        _Book(format, book).write_filled(document, about)
    return made.getvalue()


class _Book:
    def __init__(self, format: Format, book: Any) -> None:
        self.format = format
        self.book = book
        self.styles = {holds: book.add_format({"num_format": code}) for holds, code in _FORMATS.items()}
        self.shaded = {
            holds: book.add_format({"num_format": code, "bg_color": "#F2F2F2", "font_color": "#7F7F7F"})
            for holds, code in _FORMATS.items()
        }
        head = {"bold": True, "bg_color": "#DCE6F1", "text_wrap": True, "valign": "top"}
        self.head = book.add_format(head)
        self.needed = book.add_format({**head, "font_color": "#C00000"})
        self.small = book.add_format({"font_color": "#595959", "font_size": 9})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})

    def write(self, shown: Document) -> None:
        header = self.book.add_worksheet(layout.HEADER)
        lines = self.book.add_worksheet(layout.LINES) if self.format.lines else None
        self._help(self.book.add_worksheet(layout.HELP))
        lists = self._lists()
        self._table(header, layout.targets(self.format, "header"), lists, shown.header, ({},))
        if lines is not None:
            self._table(lines, layout.targets(self.format, "lines"), lists, shown.header, shown.lines)

    def write_filled(self, document: Document, about: Mapping[str, str]) -> None:
        header = self.book.add_worksheet(layout.HEADER)
        lines = self.book.add_worksheet(layout.LINES) if self.format.lines else None
        self._about(self.book.add_worksheet(layout.HELP), document.header, about)
        self._rows(header, layout.targets(self.format, "header"), document.header, ({},))
        if lines is not None:
            self._rows(lines, layout.targets(self.format, "lines"), document.header, document.lines)

    def _rows(self, sheet: Any, columns: tuple[Target, ...], header: Values, rows: tuple[Values, ...]) -> None:
        self._heads(sheet, columns)
        for at, target in enumerate(columns, 1):
            style = self.styles[target.field.type.holds]
            for row, line in enumerate(rows, _HEADS):
                value = (header if target.header else line).get(target.field.id)
                if value is not None:
                    _write_exact(sheet, row, at, value, style)

    def _about(self, sheet: Any, header: Values, about: Mapping[str, str]) -> None:
        """What no column holds: what the file is, and the fields that the agent fills."""
        sheet.set_column(0, 0, 26)
        sheet.set_column(1, 2, 40)
        said = [(f"{self.format.zh} {layout.title(self.format)}", self.head), *((text, None) for text in _FILLED)]
        for row, (text, style) in enumerate(said):
            sheet.write_string(row, 0, text, style)
        row = len(said)
        asked = {field.id for field in layout.asked(self.format)}
        own = [field for field in self.format.header if field.id not in asked and field.id in header]
        for zh, id, value in (
            *((name, "", text) for name, text in about.items()),
            *((field.zh, field.id, header[field.id]) for field in own),
        ):
            row += 1
            sheet.write_string(row, 0, zh)
            sheet.write_string(row, 1, id)
            _write_exact(sheet, row, 2, value.isoformat() if isinstance(value, date) else value, self.styles["text"])

    def _heads(self, sheet: Any, columns: tuple[Target, ...]) -> None:
        sheet.freeze_panes(_HEADS, 2)
        sheet.set_column(0, 0, 10, self.styles["text"])
        for row, text in enumerate((layout.title(self.format), layout.IDENTIFIERS, layout.TYPES)):
            sheet.write_string(row, 0, text, self.small)
        for at, (target, id) in enumerate(zip(columns, layout.identifiers(columns), strict=True), 1):
            field = target.field
            sheet.set_column(at, at, _width(field), self.styles[field.type.holds])
            sheet.write_string(0, at, field.zh, self.needed if field.mandatory else self.head)
            sheet.write_string(1, at, id, self.small)
            sheet.write_string(2, at, f"{field.type.notation} {_NEED[field.need]}", self.small)

    def _table(
        self,
        sheet: Any,
        columns: tuple[Target, ...],
        lists: Mapping[_Codes, str],
        header: Values,
        rows: tuple[Values, ...],
    ) -> None:
        self._heads(sheet, columns)
        for at, target in enumerate(columns, 1):
            field = target.field
            if field.choices:
                sheet.data_validation(
                    _HEADS,
                    at,
                    _LAST_ROW,
                    at,
                    {
                        "validate": "list",
                        "source": lists[_codes(field)],
                        "error_type": "warning",
                        "error_title": field.zh[:32],
                        "error_message": "不是下拉框中的值；也可以只填代码。",
                    },
                )
            for row, line in enumerate(rows, _HEADS):
                value = (header if target.header else line).get(field.id)
                if value is not None:
                    _write(sheet, row, at, value, field, self.shaded[field.type.holds])
        for row in range(_HEADS, _HEADS + len(rows)):
            sheet.write_string(row, 0, layout.EXAMPLE, self.shaded["text"])

    def _lists(self) -> dict[_Codes, str]:
        """A hidden sheet with a column for each code list; gives where each is."""
        lists = {_codes(f): f for f in (*layout.asked(self.format), *self.format.lines) if f.choices}
        if not lists:
            return {}
        sheet = self.book.add_worksheet(layout.CODES)
        sheet.very_hidden()
        places = {}
        for at, (codes, field) in enumerate(lists.items()):
            for row, (text, _) in enumerate(layout.shown(field)):
                sheet.write_string(row, at, text, self.styles["text"])
            letter = layout.letters(at)
            places[codes] = f"={layout.CODES}!${letter}$1:${letter}${len(codes)}"
        return places

    def _help(self, sheet: Any) -> None:
        sheet.set_column(0, 0, 10)
        sheet.set_column(1, 1, 26)
        sheet.set_column(2, 4, 20)
        sheet.set_column(5, 6, 50, self.wrapped)
        said = [(f"{self.format.zh} {layout.title(self.format)}", self.head), *((text, None) for text in _HELP)]
        for row, (text, style) in enumerate(said):
            sheet.write_string(row, 0, text, style)
        row = len(said) + 1
        for at, name in enumerate(("部分", "名称", "标识符", "类型", "填写", "规则", "来源")):
            sheet.write_string(row, at, name, self.head)
        parts = [(layout.HEADER, layout.asked(self.format)), (layout.LINES, self.format.lines)]
        for part, field in ((part, field) for part, fields in parts for field in fields):
            row += 1
            rule = "; ".join(text for text in (field.rule, f"代码表 {field.codes}" if field.codes else "") if text)
            told = (part, field.zh, field.id, field.type.notation, _NEED[field.need], rule, field.source)
            for at, text in enumerate(told):
                sheet.write_string(row, at, text)


_Codes: TypeAlias = tuple[tuple[str, str], ...]


def _codes(field: Field) -> _Codes:
    return tuple(field.choices.items())


def _width(field: Field) -> float:
    return min(max(12.0, 2.0 * len(field.zh) + 2, (field.type.most or 20) * 0.6), 36.0)


def _write(sheet: Any, row: int, at: int, value: Value, field: Field, style: Any) -> None:
    match value:
        case Decimal():
            sheet.write_number(row, at, float(value), style)
        case date():
            sheet.write_datetime(row, at, value, style)
        case _:
            text = {code: text for text, code in layout.shown(field)}.get(value, value)
            sheet.write_string(row, at, text, style)


def _write_exact(sheet: Any, row: int, at: int, value: Value, style: Any) -> None:
    """The value, as it is. Raises ValueError if a text is longer than a cell."""
    match value:
        case Decimal() if len(value.as_tuple().digits) <= _DIGITS and abs(value.adjusted()) < _DIGITS:
            sheet.write_number(row, at, float(value), style)
        case Decimal():
            sheet.write_string(row, at, format(value, "f"), style)
        case datetime() if value.date() < _FIRST_DAY:
            sheet.write_string(row, at, value.isoformat(sep=" "), style)
        case date() if not isinstance(value, datetime) and value < _FIRST_DAY:
            sheet.write_string(row, at, value.isoformat(), style)
        case date():
            sheet.write_datetime(row, at, value, style)
        case _:
            if sheet.write_string(row, at, _plain(value), style):
                raise ValueError(f"a text of {len(value)} characters, more than a cell holds")


def _plain(text: str) -> str:
    """What makes the library write `text` and nothing else: it takes `<r>…</r>` for markup of its own."""
    if text.startswith("<r>") and text.endswith("</r>"):
        return f'<r><t xml:space="preserve">{html.escape(text)}</t></r>'
    return text
