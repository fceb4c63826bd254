"""The transport `folder`: the contract with the two stand-ins that empty folders, and what a folder may do to a file.

Under 40 s: workbooks are read back in a child process each.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import random
import re
import resource
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pydantic import ValidationError

from scraper_agent import canonical, envelope, files, formats, messages, sending
from scraper_agent.app import App
from scraper_agent.cli import sandbox
from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.format import Document, Format, encode
from scraper_agent.formats import FORMATS
from scraper_agent.importing import example, layout, reading
from scraper_agent.mapping import COMMON_FIELDS
from scraper_agent.ports import Standing, Transport
from scraper_agent.sandbox import import_client
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import filenames, folder
from scraper_agent.values import Digest
from tests import test_format_samples, waybills
from tests.transports.contract import AK, FORMAT, KEY, SENDERS, Contract, Site, accepted, answer, letter

NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
A_KEY = "a1" * 32
ORDER = FORMATS["purchaseOrder"]


def connect(path: Path, content: str, **more: object) -> Transport:
    config = folder.Config.model_validate({"kind": "folder", "path": path, "content": content, **more})
    return sending.connect(config, lambda _place, _name: pytest.fail("a folder has no secret"))


# --- the contract ---------------------------------------------------------------------------------------------------


class Served:
    """A folder, with a program that empties it for the platform."""

    def __init__(self, platform: Platform, path: Path, content: str) -> None:
        self.platform = platform
        self._path = path
        self._content = content

    def transport(self) -> Transport:
        return connect(self._path, self._content)

    def stop(self) -> None:
        """As when the share is not connected."""
        self._path.rename(self._path.with_name("away"))

    def start(self) -> None:
        self._path.with_name("away").rename(self._path)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as started:
        yield started


class TestFolderJson(Contract):
    @pytest.fixture
    def site(self, platform: Platform, tmp_path: Path) -> Iterator[Site]:
        path = tmp_path / "share"
        (path / "receipts").mkdir(parents=True)
        with import_client.json_reader(path, path / "receipts", platform):
            yield Served(platform, path, "json")


class TestImportClient(Contract):
    @pytest.fixture
    def site(self, platform: Platform, tmp_path: Path) -> Iterator[Site]:
        path = tmp_path / "share"
        import_client.make_boxes(path)
        with import_client.import_client(path, platform, lambda: datetime.now(UTC)):
            yield Served(platform, path, "import_client")

    def test_what_the_client_has_sent_is_not_given_to_it_again(self, site: Site, tmp_path: Path) -> None:
        transport, (body, key) = site.transport(), letter(50)
        answer(transport, body, key)
        assert transport.send(body, key=key) is None
        assert [path.name for path in (tmp_path / "share" / "OutBox").iterdir()] == []
        assert [stored.deliveries for stored in site.platform.stored()] == [1]


# --- what lies where ------------------------------------------------------------------------------------------------


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """A folder with all that any content needs."""
    path = tmp_path / "share"
    import_client.make_boxes(path)
    (path / "receipts").mkdir()
    return path


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.is_file())


def failed(act: Callable[[], object]) -> str:
    with pytest.raises(SendFailed) as caught:
        act()
    return str(caught.value)


def test_a_request_lies_beside_a_note_of_its_size_and_digest(share: Path) -> None:
    transport = connect(share, "json")
    assert transport.send(b'{"a":1}', key=A_KEY) is None
    assert names(share) == [f"{A_KEY}.json", f"{A_KEY}.json.done"]
    assert (share / f"{A_KEY}.json").read_bytes() == b'{"a":1}'
    assert json.loads((share / f"{A_KEY}.json.done").read_bytes()) == {
        "bytes": 7,
        "digest": canonical.digest(b'{"a":1}'),
    }
    assert (transport.repeat, transport.find(A_KEY)) == ("safe", Standing.DELIVERED)


def test_a_request_without_its_note_was_not_handed_over(share: Path, platform: Platform) -> None:
    body, key = letter(51)
    (share / f"{key}.json").write_bytes(body)
    assert connect(share, "json").find(key) is Standing.UNKNOWN
    (share / f"{key}.json.done").write_bytes(folder.note(body[:-1]))
    import_client.read_all(share, share / "receipts", platform)
    assert platform.stored() == ()


def test_an_answer_counts_with_its_note_only(share: Path) -> None:
    transport = connect(share, "json")
    transport.send(b"{}", key=A_KEY)
    (share / "receipts" / f"{A_KEY}.json").write_bytes(b"answer")
    assert transport.find(A_KEY) is Standing.DELIVERED
    (share / "receipts" / f"{A_KEY}.json.done").write_bytes(folder.note(b"another"))
    assert failed(lambda: transport.find(A_KEY)) == (
        f"SA4128 {share}/receipts/{A_KEY}.json is not what its note {A_KEY}.json.done says\n"
        "hint: it is looked at again later; if this goes on, have the receiving side write both anew"
    )
    (share / "receipts" / f"{A_KEY}.json.done").write_bytes(folder.note(b"answer"))
    assert transport.find(A_KEY) == b"answer"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"<?xml version='1.0'?><a/>", f"{A_KEY}.xml"),
        (b"\xef\xbb\xbf <a/>", f"{A_KEY}.xml"),
        (b"PK\x03\x04rest", f"{A_KEY}.zip"),
        (b"{}", f"{A_KEY}.json"),
    ],
)
def test_the_import_client_gets_a_file_named_by_what_it_is(share: Path, body: bytes, name: str) -> None:
    transport = connect(share, "import_client")
    assert transport.send(body, key=A_KEY) is None
    assert names(share / "OutBox") == [name]
    assert (transport.repeat, transport.find(A_KEY)) == ("never", Standing.DELIVERED)
    (share / "OutBox" / name).rename(share / "SentBox" / name)
    assert transport.find(A_KEY) is Standing.DELIVERED


def test_an_extension_and_a_place_of_answers_can_be_set(share: Path, tmp_path: Path) -> None:
    transport = connect(share, "import_client", extension="msg", receipts=tmp_path / "answers")
    transport.send(b"<a/>", key=A_KEY)
    assert names(share / "OutBox") == [f"{A_KEY}.msg"]
    assert "SA4124" in failed(lambda: transport.find(A_KEY))
    (tmp_path / "answers").mkdir()
    assert transport.find(A_KEY) is Standing.DELIVERED
    (tmp_path / "answers" / f"Failed_{A_KEY}_20260302.xml").write_bytes(b"no")
    assert transport.find(A_KEY) == b"no"


def test_the_newest_word_of_the_client_is_the_answer(share: Path) -> None:
    transport, inbox = connect(share, "import_client"), share / "InBox"
    transport.send(b"<a/>", key=A_KEY)
    (inbox / f"Failed_{A_KEY}0_20260402083000.xml").write_bytes(b"of another")
    assert transport.find(A_KEY) is Standing.DELIVERED
    (inbox / f"Failed_{A_KEY}_20260302083000.xml").write_bytes(b"no")
    assert transport.find(A_KEY) == b"no"
    (inbox / f"Successed_{A_KEY}_20260302083001.xml").write_bytes(b"yes")
    assert transport.find(A_KEY) == b"yes"


def test_a_success_that_names_a_number_is_answered_by_the_receipt_of_that_number(share: Path) -> None:
    transport, inbox = connect(share, "import_client"), share / "InBox"
    transport.send(b"<a/>", key=A_KEY)
    (inbox / f"Successed_{A_KEY}_20260302083000.xml").write_bytes(b"<r:a><r:SeqNo>I2026</r:SeqNo></r:a>")
    assert transport.find(A_KEY) is Standing.DELIVERED
    (inbox / "Receipt_I2026_20260302090000.xml").write_bytes(b"first")
    (inbox / "Receipt_I2026_20260302100000.xml").write_bytes(b"second")
    assert transport.find(A_KEY) == b"second"


def test_answers_may_be_named_by_an_element_of_the_message(share: Path) -> None:
    transport = connect(share, "import_client", message_id="CopMsgId")
    assert failed(lambda: transport.send(b"<a/>", key=A_KEY)) == (
        "SA4129 the request has no element CopMsgId, and the client's answer could not be found without\n"
        "hint: `message_id: key` finds answers by the file's name; or choose a profile with that element"
    )
    transport.send(b"<a><x:CopMsgId> M-1 </x:CopMsgId></a>", key=A_KEY)
    (share / "InBox" / f"Failed_{A_KEY}_20260302.xml").write_bytes(b"of another")
    assert transport.find(A_KEY) is Standing.DELIVERED
    (share / "OutBox" / f"{A_KEY}.xml").rename(share / "SentBox" / f"{A_KEY}.xml")
    (share / "InBox" / "Failed_M-1_20260302.xml").write_bytes(b"no")
    assert transport.find(A_KEY) == b"no"


def test_a_file_that_the_client_gave_up_without_a_word_is_told(share: Path, platform: Platform) -> None:
    transport, (body, key) = connect(share, "import_client"), letter(52)
    transport.send(body, key=key)
    path = (share / "OutBox" / f"{key}.json").rename(share / "FailBox" / f"{key}.json")
    assert failed(lambda: transport.find(key)) == (
        f"SA4126 the import client has put {path} aside and does not say why\n"
        "hint: look into the client's own list; when the cause is gone, "
        "`scraper-agent job retry NAME --absent` sends it again"
    )
    transport.send(body, key=key)  # by a person's word
    import_client.send_all(share, platform, lambda: NOW)
    assert isinstance(transport.find(key), bytes)


def test_a_refusal_comes_as_a_failure_with_the_platforms_receipt(share: Path) -> None:
    with Platform(lambda: datetime.now(UTC), SENDERS, {"another"}) as strict:
        transport, (body, key) = connect(share, "import_client"), letter(53)
        transport.send(body, key=key)
        import_client.send_all(share, strict, lambda: NOW)
        assert names(share / "FailBox") == [f"{key}.json"]
        assert names(share / "InBox") == [f"Failed_{key}_20260302083000000000.xml"]
        site = Served(strict, share, "import_client")
        said = transport.find(key)
        assert isinstance(said, bytes)
        assert not accepted(site, said, body, key)


def test_the_stand_in_names_its_answers_as_the_import_client_does(share: Path, platform: Platform) -> None:
    body, key = letter(54)
    connect(share, "import_client").send(body, key=key)
    (share / "OutBox" / f"{key}x.Temp").write_bytes(b"half")
    import_client.send_all(share, platform, lambda: NOW)
    assert names(share / "OutBox") == [f"{key}x.Temp"]
    assert names(share / "SentBox") == [f"{key}.json"]
    assert names(share / "InBox") == [
        "Receipt_SIM-000001_20260302083000000000.xml",
        f"Successed_{key}_20260302083000000000.xml",
    ]


# --- a folder that does not do as it should -------------------------------------------------------------------------

CONTENTS = ("json", "import_client")


def final(share: Path, content: str, body: bytes = b"<a/>") -> Path:
    """Where the request gets its name."""
    return share / f"{A_KEY}.json" if content == "json" else share / "OutBox" / f"{A_KEY}.{folder._ending(body)}"


@pytest.mark.parametrize("content", CONTENTS)
def test_another_content_under_the_name_is_never_replaced(share: Path, content: str) -> None:
    transport, path = connect(share, content), final(share, content)
    for other in (b"", b"<b/>", b"<a/>" * 9):
        path.write_bytes(other)
        assert failed(lambda: transport.send(b"<a/>", key=A_KEY)) == (
            f"SA4121 {path} is taken by another content, which stays\n"
            "hint: find out who wrote it; move it away, and the document is sent again later"
        )
        assert path.read_bytes() == other
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("content", CONTENTS)
def test_a_link_or_pipe_under_the_name_is_neither_followed_nor_waited_for(share: Path, content: str) -> None:
    transport, path = connect(share, content), final(share, content)
    secret = share / "secret"
    path.symlink_to(secret)
    assert "SA4120" in failed(lambda: transport.send(b"<a/>", key=A_KEY))
    path.unlink()
    os.mkfifo(path)
    assert "SA4120" in failed(lambda: transport.send(b"<a/>", key=A_KEY))
    path.unlink()
    part = path.with_suffix(".Temp") if content == "import_client" else path.with_name(f".{path.name}.part")
    part.symlink_to(secret)
    transport.send(b"<a/>", key=A_KEY)
    assert not secret.exists()
    assert path.read_bytes() == b"<a/>"


@pytest.mark.parametrize("content", [*CONTENTS, "excel"])
def test_a_folder_that_is_absent_is_told_and_never_made(tmp_path: Path, content: str) -> None:
    away = tmp_path / "away"
    transport = connect(away, content)
    body, key = request(order())
    said = failed(lambda: transport.send(body, key=key))
    assert said.startswith(f"SA4120 cannot hand over {away}")
    assert said.endswith(
        ": No such file or directory\n"
        "hint: see that the folder is there, that the share is connected, that the agent may write to it, and that it "
        "is not full; it is sent again later"
    )
    place = away / "OutBox" if content == "import_client" else away
    assert failed(lambda: transport.find(key)).startswith("SA4124 cannot look for the answer in ")
    assert not place.exists()


@pytest.mark.parametrize("content", ["json", "excel"])
def test_a_folder_that_cannot_be_written_to_is_told(content: str) -> None:
    body, key = request(order())
    # Nobody can make a file there, not even root.
    assert "SA4120 cannot hand over /sys/kernel/" in failed(
        lambda: connect(Path("/sys/kernel"), content).send(body, key=key)
    )


@contextmanager
def room(most: int) -> Iterator[None]:
    """No file can grow beyond `most` bytes: a disk that is full in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("content", [*CONTENTS, "excel"])
