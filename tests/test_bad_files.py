"""Files that somebody built to do harm, and files that programs broke: each is refused, or read as what it says.

Each is read in its child within 30 s and 512 MB, two at a time; the agent's own memory stays as it is.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper_agent import files
from scraper_agent.errors import AgentError
from scraper_agent.formats import FORMATS
from scraper_agent.importing import layout, reading
from scraper_agent.opened import sheets
from scraper_agent.opened.grid import Refused
from tests.gauntlet import workbooks
from tests.gauntlet.workbooks import formula

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
XML = '<?xml version="1.0"?>'
TITLE = ["purchaseOrder 1.0", "orderNumber", "goodsName", "orderedQuantity"]
ROWS: list[list[workbooks.Value]] = [[*TITLE], ["", "PO-1", "轴承", 1]]
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"


def good(**more: bytes) -> bytes:
    return workbooks.xlsx(ROWS, more={name.replace("__", "/"): data for name, data in more.items()})


def sheet(body: str, *, root: str = f'<worksheet xmlns="{MAIN}">', before: str = XML, after: str = "") -> bytes:
    text = f"{before}{root}<sheetData>{body}</sheetData>{after}</worksheet>"
    return workbooks.xlsx([], sheet=text)


def parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {part.filename: file.read(part) for part in file.infolist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return made.getvalue()


def streamed(name: str, begin: bytes, block: bytes, times: int, end: bytes) -> bytes:
    """A part much larger than this process would hold."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for other, data in parts(good()).items():
            if other != name:
                file.writestr(other, data)
        with file.open(name, "w", force_zip64=False) as stream:
            stream.write(begin)
            for _ in range(times):
                stream.write(block)
            stream.write(end)
    return made.getvalue()


BEGIN = f'{XML}<worksheet xmlns="{MAIN}"><sheetData>'.encode()
END = b"</sheetData></worksheet>"


def strings(begin: bytes, block: bytes, times: int) -> bytes:
    sheets = workbooks.sheet_xml([]).replace("<sheetData>", '<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c></row>')
    rels = parts(good())["xl/_rels/workbook.xml.rels"].replace(
        b"</Relationships>",
        b'<Relationship Id="rId9" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        b'sharedStrings" Target="sharedStrings.xml"/></Relationships>',
    )
    whole = parts(streamed(STRINGS, f'{XML}<sst xmlns="{MAIN}">'.encode() + begin, block, times, b"</sst>"))
    return packed(whole | {SHEET: sheets.encode(), "xl/_rels/workbook.xml.rels": rels})


def lying() -> bytes:
    """A sheet that goes on after the size and checksum that the zip gives for its beginning."""
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = BEGIN + b'<row r="1"><c r="A1"><v>1</v></c></row>'
    body = whole.compress(start) + b"".join(whole.compress(b" " * 1_000_000) for _ in range(300)) + whole.flush()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as file:
        for name, part in parts(good()).items():
            file.writestr(name, body if name == SHEET else part)
    out = bytearray(made.getvalue())
    crc = zlib.crc32(start)
    at = out.find(b"PK\x03\x04")
    while at >= 0:
        if out[at + 30 :].startswith(SHEET.encode()):
            out[at + 8 : at + 10] = struct.pack("<H", 8)
            out[at + 14 : at + 18] = struct.pack("<I", crc)
            out[at + 22 : at + 26] = struct.pack("<I", len(start))
        at = out.find(b"PK\x03\x04", at + 4)
    at = out.find(b"PK\x01\x02")
    while at >= 0:
        if out[at + 46 :].startswith(SHEET.encode()):
            out[at + 10 : at + 12] = struct.pack("<H", 8)
            out[at + 16 : at + 20] = struct.pack("<I", crc)
            out[at + 24 : at + 28] = struct.pack("<I", len(start))
        at = out.find(b"PK\x01\x02", at + 4)
    return bytes(out)


def encrypted_flag() -> bytes:
    out = bytearray(good())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = out.find(mark)
        while at >= 0:
            out[at + place] |= 1
            at = out.find(mark, at + 4)
    return bytes(out)


