"""The pages that the report speaks of, numbered in the order in which they are first asked for; and how values look."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from scraper_agent.errors import AgentError
from scraper_agent.format import Value
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.report.words import say
from scraper_agent.values import Digest, Fetched, Job, JobId, Snapshot


class Books(Protocol):
    """What of an archive a report is made from."""

    def job(self, id: JobId) -> Job: ...

    def get(self, digest: Digest) -> bytes: ...


_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`jpeg`: the image in base64; None if it is not in the file, and then `note` says why."""

    digest: Digest
    name: str
    url: str
    taken: str
    jpeg: str | None
    note: str


@dataclass(slots=True)
class Pages:
    archive: Books
    most_images: int
    problems: list[str] = field(default_factory=list)
    _snapshots: dict[Digest, Snapshot] = field(default_factory=dict)
    _masked: set[Digest] = field(default_factory=set)
    _files: dict[Digest, Fetched] = field(default_factory=dict)
    _numbers: dict[Digest, int] = field(default_factory=dict)
    _shown: list[Page] = field(default_factory=list)
    _images: int = 0

    @property
    def shown(self) -> tuple[Page, ...]:
        return tuple(self._shown)

    def learn(self, snapshot: Snapshot, *, masked: bool = False) -> None:
        """`masked`: it shows what people may not see whole, and an image cannot be masked."""
        if masked:
            self._masked.add(snapshot.page)
        known = self._snapshots.get(snapshot.page)
        if known is None or known.image is None:
            self._snapshots[snapshot.page] = snapshot

    def learn_file(self, file: Fetched) -> None:
        """A file whose rows are documents stands where a page would."""
        self._files[file.body] = file

    def number(self, page: Digest) -> int:
        """The page's place in `shown`; a new page takes the next, and an image while any are left."""
        if page not in self._numbers:
            self._numbers[page] = len(self._shown)
            self._shown.append(self._page(page))
        return self._numbers[page]

    def _page(self, digest: Digest) -> Page:
        snapshot = self._snapshots.get(digest)
        file = self._files.get(digest)
        if snapshot is None and file is not None:
            taken = moment(file.taken_at)
            return Page(
                digest=digest, name=file.file_name, url=file.url, taken=taken, jpeg=None, note=say("image_none")
            )
        if snapshot is None:
            return Page(digest=digest, name="", url="", taken="", jpeg=None, note=say("image_unknown"))
        jpeg, note = (None, say("image_masked")) if digest in self._masked else self._image(snapshot.image)
        return Page(
            digest=digest, name=snapshot.name, url=snapshot.url, taken=moment(snapshot.taken_at), jpeg=jpeg, note=note
        )

    def _image(self, image: Digest | None) -> tuple[str | None, str]:
        if image is None:
            return None, say("image_none")
        if self._images >= self.most_images:
            return None, say("image_left_out", image=image)
        try:
            data = self.archive.get(image)
        except AgentError as error:
            self.problems.append(str(error))
            return None, error.sentence
        if not data.startswith(_JPEG):
            return None, say("image_strange", image=image)
        self._images += 1
        return base64.b64encode(data).decode(), ""


def moment(at: datetime) -> str:
    """Beijing time, to the second."""
    return f"{at.astimezone(CHINA_TIME):%Y-%m-%d %H:%M:%S}"


def written(value: Value) -> str:
    """A value as the document has it: nothing grouped, rounded or padded."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat(sep=" ")
        case date():
            return value.isoformat()
        case _:
            return value
