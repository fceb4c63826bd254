"""Files in a folder that somebody else empties: a receiving side, the single window's import client, or a person.

A file gets its name only when it is whole and durable, and never takes the place of another. Folders are not made: one
that is missing is a share that is not there.

    json            <path>/<key>.json, then <key>.json.done, which says its size and SM3 digest; the answer comes so
    excel           <path>/<format>_<number>_<start of key>.xlsx, which a person uploads and moves to <path>/done
    import_client   <path>/OutBox/<key>.Temp, renamed to .xml or .zip; the answers come into <path>/InBox
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, assert_never

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scraper_agent import canonical, durable
from scraper_agent import envelope as envelopes
from scraper_agent.errors import SendFailed, SendRefused, SendUnknown
from scraper_agent.format import Document, Format, decode
from scraper_agent.importing import layout, template
from scraper_agent.messages import N_
from scraper_agent.ports import Standing, Transport
from scraper_agent.sending import filenames
from scraper_agent.yamlfile import Wrong

DONE = ".done"
"""What a file's own note is named after it."""
UPLOADED = "done"
"""Where a person puts a workbook that has been uploaded."""
RECEIPTS = "receipts"
OUTBOX, SENTBOX, FAILBOX, INBOX = "OutBox", "SentBox", "FailBox", "InBox"
ENDINGS = ("xml", "zip", "json")
"""Of the files in OutBox: the import client takes the first two."""

_NOTE_BYTES = 1024
_NUMBER_BYTES = 60
"""Of the business number in a workbook's name: with a path before it, Excel opens no more than 218 characters."""
_KEY_START = 16
"""Hex digits of the key in a workbook's name: 64 bits."""

_COP_MSG_ID = re.compile(rb"<(?:[\w.-]+:)?CopMsgId>\s*([0-9A-Za-z_.-]{1,255})\s*</")
_SEQ_NO = re.compile(rb"<(?:[\w.-]+:)?SeqNo>\s*([0-9A-Za-z_-]{1,64})\s*</")


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["folder"]
    path: Path
    """A folder that exists; on Windows also of a share, `\\\\server\\share\\folder`."""
    content: Literal["json", "excel", "import_client"]
    receipts: Path | None = None
    """Where answers come; default: `receipts` in `path`, of the import client `InBox`."""
    extension: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,8}$")] | None = None
    """Of what is sent; default: json, or for the import client by the first bytes: xml, zip, json."""
    message_id: Literal["key", "CopMsgId"] = "key"
    """What the import client names its answers by: the file's name, or the element `CopMsgId` in it."""
    most_files: Annotated[int, Field(gt=0)] = 10_000
    """Waiting in the folder; nothing is added beyond."""
    answer_limit_bytes: Annotated[int, Field(gt=0)] = envelopes.RECEIPT_BYTES

    @model_validator(mode="after")
    def _check_use(self) -> Self:
        uses = {
            "json": {"receipts", "extension", "answer_limit_bytes"},
            "excel": set[str](),
            "import_client": {"receipts", "extension", "message_id", "answer_limit_bytes"},
        }[self.content]
        for name in sorted(self.model_fields_set - uses - {"kind", "path", "content", "most_files"}):
            raise Wrong(
                N_("`{name}` means nothing with `content: {content}`"),
                hint=N_("remove it"),
                name=name,
                content=self.content,
            )
        return self


def connect(config: Config, profile: envelopes.Profile, formats: Mapping[str, Format]) -> Transport:
    """Touches nothing yet. `profile`: of the requests; `formats`: by name, of the documents in them."""
    match config.content:
        case "json":
            return JsonFolder(config)
        case "excel":
            return ExcelFolder(config, profile, formats)
        case "import_client":
            return ImportClientFolder(config)
        case unknown:
            assert_never(unknown)


