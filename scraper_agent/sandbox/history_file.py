"""The weekly history as files: lines of waybills, deflated and encrypted in chunks, so that either side streams them.

    line      {"finished":"20260302T093000","known":"20260302T093100","status":"done","waybill":<message>}
    text      the lines in order, each ended by one 0a; its SM3 and the number of lines are in the contents
    chunk     whole lines, about 256 KiB; deflated (RFC 1950), then SM4-GCM (GB/T 32907); before it its length, 4 bytes
    part      chunks, about 1 MiB; its file is named <SM3 of it>.sm4, so that other bytes have another name
    contents  a document of format `waybillHistory`: province, week, counts, digests, sealed key; a line for each part

One key encrypts one batch; `signing.sealing` seals it for the ministry. A chunk's nonce is the number of its part
(4 bytes), its own number there (7 bytes) and 1 if it is the part's last, else 0, so that none can be dropped, moved
or cut off (STREAM of Hoang, Reyhanitabar, Rogaway and Vizár, 2015). What is authenticated beside it names province and
week. The contents are signed in a request of `envelope`. No public text describes these files: all of it is an
assumption.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import canonical, durable
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.sandbox.weeks import Week
from scraper_agent.sending.handover import Sm3
from scraper_agent.signing import sealing
from scraper_agent.signing.keyfile import PrivateKey
from scraper_agent.waybill.message import MOST_BYTES

FORMAT = "waybillHistory"
FORM = "scraper-agent history/1"
SUFFIX = ".sm4"

PART_BYTES = 1 << 20
"""A part is ended once it has so many."""
PARTS = 10_000
NAMED = 200
"""Differences that an answer names; a receipt holds no more."""
_CHUNK_BYTES = 256 << 10
"""A chunk is ended once its lines have so many."""
_LINE_BYTES = MOST_BYTES + 256
_MOST_CHUNK_BYTES = _CHUNK_BYTES + _LINE_BYTES
_MOST_SEALED_BYTES = _MOST_CHUNK_BYTES + 4096
"""Deflating makes nothing longer by more than a little, and the tag is 16 bytes."""
_KEY_BYTES = 16
_TAG_BYTES = 16
_LENGTH_BYTES = 4
_LEVEL = 1
"""Of deflating: the others take twice as long for a tenth less."""

_TIME = "%Y%m%dT%H%M%S"
_LINE = re.compile(
    rb'\{"finished":"(\d{8}T\d{6})","known":"(\d{8}T\d{6})","status":"([a-z]{1,20})","waybill":'
    rb'(\{"i1":"([^"\\]{1,64})"[^\n]*\})\}'
)


class Broken(Exception):
    """The files are not what their contents say; `reason` is for the one who made them."""


@dataclass(frozen=True, slots=True)
class Completed:
    """One waybill that has come to its end, as its province knows it."""

    message: bytes
    """As `waybill.message` writes it."""
    status: str
    finished_at: datetime
    known_at: datetime
    """When the province came to know. By this it is of a week: news that comes late is in the next history."""

    @property
    def line(self) -> bytes:
        return (
            f'{{"finished":"{_told(self.finished_at)}","known":"{_told(self.known_at)}",'
            f'"status":"{self.status}","waybill":'
        ).encode() + self.message + b"}\n"  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says; nothing of it is checked beyond its form."""

    number: str
    """i1."""
    status: str
    finished: str
    known: str
    """Times as `20260302T093000`, of China."""
    message: bytes


def read_line(line: bytes) -> Line | None:
    """None for what is not of the form."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    finished, known, status, message, number = match.groups()
    try:
        return Line(number.decode(), status.decode(), finished.decode(), known.decode(), message)
    except UnicodeDecodeError:
        return None


def bounds(week: Week) -> tuple[str, str]:
    """Begin and end as lines write times; text of this form is in the order of time."""
    return _told(week.begin), _told(week.end)


def _told(moment: datetime) -> str:
    return moment.astimezone(CHINA_TIME).strftime(_TIME)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: Annotated[int, Field(gt=0, le=PART_BYTES + _MOST_SEALED_BYTES)]
    sm3: Sm3

    @property
    def name(self) -> str:
        return self.sm3 + SUFFIX


class Contents(BaseModel):
    """What a batch has; with its signature, the word of the province."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    form: Literal["scraper-agent history/1"] = "scraper-agent history/1"
    province: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    week: Annotated[str, Field(pattern=r"^[0-9]{4}-W[0-9]{2}$")]
    count: Annotated[int, Field(ge=0, le=10**9)]
    sm3: Sm3
    """Of the text."""
    key: Annotated[str, Field(max_length=1000)]
    """The SM4 key, sealed for the ministry, in Base64."""
    parts: Annotated[tuple[Part, ...], Field(max_length=PARTS)]

    @property
    def document(self) -> bytes:
        header = self.model_dump(exclude={"parts"})
        return canonical.dumps(
            {"format": FORMAT, "header": header, "lines": [part.model_dump() for part in self.parts]}
        )