@pytest.mark.parametrize("most", [0, 1, 1000])
def test_a_folder_that_is_full_gets_nothing_and_keeps_nothing(share: Path, content: str, most: int) -> None:
    transport, (body, key) = connect(share, content), request(order(remark="x" * 2000))
    with room(most):
        said = failed(lambda: transport.send(body, key=key))
    assert said.startswith("SA4120 cannot hand over ")
    assert names(share) == names(share / "OutBox") == []
    assert transport.send(body, key=key) is None
    assert transport.find(key) is Standing.DELIVERED


def test_a_rename_that_may_not_outlive_a_power_cut_leaves_it_open(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transport, synced = connect(share, "import_client"), os.fsync

    def failing(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(SendUnknown) as caught:
        transport.send(b"<a/>", key=A_KEY)
    assert str(caught.value) == (
        f"SA4123 {final(share, 'import_client')} has its name, but may be lost if the power fails now: "
        "Input/output error\n"
        "hint: the disk or the share has a fault; the file is looked for before anything is sent again"
    )
    assert transport.find(A_KEY) is Standing.DELIVERED


def test_a_folder_that_is_full_between_request_and_note_gets_the_note_later(share: Path) -> None:
    transport = connect(share, "json")
    with room(20):
        failed(lambda: transport.send(b"short", key=A_KEY))
    assert names(share) == [f"{A_KEY}.json"]
    assert transport.find(A_KEY) is Standing.UNKNOWN
    transport.send(b"short", key=A_KEY)
    assert transport.find(A_KEY) is Standing.DELIVERED


@pytest.mark.parametrize("content", CONTENTS)
def test_no_more_files_wait_than_are_allowed(share: Path, content: str) -> None:
    transport, place = connect(share, content, most_files=1000), final(share, content).parent
    ending = final(share, content).suffix
    for number in range(999):
        (place / f"{number}{ending}").touch()
    transport.send(b"<a/>", key=A_KEY)
    transport.send(b"<a/>", key=A_KEY)  # what is there needs no room
    assert failed(lambda: transport.send(b"<a/>", key="b" * 64)) == (
        f"SA4122 {place} has 1000 files that nobody has taken; no more than 1000 may wait\n"
        "hint: see why they are not taken; `most_files` sets how many may wait"
    )
    (place / f"0{ending}").unlink()
    assert transport.send(b"<a/>", key="b" * 64) is None


def test_a_thousand_files_from_four_threads_are_all_there_and_whole(share: Path) -> None:
    transport = connect(share, "import_client")
    sent = {f"{number:064x}": b"<a>%d</a>" % number * 50 for number in range(1000)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: transport.send(sent[key], key=key), sent))
    assert {path.name: path.read_bytes() for path in (share / "OutBox").iterdir()} == {
        f"{key}.xml": body for key, body in sent.items()
    }


def test_an_answer_that_is_too_long_is_not_read_and_a_pipe_is_not_waited_for(share: Path) -> None:
    transport, path = connect(share, "import_client", answer_limit_bytes=10), share / "InBox" / f"Failed_{A_KEY}_1.xml"
    path.write_bytes(b"x" * 11)
    assert failed(lambda: transport.find(A_KEY)) == (
        f"SA4125 the answer {path} has more than 10 bytes\n"
        "hint: see who writes into this folder; `answer_limit_bytes` sets the limit"
    )
    path.unlink()
    os.mkfifo(path)
    assert failed(lambda: transport.find(A_KEY)).startswith(f"SA4124 cannot look for the answer in {path}: ")


@pytest.mark.parametrize(
    ("content", "wrong"),
    [("excel", {"extension": "xls"}), ("excel", {"receipts": "in"}), ("json", {"message_id": "CopMsgId"})],
)
def test_a_setting_that_would_do_nothing_is_refused(content: str, wrong: Mapping[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        connect(Path("x"), content, **wrong)
    said = caught.value.errors()[0]["ctx"]["error"]
    assert messages.render(said.text, said.values) == f"`{next(iter(wrong))}` means nothing with `content: {content}`"


# --- killed ---------------------------------------------------------------------------------------------------------

KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from scraper_agent import durable, sending
from scraper_agent.sending import folder

root, content, body, key = pickle.loads(sys.stdin.buffer.read())
watched = {durable.__file__, folder.__file__}

def send(path, die_at):
    config = folder.Config(kind="folder", path=path, content=content)
    transport = sending.connect(config, None)
    steps = 0
    def line(frame, event, argument):
        nonlocal steps
        if frame.f_code.co_filename not in watched:
            return None
        steps += event == "line"
        if steps == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return line
    sys.settrace(line)
    transport.send(body, key=key)
    sys.settrace(None)

die_at, survived = 1, False
while not survived:
    path = Path(root, str(die_at))
    (path / "OutBox").mkdir(parents=True)
    (path / "receipts").mkdir()
    (path / "InBox").mkdir()
    child = os.fork()
    if child == 0:
        send(path, die_at)
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    survived = ended == 0
    if not survived and os.waitstatus_to_exitcode(ended) != -signal.SIGKILL:
        sys.exit("sending failed")
    die_at += 1
"""


@pytest.mark.parametrize("content", [*CONTENTS, "excel"])
def test_killed_at_any_line_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path, content: str) -> None:
    body, key = request(order())
    told = pickle.dumps((str(tmp_path / "runs"), content, body, key))
    subprocess.run([sys.executable, "-c", KILLED], input=told, check=True, timeout=120)
    runs = sorted((tmp_path / "runs").iterdir(), key=lambda path: int(path.name))
    assert len(runs) > 20
    whole = {path.name: path.read_bytes() for place in (runs[-1], runs[-1] / "OutBox") for path in files_in(place)}
    assert whole
    for path in runs[:-1]:
        left = {each.name: each.read_bytes() for place in (path, path / "OutBox") for each in files_in(place)}
        assert left.items() <= whole.items(), path
        transport = connect(path, content)
        assert transport.find(key) in ((Standing.DELIVERED,) if left == whole else (Standing.UNKNOWN,))
        assert transport.send(body, key=key) is None
        assert {each.name for place in (path, path / "OutBox") for each in files_in(place)} == whole.keys()
        assert transport.find(key) is Standing.DELIVERED


def files_in(path: Path) -> list[Path]:
    """Those with a final name."""
    return [each for each in path.iterdir() if each.is_file() and each.suffix not in (".part", ".Temp")]


# --- workbooks ------------------------------------------------------------------------------------------------------


def order(number: str = "PO-1", lines: list[dict[str, Any]] | None = None, **header: Any) -> Document:
    sample = next(test_format_samples.samples("purchaseOrder", "good")).document
    return Document(
        format="purchaseOrder",
        header={**sample.header, "orderNumber": number, **header},
        lines=sample.lines if lines is None else tuple({**sample.lines[0], **line} for line in lines),
    )


def request(document: Document, format: Format | None = None, profile: envelope.Profile = envelope.DEFAULT) -> Any:
    """Signed, and its idempotency key."""
    body = encode(document, format or FORMATS[document.format])
    key = envelope.idempotency_key(AK, document.format, "any", Digest(canonical.digest(body)))
    return envelope.build(body, document.format, key, AK, KEY, NOW, profile), key


def written(path: Path, document: Document, format: Format | None = None) -> Path:
    """The workbook of the document."""
    config = folder.Config(kind="folder", path=path, content="excel")
    known = {document.format: format} if format else FORMATS
    body, key = request(document, format)
    before = set(names(path))
    sending.connect(config, lambda _place, _name: pytest.fail("no secret"), formats=known).send(body, key=key)
    (made,) = set(names(path)) - before
    return path / made


def read_back(path: Path, format: Format) -> Document:
    contents = reading.read(files.tables(path.read_bytes(), "xlsx", layout.SKIPPED), {format.name: format})
    (entry,) = contents.entries
    return entry.document(contents.format)


def asked_of(document: Document, format: Format) -> Document:
    """Without what the agent fills."""
    asked = {field.id for field in layout.asked(format)}
    assert document.header.keys() - asked <= COMMON_FIELDS
    header = {id: value for id, value in document.header.items() if id in asked}
    return Document(format=document.format, header=header, lines=document.lines)


def documents(name: str) -> Iterator[tuple[Document, Format]]:
    """The good samples of a format with the fewest and the most values; one that is like its template's example."""
    format = FORMATS[name]
    if name in test_format_samples.TEN:
        good = [(s.document, s.format) for s in test_format_samples.samples(name, "good")]
    else:
        samples = [s for f in waybills.FOLDERS if waybills.FOLDERS[f].name == name for s in waybills.samples(f)]
        good = [(s.document, s.format) for s in samples if s.good]
    good.sort(key=lambda pair: len(pair[0].header) + sum(map(len, pair[0].lines)))
    yield from ([good[0], good[-1]] if len(good) > 1 else good)
    like = example.document(format)
    other = next(id for id, value in like.header.items() if isinstance(value, str) and id != "enterpriseUscc")
    key = layout.key(format)[0].id if layout.key(format) else other
    header = {**like.header, key: str(like.header[key])[:-1] + "9"}
    yield Document(format=name, header=header, lines=like.lines), format


@pytest.mark.parametrize("name", FORMATS)
def test_a_workbook_is_read_back_as_the_document_it_was_made_of(share: Path, name: str) -> None:
    for document, format in documents(name):
        path = written(share, document, format)
        asked = asked_of(document, format)
        assert encode(read_back(path, format), format) == encode(asked, format)
        book = openpyxl.load_workbook(path)
        heads = [cell.value for cell in book[layout.HEADER][2]][1:]
        assert heads == layout.identifiers(layout.targets(format, "header"))
        own = {row[1]: row[2] for row in book[layout.HELP].iter_rows(values_only=True) if row[1]}
        bytes_ = json.loads(encode(document, format))["header"]
        plain = {id: str(text).replace("-", "").replace(":", "") for id, text in own.items()}
        assert plain == {
            id: text.replace("-", "").replace(":", "") for id, text in bytes_.items() if id not in asked.header
        }


def test_numbers_and_texts_are_exactly_those_of_the_document(share: Path) -> None:
    dice = random.Random(7)
    lines: list[dict[str, Any]] = [
        {
            "orderLineNumber": str(number),
            "materialNumber": dice.choice(["0042", "1E5", "-1", "1/2", "1.10", "TRUE", "12345678901234567890"]),
            "orderedQuantity": Decimal(dice.randrange(1, 10 ** dice.randrange(1, 20))).scaleb(-dice.randrange(6)),
            "unitPrice": Decimal(dice.randrange(1, 10 ** dice.randrange(1, 18))).scaleb(-dice.randrange(5)),
        }
        for number in range(1, 400)
    ]
    lines[0]["orderedQuantity"] = Decimal("99999999999999.99999")
    lines[1]["orderedQuantity"] = Decimal("0.00001")
    lines[2]["unitPrice"] = Decimal("90000000000.0001")
    document = order(lines=lines)
    canonical_form = encode(asked_of(document, ORDER), ORDER)
    assert encode(read_back(written(share, document), ORDER), ORDER) == canonical_form


@pytest.mark.parametrize(
    "header",
    [
        {"orderDate": date(1899, 12, 31), "approvalDate": date(1900, 2, 28)},
        {"orderDate": date(1900, 3, 1), "approvalDate": date(9999, 12, 31)},
    ],
)
def test_days_before_those_of_a_workbook_are_kept(share: Path, header: dict[str, Any]) -> None:
    read = read_back(written(share, order(**header)), ORDER)
    assert {id: read.header[id] for id in header} == header


HOSTILE = [
    "=1+1",
    '=cmd|" /C calc"!A0',
    "+1-1",
    "@SUM(A1)",
    "-2+3",
    "\tx=1",
    "https://example.org",
    "<r><t>x</t></r>",
    "<r></r>",
    "<r>&amp;</si></sst><f>1+1</f></r>",
    "]]><f>1</f>",
    "_x0041_",
    "表头!A1",
    "x\ty",
    "\u202e\u05d0\u05d1",
    "😀👩‍👩‍👧",
    "{=1}",
]


def test_no_text_becomes_a_formula_a_link_or_markup(share: Path) -> None:
    lines = [{"orderLineNumber": str(n), "goodsName": text} for n, text in enumerate(HOSTILE, 1)]
    document = order("=HYPERLINK(1)", lines, remark="=1+1", supplierName="<r><t>1</t></r>", erpSystemCode="=2+2")
    path = written(share, document)
    book = openpyxl.load_workbook(path)
    assert {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row} <= {"s", "n", "d"}
    assert [sheet for sheet in book if sheet._hyperlinks] == []
    with zipfile.ZipFile(path) as parts:
        assert not [name for name in parts.namelist() if b"<f>" in parts.read(name) or b"<f " in parts.read(name)]
    goods = {cell.value: cell.column for cell in book[layout.LINES][2]}["goodsName"]
    shown = [book[layout.LINES].cell(row, goods).value for row in range(4, 4 + len(HOSTILE))]
    assert shown == HOSTILE
    kept = [text.strip() for text in HOSTILE]  # white space around a text means nothing where files are read
    assert [line["goodsName"] for line in read_back(path, ORDER).lines] == kept


def test_the_same_document_gives_the_same_bytes_and_another_workbook_of_that_name_stays(share: Path) -> None:
    transport, (body, key) = connect(share, "excel"), request(order())
    transport.send(body, key=key)
    (name,) = names(share)
    made = (share / name).read_bytes()
    (share / name).unlink()
    transport.send(body, key=key)
    assert (share / name).read_bytes() == made
    with zipfile.ZipFile(share / name) as parts:
        assert b">1980-01-01T00:00:00Z<" in parts.read("docProps/core.xml")  # not the time it was made
    (share / name).write_bytes(made + b"edited")
    assert failed(lambda: transport.send(body, key=key)).startswith(
        f"SA4121 {share / name} is taken by another content"
    )


def test_a_workbook_is_delivered_while_it_lies_there_or_was_put_to_the_uploaded(share: Path) -> None:
    transport, (body, key) = connect(share, "excel"), request(order())
    assert (transport.repeat, transport.find(key)) == ("never", Standing.UNKNOWN)
    transport.send(body, key=key)
    (name,) = names(share)
    assert transport.find(key) is Standing.DELIVERED
    (share / "done").mkdir()
    (share / name).rename(share / "done" / name)
    assert transport.find(key) is Standing.DELIVERED
    (share / "done" / name).rename(share / f"~${name}")
    assert transport.find(key) is Standing.UNKNOWN


def test_a_workbook_says_which_document_it_is_of(share: Path) -> None:
    document = order()
    _, key = request(document)
    told = openpyxl.load_workbook(written(share, document))[layout.HELP]
    about = {row[0]: row[2] for row in told.iter_rows(values_only=True)}
    digest = canonical.digest(encode(document, ORDER))
    assert (about["作业键"], about["单据摘要"]) == (key, digest)


def test_a_request_of_another_profile_gives_the_same_workbook(share: Path) -> None:
    profile = envelope.Profile(ts="milliseconds", sn="hex")
    body, key = request(order(), profile=profile)
    config = folder.Config(kind="folder", path=share, content="excel")
    sending.connect(config, lambda _place, _name: pytest.fail("no secret"), profile=profile).send(body, key=key)
    (name,) = names(share)
    other = share / "other"
    other.mkdir()
    assert written(other, order()).read_bytes() == (share / name).read_bytes()


@pytest.mark.parametrize("reason", ["of no format", "another kind of document", "no request", "too long"])
def test_what_no_workbook_can_be_made_of_is_told(share: Path, reason: str) -> None:
    transport = connect(share, "excel")
    body, key = {
        "of no format": lambda: (envelope.build(b"{}", "none", A_KEY, AK, KEY, NOW), A_KEY),
        "another kind of document": lambda: letter(60),
        "no request": lambda: (b"<xml/>", A_KEY),
        "too long": lambda: request(order(remark="x" * 40_000)),
    }[reason]()
    said = failed(lambda: transport.send(body, key=key))
    assert said.startswith("SA4127 no workbook can be made of the document: ")
    assert said.endswith("\nhint: send documents like this one another way, or bring the format back to what it was")
    assert names(share) == []


# --- names ----------------------------------------------------------------------------------------------------------

RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789")}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PO-1", "PO-1"),
        ("采购/2026:1", "采购_2026_1"),
        ("CON", "CON"),
        ("nul.txt", "nul.txt"),
        ("..", "-"),
        ("../../etc/passwd", "etc_passwd"),
        ("C:\\x", "C__x"),
        ("x. . .", "x"),
        (" x ", "x"),
        ("", "-"),
        ("a" * 300, "a" * 60),
        ("中" * 300, "中" * 20),
        ("😀" * 100, "😀" * 15),
        ("PO\u202egpj.exe", "POgpj.exe"),
        ("\u200b\ufeff\x00\x1b[31m", "31m"),
        ("e\u0301", "\u00e9"),
        ("\ud800x", "x"),
        ("[1]", "1"),
        ("\u05d0\u05d1-7", "\u05d0\u05d1-7"),
        ("a b\u3000c\nd", "a_b_c_d"),
        ("z" * 59 + "q\u0301", "z" * 59),
    ],
)
def test_a_number_becomes_a_part_of_a_file_name(text: str, name: str) -> None:
    assert filenames.safe(text, 60) == name
    made = f"{ORDER.zh}_{filenames.safe(text, 60)}{folder._workbook_end(A_KEY)}"
    assert len(made.encode()) < 150
    assert made.partition(".")[0].upper() not in RESERVED
    assert not set(made) & set('<>:"/\\|?*[]')