class JsonFolder:
    """For a receiving side that takes only files with a note, and knows a key that it has taken before."""

    repeat: Literal["safe"] = "safe"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._receipts = config.receipts or config.path / RECEIPTS
        self._ending = config.extension or "json"

    def send(self, envelope: bytes, *, key: str) -> None:
        """The request and then its note, so that a crash between leaves what nobody takes.

        Raises:
            SendFailed: it cannot be written, too many wait, or another request lies there under this key.
            SendUnknown: it got its name, but whether that outlives a power cut is not known.
        """
        path = self._config.path / f"{key}.{self._ending}"
        _check_room(self._config.path, self._ending, self._config.most_files, path)
        _hand_over(path, envelope, path.with_name(f".{path.name}.part"))
        done = path.with_name(path.name + DONE)
        _hand_over(done, note(envelope), path.with_name(f".{done.name}.part"))

    def find(self, key: str) -> bytes | Standing:
        """The answer, if it has a note; UNKNOWN also when the receiving side took the request away.

        Raises:
            SendFailed: a folder is not there, or the answer is not what its note says.
        """
        name = f"{key}.{self._ending}"
        try:
            _check_folder(self._config.path)
            waits = all((self._config.path / each).is_file() for each in (name, name + DONE))
        except OSError as error:
            raise _cannot_look(self._config.path, error) from error
        answer = self._answer(self._receipts / f"{key}.json")
        if answer is not None:
            return answer
        return Standing.DELIVERED if waits else Standing.UNKNOWN

    def _answer(self, path: Path) -> bytes | None:
        _look_into(path.parent)
        done = _read(path.with_name(path.name + DONE), _NOTE_BYTES)
        if done is None:
            return None
        answer = _read(path, self._config.answer_limit_bytes)
        if answer is None or not noted(answer, done):
            raise SendFailed(
                "SA4128",
                N_("{path} is not what its note {done} says"),
                hint=N_("it is looked at again later; if this goes on, have the receiving side write both anew"),
                path=path,
                done=path.name + DONE,
            )
        return answer

    def close(self) -> None:
        pass


class ExcelFolder:
    """For a person. Nobody answers: what was handed over stays so in the log, uploaded or not."""

    repeat: Literal["never"] = "never"

    def __init__(self, config: Config, profile: envelopes.Profile, formats: Mapping[str, Format]) -> None:
        self._config = config
        self._profile = profile
        self._formats = formats

    def send(self, envelope: bytes, *, key: str) -> None:
        """One workbook of the standard template, with the values of the document in the request.

        Raises:
            SendFailed: no workbook can be made of it, it cannot be written, too many wait, or another lies there.
            SendUnknown: it got its name, but whether that outlives a power cut is not known.
        """
        try:
            request = envelopes.read_request(envelope, self._profile)
            format = self._formats[request.format]
            document = decode(format, request.document)
            book = template.filled(document, format, {"作业键": key, "单据摘要": request.digest})
        except (envelopes.RequestInvalid, KeyError, ValueError) as error:
            raise SendRefused(
                "SA4127",
                N_("no workbook can be made of the document: {reason}"),
                hint=N_("send documents like this one another way, or bring the format back to what it was"),
                reason=error.sentence if isinstance(error, envelopes.RequestInvalid) else str(error),
            ) from error
        path = self._config.path / _workbook_name(document, format, key)
        _check_room(self._config.path, "xlsx", self._config.most_files, path)
        _hand_over(path, book, path.with_name(f".{path.name}.part"))

    def find(self, key: str) -> Standing:
        """DELIVERED while the workbook lies in the folder or in `done`; else UNKNOWN: it may have been moved anywhere.

        Raises:
            SendFailed: the folder is not there.
        """
        done = self._config.path / UPLOADED
        try:
            names = [*_names(self._config.path), *(_names(done) if done.is_dir() else ())]
        except OSError as error:
            raise _cannot_look(self._config.path, error) from error
        # While a workbook is open, Excel keeps a file beside it whose name begins so.
        there = any(name.endswith(_workbook_end(key)) and not name.startswith(("~$", ".")) for name in names)
        return Standing.DELIVERED if there else Standing.UNKNOWN

    def close(self) -> None:
        pass