def twice() -> bytes:
    made = io.BytesIO(good())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(made, "a") as file:
        file.writestr(SHEET, sheet(""))
    return made.getvalue()


def laughs(count: int = 9) -> str:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, count + 1))
    return f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]>'


def text(content: str) -> str:
    return f'<row r="1"><c r="A1" t="inlineStr"><is><t>{content}</t></is></c></row>'


def far(cell: str) -> bytes:
    return sheet(f'<row r="1"><c r="A1"><v>1</v></c>{cell}</row>')


def renamed(target: str, body: bytes) -> bytes:
    """The workbook's sheet is another part than usual."""
    whole = parts(good())
    del whole[SHEET]
    rels = whole["xl/_rels/workbook.xml.rels"].replace(b"worksheets/sheet1.xml", target.encode())
    return packed(whole | {"xl/_rels/workbook.xml.rels": rels, f"xl/{target}": body})


def many_sheets(count: int) -> bytes:
    whole = parts(good())
    entry = b'<sheet name="%d" sheetId="%d" r:id="rId1"/>'
    all_ = b"".join(entry % (n, n) for n in range(2, count))
    return packed(whole | {"xl/workbook.xml": whole["xl/workbook.xml"].replace(b"</sheets>", all_ + b"</sheets>")})


def named(name: str) -> bytes:
    return workbooks.xlsx(ROWS, name=name)


DDE = b'<externalLink xmlns="%s"><ddeLink ddeService="cmd" ddeTopic="/C calc"/></externalLink>' % MAIN.encode()
FAR = '<c r="XFD1048576"><v>1</v></c>'
FAR_SHEET = BEGIN + f"<row>{FAR}</row>".encode() + END
PREFIXED = f'{XML}<x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row><x:c r="XFD1048576"><x:v>1</x:v></x:c></x:row>'
PREFIXED += "</x:sheetData></x:worksheet>"

ATTRIBUTES = " ".join(f"a{n}='{n}'" for n in range(100_000))
LIES = '<dimension ref="A1:XFD1048576"/>'
LONG = "a" * 10_000_000
MERGED = '<mergeCell ref="B2:C3"/>'


def with_sheet(body: bytes) -> bytes:
    return packed(parts(good()) | {SHEET: body})


Built = Callable[[], bytes]