@pytest.mark.parametrize("number", ["CON", "x" * 60, "../a", "PO\u202egpj", "😀1", "\u05d0\u05d1"])
def test_a_workbook_of_any_number_lies_in_the_folder_and_is_found(share: Path, number: str) -> None:
    document = order(number)
    path = written(share, document)
    assert path.parent == share
    assert path.name.endswith(f"_{request(document)[1][:16]}.xlsx")
    assert connect(share, "excel").find(request(document)[1]) is Standing.DELIVERED
    assert openpyxl.load_workbook(io.BytesIO(path.read_bytes()))[layout.HEADER].max_row == 4


# --- its place among the settings -----------------------------------------------------------------------------------


def test_elements_that_a_user_added_have_their_columns(share: Path) -> None:
    base = FORMATS["crossBorderWaybill"]
    format = formats.extended(base, waybills.SAMPLES / "cross_border_waybill" / "added.yaml")
    added = format.header_fields.keys() - base.header_fields.keys()
    samples = waybills.samples("cross_border_waybill")
    document = next(s.document for s in samples if s.good and s.document.header.keys() & added)
    path = written(share, document, format)
    assert added <= {cell.value for cell in openpyxl.load_workbook(path)[layout.HEADER][2]}
    assert encode(read_back(path, format), format) == encode(document, format)


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[str], App]:
    """The config of the example, its transport exchanged for the folder that it shows as a comment."""

    def configured(content: str) -> App:
        text = (Path(__file__).parents[2] / "config.example.yaml").read_text(encoding="utf-8")
        before, kind, rest = text.partition("  transport:\n")
        _, keys, after = rest.partition("  public_keys:")
        commented = re.search(r"^  # transport:.*\n  #   kind: folder\n(?:  #   .*\n)+", text, re.MULTILINE)
        assert commented
        shown = "\n".join(line.replace("  # ", "  ", 1) for line in commented[0].splitlines())
        assert kind
        assert keys
        text = f"{before}{shown}\n{keys}{after}".replace("content: excel", f"content: {content}")
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "policy.yaml").write_text("automatic: {}\n", encoding="utf-8")
        (tmp_path / "keys").mkdir()
        return App.load(tmp_path / "config.yaml")

    return configured


def test_the_example_of_the_config_sends_into_a_folder_beside_it(desk: Callable[[str], App], tmp_path: Path) -> None:
    transport = desk("excel").transport
    assert isinstance(transport, folder.ExcelFolder)
    body, key = request(order())
    failed(lambda: transport.send(body, key=key))
    (tmp_path / "outgoing").mkdir()
    transport.send(body, key=key)
    assert transport.find(key) is Standing.DELIVERED


@pytest.mark.parametrize("content", CONTENTS)
def test_the_sandbox_empties_the_folder_of_the_config(desk: Callable[[str], App], content: str) -> None:
    app, (body, key) = desk(content), letter(70)
    with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform, sandbox.emptied(app, platform):
        site = Served(platform, app.home, content)
        assert accepted(site, answer(app.transport, body, key), body, key)
