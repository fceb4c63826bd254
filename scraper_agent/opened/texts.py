"""What bytes are; and tables in text: CSV."""

from __future__ import annotations

import codecs
import csv as separated
import io
import re

from scraper_agent.opened.grid import MAX_CELL_CHARACTERS, Cell, Grid, Refused, within_limits

_ZIP, _COMPOUND, _PDF = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF-"
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_UTF32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_-]{1,20})", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_-]{1,20})", re.IGNORECASE)
_KNOWN = {"utf-8": "utf-8", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "utf-16": "utf-16"}
_TAGS = re.compile(r"\s*<(?:!doctype html|html|table|meta|head|body|style|\?xml|!--)", re.IGNORECASE)
_DELIMITERS = (",", "\t", ";", "|")
_FEW_BYTES = 0x800
"""Characters below take two bytes in UTF-8, as all but a few do in GB18030."""


def kind(data: bytes, encoding: str | None) -> tuple[str, str]:
    """xlsx, xls, pdf, zip, html, csv or another word for it; and the text, if it is text.

    Raises:
        Refused: text whose encoding is not certain.
    """
    if data.startswith(_ZIP):
        return ("xlsx" if b"xl/workbook.xml" in data else "zip"), ""
    if data.startswith(_COMPOUND):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Refused("active", what="a password")
        return "xls", ""
    if data.startswith(_PDF):
        return "pdf", ""
    if not data.strip():
        return "empty", ""
    text = decoded(data, encoding)
    if _TAGS.match(text):
        return (
            "spreadsheet-xml"
            if 'urn:schemas-microsoft-com:office:spreadsheet"' in text[:2000] and "<Workbook" in text[:2000]
            else "html"
        ), text
    return ("json" if text.lstrip()[:1] in "{[" else "csv"), text


def decoded(data: bytes, encoding: str | None) -> str:
    """By the byte order mark, what the recipe or the file itself declares, UTF-8, or GB18030; strictly.

    Raises:
        Refused: it is none of them, or as likely one as another.
    """
    if data.startswith(_UTF32):
        raise Refused("encoding", seen="UTF-32")
    if data.startswith(_UTF8):
        return _strictly(data[len(_UTF8) :], "utf-8")
    if data.startswith(_UTF16):
        return _strictly(data, "utf-16")
    if encoding is not None:
        return _strictly(data, "utf-16-le" if encoding == "utf-16" else encoding)
    declared = _META.search(data[:4096]) or _XML.search(data[:200])
    if declared is not None:
        name = declared[1].decode().lower()
        if name not in _KNOWN or name == "utf-16":
            raise Refused("encoding", seen=name)
        return _strictly(data, _KNOWN[name])
    if b"\x00" in data:
        raise Refused("encoding", seen="NUL")
    return _guessless(data)


def _guessless(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _strictly(data, "gb18030")
    odd = [c for c in set(text) if ord(c) > 0x7F]  # noqa: PLR2004 - beyond ASCII
    if odd and all(ord(c) < _FEW_BYTES for c in odd):
        try:
            other = data.decode("gb18030")
        except UnicodeDecodeError:
            return text
        raise Refused("encoding", seen=f"UTF-8 {''.join(odd)[:20]!r}, GB18030 {other[:20]!r}")
    return text


def _strictly(data: bytes, encoding: str) -> str:
    try:
        text = codecs.decode(data, encoding, "strict")
    except UnicodeDecodeError as error:
        raise Refused("encoding", seen=f"{encoding}: {error.reason}, byte {error.start}") from None
    if "\x00" in text or "\ufffd" in text:
        raise Refused("encoding", seen=f"{encoding}: NUL or U+FFFD")
    return text


# --- CSV ------------------------------------------------------------------------------------------------------------


def csv(text: str, delimiter: str | None, header: int) -> Grid:
    """RFC 4180, strictly: from the header on, every row has as many cells as the header.

    Raises:
        Refused: two delimiters, or none, make a table of it; a quote is left open.
    """
    separated.field_size_limit(MAX_CELL_CHARACTERS)
    tried: list[list[list[str]]] = []
    failed = ""
    for sign in _DELIMITERS if delimiter is None else (delimiter,):
        try:
            rows = _records(text, sign, header)
        except (separated.Error, ValueError) as error:
            failed = str(error)
            continue
        if delimiter is not None or len(rows[header - 1]) > 1:
            tried.append(rows)
    if len(tried) != 1:
        raise Refused("ragged", seen="no delimiter certain" if tried else failed or "no delimiter found")
    (rows,) = tried
    within_limits(len(rows), max(map(len, rows)))
    return Grid("csv", [[Cell(text) for text in row] for row in rows])


def _records(text: str, sign: str, header: int) -> list[list[str]]:
    rows = list(separated.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True))
    while rows and not any(rows[-1]):
        rows.pop()
    if len(rows) < header:
        raise ValueError(f"{len(rows)} rows, header {header}")
    wide = len(rows[header - 1])
    for number, row in enumerate(rows[header - 1 :], header):
        if row and len(row) != wide:
            raise ValueError(f"row {number} has {len(row)} cells, the header {wide}")
    return rows
