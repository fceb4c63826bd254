"""The weeks, and the files of a week: what is read is what was written, and whoever changes them is found out."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gmssl_pyx
import pytest

from scraper_agent import canonical
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.sandbox import history_file, weeks
from scraper_agent.sandbox.history_file import Broken, Completed, Contents, Part
from scraper_agent.sandbox.weeks import Week
from scraper_agent.signing import sealing
from tests.history import SHANGHAI, SUNDAY, WEEK, Key, completed, message_of, number

KEY = Key()


@pytest.mark.parametrize(
    ("moment", "label"),
    [
        (datetime(2026, 3, 8, 23, 59, 59, tzinfo=CHINA_TIME), "2026-W10"),
        (datetime(2026, 3, 9, tzinfo=CHINA_TIME), "2026-W11"),
        (datetime(2026, 3, 8, 15, 59, 59, tzinfo=UTC), "2026-W10"),
        (datetime(2026, 3, 8, 16, tzinfo=UTC), "2026-W11"),
        (datetime(2026, 12, 31, tzinfo=CHINA_TIME), "2026-W53"),
        (datetime(2027, 1, 3, 23, 59, tzinfo=CHINA_TIME), "2026-W53"),
        (datetime(2027, 1, 4, tzinfo=CHINA_TIME), "2027-W01"),
    ],
)
def test_a_week_ends_on_sunday_at_24_of_china(moment: datetime, label: str) -> None:
    week = weeks.week_of(moment)
    assert str(week) == label
    assert week.begin <= moment < week.end
    assert Week.parse(label) == week


@pytest.mark.parametrize("label", ["2026-W54", "2026-W00", "2026W10", "2025-W53", "2026-W10 ", "../../etc"])
def test_what_is_no_week_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="week"):
        Week.parse(label)


def test_a_moment_without_a_zone_is_of_no_week() -> None:
    with pytest.raises(ValueError, match="zone"):
        weeks.week_of(datetime(2026, 3, 9))  # noqa: DTZ001 - that is what is tested


def test_every_week_that_has_ended_is_due_once() -> None:
    assert not list(weeks.due(SUNDAY - timedelta(seconds=1), WEEK))
    assert list(weeks.due(SUNDAY, WEEK)) == [WEEK]
    assert [str(week) for week in weeks.due(SUNDAY + timedelta(days=14), WEEK)] == ["2026-W10", "2026-W11", "2026-W12"]


# --- files ---


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents, list[Completed]]:
    """A batch of two parts, each of several chunks."""
    rng, folder = random.Random(7), tmp_path_factory.mktemp("batch")
    waybills = [
        completed(count, message=message_of(count, remark=base64.b64encode(rng.randbytes(450)).decode()))
        for count in range(2_500)
    ]
    contents = history_file.write(folder, SHANGHAI, WEEK, iter(waybills), KEY.public_key)
    assert len(contents.parts) == 2
    return folder, contents, waybills


def lines(folder: Path, contents: Contents) -> list[bytes]:
    secret = history_file.opened(contents, [KEY.pair])
    return [line for chunk in history_file.read(folder, contents, secret) for line in chunk]


def test_what_is_read_is_what_was_written(written: tuple[Path, Contents, list[Completed]]) -> None:
    folder, contents, waybills = written
    text = b"".join(each.line for each in waybills)
    assert b"".join(line + b"\n" for line in lines(folder, contents)) == text
    assert (contents.count, contents.sm3) == (len(waybills), canonical.sm3(text).hex())
    assert {path.name for path in folder.iterdir()} == {part.name for part in contents.parts}
    first = history_file.read_line(lines(folder, contents)[0])
    assert first is not None
    assert (first.number, first.status, first.known) == (number(0), "done", "20260307T000000")
    assert first.message == waybills[0].message


def test_the_contents_are_read_from_their_document(written: tuple[Path, Contents, list[Completed]]) -> None:
    _, contents, _ = written
    assert history_file.read_contents(json.loads(contents.document)) == contents


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(format="other"),
        lambda told: told.pop("lines"),
        lambda told: told.update(header="x"),
        lambda told: told["header"].update(province="../310"),
        lambda told: told["header"].update(week="2026-W54"),
        lambda told: told["header"].update(week="9999-W52"),
        lambda told: told["header"].update(count=-1),
        lambda told: told["header"].update(count=True),
        lambda told: told["header"].update(more=1),
        lambda told: told["header"].update(form="scraper-agent history/2"),
        lambda told: told["lines"][0].update(sm3="../../etc/passwd"),
        lambda told: told["lines"][0].update(size=1 << 40),
        lambda told: told["lines"].append(5),
    ],
)
def test_contents_of_another_form_are_refused(
    change: Callable[[Any], object], written: tuple[Path, Contents, list[Completed]]
) -> None:
    told = json.loads(written[1].document)
    change(told)
    with pytest.raises(Broken):
        history_file.read_contents(told)


def test_another_program_decrypts_a_chunk(written: tuple[Path, Contents, list[Completed]]) -> None:
    folder, contents, waybills = written
    data = (folder / contents.parts[0].name).read_bytes()
    size = int.from_bytes(data[:4], "big")
    nonce = (1).to_bytes(4, "big") + (1).to_bytes(7, "big") + b"\0"
    secret = sealing.unseal(base64.b64decode(contents.key), KEY.pair)
    body, tag = data[4 : 4 + size - 16], data[4 + size - 16 : 4 + size]
    beside = f"scraper-agent history/1 {SHANGHAI} {WEEK}".encode()
    chunk = zlib.decompress(gmssl_pyx.sm4_gcm_decrypt(secret, nonce, beside, body, tag))
    assert chunk.startswith(waybills[0].line + waybills[1].line)


def chunks(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 4 + int.from_bytes(data[:4], "big")
        found.append(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda one, two: ([*one[:-2], one[-1]], two),
        lambda one, two: (one[:-1], two),
        lambda one, two: ([one[1], one[0], *one[2:]], two),
        lambda one, two: ([*one, one[-1]], two),
        lambda one, two: (two, one),
        lambda one, two: ([two[0], *one[1:]], two),
        lambda one, two: ([*one[:-1], one[-1][:-1]], two),
        lambda one, two: ([one[0][:-1] + bytes([one[0][-1] ^ 1]), *one[1:]], two),
        lambda one, two: ([one[0][:9] + bytes([one[0][9] ^ 1]) + one[0][10:], *one[1:]], two),
        lambda one, two: ([b"\xff" * 4 + one[0][4:], *one[1:]], two),
        lambda one, two: ([b"\0\0\0\1x", *one], two),
        lambda one, two: (one, []),
    ],
    ids=[
        *("dropped", "last dropped", "swapped", "doubled", "parts swapped", "of another part", "cut off", "tag"),
        *("bit", "length", "too short", "part emptied"),
    ],
)
def test_a_chunk_that_is_not_as_it_was_written_is_found(
    change: Callable[[list[bytes], list[bytes]], tuple[list[bytes], list[bytes]]],
    written: tuple[Path, Contents, list[Completed]],
    tmp_path: Path,
) -> None:
    folder, contents, _ = written
    both = [chunks((folder / part.name).read_bytes()) for part in contents.parts]
    for part, made in zip(contents.parts, change(both[0], both[1]), strict=True):
        (tmp_path / part.name).write_bytes(b"".join(made))
    with pytest.raises(Broken, match=r"^part [12]"):  # and not only in the end, by the text
        lines(tmp_path, contents)


@pytest.mark.parametrize(
    "other", [{"province": "320000"}, {"week": "2026-W11"}, {"count": 2_499}, {"sm3": "0" * 64}, {"parts": ()}]
)
def test_files_do_not_pass_for_those_of_other_contents(
    other: dict[str, Any], written: tuple[Path, Contents, list[Completed]]
) -> None:
    folder, contents, _ = written
    with pytest.raises(Broken):
        lines(folder, contents.model_copy(update=other))


def test_only_the_one_it_is_sealed_for_opens_it(written: tuple[Path, Contents, list[Completed]]) -> None:
    _, contents, _ = written
    with pytest.raises(Broken):
        history_file.opened(contents, [Key().pair])
    assert history_file.opened(contents, [Key().pair, KEY.pair]) == history_file.opened(contents, [KEY.pair])
    with pytest.raises(Broken):
        history_file.opened(contents.model_copy(update={"key": "no Base64"}), [KEY.pair])
    short = base64.b64encode(sealing.seal(b"short", KEY.public_key)).decode()
    with pytest.raises(Broken):
        history_file.opened(contents.model_copy(update={"key": short}), [KEY.pair])


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [(b"x" * (3 << 20), "longer than a chunk"), (b"a line without an end", "without an end")],
    ids=["a bomb", "an open line"],
)
def test_a_chunk_that_is_none_is_refused_though_it_was_encrypted(chunk: bytes, reason: str, tmp_path: Path) -> None:
    """Of a province that makes its files wrong, or wants to fill the ministry's memory."""
    empty = history_file.write(tmp_path, SHANGHAI, WEEK, (), KEY.public_key)
    secret = history_file.opened(empty, [KEY.pair])
    parts = history_file._Parts(tmp_path, secret, history_file._beside(SHANGHAI, str(WEEK)))
    parts.add(chunk)
    contents = empty.model_copy(update={"parts": parts.ended(), "count": 1, "sm3": canonical.sm3(chunk).hex()})
    with pytest.raises(Broken, match=reason):
        lines(tmp_path, contents)