XLSX: dict[str, tuple[str, Built]] = {
    # the zip
    "a bomb: one cell of 250 MB": ("SA2031", lambda: streamed(SHEET, BEGIN, b"A" * 1_000_000, 250, END)),
    "a bomb of many small parts": (
        "SA2031",
        lambda: packed(parts(good()) | {f"xl/media/{n}.xml": bytes(1_000_000) for n in range(220)}),
    ),
    "a part longer than it says": ("SA2032", lying),
    "3,000 parts": ("SA2031", lambda: packed(parts(good()) | {f"xl/media/{n}.xml": b"" for n in range(3_000)})),
    "two parts of one name": ("SA2032", twice),
    "the end cut off": ("SA2032", lambda: good()[:-100]),
    "the middle cut out": ("SA2032", lambda: good()[:300] + good()[600:]),
    "a byte flipped": ("SA2032", lambda: good()[:60] + b"\xff" + good()[61:]),
    "a flag of encryption": ("SA2033", encrypted_flag),
    "bzip2": ("SA2032", lambda: packed(parts(good()), zipfile.ZIP_BZIP2)),
    "LZMA": ("SA2032", lambda: packed(parts(good()), zipfile.ZIP_LZMA)),
    "another zip": ("SA2030", lambda: packed({"a.txt": b"hello"})),
    "an empty zip": ("SA2034", lambda: packed({})),
    # what is in it
    "macros": ("SA2033", lambda: good(xl__vbaProject_bin=b"x").replace(b"vbaProject_bin", b"vbaProject.bin")),
    "macro sheets": ("SA2033", lambda: packed(parts(good()) | {"xl/macrosheets/sheet1.xml": b"<x/>"})),
    "ActiveX": ("SA2033", lambda: packed(parts(good()) | {"xl/activeX/activeX1.bin": b"x"})),
    "a workbook within": ("SA2033", lambda: packed(parts(good()) | {"xl/embeddings/a.xlsx": good()})),
    "a program within": ("SA2033", lambda: packed(parts(good()) | {"xl/a.exe": b"MZ"})),
    "a zip within": ("SA2033", lambda: packed(parts(good()) | {"xl/a.zip": good()})),
    "DDE by a link": ("SA2033", lambda: packed(parts(good()) | {"xl/externalLinks/externalLink1.xml": DDE})),
    "a password": ("SA2033", lambda: workbooks.compound({"EncryptionInfo": b"x", "EncryptedPackage": b"x"})),
    # XML
    "billion laughs": ("SA2032", lambda: sheet(text("&l9;"), before=XML + laughs())),
    "billion laughs in the texts": ("SA2032", lambda: strings(b"<!DOCTYPE x []><si><t>&l9;</t></si>", b"", 0)),
    "quadratic blow-up": (
        "SA2032",
        lambda: sheet(text("&a;" * 20_000), before=f'{XML}<!DOCTYPE x [<!ENTITY a "{"A" * 100_000}">]>'),
    ),
    "a file of the machine": (
        "SA2032",
        lambda: sheet(text("&x;"), before=f'{XML}<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
    ),
    "a file of the machine, by the workbook": (
        "SA2032",
        lambda: packed(
            parts(good())
            | {"xl/workbook.xml": b'<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/hostname">]><workbook>&x;</workbook>'}
        ),
    ),
    "a document type elsewhere": (
        "SA2032",
        lambda: sheet(text("x"), before=f'{XML}<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'),
    ),
    "100,000 levels": ("SA2032", lambda: sheet("<row>" * 100_000 + "<c/>")),
    "an attribute of 10 MB": (
        "SA2031",
        lambda: sheet(f'<row r="1" x="{LONG}"><c r="A1"><v>1</v></c></row>'),
    ),
    "100,000 attributes": (
        "SA2347",
        lambda: sheet(f'<row {ATTRIBUTES}><c r="A1"><v>1</v></c></row>'),
    ),
    "bytes that are no UTF-8": (
        "SA2032",
        lambda: with_sheet(BEGIN + text("\xff").encode("latin-1") + END),
    ),
    "a sheet in UTF-16": (
        "SA2347",
        lambda: with_sheet(f"{XML}{BEGIN.decode()[len(XML) :]}{text('x')}".encode("utf-16")),
    ),
    "a sheet that does not end": (
        "SA2032",
        lambda: with_sheet(BEGIN + b'<row r="1"><c r="A1"><v>1'),
    ),
    "a sheet that is not there": ("SA2032", lambda: packed({k: v for k, v in parts(good()).items() if k != SHEET})),
    "no sheets": ("SA2032", lambda: packed({"xl/workbook.xml": b"<workbook/>"})),
    "a text that is not there": ("SA2032", lambda: sheet('<row r="1"><c r="A1" t="s"><v>7</v></c></row>')),
    "a text of a negative number": ("SA2032", lambda: sheet('<row r="1"><c r="A1" t="s"><v>-1</v></c></row>')),
    # size
    "one cell far away": ("SA2031", lambda: far(FAR)),
    "one cell far away, in single quotes": ("SA2031", lambda: far(FAR.replace('"', "'"))),
    "one cell far away, its place last": ("SA2031", lambda: far('<c s="0" r="XFD1048576"><v>1</v></c>')),
    "one cell far away, with a prefix": ("SA2031", lambda: with_sheet(PREFIXED.encode())),
    "one cell far away, in an odd part": (
        "SA2031",
        lambda: renamed("evil.xml", FAR_SHEET),
    ),
    "one cell far away, in a part without suffix": (
        "SA2031",
        lambda: renamed("media/image1.png", FAR_SHEET),
    ),
    "a row number beyond all": ("SA2031", lambda: sheet('<row r="99999999999"><c><v>1</v></c></row>')),
    "a row number that is none": ("SA2032", lambda: sheet('<row r="-1"><c r="A-1"><v>1</v></c></row>')),
    "250,000 rows": (
        "SA2031",
        lambda: streamed(SHEET, BEGIN, b"<row><c><v>1</v></c></row>" * 10_000, 25, END),
    ),
    "six million rows": ("SA2031", lambda: streamed(SHEET, BEGIN, b"<row><c><v/></c></row>" * 10_000, 600, END)),
    "a row of a million cells": (
        "SA2031",
        lambda: streamed(SHEET, BEGIN + b"<row>", b"<c><v>1</v></c>" * 10_000, 100, b"</row>" + END),
    ),
    "16,384 columns": ("SA2031", lambda: far('<c r="XFD1"><v>1</v></c>')),
    "200,000 rows of AZ": ("SA2031", lambda: far('<c r="AZ99999"><v>1</v></c>')),
    "two million texts": ("SA2031", lambda: strings(b"", b"<si><t>a</t></si>" * 10_000, 200)),
    "one text of 100 MB": ("SA2031", lambda: strings(b"<si><t>", b"A" * 1_000_000, 100)),
    "a long text in 100,000 cells": (
        "SA2040",
        lambda: packed(
            parts(strings(b"<si><t>" + b"A" * 32_000 + b"</t></si>", b"", 0))
            | {
                SHEET: BEGIN
                + b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (n, n) for n in range(1, 90_000))
                + END
            }
        ),
    ),
    "20,000 merged cells": (
        "SA2347",
        lambda: sheet(text("x"), after=f"<mergeCells>{MERGED * 20_000}</mergeCells>"),
    ),
    "more than 32 MB": ("SA2031", lambda: b"PK\x03\x04" + bytes(files.MAX_BYTES)),
    # values
    "a formula without a value": (
        "SA2036",
        lambda: workbooks.xlsx([[*TITLE], ["", "PO-1", formula("1+1", None), "1"]]),
    ),
    "an error in place of a value": (
        "SA2043",
        lambda: sheet('<row r="1"><c r="A1" t="e"><v>#REF!</v></c></row>'),
    ),
    "a number beyond all": ("SA2042", lambda: sheet('<row r="1"><c r="A1"><v>1e999</v></c></row>')),
    "a number that is none": ("SA2347", lambda: sheet('<row r="1"><c r="A1"><v>12abc</v></c></row>')),
    "not a number": ("SA2042", lambda: sheet('<row r="1"><c r="A1"><v>NaN</v></c></row>')),
    # another kind of file
    "a PDF": ("SA2030", lambda: workbooks.pdf("x")),
    "a workbook of 1997": ("SA2030", lambda: workbooks.xls(ROWS)),
    "HTML": ("SA2030", lambda: b"<html><table><tr><td>x</td></tr></table></html>"),
    "a program": ("SA2034", lambda: b"MZ\x90\x00\x03\x00\x00\x00" + bytes(200)),
    "an image": ("SA2034", lambda: b"\x89PNG\r\n\x1a\n" + bytes(200)),
    "nothing": ("SA2030", lambda: b""),
    # read as what it says
    "a dimension that lies": (
        "read",
        lambda: workbooks.xlsx(
            ROWS, sheet=workbooks.sheet_xml(ROWS).replace("<sheetData>", '<dimension ref="A1:XFD1048576"/><sheetData>')
        ),
    ),
    "a formula of DDE with its value": (
        "read",
        lambda: workbooks.xlsx([[*TITLE], ["", "PO-1", "轴承", formula("cmd|'/C calc'!A0", "5")]]),
    ),
    "a name of 300 characters": ("read", lambda: named("表" * 300)),
    "400 sheets": ("SA2345", lambda: many_sheets(400)),
}

