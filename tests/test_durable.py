"""Files that appear whole or not at all, on file systems that can less than others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from scraper_agent import durable


def refusing(number: int) -> Callable[..., NoReturn]:
    def refuse(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return refuse


def made(folder: Path) -> Path:
    part = folder / "a.part"
    durable.write_part(part, b"new")
    return part


def test_a_part_left_behind_is_removed_and_not_written_into(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    os.link(kept, tmp_path / "a.part")
    assert made(tmp_path).read_bytes() == b"new"
    assert kept.read_bytes() == b"kept"


@pytest.mark.parametrize("without_links", [False, True])
def test_a_name_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, without_links: bool) -> None:
    if without_links:  # as on FAT, and on many shares
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    durable.rename_new(made(tmp_path), tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(durable.Taken):
        durable.rename_new(made(tmp_path), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EIO))
    part = made(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        durable.rename_new(part, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_share_that_cannot_sync_a_folder_is_as_good_as_it_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    durable.sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        durable.sync_folder(tmp_path)


def test_only_plain_files_within_the_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert durable.read(path, 3) is None
    path.write_bytes(b"abc")
    assert durable.read(path, 3) == b"abc"
    with pytest.raises(durable.TooLong):
        durable.read(path, 2)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for other in ("link", "pipe", "."):
        with pytest.raises(OSError, match=r"symbolic|not a plain|directory"):
            durable.read(tmp_path / other, 9)
