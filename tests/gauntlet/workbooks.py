"""Workbooks and PDF as ERPs export them, written byte by byte: no library decides what is in them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from html import escape

Value = str | int | Decimal | date | None


class Formula(str):  # noqa: SLOT000 - it carries a value
    """A formula; `stored` is the value that the program which wrote the file has left beside it."""

    stored: str | None = None


def formula(text: str, stored: str | None) -> Formula:
    made = Formula(text)
    made.stored = stored
    return made


_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>'
)
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def serial(day: date) -> int:
    return (day - date(1899, 12, 30)).days


def column(number: int) -> str:
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _cell(value: Value, place: str) -> str:
    match value:
        case None:
            return ""
        case Formula():
            stored = "" if value.stored is None else f"<v>{value.stored}</v>"
            return f'<c r="{place}"><f>{escape(value)}</f>{stored}</c>'
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        case date():
            return f'<c r="{place}" s="1"><v>{serial(value)}</v></c>'
        case _:
            return f'<c r="{place}"><v>{value}</v></c>'


def sheet_xml(rows: Sequence[Sequence[Value]], merged: Sequence[str] = ()) -> str:
    lines = [
        f'<row r="{y}">{"".join(_cell(v, f"{column(x)}{y}") for x, v in enumerate(row, 1))}</row>'
        for y, row in enumerate(rows, 1)
    ]
    spans = "".join(f'<mergeCell ref="{ref}"/>' for ref in merged)
    merges = f"<mergeCells>{spans}</mergeCells>" if spans else ""
    return (
        f'<?xml version="1.0"?><worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData>{merges}</worksheet>'
    )


def xlsx(
    rows: Sequence[Sequence[Value]],
    merged: Sequence[str] = (),
    *,
    name: str = "明细",
    sheet: str | None = None,
    more: dict[str, bytes] | None = None,
) -> bytes:
    """`more`: other parts; `sheet`: the sheet's own XML in place of `rows`."""
    styles = (
        f'<?xml version="1.0"?><styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>'
    )
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<?xml version="1.0"?><workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
        f'<sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" '
        f'Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": styles,
        "xl/worksheets/sheet1.xml": sheet if sheet is not None else sheet_xml(rows, merged),
        **(more or {}),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for part, text in parts.items():
            file.writestr(part, text)
    return packed.getvalue()


# --- BIFF8 in a compound file (MS-XLS, MS-CFB) ----------------------------------------------------------------------


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def _text(text: str, length: str) -> bytes:
    return struct.pack(length, len(text)) + b"\x01" + text.encode("utf-16-le")


def xls(rows: Sequence[Sequence[Value]], *, name: str = "明细", password: bool = False) -> bytes:
    globals_ = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 1997, 0, 6))
    if password:
        globals_ += _record(0x002F, struct.pack("<HHH", 0, 0x1234, 0x5678))
    globals_ += _record(0x0042, struct.pack("<H", 1200))
    for number_format in (0, 14):
        globals_ += _record(0x00E0, struct.pack("<HH", 0, number_format) + bytes(16))
    bound = _text(name, "<B")
    at = len(globals_) + 4 + 6 + len(bound) + 4
    globals_ += _record(0x0085, struct.pack("<IH", at, 0) + bound) + _record(0x000A, b"")
    cells = b""
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            match value:
                case None:
                    continue
                case str():
                    cells += _record(0x0204, struct.pack("<HHH", y, x, 0) + _text(value, "<H"))
                case date():
                    cells += _record(0x0203, struct.pack("<HHHd", y, x, 1, serial(value)))
                case _:
                    cells += _record(0x0203, struct.pack("<HHHd", y, x, 0, float(value)))
    size = struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0)
    sheet = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 1997, 0, 6)) + _record(0x0200, size)
    return compound({"Workbook": globals_ + sheet + cells + _record(0x000A, b"")})


def compound(streams: dict[str, bytes]) -> bytes:
    """Every stream padded to 4096 bytes or more, so that there is no mini stream."""
    sectors: list[bytes] = []
    chains: list[int] = []
    entries = [_entry("Root Entry", 5, 0xFFFFFFFE, 0, child=1)]
    for number, (name, body) in enumerate(streams.items(), 1):
        padded = body.ljust(4096, b"\x00")
        size = len(padded)
        padded += bytes(-len(padded) % 512)
        start = len(sectors)
        count = len(padded) // 512
        sectors += [padded[n * 512 : n * 512 + 512] for n in range(count)]
        chains += [*range(start + 1, start + count), 0xFFFFFFFE]
        right = number + 1 if number < len(streams) else 0xFFFFFFFF
        entries.append(_entry(name, 2, start, size, right=right))
    directory = len(sectors)
    entries += [bytes(128)] * (-len(entries) % 4)
    packed = b"".join(entries)
    count = len(packed) // 512
    sectors += [packed[n * 512 : n * 512 + 512] for n in range(count)]
    chains += [*range(directory + 1, directory + count), 0xFFFFFFFE]
    tables = 1
    while (len(sectors) + tables) * 4 > tables * 512:
        tables += 1
    first = len(sectors)
    chains += [0xFFFFFFFD] * tables
    table = struct.pack(f"<{len(chains)}I", *chains).ljust(tables * 512, b"\xff")
    where = [*range(first, first + tables)] + [0xFFFFFFFF] * (109 - tables)
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + struct.pack(
            "<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, tables, directory, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0
        )
        + struct.pack("<109I", *where)
    )
    return header + b"".join(sectors) + table


def _entry(name: str, kind: int, start: int, size: int, *, child: int = 0xFFFFFFFF, right: int = 0xFFFFFFFF) -> bytes:
    encoded = name.encode("utf-16-le")
    return (
        encoded.ljust(64, b"\x00")
        + struct.pack("<HBBIII", len(encoded) + 2, kind, 1, 0xFFFFFFFF, right, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )


def pdf(text: str) -> bytes:
    """One page that reads `text` (ASCII)."""
    stream = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    at = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, at)
