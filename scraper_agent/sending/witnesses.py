"""Witnesses of the enterprise's own: another host, a folder that can only be added to, a mailbox, or paper."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, assert_never
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field

from scraper_agent import canonical, durable, merkle
from scraper_agent.audit import asking, note
from scraper_agent.audit.anchor import Party
from scraper_agent.audit.asking import Answer
from scraper_agent.credentials import Secrets
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.sending import mail, tls
from scraper_agent.yamlfile import Wrong

Name = Annotated[str, Field(pattern=r"^[!-*,-.0-9A-Za-z:-@_]{1,100}$", description="As its lines in checkpoints say.")]
"""A name of a note's key, without `/`."""

_TIMEOUT_S = 10
_TRIES = 10
"""Files of one checkpoint, all but the last of them cut off by a crash."""
_NAME = re.compile(r"([0-9a-f]{16})-(\d{20})-\d\.note", re.ASCII)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name


class Https(_Strict):
    kind: Literal["https"]
    url: str = Field(description="Where it listens: `<url>/add-checkpoint` and `<url>/checkpoint` are asked.")
    public_key: str
    ca_file: Path | None = Field(None, description="PEM of the authorities to trust; default: the machine's.")

    def model_post_init(self, _context: object) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not (parts.scheme == "http" and tls.is_loopback(parts.hostname or "")):
            raise Wrong(N_("`{url}` is not encrypted"), hint=N_("a witness is asked by `https://`"), url=self.url)


class Folder(_Strict):
    kind: Literal["folder"]
    path: Path = Field(description="A share on which this account may make files, and not change or remove them.")


class Printed(_Strict):
    kind: Literal["printed"]


Config: TypeAlias = Annotated[Https | Folder | mail.Config | Printed, Field(discriminator="kind")]


def connect(config: Config, secrets: Secrets) -> Party | None:
    """None: only a person shows it anything. Paths in `config` are absolute.

    Raises:
        UsageError: `ca_file` cannot be read.
    """
    match config:
        case Https():
            return HttpsWitness(config)
        case Folder():
            return FolderWitness(config)
        case mail.Config(password=password):
            return mail.MailWitness(
                config, None if password is None else partial(secrets, password, f"mail.{config.name}")
            )
        case Printed():
            return None
        case unknown:
            assert_never(unknown)


class HttpsWitness:
    """Another host that runs `scraper-agent witness`, or anything that keeps C2SP `tlog-witness` with SM2 notes."""

    def __init__(self, config: Https) -> None:
        self.name, self.public_key = config.name, config.public_key
        self._url = config.url.rstrip("/")
        self._trust = tls.trust(config.ca_file)

    def add(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> Answer:
        return self._ask("POST", "/add-checkpoint", content=asking.request(old, proof, checkpoint))

    def kept(self, origin: str) -> Iterable[bytes]:
        answer = self._ask("GET", "/checkpoint", params={"origin": origin})
        if answer.status == httpx.codes.NOT_FOUND:
            return []
        if answer.status != asking.TAKEN:
            raise self._away(str(answer.status))
        return [answer.body]

    def _ask(self, method: str, path: str, **more: object) -> Answer:
        try:
            with (
                httpx.Client(verify=self._trust, trust_env=False, timeout=_TIMEOUT_S) as client,
                client.stream(method, f"{self._url}{path}", **more) as response,  # type: ignore[arg-type]
            ):
                body = b""
                for part in response.iter_bytes():
                    body += part
                    if len(body) > note.MOST_BYTES:
                        raise self._away(f"> {note.MOST_BYTES} bytes")
                return Answer(response.status_code, body)
        except httpx.HTTPError as error:
            raise self._away(str(error) or type(error).__name__) from error

    def _away(self, reason: str) -> AgentError:
        return AgentError(
            "SA4130",
            N_("the witness {name} cannot be asked at {url}: {reason}"),
            hint=N_("it is asked again later; documents wait until some witness has the log"),
            name=self.name,
            url=self._url,
            reason=reason,
        )


class FolderWitness:
    """A file for each checkpoint, `<log>-<size>-<try>.note`, made once and never written again.

    It proves what the share proves: that nobody could change or remove a file there. The rules are those of a witness,
    so that what does not grow out of the newest file is told at once, and not only when somebody verifies.
    """

    public_key = None

    def __init__(self, config: Folder) -> None:
        self.name = config.name
        self._path = config.path

    def add(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> Answer:
        read = note.read(checkpoint).checkpoint
        try:
            known = max(self._read(read.origin), key=lambda each: each.size, default=None)
            size, root = (known.size, known.root) if known else (0, merkle.EMPTY)
            if old != size or read.size < size or (read.size == size and read.root != root):
                return Answer(asking.STALE, b"%d\n" % size)
            if not merkle.extends(root, size, read.root, read.size, proof):
                return Answer(asking.UNPROVEN, b"")
            if read.size > size:
                self._make(read, checkpoint)
        except OSError as error:
            raise self._away(error) from error
        return Answer(asking.TAKEN, b"")

    def _read(self, origin: str) -> Iterator[note.Checkpoint]:
        """What can be read: a file that a crash cut off is passed over."""
        for data in self._files(origin):
            with suppress(ValueError):
                yield note.read(data).checkpoint

    def _files(self, origin: str) -> Iterator[bytes]:
        """The newest sizes first."""
        by_size: dict[str, list[Path]] = {}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if (named := _NAME.fullmatch(entry.name)) and named[1] == _log(origin):
                    by_size.setdefault(named[2], []).append(self._path / entry.name)
        for size in sorted(by_size, reverse=True):
            for path in by_size[size]:
                with path.open("rb") as file:
                    yield file.read(note.MOST_BYTES + 1)

    def _make(self, read: note.Checkpoint, checkpoint: bytes) -> None:
        """Under its own name at once: where nothing can be removed, nothing can be renamed."""
        for number in range(_TRIES):
            path = self._path / f"{_log(read.origin)}-{read.size:020}-{number}.note"
            with suppress(FileExistsError), path.open("xb") as file:
                file.write(checkpoint)
                file.flush()
                os.fsync(file.fileno())
                durable.sync_folder(self._path)
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def kept(self, origin: str) -> Iterable[bytes]:
        try:
            return list(self._files(origin))
        except OSError as error:
            raise self._away(error) from error

    def _away(self, error: OSError) -> AgentError:
        return AgentError(
            "SA4131",
            N_("the witness {name} cannot be reached in {path}: {reason}"),
            hint=N_("connect the share, and let this account make files there"),
            name=self.name,
            path=self._path,
            reason=error.strerror or str(error),
        )


def _log(origin: str) -> str:
    """What files are called by: an origin may have characters that a file's name has not."""
    return canonical.sm3(origin.encode()).hex()[:16]