class ImportClientFolder:
    """For the single window's import client (导入客户端), which does not know what it has sent before."""

    repeat: Literal["never"] = "never"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._inbox = config.receipts or config.path / INBOX

    def send(self, envelope: bytes, *, key: str) -> None:
        """`<key>.Temp`, then its final name. Done already if the client has it in OutBox or SentBox.

        Raises:
            SendFailed: it cannot be written, too many wait, another request lies there under this key, or it has not
                the element that its answer is found by.
            SendUnknown: it got its name, but whether that outlives a power cut is not known.
        """
        if self._config.message_id == "CopMsgId" and _COP_MSG_ID.search(envelope) is None:
            raise SendRefused(
                "SA4129",
                N_("the request has no element CopMsgId, and the client's answer could not be found without"),
                hint=N_("`message_id: key` finds answers by the file's name; or choose a profile with that element"),
            )
        ending = self._config.extension or _ending(envelope)
        path, sent = (self._config.path / box / f"{key}.{ending}" for box in (OUTBOX, SENTBOX))
        if _holds(sent, envelope):
            return
        _check_room(path.parent, ending, self._config.most_files, path)
        _hand_over(path, envelope, path.with_suffix(".Temp"))

    def find(self, key: str) -> bytes | Standing:
        """The client's `Failed_…`, or what follows its `Successed_…`, else where the file is.

        A `Successed_…` that names a `SeqNo` is the client's word alone: the answer is `Receipt_<SeqNo>_…`, and until
        then there is none.

        Raises:
            SendFailed: a folder is not there, or the client gave the file up without a word.
        """
        place = self._place(key)  # before the answer: the file never goes back, and the answer stays
        id = key if self._config.message_id == "key" or place is None else self._message_id(place)
        answer = self._answer(id) if id is not None else None
        if answer is not None:
            return answer
        if place is None:
            return Standing.UNKNOWN
        if place.parent.name == FAILBOX:
            raise SendRefused(
                "SA4126",
                N_("the import client has put {path} aside and does not say why"),
                hint=N_(
                    "look into the client's own list; when the cause is gone, `scraper-agent job retry NAME --absent`"
                    " sends it again"
                ),
                path=place,
            )
        return Standing.DELIVERED

    def close(self) -> None:
        pass

    def _place(self, key: str) -> Path | None:
        """Where the file of this key is, on its way from OutBox."""
        own = (self._config.extension,) if self._config.extension else ENDINGS
        try:
            _check_folder(self._config.path / OUTBOX)
            for box in (OUTBOX, SENTBOX, FAILBOX):
                for ending in own:
                    if (path := self._config.path / box / f"{key}.{ending}").is_file():
                        return path
        except OSError as error:
            raise _cannot_look(self._config.path, error) from error
        return None

    def _message_id(self, path: Path) -> str | None:
        """What stands in the file that was sent; None if it has moved on just now, or has none."""
        try:
            found = _COP_MSG_ID.search(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_look(path, error) from error
        return found[1].decode() if found else None

    def _answer(self, id: str) -> bytes | Standing | None:
        try:
            names = tuple(_names(self._inbox))
        except OSError as error:
            raise _cannot_look(self._inbox, error) from error
        said = [each for word in ("Successed", "Failed") if (each := _newest(names, word, id)) is not None]
        newest = max(said, key=_moment, default=None)
        if newest is None:
            return None
        body = _read(self._inbox / newest, self._config.answer_limit_bytes)
        if body is None or newest.startswith("Failed"):
            return body
        number = _SEQ_NO.search(body)
        if number is None:
            return body
        receipt = _newest(names, "Receipt", number[1].decode())
        if receipt is None:
            return Standing.DELIVERED
        return _read(self._inbox / receipt, self._config.answer_limit_bytes)


def note(data: bytes) -> bytes:
    """What `<name>.done` says of the file `<name>`."""
    return canonical.dumps({"bytes": len(data), "digest": canonical.digest(data)})


def noted(data: bytes, done: bytes) -> bool:
    """Whether the note is this file's, in any spelling of JSON."""
    try:
        return bool(json.loads(done) == json.loads(note(data)))
    except ValueError:
        return False


# --- writing --------------------------------------------------------------------------------------------------------


def _hand_over(path: Path, data: bytes, part: Path) -> None:
    """`data` under `path`; nothing is done if it lies there already.

    Raises:
        SendFailed, SendUnknown: as the `send` of every content.
    """
    there = _holds(path, data)
    if not there:
        try:
            durable.write_part(part, data)
        except OSError as error:
            raise _cannot_write(path, error) from error
        try:
            durable.rename_new(part, path)
        except durable.Taken:
            raise _taken(path) from None
        except OSError as error:
            raise (_uncertain if os.path.lexists(path) else _cannot_write)(path, error) from error
    try:
        durable.sync_folder(path.parent)
    except OSError as error:
        raise _uncertain(path, error) from error


def _holds(path: Path, data: bytes) -> bool:
    """Whether exactly `data` lies there. Raises SendFailed if something else does, or nobody can look."""
    try:
        there = durable.read(path, len(data))
    except durable.TooLong:
        raise _taken(path) from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    if there is not None and there != data:
        raise _taken(path)
    return there is not None


def _check_room(folder: Path, ending: str, most: int, path: Path) -> None:
    """Raises SendFailed if so many files wait already; one that is there itself needs no room."""
    try:
        names = {name for name in _names(folder) if name.endswith(f".{ending}") and not name.startswith(("~$", "."))}
    except OSError as error:
        raise _cannot_write(path, error) from error
    if len(names) >= most and path.name not in names:
        raise SendFailed(
            "SA4122",
            N_("{folder} has {count} files that nobody has taken; no more than {most} may wait"),
            hint=N_("see why they are not taken; `most_files` sets how many may wait"),
            folder=folder,
            count=len(names),
            most=most,
        )


def _taken(path: Path) -> SendRefused:
    return SendRefused(
        "SA4121",
        N_("{path} is taken by another content, which stays"),
        hint=N_("find out who wrote it; move it away, and the document is sent again later"),
        path=path,
    )


def _cannot_write(path: Path, error: OSError) -> SendFailed:
    return SendFailed(
        "SA4120",
        N_("cannot hand over {path}: {reason}"),
        hint=N_(
            "see that the folder is there, that the share is connected, that the agent may write to it, and that it is "
            "not full; it is sent again later"
        ),
        path=path,
        reason=_reason(error),
    )


def _uncertain(path: Path, error: OSError) -> SendUnknown:
    return SendUnknown(
        "SA4123",
        N_("{path} has its name, but may be lost if the power fails now: {reason}"),
        hint=N_("the disk or the share has a fault; the file is looked for before anything is sent again"),
        path=path,
        reason=_reason(error),
    )


# --- looking --------------------------------------------------------------------------------------------------------


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _check_folder(folder: Path) -> None:
    """Raises OSError unless it is one."""
    with os.scandir(folder):
        pass


def _look_into(folder: Path) -> None:
    try:
        _check_folder(folder)
    except OSError as error:
        raise _cannot_look(folder, error) from error


def _read(path: Path, most: int) -> bytes | None:
    try:
        return durable.read(path, most)
    except durable.TooLong:
        raise SendFailed(
            "SA4125",
            N_("the answer {path} has more than {most} bytes"),
            hint=N_("see who writes into this folder; `answer_limit_bytes` sets the limit"),
            path=path,
            most=most,
        ) from None
    except OSError as error:
        raise _cannot_look(path, error) from error


def _cannot_look(path: Path, error: OSError) -> SendFailed:
    return SendFailed(
        "SA4124",
        N_("cannot look for the answer in {path}: {reason}"),
        hint=N_("see that the folder is there and that the agent may read it; it is looked into again later"),
        path=path,
        reason=_reason(error),
    )


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _newest(names: tuple[str, ...], word: str, id: str) -> str | None:
    """Of the answers `<word>_<id>_<time>.xml` the one of the latest time."""
    start = f"{word}_{id}"
    return max((name for name in names if name.startswith((f"{start}_", f"{start}."))), default=None)


def _moment(name: str) -> str:
    """The time in an answer's name, as far as it has one."""
    return name.rpartition("_")[2]


def _workbook_name(document: Document, format: Format, key: str) -> str:
    """For a person to know it by; its last part alone tells it from others."""
    names = [field.id for field in layout.key(format)] or format.key[:1]
    number = "_".join(str(document.header[id]) for id in names if id in document.header)
    return f"{format.zh}_{filenames.safe(number, _NUMBER_BYTES)}{_workbook_end(key)}"


def _workbook_end(key: str) -> str:
    return f"_{key[:_KEY_START]}.xlsx"


def _ending(envelope: bytes) -> str:
    if envelope.startswith(b"PK\x03\x04"):
        return "zip"
    return "xml" if envelope.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") else "json"
