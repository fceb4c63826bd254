"""Where a secret stands that must stand nowhere: in the archive, and in the files beside it, however it is written.

Says where and how, never the secret.
"""

from __future__ import annotations

import base64
import html
import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from scraper_agent.archive import bodies, sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import AgentError
from scraper_agent.values import Digest

LEAST = 6
"""Bytes of a secret, and of a form of it, that is looked for: what is shorter stands anywhere by chance."""
_CHUNK = 8 << 20
_MOST_MEMBER = 256 << 20
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Found:
    """`where`: a file, or a body or an entry of the archive; `form`: how it is written, such as `base64`."""

    where: str
    secret: str
    form: str


def forms(secret: str) -> dict[bytes, str]:
    """Bytes by which a secret may be written, with the name of each form."""
    found: dict[bytes, str] = {}

    def add(form: str, data: bytes) -> None:
        if len(data) >= LEAST:
            found.setdefault(data, form)

    if len(secret.encode()) < LEAST:
        return {}
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "gb18030"):
        add("plain" if encoding == "utf-8" else encoding, secret.encode(encoding))
    raw = secret.encode()
    add("html", html.escape(secret).encode())
    add("html", html.escape(secret, quote=False).encode())
    for escaped in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        add("url", escaped.encode())
        add("url", _lower(escaped).encode())
    for ascii_only in (True, False):
        add("json", json.dumps(secret, ensure_ascii=ascii_only)[1:-1].encode())
    add("repr", repr(secret)[1:-1].encode())
    for data in (raw, secret.encode("utf-16-le")):
        add("hex", data.hex().encode())
        add("hex", data.hex().upper().encode())
        for shift in range(3):
            # Within a longer text: what stands before it moves it, and its last bits are mixed with what follows.
            whole = base64.b64encode(bytes(shift) + data)
            inner = whole[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
            add("base64", inner)
            add("base64", inner.translate(bytes.maketrans(b"+/", b"-_")))
    return found


def _lower(escaped: str) -> str:
    parts = escaped.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


class Search:
    """For some secrets, by what people call each of them."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms = [
            (form, name, how) for name, secret in secrets.items() for form, how in forms(secret).items()
        ]  # fmt: skip
        self._longest = max((len(form) for form, _, _ in self._forms), default=0)
        self.files = self.bodies = 0
        """How many were searched."""

    def data(self, where: str, data: bytes) -> Iterator[Found]:
        """In these bytes, and in what they are when they are unpacked."""
        told: set[tuple[str, str]] = set()
        for each in (data, *_unpacked(data)):
            for form, name, how in self._forms:
                if (name, how) not in told and form in each:
                    told.add((name, how))
                    yield Found(where, name, how)

    def file(self, path: Path) -> Iterator[Found]:
        """Raises OSError: it cannot be read."""
        self.files += 1
        with path.open("rb") as file:
            begin = file.read(bodies.BEFORE_BYTES + len(_ZIP))
            salted = bodies.BEFORE_BYTES if begin.startswith(bodies.HEAD) else 0
            begin = begin[salted:]
            file.seek(salted)
            if begin.startswith((_GZIP, _ZIP)) and path.stat().st_size <= _MOST_MEMBER:
                yield from self.data(str(path), file.read())
                return
            told: set[Found] = set()
            tail = b""
            while chunk := file.read(_CHUNK):
                told.update(self.data(str(path), tail + chunk))
                tail = chunk[-self._longest :]
            yield from sorted(told, key=lambda found: (found.secret, found.form))

    def folder(self, folder: Path, but: Collection[Path] = ()) -> Iterator[Found]:
        """In every file below it, names included. `but`: where a secret has its place, resolved."""
        for path in sorted(folder.rglob("*")):
            yield from self.data(f"{path} (its name)", str(path.relative_to(folder)).encode("utf-8", "surrogateescape"))
            if path.is_file() and path.resolve() not in but:
                yield from self.file(path)

    def archive(self, archive: SqliteArchive) -> Iterator[Found]:
        """In every body, as it is read; entries and indexes stand plain in the archive's files."""
        with closing(sqlite.connect(archive.path)) as db:
            for (digest,) in db.execute("SELECT digest FROM blobs"):
                yield from self._body(archive, Digest(f"sm3:{bytes(digest).hex()}"))

    def _body(self, archive: SqliteArchive, digest: Digest) -> Iterator[Found]:
        try:
            data = archive.get(digest)
        except (AgentError, sqlite3.Error):
            return  # `log verify` tells
        self.bodies += 1
        yield from self.data(f"body {digest}", data)


def _unpacked(data: bytes) -> Iterable[bytes]:
    if data.startswith(_GZIP):
        try:
            yield zlib.decompressobj(31).decompress(data, _MOST_MEMBER)
        except zlib.error:
            return
    elif data.startswith(_ZIP):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for member in archive.infolist():
                    with archive.open(member) as file:
                        yield file.read(_MOST_MEMBER)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error):
            return