def test_a_week_without_waybills_has_no_parts(tmp_path: Path) -> None:
    contents = history_file.write(tmp_path, SHANGHAI, WEEK, (), KEY.public_key)
    assert (contents.count, contents.parts) == (0, ())
    assert lines(tmp_path, contents) == []


def test_a_message_of_two_lines_is_no_message(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="single line"):
        history_file.write(tmp_path, SHANGHAI, WEEK, [completed(1, message=b'{"i1":"x"\n}')], KEY.public_key)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"finished":"20260302","known":"20260302T000000","status":"done","waybill":{"i1":"x"}}',
        b'{"finished":"20260302T000000","known":"20260302T000000","status":"done","waybill":{"i2":"x"}}',
        b'{"finished":"20260302T000000","known":"20260302T000000","status":"done","waybill":{"i1":"x"}} ',
        b'{"finished":"20260302T000000","known":"20260302T000000","status":"done","waybill":{"i1":"\xff"}}',
    ],
)
def test_a_line_of_another_form_says_nothing(line: bytes) -> None:
    assert history_file.read_line(line) is None


def test_a_part_is_named_by_its_digest(written: tuple[Path, Contents, list[Completed]]) -> None:
    folder, contents, _ = written
    for part in contents.parts:
        data = (folder / part.name).read_bytes()
        assert part == Part(size=len(data), sm3=canonical.sm3(data).hex())