class Difference(BaseModel):
    """One waybill that the two sides do not count alike."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    line: Annotated[int, Field(ge=1)]
    number: Annotated[str, Field(max_length=64)]
    """i1; empty for a line that names none."""
    reason: str


class Reconciliation(BaseModel):
    """The ministry's answer to a batch; `sent` is the sum of the other three."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sent: Annotated[int, Field(ge=0)]
    taken: Annotated[int, Field(ge=0)]
    doubled: Annotated[int, Field(ge=0)]
    """The very waybill had been taken before."""
    refused: Annotated[int, Field(ge=0)]
    differences: Annotated[tuple[Difference, ...], Field(max_length=NAMED)]
    """Of the refused the first, then of the doubled the first; the ministry has all."""


def read_reconciliation(data: Any) -> Reconciliation:
    """From the data of a verified receipt.

    Raises:
        Broken: it is not of the form, or its counts do not add up.
    """
    try:
        told = Reconciliation.model_validate_json(canonical.dumps(data))
    except (ValidationError, TypeError) as error:
        raise Broken(str(error)) from None
    if told.sent != told.taken + told.doubled + told.refused:
        raise Broken("its counts do not add up")
    return told


def read_contents(document: Any) -> Contents:
    """From the plain data of a document.

    Raises:
        Broken: it is not of the form.
    """
    try:
        if document.keys() != {"format", "header", "lines"} or document["format"] != FORMAT:
            raise Broken(f"no document of format {FORMAT}")
        contents = Contents.model_validate({**document["header"], "parts": tuple(document["lines"])})
        _ = Week.parse(contents.week).end
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Broken(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (TypeError, AttributeError, ValueError, OverflowError) as error:
        raise Broken(str(error)) from None
    return contents


def write(folder: Path, province: str, week: Week, waybills: Iterable[Completed], public: str) -> Contents:
    """Encrypt `waybills` into parts in `folder`, durable, for the holder of the private key to `public`.

    Raises:
        ValueError: `public` is no key, or a waybill's message is no single line or too long.
        UsageError: the extra `native` is not installed.
        OSError: the folder cannot be written to.
    """
    key = secrets.token_bytes(_KEY_BYTES)
    sealed = base64.b64encode(sealing.seal(key, public)).decode()
    text, parts, count = hashes.Hash(hashes.SM3()), _Parts(folder, key, _beside(province, str(week))), 0
    for lines in _gathered(waybills):
        count += len(lines)
        chunk = b"".join(lines)
        text.update(chunk)
        parts.add(chunk)
    return Contents(
        province=province,
        week=str(week),
        count=count,
        sm3=text.finalize().hex(),
        key=sealed,
        parts=parts.ended(),
    )


def _gathered(waybills: Iterable[Completed]) -> Iterator[list[bytes]]:
    """The lines of each chunk."""
    lines: list[bytes] = []
    size = 0
    for each in waybills:
        line = each.line
        if len(line) > _LINE_BYTES or line.find(b"\n") != len(line) - 1:
            raise ValueError("a waybill's message is no single line, or too long")
        lines.append(line)
        size += len(line)
        if size >= _CHUNK_BYTES:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


class _Parts:
    """Writes the parts; a chunk is encrypted when it is known whether it is the last."""

    def __init__(self, folder: Path, key: bytes, beside: bytes) -> None:
        self._folder = folder
        self._key = key
        self._beside = beside
        self._parts: list[Part] = []
        self._waiting: bytes | None = None
        self._sealed: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        if self._waiting is not None:
            self._seal(self._waiting, last=False)
        self._waiting = zlib.compress(chunk, _LEVEL)
        if self._size + len(self._waiting) >= PART_BYTES:
            self._end()

    def ended(self) -> tuple[Part, ...]:
        self._end()
        return tuple(self._parts)

    def _seal(self, deflated: bytes, *, last: bool) -> None:
        nonce = _nonce(len(self._parts) + 1, len(self._sealed) + 1, last=last)
        encryptor = Cipher(algorithms.SM4(self._key), modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(self._beside)
        body = encryptor.update(deflated) + encryptor.finalize() + encryptor.tag
        self._sealed.append(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
        self._size += len(self._sealed[-1])

    def _end(self) -> None:
        if self._waiting is None:
            return
        self._seal(self._waiting, last=True)
        data = b"".join(self._sealed)
        part = Part(size=len(data), sm3=canonical.sm3(data).hex())
        durable.write_part(self._folder / part.name, data)
        self._parts.append(part)
        self._waiting, self._sealed, self._size = None, [], 0


def unsealed(data: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """What was sealed for one of `keys`.

    Raises:
        AgentError: for none of them, or it was changed.
        UsageError: the extra `native` is not installed.
    """
    for key in keys[:-1]:
        try:
            return sealing.unseal(data, key)
        except UsageError:
            raise
        except AgentError:
            continue
    return sealing.unseal(data, keys[-1])


def opened(contents: Contents, keys: Sequence[PrivateKey]) -> bytes:
    """The key of a batch.

    Raises:
        Broken: it was sealed for another.
        UsageError: the extra `native` is not installed.
    """
    try:
        secret = unsealed(base64.b64decode(contents.key, validate=True), keys)
    except UsageError:
        raise
    except (AgentError, ValueError):
        raise Broken("the key of the batch cannot be opened") from None
    if len(secret) != _KEY_BYTES:
        raise Broken("the key of the batch has another length")
    return secret


def read(folder: Path, contents: Contents, key: bytes) -> Iterator[list[bytes]]:
    """The lines of one chunk after another, without their ends; memory is that of one chunk.

    Raises:
        Broken: a chunk was changed, dropped, moved or cut off; or at the end, the text is not that of the contents.
        OSError: a part cannot be read.
    """
    text, count = hashes.Hash(hashes.SM3()), 0
    for number, part in enumerate(contents.parts, start=1):
        for chunk in _chunks(folder / part.name, number, key, _beside(contents.province, contents.week)):
            text.update(chunk)
            lines = chunk.split(b"\n")
            if lines.pop():
                raise Broken(f"part {number}: a line without an end")
            count += len(lines)
            yield lines
    if (found := text.finalize().hex()) != contents.sm3:
        raise Broken(f"the text has SM3 {found}, its contents say {contents.sm3}")
    if count != contents.count:
        raise Broken(f"{count} lines, its contents say {contents.count}")


def _chunks(path: Path, part: int, key: bytes, beside: bytes) -> Iterator[bytes]:
    with path.open("rb") as file:
        left, number = os.fstat(file.fileno()).st_size, 0
        if not left:
            raise Broken(f"part {part}: empty")
        while left:
            number += 1
            size = int.from_bytes(file.read(_LENGTH_BYTES), "big")
            left -= _LENGTH_BYTES + size
            if left < 0 or not _TAG_BYTES < size <= _MOST_SEALED_BYTES:
                raise Broken(f"part {part}, chunk {number}: cut off")
            sealed = file.read(size)
            tag = sealed[-_TAG_BYTES:]
            decryptor = Cipher(algorithms.SM4(key), modes.GCM(_nonce(part, number, last=not left), tag)).decryptor()
            decryptor.authenticate_additional_data(beside)
            try:
                deflated = decryptor.update(memoryview(sealed)[:-_TAG_BYTES]) + decryptor.finalize()
            except InvalidTag:
                raise Broken(f"part {part}, chunk {number}: changed, moved, or not the last") from None
            yield _inflated(deflated, f"part {part}, chunk {number}")


def _inflated(deflated: bytes, where: str) -> bytes:
    inflater = zlib.decompressobj()
    try:
        chunk = inflater.decompress(deflated, _MOST_CHUNK_BYTES)
    except zlib.error:
        raise Broken(f"{where}: not deflated") from None
    if not inflater.eof or inflater.unused_data:
        raise Broken(f"{where}: longer than a chunk may be")
    return chunk


def _nonce(part: int, chunk: int, *, last: bool) -> bytes:
    return part.to_bytes(4, "big") + chunk.to_bytes(7, "big") + bytes([last])


def _beside(province: str, week: str) -> bytes:
    return f"{FORM} {province} {week}".encode()