CSV: dict[str, tuple[str, Built]] = {
    "a quote left open": ("SA2037", lambda: b'a,b\r\n"c,d\r\n'),
    "NUL": ("SA2034", lambda: b"a,b\r\nc,\x00d\r\n"),
    "no encoding": ("SA2034", lambda: b"a,b\r\nc,\xff\xff\r\n"),
    "two delimiters": ("SA2037", lambda: b"a;b,c\r\nd;e,f\r\n"),
    "rows of different length": ("SA2037", lambda: b"a,b\r\nc,d,e\r\n"),
    "a million columns": ("SA2031", lambda: b"a," * 1_000_000),
    "one field of 30 MB": ("SA2037", lambda: b"a,b\r\n" + b"x" * 30_000_000),
    "a workbook": ("SA2030", good),
}

JSON: dict[str, tuple[str, Built]] = {
    "100,000 levels of JSON": ("SA2031", lambda: b"[" * 100_000),
    "a key twice": ("SA2039", lambda: b'{"format": "a", "format": "b"}'),
    "NaN": ("SA2039", lambda: b'{"header": {"totalAmount": NaN}}'),
    "a number of 200 digits": ("SA2042", lambda: b'{"header": {"totalAmount": ' + b"9" * 200 + b"}}"),
    "half a character": ("SA2038", lambda: b'{"header": {"orderNumber": "\\ud800"}}'),
    "a million values": ("SA2031", lambda: json.dumps([1] * 1_000_000).encode()),
    "no JSON": ("SA2030", lambda: b"a,b\r\n"),
    "cut off": ("SA2032", lambda: b'{"header": {"orderNumber"'),
}

ALL: list[tuple[files.Media, str, str, Built]] = [
    *(("xlsx", name, code, built) for name, (code, built) in XLSX.items()),
    *(("csv", name, code, built) for name, (code, built) in CSV.items()),
    *(("json", name, code, built) for name, (code, built) in JSON.items()),
]


@dataclass(frozen=True)
class Outcome:
    code: str
    seconds: float


def outcome(media: files.Media, data: bytes) -> Outcome:
    started = time.monotonic()
    try:
        reading.read(files.tables(data, media, layout.SKIPPED), FORMATS)
        code = "read"
    except reading.Misfits as error:
        code = error.misfits[0].code
    except AgentError as error:
        code = error.code
    return Outcome(code, time.monotonic() - started)


def own_bytes() -> int:
    """Memory of this process that is not given back."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.fixture(scope="module")
def outcomes(before: int) -> Iterator[dict[str, Outcome]]:
    with ThreadPoolExecutor(2) as pool:
        found = {name: pool.submit(outcome, media, built()) for media, name, _, built in ALL}
        yield {name: future.result() for name, future in found.items()}


def test_there_are_more_than_sixty() -> None:
    assert len({name for _, name, _, _ in ALL}) == len(ALL) >= 60


@pytest.mark.parametrize(("name", "code"), [(name, code) for _, name, code, _ in ALL])
def test_a_bad_file_is_refused_or_read_right(outcomes: dict[str, Outcome], name: str, code: str) -> None:
    assert outcomes[name].code == code
    assert outcomes[name].seconds < files.TIME_S


def test_a_part_that_is_longer_than_it_says_is_found_before_a_library_unpacks_it() -> None:
    with pytest.raises(Refused, match="damaged"):
        sheets._look_into(lying())


@pytest.mark.skipif(sys.platform != "linux", reason="only there a child's memory is told")
def test_no_child_took_more_memory_than_it_may(before: int, outcomes: dict[str, Outcome]) -> None:
    assert outcomes
    assert largest_child() <= max(before, files.MEMORY_BYTES)


def largest_child() -> int:
    """In bytes, of all that this process ever had."""
    resource = pytest.importorskip("resource")
    return int(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


@pytest.fixture(scope="module")
def before() -> int:
    """What children of other files of tests have taken."""
    return largest_child() if sys.platform == "linux" else 0


@pytest.mark.skipif(sys.platform != "linux", reason="only there memory is told so")
@pytest.mark.parametrize("name", ["a bomb: one cell of 250 MB", "a long text in 100,000 cells"])
def test_the_agents_own_memory_stays_as_it_is(name: str) -> None:
    data = XLSX[name][1]()
    outcome("xlsx", data)
    before = own_bytes()
    outcome("xlsx", data)
    assert own_bytes() - before < 16 * 1024 * 1024
